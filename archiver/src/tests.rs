//! Runs on a real store: accounts, reruns, cancelling, dead runs.

use super::*;
use crate::testing::{Installation, corpus, sha256_lf};
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::{Limits, SourceFlags, UidRanges};

const FROM: &str = "From a@b Fri Sep  4 14:55:26 2020\n";

struct House(Installation);

impl Deref for House {
    type Target = Installation;
    fn deref(&self) -> &Installation {
        &self.0
    }
}

impl House {
    fn new() -> House {
        House::with(Limits::default())
    }

    fn with(limits: Limits) -> House {
        House(Installation::new(limits))
    }

    fn archive(&self, path: &Path) -> Run {
        let run = self.archiver.archive_files(&job(path, None), &|_| {}, &Cancel::default()).unwrap();
        let Sums { seen, archived, already, filtered, failed, .. } = run.sums;
        assert_eq!(seen, archived + already + filtered + failed, "{run:?}");
        assert_eq!(self.archiver.run(run.id).unwrap(), run, "the ledger has what was returned");
        let mut folders = Sums::default();
        for folder in &run.folders {
            folders.seen += folder.sums.seen;
            folders.archived += folder.sums.archived;
            folders.bytes += folder.sums.bytes;
        }
        assert_eq!((folders.seen, folders.archived, folders.bytes), (seen, archived, run.sums.bytes));
        let (failures, left_out) = self.archiver.items(run.id).unwrap();
        assert_eq!((failures.len() as u64, left_out.len() as u64), (failed, filtered));
        run
    }

    /// What `cat` gives for each placement of a folder, in UID order, with date and flags.
    fn folder(&self, path: &str) -> Vec<(Vec<u8>, i64, SourceFlags)> {
        let Some(view) = self.storage.view(&FolderPath::new(path).unwrap()) else { return Vec::new() };
        let mut rows = self.storage.rows(&view, &view.uids);
        let mut out = Vec::new();
        while let Some(batch) = rows.next_batch().unwrap() {
            for row in batch {
                let mut bytes = Vec::new();
                self.storage.cat(view.info.id, row.uid, &mut bytes).unwrap();
                out.push((bytes, row.date.secs, row.flags));
            }
        }
        out
    }
}

fn job(path: &Path, format: Option<Format>) -> FileJob {
    FileJob {
        path: path.to_owned(),
        into: FolderPath::new("alice/F").unwrap(),
        format,
        who: "local:test".into(),
        deleted_too: false,
    }
}

fn mail(n: usize) -> String {
    format!("Subject: {n}\nDate: Thu, 1 Jan 2015 00:00:{:02} +0100\n\nbody {n}\n", n % 60)
}

/// (seen, archived, already, filtered, failed)
fn sums(run: &Run) -> (u64, u64, u64, u64, u64) {
    let sums = run.sums;
    (sums.seen, sums.archived, sums.already, sums.filtered, sums.failed)
}

