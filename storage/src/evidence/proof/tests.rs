//! Proofs of a made-up log: what verifies, and that no changed field does.

use super::*;
use crate::evidence::{Frontier, MAX_BYTES, MAX_PATH, Subtrees, inclusion};
use crate::pack::varint::{put, put_signed};
use crate::{FolderId, InternalDate, ModSeq, SourceFlags, Uid, UidValidity};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::io::Cursor;

const EML: &[u8] = b"From: a@example.org\nSubject: x\n\nGr\xc3\xbc\xc3\x9fe\n";
const STORE: StoreId = StoreId([9; 16]);

struct Leaves(Vec<Hash>);

impl Subtrees for Leaves {
    type Error = Infallible;

    fn subtree(&mut self, first: u64, leaves: u64) -> Result<Hash, Infallible> {
        let mut part = Frontier::default();
        self.0[first as usize..(first + leaves) as usize].iter().for_each(|leaf| part.push(*leaf));
        Ok(part.root())
    }
}

fn identity() -> ContentHash {
    let crlf = String::from_utf8(EML.to_vec()).unwrap().replace('\n', "\r\n");
    ContentHash(Sha256::digest(crlf).into())
}

fn numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|&n| put(out, n));
}

/// UID 5 of folder 3 (UIDVALIDITY 77), moved to UID 8 of folder 4 (78), and deleted there.
fn fields() -> [(u8, Vec<u8>); 3] {
    let mut placed = identity().0.to_vec();
    numbers(&mut placed, &[3, 77, 5, 500, 41]);
    put_signed(&mut placed, 1_600_000_000);
    put_signed(&mut placed, -90);
    placed.push(0b010);
    let mut moved = Vec::new();
    numbers(&mut moved, &[3, 5, 4, 78, 8, 500, 42]);
    let mut deleted = Vec::new();
    numbers(&mut deleted, &[4, 78, 8, 43]);
    [(4, placed), (6, moved), (7, deleted)]
}

/// A proof with the first `steps` of the leaves, in a log of 21; the key that signed it.
fn proof(steps: usize) -> (Proof, EvidenceKey) {
    let mut leaves: Vec<Leaf> = [7u64, 11, 20]
        .into_iter()
        .zip(fields())
        .map(|(number, (kind, fields))| Leaf {
            number,
            kind,
            salt: [number as u8; 16],
            fields,
            path: Vec::new(),
        })
        .take(steps)
        .collect();
    let mut log = Leaves((0..21u8).map(|n| Sha256::digest([n]).into()).collect());
    for leaf in &leaves {
        log.0[leaf.number as usize] = Evidence::new(leaf.number, leaf.salt, leaf.kind, &leaf.fields).hash;
    }
    for leaf in &mut leaves {
        leaf.path = inclusion(&mut log, leaf.number, 21).unwrap();
    }
    let mut frontier = Frontier::default();
    log.0.iter().for_each(|leaf| frontier.push(*leaf));
    let key = EvidenceKey::generate().unwrap();
    let head = Head::sign(STORE, 21, frontier.root(), 1_700_000_000_000, &key).unwrap();
    let (folder, validity, uid) = if steps == 1 { (3, 77, 5) } else { (4, 78, 8) };
    let place = Place { folder: FolderId(folder), uid_validity: UidValidity(validity), uid: Uid(uid) };
    let folder = Folder::sign(STORE, &place, "alice/Import", 1_700_000_000_001, &key).unwrap();
    (Proof { leaves, folder, head }, key)
}

fn verify(proof: &Proof, eml: &[u8], trust: &Trust) -> Result<Proven, Error> {
    proof.verify(&mut Cursor::new(eml), 1 << 20, trust)
}

#[test]
fn a_proof_says_what_its_leaves_say() {
    let (proof, key) = proof(3);
    let back = Proof::read(proof.to_json().as_bytes()).unwrap();
    assert_eq!(back, proof);
    let trust = Trust { key: Some(key.public()), head: Some(proof.head.clone()) };
    let proven = verify(&back, EML, &trust).unwrap();
    assert_eq!(proven.message, identity());
    assert_eq!((proven.leading_bytes, proven.folder.as_str()), (0, "alice/Import"));
    let [first, second, third] = &proven.steps[..] else { panic!("{proven:?}") };
    let start = Place { folder: FolderId(3), uid_validity: UidValidity(77), uid: Uid(5) };
    let end = Place { folder: FolderId(4), uid_validity: UidValidity(78), uid: Uid(8) };
    assert_eq!(
        first.what,
        What::Archived {
            message: identity(),
            at: start,
            date: InternalDate { secs: 1_600_000_000, zone: -90 },
            flags: SourceFlags { answered: false, flagged: true, forwarded: false },
            archive_uid: Uid(500),
            mod_seq: ModSeq(41),
        }
    );
    assert!(matches!(second.what, What::Moved { from: FolderId(3), from_uid: Uid(5), to, .. } if to == end));
    assert_eq!(third.what, What::Deleted { at: end, mod_seq: ModSeq(43) });
    assert_eq!((first.leaf, second.leaf, third.leaf, proven.place), (7, 11, 20, end));
    for steps in [1, 2] {
        let (proof, _) = self::proof(steps);
        assert_eq!(verify(&proof, EML, &Trust::default()).unwrap().steps.len(), steps);
    }
}

