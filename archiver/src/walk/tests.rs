//! Trees of every kind, and the corpus's mailbox formats against its manifest.

use super::*;
use crate::testing::{Memory, Seen, corpus, sha256_lf};
use std::collections::{BTreeMap, BTreeSet};

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

const FROM: &str = "From a@b Fri Sep  4 14:55:26 2020\n";
const MAIL: &str = "Subject: x\n\nbody\n";

/// `folder: name` for each message, and `name: reason` for what is none.
fn found(memory: &Memory) -> (Vec<String>, Vec<String>) {
    let name = |place: &str| place.rsplit('/').next().unwrap().to_owned();
    (
        memory
            .messages
            .iter()
            .map(|seen| format!("{}: {}", memory.folder(seen), name(&seen.place)))
            .collect(),
        memory
            .skipped
            .iter()
            .map(|skipped| format!("{}: {}", name(&skipped.place), skipped.reason))
            .collect(),
    )
}

#[test]
fn a_tree_of_files() {
    let dir = tree(&[
        ("b.eml", MAIL),
        ("a.eml", MAIL),
        ("sub/c.eml", "not like mail at all"),
        ("sub/deep/d.txt", MAIL),
        ("sub/notes.txt", "hello\n"),
        ("sub/empty.eml", ""),
        ("sub/.hidden", MAIL),
        ("sub/x.msf", "// <!-- x -->"),
        ("patch.eml", &format!("{FROM}{MAIL}")),
        ("one.txt", &format!("{FROM}{MAIL}")),
        ("two.txt", &format!("{FROM}{MAIL}\n{FROM}{MAIL}")),
        ("Sent", &format!("{FROM}{MAIL}")),
        ("Sent.sbd/Old", &format!("{FROM}{MAIL}")),
        ("odd.mbox", &format!("{FROM}{MAIL}")),
        ("mail.gz", "\u{1f}"),
        ("none.mbx", "\n\n"),
        ("1.emlx", "12\nSubject: x\n"),
    ]);
    fs::write(dir.path().join("mail.gz"), b"\x1f\x8b\x08").unwrap();
    let memory = Memory::of(dir.path(), None);
    let (messages, skipped) = found(&memory);
    assert_eq!(
        messages,
        [
            "Sent: Sent at byte 0",
            ": a.eml",
            ": b.eml",
            "odd: odd.mbox at byte 0",
            ": one.txt",
            ": patch.eml",
            "two.txt: two.txt at byte 0",
            &format!("two.txt: two.txt at byte {}", FROM.len() + MAIL.len() + 1),
            "Sent/Old: Old at byte 0",
            "sub: c.eml",
            "sub/deep: d.txt",
        ]
    );
    assert_eq!(
        skipped,
        [
            "1.emlx: an Apple Mail message (EMLX): not read; export it as EML or mbox",
            "mail.gz: a packed file: unpack it to archive what it holds",
            "none.mbx: no message in it",
            "empty.eml: empty file",
            "notes.txt: no mail: no mail header at its beginning",
        ]
    );
    let patch = memory.messages.iter().find(|seen| seen.place.ends_with("patch.eml")).unwrap();
    assert_eq!((patch.prefix.as_slice(), patch.bytes.as_slice()), (FROM.as_bytes(), MAIL.as_bytes()));
    assert_eq!(patch.date, Some(1_599_231_326));
}

#[test]
fn a_file_that_the_user_named() {
    let dir = tree(&[("x.txt", "hello\n"), ("Inbox", &format!("{FROM}{MAIL}")), ("e", "")]);
    let named = |name: &str| Memory::of(&dir.path().join(name), None);
    assert!(named("x.txt").skipped[0].failed);
    assert!(!named("e").skipped[0].failed);
    let inbox = named("Inbox");
    assert!(inbox.folders[0].levels.is_empty() && inbox.folders[0].source.ends_with("/Inbox"));
}

#[test]
fn the_given_format_holds() {
    let dir = tree(&[("x", &format!("{FROM}{MAIL}\n>From y\n\n{FROM}{MAIL}"))]);
    let path = dir.path().join("x");
    assert_eq!(Memory::of(&path, Some(Format::Eml)).messages.len(), 1);
    let mbox = Memory::of(&path, Some(Format::Mboxcl2));
    assert_eq!(mbox.messages[0].bytes, format!("{MAIL}\n>From y\n").as_bytes());
    assert!(mbox.folders[0].given && mbox.folders[0].format == Format::Mboxcl2);
    assert_eq!(
        Memory::of(&path, Some(Format::Mboxo)).messages[0].bytes,
        format!("{MAIL}\nFrom y\n").as_bytes()
    );
}

