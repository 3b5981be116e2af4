//! Messages written for each trap of IMAP's structures and of search's text, with what must come of them.
//!
//! A case is three files in tests/data: `NN-name.eml` (line ends LF, made canonical here), `.json` with the expected
//! values, `.readme` that says what the case is about. A new case is new files, not new code.

use std::path::{Path, PathBuf};
use storage::card::Card;
use storage::mime::Tree;
use storage::text::SearchText;
use storage::{Incoming, Limits};

/// Bytes as JSON text; what isn't UTF-8 shows as `\xNN`.
fn show(bytes: &[u8]) -> String {
    bytes.utf8_chunks().map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii())).collect()
}

fn found(eml: &Path) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let limits = Limits::default();
    let bytes = std::fs::read(eml)?;
    let incoming = Incoming::read(&bytes[..], Vec::new(), &limits)?;
    let tree = Tree::parse(incoming.content.reader(), &limits)?;
    let card = Card::new(&tree, &incoming.content, &limits);
    let text = SearchText::new(&tree, &incoming.content, &limits);
    let header = SearchText::header_fields(&tree.entities[0].header_bytes);
    let parts: Vec<String> = card
        .part_table()?
        .iter()
        .map(|part| format!("{:?} {:?} {:?}", part.kind, part.header, part.body))
        .collect();
    Ok(serde_json::json!({
        "size": card.size,
        "sent": card.dates.sent.map(|date| vec![date.secs, date.zone.into()]),
        "received": card.dates.received.map(|date| vec![date.secs, date.zone.into()]),
        "envelope": show(&card.envelope),
        "bodystructure": show(&card.bodystructure),
        "body": show(&card.body()),
        "parts": parts,
        "fields": header.iter().map(|field| format!("{}: {}", field.name, field.value)).collect::<Vec<_>>(),
        "text": text.body,
    }))
}

#[test]
fn golden_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 12, "the cases are there");
    for eml in cases {
        assert!(eml.with_extension("readme").is_file(), "{}: has a readme", eml.display());
        let expected = std::fs::read_to_string(eml.with_extension("json")).unwrap_or_default();
        let found = found(&eml).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&expected).unwrap_or_default();
        assert_eq!(found, expected, "{}: found\n{found:#}", eml.display());
    }
}