#[test]
fn line_ends_and_a_mailbox_files_lines_dont_matter_but_the_message_does() {
    let (proof, _) = proof(1);
    let none = Trust::default();
    let crlf = String::from_utf8(EML.to_vec()).unwrap().replace('\n', "\r\n");
    assert!(verify(&proof, crlf.as_bytes(), &none).is_ok());
    for front in
        ["From a@b Mon Jan  1 00:00:00 2024\n", "From x\r\nX-Mozilla-Status: 0001\r\nContent-Length: 7\r\n"]
    {
        let proven = verify(&proof, &[front.as_bytes(), EML].concat(), &none).unwrap();
        assert_eq!(proven.leading_bytes, front.len() as u64);
    }
    for other in [&EML[1..], &[EML, b"\n"].concat(), b"", &[b"X: y\n", EML].concat(), b"From x"] {
        match verify(&proof, other, &none) {
            Err(Error::Proof(Refusal::Message { expected, .. })) => {
                assert_eq!(expected, identity().to_string());
            }
            refused => panic!("{refused:?}"),
        }
    }
    let lines = "X-Y: z\n".repeat(MAX_LEADING_LINES - 1);
    let front = |more: &str| [b"From x\n", lines.as_bytes(), more.as_bytes(), EML].concat();
    assert!(verify(&proof, &front(""), &none).is_ok(), "at the bound of lines");
    assert!(verify(&proof, &front("X-Y: z\n"), &none).is_err());
    let len = crlf.len() as u64;
    assert!(proof.verify(&mut Cursor::new(EML), len, &none).is_ok(), "at the bound of bytes");
    assert!(matches!(proof.verify(&mut Cursor::new(EML), len - 1, &none), Err(Error::Limit { .. })));
}

/// Every value of a JSON tree, each changed in turn.
fn changes(value: &serde_json::Value) -> Vec<serde_json::Value> {
    use serde_json::Value;
    match value {
        Value::String(text) => {
            let end = |c: char| if c == '0' { '1' } else { '0' };
            let mut changed = Vec::new();
            for at in [0, text.len() / 2, text.len().saturating_sub(1)] {
                let mut chars: Vec<char> = text.chars().collect();
                if let Some(c) = chars.get_mut(at) {
                    *c = end(*c);
                }
                changed.push(Value::String(chars.into_iter().collect()));
            }
            changed.push(Value::String(format!("{text}00")));
            changed.push(Value::String(String::new()));
            changed
        }
        Value::Number(n) => {
            let n = n.as_u64().unwrap();
            vec![(n + 1).into(), (n.wrapping_sub(1)).into(), (n ^ 64).into()]
        }
        Value::Array(items) => {
            let mut changed = Vec::new();
            for (at, item) in items.iter().enumerate() {
                for other in changes(item) {
                    let mut items = items.clone();
                    items[at] = other;
                    changed.push(Value::Array(items));
                }
                let mut fewer = items.clone();
                fewer.remove(at);
                changed.push(Value::Array(fewer));
                let mut more = items.clone();
                more.insert(at, item.clone());
                changed.push(Value::Array(more));
            }
            changed
        }
        Value::Object(fields) => {
            let mut changed = Vec::new();
            for (name, field) in fields {
                for other in changes(field) {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), other);
                    changed.push(Value::Object(fields));
                }
                let mut fewer = fields.clone();
                fewer.remove(name);
                changed.push(Value::Object(fewer));
            }
            changed
        }
        other => vec![other.clone()],
    }
}