#[test]
fn maildirs() {
    let dir = tree(&[
        ("cur/200.b.host:2,RF", MAIL),
        ("new/100.a.host", MAIL),
        ("cur/100.c.host,S=5:2,P", MAIL),
        ("cur/.nfs0001", MAIL),
        ("tmp/50.x.host", MAIL),
        ("dovecot-uidlist", "3 V1 N2"),
        ("courierimapuiddb", "1 2 3"),
        ("maildirsize", "10000S"),
        ("subscriptions", "Sent"),
        (".Sent.&ZeVnLIqe-/cur/1.x:2,S", MAIL),
        (".Sent.&ZeVnLIqe-/new/.keep", ""),
        (".notmuch/xapian/x", "x"),
        ("R&APw-d/cur/1.y", MAIL),
        ("R&APw-d/new/2.y", "\u{1f}"),
        ("plain/readme.txt", "x"),
    ]);
    fs::write(dir.path().join("R&APw-d/new/2.y"), b"\x1f\x8b\x08").unwrap();
    let memory = Memory::of(dir.path(), None);
    let (messages, skipped) = found(&memory);
    assert_eq!(
        messages,
        [": 100.a.host", ": 100.c.host,S=5:2,P", ": 200.b.host:2,RF", "Sent/日本語: 1.x:2,S", "Rüd: 1.y",]
    );
    assert_eq!(
        skipped,
        [
            "2.y: a message packed by the server: have it unpack its mail first",
            "readme.txt: no mail: no mail header at its beginning",
        ]
    );
    assert_eq!(memory.messages[2].occurrence, "200.b.host");
    assert_eq!(memory.messages[2].date, Some(200));
    assert!(memory.messages[2].flags.answered && memory.messages[2].flags.flagged);
    assert!(memory.messages[1].flags.forwarded);
}

#[test]
fn mh_folders() {
    let dir = tree(&[
        (".mh_sequences", "replied: 2 9-10\nflagged: 10\n"),
        ("10", &format!("{FROM}{MAIL}")),
        ("9", MAIL),
        ("2", "no header"),
        (",3", MAIL),
        ("sub/1", MAIL),
    ]);
    let memory = Memory::of(dir.path(), None);
    let (messages, skipped) = found(&memory);
    assert_eq!(messages, [": 2", ": 9", ": 10", "sub: 1"]);
    assert_eq!(skipped, [",3: deleted in MH, not yet removed"]);
    assert_eq!(memory.folders[0].format, Format::Mh);
    assert_eq!(
        memory.messages.iter().map(|seen| seen.flags.answered).collect::<Vec<_>>(),
        [true, true, true, false]
    );
    assert!(memory.messages[2].flags.flagged);
}

#[test]
fn links_and_special_files_are_named() {
    let dir = tree(&[("sub/a.eml", MAIL)]);
    std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/loop")).unwrap();
    std::os::unix::fs::symlink("/nowhere", dir.path().join("broken.eml")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let (messages, skipped) = found(&Memory::of(dir.path(), None));
    assert_eq!(messages, ["sub: a.eml"]);
    assert_eq!(
        skipped,
        [
            "broken.eml: a symbolic link: not followed",
            "socket: not a file: a pipe, socket or device",
            "loop: a symbolic link: not followed",
        ]
    );
}

#[test]
fn bound_of_depth() {
    let dir = tempfile::tempdir().unwrap();
    let mut path = dir.path().to_owned();
    for _ in 0..MAX_DEPTH {
        path.push("d");
    }
    fs::create_dir_all(path.join("d")).unwrap();
    fs::write(path.join("at.eml"), MAIL).unwrap();
    fs::write(path.join("d/past.eml"), MAIL).unwrap();
    let memory = Memory::of(dir.path(), None);
    assert_eq!(memory.messages.len(), 1);
    assert_eq!(memory.messages[0].bytes, MAIL.as_bytes());
    assert_eq!(memory.skipped.len(), 1);
    assert!(memory.skipped[0].failed);
}

#[test]
fn odd_names_of_directories() {
    use std::os::unix::ffi::OsStringExt;
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(OsString::from_vec(b"caf\xe9 \x07%41".to_vec()));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("a.eml"), MAIL).unwrap();
    let memory = Memory::of(dir.path(), None);
    assert_eq!(memory.folder(&memory.messages[0]), "caf%E9 %07%2541");
}