#[test]
fn a_tree_and_again() {
    let house = House::new();
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("sub")).unwrap();
    fs::write(source.path().join("a.eml"), mail(1)).unwrap();
    fs::write(source.path().join("sub/b.eml"), format!("{FROM}{}", mail(2))).unwrap();
    fs::write(source.path().join("sub/c.eml"), mail(1).replace('\n', "\r\n")).unwrap();
    fs::write(source.path().join("sub/empty.eml"), "").unwrap();
    fs::write(source.path().join("notes.txt"), "x").unwrap();
    let run = house.archive(source.path());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (5, 3, 0, 2, 0)));
    assert_eq!(run.source, source.path().canonicalize().unwrap().to_str().unwrap());
    let own = house.folder("alice/F");
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].0, mail(1).into_bytes());
    assert_eq!(own[0].1, 1_420_066_801, "the Date field's time");
    let sub = house.folder("alice/F/sub");
    assert_eq!(sub[0].0, format!("{FROM}{}", mail(2)).into_bytes(), "the envelope line comes back");
    assert_eq!(sub[0].1, 1_599_231_326, "the envelope line's time");
    assert_eq!(sub[1].0, mail(1).replace('\n', "\r\n").into_bytes(), "line ends come back");
    let (_, filtered) = house.archiver.items(run.id).unwrap();
    assert!(
        filtered.iter().any(|item| item.place.ends_with("/sub/empty.eml") && item.reason == "empty file")
    );

    let again = house.archive(source.path());
    assert_eq!((again.state, sums(&again)), (State::Succeeded, (5, 0, 3, 2, 0)));
    assert_eq!(again.sums.bytes, 0);
    fs::rename(source.path().join("sub/b.eml"), source.path().join("sub/z.eml")).unwrap();
    assert_eq!(sums(&house.archive(source.path())), (5, 0, 3, 2, 0));
    assert_eq!(house.folder("alice/F/sub").len(), 2);
    assert_eq!(house.archiver.runs().unwrap().iter().map(|run| run.id).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn an_mbox_that_is_compacted() {
    let house = House::new();
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("Inbox");
    let write = |messages: &[usize]| {
        let text: String = messages.iter().map(|n| format!("{FROM}{}\n", mail(*n))).collect();
        fs::write(&path, text).unwrap();
    };
    write(&[1, 2, 3, 2, 4]);
    assert_eq!(sums(&house.archive(&path)), (5, 5, 0, 0, 0));
    assert_eq!(house.folder("alice/F").len(), 5, "the message that stands there twice has two placements");
    assert_eq!(sums(&house.archive(&path)), (5, 0, 5, 0, 0));
    write(&[3, 2, 4]);
    assert_eq!(sums(&house.archive(&path)), (3, 0, 3, 0, 0));
    assert_eq!(sums(&house.archive(&path)), (3, 0, 3, 0, 0), "also with the new offsets");
    write(&[2, 2, 2, 5]);
    assert_eq!(sums(&house.archive(&path)), (4, 2, 2, 0, 0), "a third copy and a new message are new");
    assert_eq!(sums(&house.archive(&path)), (4, 0, 4, 0, 0));
    let all = house.folder("alice/F");
    assert_eq!(all.len(), 7);
    assert_eq!(all[0].0, format!("{FROM}{}", mail(1)).into_bytes());
}

#[test]
fn the_same_message_of_two_sources() {
    let house = House::new();
    let source = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(source.path().join(name)).unwrap();
        fs::write(source.path().join(name).join("1.eml"), mail(1)).unwrap();
    }
    assert_eq!(sums(&house.archive(&source.path().join("a"))), (1, 1, 0, 0, 0));
    assert_eq!(
        sums(&house.archive(&source.path().join("b"))),
        (1, 1, 0, 0, 0),
        "another source, another placement"
    );
    assert_eq!(sums(&house.archive(&source.path().join("a"))), (1, 0, 1, 0, 0));
}

#[test]
fn what_was_moved_or_deleted_does_not_come_back_by_itself() {
    let house = House::new();
    let source = tempfile::tempdir().unwrap();
    let file = source.path().join("Inbox");
    let text: String = [1, 2, 2, 3].iter().map(|n| format!("{FROM}{}\n", mail(*n))).collect();
    fs::write(&file, &text).unwrap();
    assert_eq!(sums(&house.archive(&file)), (4, 4, 0, 0, 0));
    let path = |text: &str| FolderPath::new(text).unwrap();
    let (from, to) = (path("alice/F"), path("alice/G"));
    let (cancel, quiet) = (Cancel::default(), &mut |_, _| ());
    let uids = |first, last| UidRanges::from_spans([(first, last)]);
    assert_eq!(house.storage.delete_messages(&from, &uids(1, 1), &cancel, quiet).unwrap(), 1);
    assert_eq!(house.storage.move_messages(&from, &uids(2, 2), &to, &cancel, quiet).unwrap(), 1);
    assert_eq!(sums(&house.archive(&file)), (4, 0, 4, 0, 0), "what was deleted and moved counts as there");
    fs::write(&file, format!("{FROM}{}\n{text}", mail(2))).unwrap();
    assert_eq!(sums(&house.archive(&file)), (5, 1, 4, 0, 0), "a third copy is new");
    let forced = |file: &Path| {
        let job = FileJob { deleted_too: true, ..job(file, None) };
        house.archiver.archive_files(&job, &|_| (), &Cancel::default()).unwrap()
    };
    assert_eq!(sums(&forced(&file)), (5, 1, 4, 0, 0), "what was deleted comes back when it is wanted");
    assert_eq!(sums(&house.archive(&file)), (5, 0, 5, 0, 0));
    // A folder with another name, and one that is gone, are known by the name that they had.
    house.storage.move_folder(&from, &path("alice/Old"), &cancel, quiet).unwrap();
    assert_eq!(sums(&house.archive(&file)), (5, 0, 5, 0, 0));
    assert!(house.storage.view(&from).is_none());
    house.storage.delete_folder(&path("alice/Old"), true, &cancel, quiet).unwrap();
    assert_eq!(sums(&house.archive(&file)), (5, 0, 5, 0, 0));
    assert_eq!(sums(&forced(&file)), (5, 4, 1, 0, 0), "one was moved, and is there still");
}