#[test]
fn a_proof_changed_in_any_field_is_refused() {
    let (proof, _) = proof(2);
    let json: serde_json::Value = serde_json::from_str(&proof.to_json()).unwrap();
    let changed = changes(&json);
    assert!(changed.len() > 100, "{}", changed.len());
    for other in changed {
        assert_ne!(other, json);
        let refused = Proof::read(other.to_string().as_bytes())
            .map_err(Error::Proof)
            .and_then(|proof| verify(&proof, EML, &Trust::default()));
        let shorter = other["leaves"].as_array().is_some_and(|leaves| leaves.len() == 1)
            && other["leaves"][0] == json["leaves"][0];
        match refused {
            Err(_) => {}
            Ok(proven) => panic!("{shorter} {other}: {proven:?}"),
        }
    }
}

#[test]
fn only_the_trusted_key_and_head_count() {
    let (proof, key) = proof(1);
    let stranger = EvidenceKey::generate().unwrap();
    let refusal = |trust: Trust| match verify(&proof, EML, &trust) {
        Err(Error::Proof(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let by_key = |key: &EvidenceKey| Trust { key: Some(key.public()), head: None };
    assert!(matches!(refusal(by_key(&stranger)), Refusal::Key { .. }));
    let Head { size, root, time, .. } = proof.head;
    let kept = |store, size, root, key: &EvidenceKey| Trust {
        key: None,
        head: Some(Head::sign(store, size, root, time - 5, key).unwrap()),
    };
    assert!(verify(&proof, EML, &kept(STORE, size, root, &key)).is_ok(), "another time, the same log");
    assert!(matches!(refusal(kept(STORE, size, root, &stranger)), Refusal::Key { .. }));
    assert!(matches!(refusal(kept(STORE, size, [1; 32], &key)), Refusal::Rewritten(_)));
    for other in [size - 1, size + 1] {
        assert!(matches!(refusal(kept(STORE, other, root, &key)), Refusal::Head(_)));
    }
    assert!(matches!(refusal(kept(StoreId([8; 16]), size, root, &key)), Refusal::Head(_)));
    // A whole proof by a stranger: nothing but the key tells.
    let mut forged = proof.clone();
    forged.head = Head::sign(STORE, size, root, time, &stranger).unwrap();
    let place = forged.steps().unwrap().1;
    forged.folder = Folder::sign(STORE, &place, "alice/Import", 1, &stranger).unwrap();
    assert!(verify(&forged, EML, &Trust::default()).is_ok());
    assert!(verify(&forged, EML, &by_key(&key)).is_err());
}

#[test]
fn leaves_that_tell_of_another_message_are_refused() {
    let (good, key) = proof(3);
    let broken = |change: fn(&mut Vec<Leaf>)| {
        let mut proof = good.clone();
        change(&mut proof.leaves);
        let refused = proof.check(&Trust::default()).unwrap_err();
        assert!(matches!(refused, Refusal::Contradiction(_)), "{refused}");
    };
    broken(|leaves| leaves.truncate(0));
    broken(|leaves| leaves.swap(0, 1));
    broken(|leaves| leaves.swap(1, 2));
    broken(|leaves| {
        leaves.remove(0);
    });
    broken(|leaves| {
        leaves.remove(1);
    });
    broken(|leaves| leaves.push(leaves[2].clone()));
    broken(|leaves| leaves.insert(1, leaves[0].clone()));
    // Without its last leaf the place is another one, which the folder's signature tells.
    let mut shorter = good.clone();
    shorter.leaves.truncate(1);
    assert_eq!(
        shorter.check(&Trust::default()).unwrap_err(),
        Refusal::Signature { of: "of the folder's name" }
    );
    drop(key);
}

#[test]
fn bounds_hold() {
    let (proof, _) = proof(1);
    let mut long = proof.clone();
    long.leaves[0].path = vec![[1; 32]; MAX_PATH + 1];
    assert!(matches!(Proof::read(long.to_json().as_bytes()), Err(Refusal::Limit { .. })));
    long.leaves[0].path.truncate(MAX_PATH);
    assert!(Proof::read(long.to_json().as_bytes()).is_ok());
    let mut many = proof.clone();
    many.leaves[0].path.clear();
    many.leaves = vec![many.leaves[0].clone(); MAX_LEAVES + 1];
    assert!(matches!(Proof::read(many.to_json().as_bytes()), Err(Refusal::Limit { .. })));
    many.leaves.truncate(MAX_LEAVES);
    assert!(Proof::read(many.to_json().as_bytes()).is_ok());
    let json = proof.to_json();
    let padded = [json.as_bytes(), &vec![b'\n'; MAX_BYTES - json.len()]].concat();
    assert!(Proof::read(&padded).is_ok());
    assert!(matches!(Proof::read(&[&padded[..], b"\n"].concat()), Err(Refusal::Limit { .. })));
}
