//! Sections cover the message, and give its bytes again.

use super::*;
use crate::Incoming;
use crate::prepared::Prepared;
use proptest::prelude::*;

const SHARE: u64 = 40;

fn limits() -> Limits {
    Limits { share_from_bytes: SHARE, spool_above_bytes: 3_000, ..Limits::default() }
}

/// Whether the sections cover the body and give it back; and what they are.
fn whole(message: &[u8]) -> Vec<(Vec<u8>, bool, bool)> {
    let limits = limits();
    let prepared = Prepared::new(Incoming::read(message, Vec::new(), &limits).unwrap(), &limits);
    let (content, skeleton) = (&prepared.incoming.content, &prepared.skeleton);
    let mut at = prepared.parsed.header_len;
    let mut seen = Vec::new();
    for section in &skeleton.sections {
        assert_eq!(section.range.start, at);
        at = section.range.end;
        let text = content.read(section.range.clone()).unwrap();
        assert_eq!(text.len() as u64, section.range.end - section.range.start);
        let stored = match &section.form {
            Form::Raw => text.to_vec(),
            Form::Base64 { bytes, line } => {
                let bytes = bytes.read(0..u64::MAX).unwrap().to_vec();
                assert_eq!(base64::encode_lines(&bytes, *line as usize / 4 * 3, false).as_bytes(), &text[..]);
                bytes
            }
        };
        let key = section.key;
        assert!(key.is_none_or(|key| key == <[u8; 32]>::from(Sha256::digest(&stored))));
        assert!(key.is_none() || stored.len() as u64 >= SHARE);
        seen.push((stored, matches!(section.form, Form::Base64 { .. }), key.is_some()));
    }
    assert_eq!(at, content.len().max(prepared.parsed.header_len));
    seen
}

fn multipart(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut text = "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
    for (fields, body) in parts {
        text.push_str(&format!("--b\r\n{fields}\r\n{body}\r\n"));
    }
    text.push_str("--b--\r\n");
    text.into_bytes()
}

#[test]
fn parts_at_the_threshold_and_one_byte_below() {
    let at = "x".repeat(SHARE as usize);
    for (body, shared) in [(at.as_str(), true), (&at[1..], false)] {
        let found = whole(&multipart(&[("", body), ("", "small")]));
        assert_eq!(found.iter().any(|section| section.2), shared, "{found:?}");
        assert_eq!(found.len(), if shared { 3 } else { 1 });
    }
    let single = whole(format!("Subject: x\r\n\r\n{at}").as_bytes());
    assert_eq!(single, [(at.into_bytes(), false, true)]);
}

#[test]
fn base64_is_stored_decoded_also_below_the_threshold_of_sharing() {
    const BASE64: &str = "Content-Transfer-Encoding: BASE64\r\n";
    let bytes = [7; 300];
    let text = base64::encode_lines(&bytes, 57, true);
    let found = whole(&multipart(&[(BASE64, &text)]));
    assert_eq!(found[1], (bytes.to_vec(), true, true));
    // Of 255 characters none is decoded; such text is shared as it stands.
    for (len, decoded) in [(MIN_BASE64 / 4 * 3, true), (MIN_BASE64 / 4 * 3 - 3, false)] {
        let text = base64::encode_lines(&bytes[..len as usize], 3_000, false);
        let found = whole(&multipart(&[(BASE64, &text)]));
        assert_eq!(found.iter().any(|section| section.1), decoded, "{len}");
        assert!(found.iter().any(|section| section.2));
    }
    let odd = whole(&multipart(&[(BASE64, &text.replace("Bw", "B w"))]));
    assert!(odd.iter().all(|section| !section.1));
}

#[test]
fn parts_of_a_forwarded_message_are_parts() {
    let inner = String::from_utf8(multipart(&[("", &"y".repeat(50))])).unwrap();
    let outer = multipart(&[("", &"z".repeat(60)), ("Content-Type: message/rfc822\r\n", &inner)]);
    let shared: Vec<_> = whole(&outer).into_iter().filter(|section| section.2).collect();
    assert_eq!(shared.iter().map(|section| section.0[0]).collect::<Vec<_>>(), b"zy");
}

#[test]
fn a_message_has_at_most_so_many_sections() {
    let part = "w".repeat(SHARE as usize);
    for (parts, sections) in [(10, 21), (499, 999), (500, 999), (2_000, 999)] {
        let all = vec![("", part.as_str()); parts];
        assert_eq!(whole(&multipart(&all)).len(), sections, "{parts}");
    }
}

#[test]
fn kin_is_what_is_answered() {
    let kin = |subject: &str| kin(format!("From: x\r\nSubject: {subject}\r\n\r\n").as_bytes());
    for answer in
        ["Re: on keeping mail", "[list] RE: Fwd: on keeping mail", "AW: [x][y] On\r\n keeping mail "]
    {
        assert_eq!(kin(answer), kin("on keeping mail"), "{answer}");
    }
    assert_ne!(kin("on keeping"), kin("on keeping mail"));
    assert_eq!(kin("[not closed"), kin("[not closed"));
    assert_eq!(super::kin(b"From: x\r\n\r\n"), Kin::default());
}

fn a_body() -> impl Strategy<Value = String> {
    let encoded = (prop::collection::vec(any::<u8>(), 0..400), 1usize..8, 1usize..30, 0usize..3);
    let encoded = encoded.prop_map(|(bytes, repeat, groups, ends)| {
        base64::encode_lines(&bytes.repeat(repeat), groups * 3, false) + &"\r\n".repeat(ends)
    });
    let harmed = (encoded.clone(), any::<prop::sample::Index>(), "[A-Za-z+/= \r\n\t]{0,4}");
    let harmed = harmed.prop_map(|(mut text, at, with)| {
        if !text.is_empty() {
            let at = at.index(text.len());
            text.replace_range(at..at + 1, &with);
        }
        text
    });
    prop_oneof![encoded, harmed, "[ -~\r\n]{0,200}", "(--b(--)?\r\n|[a-z]{1,50}\r?\n){0,20}"]
}

proptest! {
    #[test]
    fn any_message_is_covered(
        parts in prop::collection::vec((0usize..4, a_body()), 0..6), cut in any::<prop::sample::Index>(),
    ) {
        const FIELDS: [&str; 4] = [
            "", "Content-Transfer-Encoding: base64\r\n", "Content-Type: message/rfc822\r\n",
            "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: multipart/mixed; boundary=c\r\n",
        ];
        let parts: Vec<_> = parts.iter().map(|(fields, body)| (FIELDS[*fields], body.as_str())).collect();
        let message = multipart(&parts);
        whole(&message);
        whole(&message[..cut.index(message.len())]);
    }

    #[test]
    fn a_single_part_is_covered(body in a_body()) {
        whole(format!("Content-Transfer-Encoding: base64\r\n\r\n{body}").as_bytes());
    }
}