#[test]
fn a_maildir_whose_names_change() {
    let house = House::new();
    let source = tempfile::tempdir().unwrap();
    for part in ["cur", "new", "tmp"] {
        fs::create_dir(source.path().join(part)).unwrap();
    }
    fs::write(source.path().join("new/100.a.host"), mail(1)).unwrap();
    fs::write(source.path().join("cur/50.b.host:2,RS"), mail(2)).unwrap();
    assert_eq!(sums(&house.archive(source.path())), (2, 2, 0, 0, 0));
    let found = house.folder("alice/F");
    assert_eq!((found[0].1, found[1].1), (50, 100), "by delivery time");
    assert!(found[0].2.answered && !found[1].2.answered);
    fs::rename(source.path().join("new/100.a.host"), source.path().join("cur/100.a.host:2,F")).unwrap();
    fs::rename(source.path().join("cur/50.b.host:2,RS"), source.path().join("cur/50.b.host:2,S")).unwrap();
    assert_eq!(sums(&house.archive(source.path())), (2, 0, 2, 0, 0));
}

#[test]
fn failures_have_place_and_reason() {
    let house = House::with(Limits { max_message_bytes: 1_000, ..Limits::default() });
    let source = tempfile::tempdir().unwrap();
    let sized = |len: usize| format!("Subject: 1\r\n\r\n{}", "x".repeat(len - 14));
    fs::write(source.path().join("at.eml"), sized(1_000)).unwrap();
    fs::write(source.path().join("past.eml"), sized(1_001)).unwrap();
    fs::write(source.path().join("bad.mbox"), format!("garbage\n\n{FROM}{}", mail(1))).unwrap();
    let run = house.archive(source.path());
    assert_eq!((run.state, sums(&run)), (State::CompletedWithErrors, (4, 2, 0, 0, 2)));
    let (failed, _) = house.archiver.items(run.id).unwrap();
    assert!(failed[0].place.ends_with("/bad.mbox at byte 0"), "{failed:?}");
    assert!(failed[0].reason.contains("before the first From_ line"));
    assert!(
        failed[1].place.ends_with("/past.eml") && failed[1].reason.contains("limit of 1000"),
        "{failed:?}"
    );
    assert_eq!(house.folder("alice/F").len(), 1);
    assert_eq!(house.folder("alice/F/bad").len(), 1);
}

#[test]
fn a_source_that_is_not_there() {
    let house = House::new();
    let gone = house.dir.path().join("gone");
    let error = house.archiver.archive_files(&job(&gone, None), &|_| {}, &Cancel::default()).unwrap_err();
    assert!(matches!(error, Error::Source { .. }));
    assert!(house.archiver.runs().unwrap().is_empty());
    assert!(matches!(house.archiver.run(7), Err(Error::Unknown(7))));
    assert!(matches!(house.archiver.items(7), Err(Error::Unknown(7))));
}