/// Mailbox files and what is in them, as files: `tests/data/NN-name.{mbox,mmdf}` with `.json` and `.readme`.
#[test]
fn golden_mailboxes() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut cases = 0;
    for entry in entries(&data).unwrap() {
        let path = data.join(&entry.name);
        if !path.extension().is_some_and(|extension| extension == "mbox" || extension == "mmdf") {
            continue;
        }
        let wanted: serde_json::Value =
            serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        let memory = Memory::of(&path, None);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let messages: Vec<_> = memory
            .messages
            .iter()
            .map(|seen| {
                let flags = [(seen.flags.answered, "answered"), (seen.flags.flagged, "flagged")];
                let flags: Vec<_> = flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
                serde_json::json!({
                    "occurrence": seen.occurrence, "prefix": text(&seen.prefix), "content": text(&seen.bytes),
                    "date": seen.date, "flags": flags.join(" "),
                })
            })
            .collect();
        let skipped: Vec<_> = memory
            .skipped
            .iter()
            .map(|skipped| {
                format!("{}: {}", skipped.place.rsplit_once(" at ").map_or("", |(_, at)| at), skipped.reason)
            })
            .map(|skipped| format!("at {skipped}"))
            .collect();
        let found = serde_json::json!({
            "format": memory.folders[0].format, "messages": messages, "skipped": skipped,
        });
        assert_eq!(found, wanted, "{}", path.display());
        cases += 1;
    }
    assert!(cases >= 8, "{cases} cases");
}

/// A file that opens and can't be read: Linux's own memory, from address 0.
#[test]
fn a_file_that_cannot_be_read() {
    let path = Path::new("/proc/self/mem");
    if !path.exists() {
        eprintln!("skipped: no /proc here");
        return;
    }
    let memory = Memory::of(path, None);
    assert!(memory.messages.is_empty());
    assert!(memory.skipped[0].failed && memory.skipped[0].reason.starts_with("can't be read"), "{memory:?}");
}

/// Every format of the corpus holds the messages that its manifest names, in its folders, with its flags and dates.
#[test]
fn formats_of_the_corpus() {
    let Some(root) = corpus("formats-public") else { return };
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(root.join("manifest.json")).unwrap()).unwrap();
    let truth: BTreeMap<&str, &serde_json::Value> = manifest["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| (message["sha256_lf"].as_str().unwrap(), message))
        .collect();
    assert_eq!(truth.len(), 200);
    let cases = [
        ("eml-lf", Some(Format::Eml)),
        ("eml-crlf", Some(Format::Eml)),
        ("mboxo", Some(Format::Mboxo)),
        ("mboxrd", Some(Format::Mboxrd)),
        ("mbox-crlf", Some(Format::Mboxrd)),
        ("mboxcl", Some(Format::Mboxcl)),
        ("mboxcl2", Some(Format::Mboxcl2)),
        ("mmdf", Some(Format::Mmdf)),
        ("gmail-takeout", Some(Format::Mboxo)),
        ("maildir", Some(Format::Maildir)),
        ("mh", Some(Format::Mh)),
        ("thunderbird", None),
    ];
    for (name, format) in cases {
        let memory = Memory::of(&root.join(name), None);
        let mut hashes = BTreeSet::new();
        for seen in &memory.messages {
            let hash = sha256_lf(&seen.bytes);
            let message = truth
                .get(hash.as_str())
                .unwrap_or_else(|| panic!("{name}: {} is not in the manifest", seen.place));
            assert!(hashes.insert(hash), "{name}: {} is there twice", seen.place);
            if let Some(format) = format {
                assert_eq!(memory.folders[seen.folder].format, format, "{name}");
            }
            check(name, &memory, seen, message);
        }
        assert_eq!(hashes.len(), 200, "{name}");
    }
}

fn check(name: &str, memory: &Memory, seen: &Seen, message: &serde_json::Value) {
    let folder = message["folder"].as_str().unwrap();
    match name {
        "maildir" | "mh" => {
            let folder = if name == "maildir" && folder == "Inbox" { "" } else { folder };
            assert_eq!(memory.folder(seen), folder, "{}", seen.place);
            assert_eq!(
                seen.flags.answered,
                message["replied"].as_bool().unwrap() && name == "maildir",
                "{}",
                seen.place
            );
            assert_eq!(
                seen.flags.flagged,
                message["flagged"].as_bool().unwrap() && name == "maildir",
                "{}",
                seen.place
            );
        }
        "thunderbird" => {
            let place = message["thunderbird"].as_str().unwrap().replace(".sbd/", "/");
            assert_eq!(
                memory.folder(seen),
                format!("Profiles/k3x9q2ab.default-release/{place}"),
                "{}",
                seen.place
            );
        }
        _ => {}
    }
    if !matches!(name, "eml-lf" | "eml-crlf" | "mh") {
        assert_eq!(seen.date, message["ts"].as_i64(), "{name}: {}", seen.place);
    }
}
