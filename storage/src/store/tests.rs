//! The store as a whole: what goes in comes out, and nothing else.

use super::*;
use crate::{Incoming, Prepared};

fn prepared(raw: &[u8], limits: &Limits) -> Prepared {
    Prepared::new(Incoming::read(raw, Vec::new(), limits).unwrap(), limits)
}

#[test]
fn a_message_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let key = MasterKey::generate().unwrap();
    let limits = Limits::default();
    Storage::create(dir.path(), &key, &limits).unwrap();
    let storage = Storage::open(dir.path(), &key, limits.clone()).unwrap();
    let path = FolderPath::new("alice/Inbox").unwrap();
    let raw = b"Subject: hi\n\nbody\n";
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path).unwrap();
    let placement = NewPlacement {
        date: InternalDate { secs: 1, zone: 60 },
        flags: SourceFlags::default(),
        source: "mbox",
        occurrence: "0",
    };
    batch.add(folder, prepared(raw, &limits), &placement).unwrap();
    batch.commit().unwrap();
    let mut out = Vec::new();
    storage.cat(folder, Uid(1), &mut out).unwrap();
    assert_eq!(out, raw);
}