#[test]
fn cancelled_before_and_amid() {
    let house = House::new();
    let source = tempfile::tempdir().unwrap();
    let text: String = (0..20_000).map(|n| format!("{FROM}{}\n", mail(n))).collect();
    fs::write(source.path().join("Inbox"), text).unwrap();
    let cancel = Cancel::default();
    cancel.set();
    let run = house.archiver.archive_files(&job(source.path(), None), &|_| {}, &cancel).unwrap();
    assert_eq!((run.state, sums(&run)), (State::Cancelled, (0, 0, 0, 0, 0)));
    let cancel = Cancel::default();
    let told = AtomicU64::new(0);
    let progress = |progress: &Progress| {
        told.fetch_max(progress.sums.seen, Ordering::Relaxed);
        cancel.set();
    };
    let run = house.archiver.archive_files(&job(source.path(), None), &progress, &cancel).unwrap();
    // A machine that archives all of it before the first word of progress has nothing left to cancel.
    let archived = run.sums.archived;
    assert!(run.state == State::Cancelled || archived == 20_000, "{run:?}");
    assert_eq!(run.sums.seen, archived);
    assert_eq!(house.folder("alice/F/Inbox").len() as u64, archived, "what is counted is there");
    let rest = house.archive(source.path());
    assert_eq!(
        sums(&rest),
        (20_000, 20_000 - archived, archived, 0, 0),
        "no duplicates after a cancelled run"
    );
    let all = house.folder("alice/F/Inbox");
    assert_eq!(all.len(), 20_000);
    assert_eq!(all[19_999].0, format!("{FROM}{}", mail(19_999)).into_bytes(), "in the order of the source");
}

#[test]
fn a_run_that_died_has_failed() {
    let house = House::new();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a.eml"), mail(1)).unwrap();
    let run = house.archive(source.path());
    let begun =
        house.archiver.ledger.begin(Run { state: State::Running, ended: None, ..run.clone() }).unwrap();
    assert_eq!(begun.id, 2);
    let reopened = Archiver::open(house.storage.clone(), house.db.clone()).unwrap();
    assert_eq!(reopened.run(1).unwrap(), run);
    let dead = reopened.run(2).unwrap();
    assert_eq!(dead.state, State::Failed);
    assert!(dead.ended.is_some() && dead.error.unwrap().contains("archive the source again"));
}

/// The corpus's formats through the store: what `cat` gives, less the prefix, is what the manifest names.
#[test]
fn formats_of_the_corpus_through_the_store() {
    let Some(root) = corpus("formats-public") else { return };
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(root.join("manifest.json")).unwrap()).unwrap();
    let truth: std::collections::BTreeSet<String> = manifest["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["sha256_lf"].as_str().unwrap().to_owned())
        .collect();
    for name in
        ["eml-lf", "eml-crlf", "maildir", "mh", "mboxrd", "mbox-crlf", "mboxo", "mboxcl", "mboxcl2", "mmdf"]
    {
        let house = House::new();
        let run = house.archive(&root.join(name));
        assert_eq!((run.state, run.sums.archived, run.sums.failed), (State::Succeeded, 200, 0), "{name}");
        let mut found = std::collections::BTreeSet::new();
        for folder in house.storage.folders() {
            for (bytes, _, _) in house.folder(folder.path.as_str()) {
                let mut start = sniff::from_line_len(&bytes).unwrap_or(0);
                if bytes[start..].starts_with(b"Content-Length: ") {
                    start += bytes[start..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
                }
                found.insert(sha256_lf(&bytes[start..]));
            }
        }
        assert_eq!(found, truth, "{name}");
        let again = house.archive(&root.join(name));
        assert_eq!((again.sums.archived, again.sums.already), (0, 200), "{name}");
    }
}

/// Malformed, hostile and rare files: every one is accounted for, no mail fails, and a rerun finds them all.
#[test]
fn weird_files_of_the_corpus() {
    let Some(root) = corpus("weird") else { return };
    let house = House::new();
    let run = house.archive(&root);
    let (failed, _) = house.archiver.items(run.id).unwrap();
    for item in &failed {
        assert!(["are no message", ": not read"].iter().any(|why| item.reason.contains(why)), "{item:?}");
    }
    let again = house.archive(&root);
    assert_eq!(again.sums.archived, 0);
    assert_eq!(again.sums.already, run.sums.archived);
    assert_eq!(again.sums.filtered, run.sums.filtered);
}
