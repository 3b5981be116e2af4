//! What is kept comes back, across openings; damage and other layouts begin anew; claims.

use super::*;

fn at(no: u32, part: u32) -> (MsgNo, ContentHash, u32) {
    (MsgNo(no), ContentHash([7; 32]), part)
}

fn found(text: &str, trouble: Option<&str>) -> Extracted {
    Extracted::Text { text: text.to_owned(), trouble: trouble.map(ToOwned::to_owned) }
}

#[test]
fn answers_come_back_after_another_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.texts");
    let extracts = Extracts::open(&path).unwrap();
    let mut noise = 1_u64;
    let long: String = (0..60_000)
        .map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from_u32(0x4e00 + (noise >> 52) as u32).unwrap()
        })
        .collect();
    let answers = [
        found("", None),
        found("words", None),
        found("part", Some("page 3")),
        found("", Some("locked")),
        Extracted::Off,
        found(&long, None),
    ];
    for (number, answer) in (0..).zip(&answers) {
        let key = Extracts::key(1, &[number]);
        extracts.put(at(5, number.into()), Row::File(1, key), Some(answer)).unwrap();
    }
    extracts.put(at(6, 0), Row::Nothing, None).unwrap();
    let name = extracts.name(3);
    drop(extracts);
    let extracts = Extracts::existing(&path, true).unwrap();
    assert_eq!(extracts.name(3), name);
    assert_ne!(extracts.name(4), name);
    for (number, answer) in (0..).zip(&answers) {
        let Some(Row::File(1, key)) = extracts.row(MsgNo(5), ContentHash([7; 32]), number).unwrap() else {
            panic!()
        };
        assert_eq!(extracts.answer(&key).unwrap().as_ref(), Some(answer));
    }
    assert_eq!(extracts.row(MsgNo(6), ContentHash([7; 32]), 0).unwrap(), Some(Row::Nothing));
    assert_eq!(
        extracts.row(MsgNo(6), ContentHash([8; 32]), 0).unwrap(),
        None,
        "another message of this number"
    );
    assert_eq!(extracts.row(MsgNo(6), ContentHash([7; 32]), 1).unwrap(), None);
    assert_eq!(extracts.counts().unwrap(), AttachmentCounts { text: 2, none: 1, failed: 2, off: 1 });
    let failed = |part, partly, reason: &str| Failed {
        no: MsgNo(5),
        part,
        format: 1,
        partly,
        reason: reason.to_owned(),
    };
    assert_eq!(extracts.failed().unwrap(), [failed(2, true, "page 3"), failed(3, false, "locked")]);
    // Written over a read-only file, seen until it is closed.
    extracts.put(at(7, 0), Row::Nothing, None).unwrap();
    drop(extracts);
    assert_eq!(Extracts::open(&path).unwrap().row(MsgNo(7), ContentHash([7; 32]), 0).unwrap(), None);
}

#[test]
fn a_damaged_file_is_made_anew_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.texts");
    let name = Extracts::open(&path).unwrap().name(1);
    std::fs::write(&path, b"rubbish").unwrap();
    assert_ne!(Extracts::open(&path).unwrap().name(1), name);
    let extracts = Extracts::open(&path).unwrap();
    extracts.close();
    assert!(extracts.row(MsgNo(0), ContentHash([0; 32]), 0).is_err(), "closed");
}

#[test]
fn an_index_of_other_texts_goes() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index");
    let make = || {
        std::fs::create_dir_all(&index).unwrap();
        std::fs::write(index.join("segments"), "x").unwrap();
    };
    make();
    settle(&index, None).unwrap();
    assert!(index.exists(), "no attachments then, none now");
    settle(&index, Some("a 1")).unwrap();
    assert!(!index.exists());
    make();
    claim(&index, Some("a 1")).unwrap();
    settle(&index, Some("a 1")).unwrap();
    assert!(index.exists());
    settle(&index, Some("b 1")).unwrap();
    assert!(!index.exists());
    make();
    claim(&index, Some("a 1")).unwrap();
    settle(&index, None).unwrap();
    assert!(!index.exists());
}
