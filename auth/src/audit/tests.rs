//! The audit log's chain: appended, read in pages, verified after every kind of harm; what is noted of logins.

use super::chain::{AUDIT, CHAIN};
use super::*;
use crate::{Attempt, How, Privilege, Settings};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use std::sync::Arc;
use zeroize::Zeroizing;

fn database() -> Arc<Database> {
    let memory = redb::backends::InMemoryBackend::new();
    Arc::new(Database::builder().create_with_backend(memory).unwrap())
}

/// A log of so many entries.
fn log_of(entries: usize) -> (Arc<Database>, Auth) {
    let db = database();
    let auth = Auth::open(Arc::clone(&db)).unwrap();
    for i in 1..=entries {
        auth.audit("local:root", "socket", &format!("act {i}"), "ok").unwrap();
    }
    (db, auth)
}

fn verify(auth: &Auth, heads: &[AuditHead]) -> Option<AuditWrong> {
    auth.audit_verify(heads, &mut |_| true).unwrap().wrong
}

fn bytes_of(db: &Database, number: u64) -> Vec<u8> {
    let txn = db.begin_read().unwrap();
    let table = txn.open_table(AUDIT).unwrap();
    table.get(number).unwrap().unwrap().value().to_vec()
}

/// Changes the tables as somebody would who has the file.
fn tamper(
    db: &Database,
    change: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>, &mut redb::Table<'_, u64, &'static [u8; 32]>),
) {
    let txn = db.begin_write().unwrap();
    change(&mut txn.open_table(AUDIT).unwrap(), &mut txn.open_table(CHAIN).unwrap());
    txn.commit().unwrap();
}

/// Computes all hashes anew, as somebody would who knows the format.
fn rechain(db: &Database) {
    tamper(db, |entries, chain| {
        let mut hash = *chain.get(0).unwrap().unwrap().value();
        chain.retain(|number, _| number == 0).unwrap();
        for row in entries.iter().unwrap() {
            let (number, bytes) = row.unwrap();
            hash = chain::link(&hash, number.value(), bytes.value());
            chain.insert(number.value(), &hash).unwrap();
        }
    });
}

#[test]
fn fields_are_cut_at_a_character() {
    assert_eq!(cut("plain"), "plain");
    assert_eq!(cut(&"x".repeat(MAX_FIELD_BYTES)).len(), MAX_FIELD_BYTES);
    assert_eq!(cut(&"x".repeat(MAX_FIELD_BYTES + 1)).len(), MAX_FIELD_BYTES);
    let wide = format!("x{}", "é".repeat(MAX_FIELD_BYTES));
    assert_eq!(cut(&wide).len(), MAX_FIELD_BYTES - 1);
}

#[test]
fn a_good_log_is_good_and_its_heads_agree() {
    let (_, auth) = log_of(0);
    let mut heads = vec![auth.audit_head().unwrap()];
    for i in 1..=20 {
        auth.audit("a", "b", &format!("act {i}"), "ok").unwrap();
        heads.push(auth.audit_head().unwrap());
    }
    let verdict = auth.audit_verify(&heads, &mut |_| true).unwrap();
    assert_eq!((verdict.wrong, verdict.heads, verdict.head), (None, 21, heads[20]));
    for head in &heads {
        assert_eq!(auth.audit_extends(head).unwrap(), None);
    }
    let other = log_of(3).1.audit_head().unwrap();
    assert!(verify(&auth, &[other]).unwrap().what.contains("another audit log"));
    assert!(auth.audit_extends(&other).unwrap().unwrap().contains("another audit log"));
    assert!(matches!(auth.audit_verify(&[], &mut |_| false), Err(Error::Stopped)));
}

/// Every field of an entry, changed in the file.
#[test]
fn a_changed_field_is_found_and_named() {
    let (db, auth) = log_of(5);
    let head = auth.audit_head().unwrap();
    let good = bytes_of(&db, 3);
    let fields: [fn(&mut AuditEntry); 8] = [
        |e| e.number = 9,
        |e| e.when -= 1,
        |e| e.who.push('x'),
        |e| e.from = "in-process".into(),
        |e| e.kind = AuditKind::Run,
        |e| e.what = "act 4".into(),
        |e| e.object = "alice".into(),
        |e| e.result = "denied".into(),
    ];
    for change in fields {
        let mut entry: AuditEntry = serde_json::from_slice(&good).unwrap();
        change(&mut entry);
        let bytes = serde_json::to_vec(&entry).unwrap();
        tamper(&db, |entries, _| drop(entries.insert(3, bytes.as_slice()).unwrap()));
        let wrong = verify(&auth, &[]).unwrap();
        assert_eq!((wrong.first, wrong.last), (3, 3), "{entry:?}");
        // Who makes the hashes anew is found by the head.
        rechain(&db);
        assert_eq!(verify(&auth, &[]), None);
        let wrong = verify(&auth, &[head]).unwrap();
        assert_eq!((wrong.first, wrong.last), (1, 5), "{entry:?}");
        assert!(auth.audit_extends(&head).unwrap().is_some());
        tamper(&db, |entries, _| drop(entries.insert(3, good.as_slice()).unwrap()));
        rechain(&db);
        assert_eq!(verify(&auth, &[head]), None);
    }
    // Not even the form of the bytes.
    let spaced = [good.as_slice(), b" "].concat();
    tamper(&db, |entries, _| drop(entries.insert(3, spaced.as_slice()).unwrap()));
    assert!(verify(&auth, &[]).unwrap().what.starts_with("changed"));
    tamper(&db, |entries, _| drop(entries.insert(3, b"{".as_slice()).unwrap()));
    assert!(verify(&auth, &[]).unwrap().what.contains("can't be read"));
    assert!(auth.audit_log(3).unwrap()[0].what.contains("audit verify"), "the others can still be listed");
}

#[test]
fn a_changed_hash_is_found() {
    let (db, auth) = log_of(5);
    for number in 0..=5 {
        let kept = db
            .begin_read()
            .unwrap()
            .open_table(CHAIN)
            .unwrap()
            .get(number)
            .unwrap()
            .map(|h| *h.value())
            .unwrap();
        tamper(&db, |_, chain| drop(chain.insert(number, &[7; 32]).unwrap()));
        assert_eq!(verify(&auth, &[]).unwrap().first, number.max(1));
        tamper(&db, |_, chain| drop(chain.insert(number, &kept).unwrap()));
    }
    assert_eq!(verify(&auth, &[]), None);
}

#[test]
fn what_is_taken_out_is_missed() {
    let (db, auth) = log_of(6);
    let heads = [auth.audit_head().unwrap()];
    auth.audit("a", "b", "act 7", "ok").unwrap();
    let head = auth.audit_head().unwrap();
    // In the middle, with and without its hash.
    let (third, hash) = (
        bytes_of(&db, 3),
        *db.begin_read().unwrap().open_table(CHAIN).unwrap().get(3).unwrap().unwrap().value(),
    );
    tamper(&db, |entries, _| drop(entries.remove(3).unwrap()));
    let wrong = verify(&auth, &[]).unwrap();
    assert_eq!((wrong.first, wrong.last), (3, 3));
    assert!(wrong.what.starts_with("missing"), "{wrong:?}");
    tamper(&db, |_, chain| drop(chain.remove(3).unwrap()));
    assert_eq!(verify(&auth, &[]).unwrap().first, 3);
    // Chained anew around the gap: the numbers tell.
    rechain(&db);
    assert_eq!(verify(&auth, &[]).unwrap().first, 3);
    tamper(&db, |entries, chain| {
        entries.insert(3, third.as_slice()).unwrap();
        chain.insert(3, &hash).unwrap();
    });
    rechain(&db);
    assert_eq!(verify(&auth, &[head]), None);
    // The last one: its hash tells; without that, a head.
    tamper(&db, |entries, _| drop(entries.remove(7).unwrap()));
    let wrong = verify(&auth, &[]).unwrap();
    assert_eq!((wrong.first, wrong.what.starts_with("missing")), (7, true));
    tamper(&db, |_, chain| drop(chain.remove(7).unwrap()));
    assert_eq!(verify(&auth, &heads), None);
    let wrong = verify(&auth, &[heads[0], head]).unwrap();
    assert_eq!((wrong.first, wrong.last), (7, 7));
    assert!(auth.audit_extends(&head).unwrap().unwrap().contains("missing"));
    // What comes in its place is not what the head says.
    auth.audit("a", "b", "another act 7", "ok").unwrap();
    assert_eq!(verify(&auth, &[]), None);
    let wrong = verify(&auth, &[heads[0], head]).unwrap();
    assert_eq!((wrong.first, wrong.last), (7, 7));
}

#[test]
fn swapped_renumbered_and_inserted_entries_are_found() {
    let (db, auth) = log_of(6);
    let head = auth.audit_head().unwrap();
    let (two, four) = (bytes_of(&db, 2), bytes_of(&db, 4));
    tamper(&db, |entries, _| {
        entries.insert(2, four.as_slice()).unwrap();
        entries.insert(4, two.as_slice()).unwrap();
    });
    let wrong = verify(&auth, &[]).unwrap();
    assert_eq!((wrong.first, wrong.what.starts_with("reordered")), (2, true), "{wrong:?}");
    rechain(&db);
    assert_eq!(verify(&auth, &[head]).unwrap().first, 1);
    tamper(&db, |entries, _| {
        entries.insert(2, two.as_slice()).unwrap();
        entries.insert(4, four.as_slice()).unwrap();
    });
    rechain(&db);
    // Behind the end, without a hash.
    tamper(&db, |entries, _| drop(entries.insert(7, four.as_slice()).unwrap()));
    let wrong = verify(&auth, &[head]).unwrap();
    assert_eq!((wrong.first, wrong.what.starts_with("inserted")), (7, true), "{wrong:?}");
    // Opening the database again doesn't take it in.
    drop(auth);
    let auth = Auth::open(Arc::clone(&db)).unwrap();
    assert_eq!(verify(&auth, &[head]).unwrap().first, 7);
    // In the middle, the others moved up and chained anew.
    tamper(&db, |entries, _| {
        for number in (3..=6).rev() {
            let moved = entries.get(number).unwrap().unwrap().value().to_vec();
            entries.insert(number + 1, moved.as_slice()).unwrap();
        }
        entries.insert(3, two.as_slice()).unwrap();
    });
    rechain(&db);
    assert_eq!(verify(&auth, &[head]).unwrap().last, 6);
}

#[test]
fn a_number_is_not_given_again_when_an_entry_was_taken_out_at_the_end() {
    let (db, auth) = log_of(3);
    tamper(&db, |entries, _| drop(entries.remove(3).unwrap()));
    auth.audit("a", "b", "after", "ok").unwrap();
    let numbers: Vec<u64> = auth.audit_log(10).unwrap().iter().map(|e| e.number).collect();
    assert_eq!(numbers, [1, 2, 4]);
    assert_eq!(verify(&auth, &[]).unwrap().first, 3);
}

/// Entries as earlier versions wrote them.
#[test]
fn a_log_of_an_older_version_is_chained_when_it_is_opened() {
    let db = database();
    let txn = db.begin_write().unwrap();
    for number in 1..=3u64 {
        let entry = format!(
            r#"{{"number":{number},"when":1700000000,"who":"local:root","from":"socket","what":"init","result":"ok"}}"#
        );
        txn.open_table(AUDIT).unwrap().insert(number, entry.as_bytes()).unwrap();
    }
    txn.commit().unwrap();
    let auth = Auth::open(Arc::clone(&db)).unwrap();
    let head = auth.audit_head().unwrap();
    assert_eq!(head.size, 3);
    auth.audit("a", "b", "act", "ok").unwrap();
    let log = auth.audit_log(10).unwrap();
    assert_eq!((log[0].kind, log[0].object.as_str(), log.len()), (AuditKind::Act, "", 4));
    drop(auth);
    let auth = Auth::open(Arc::clone(&db)).unwrap();
    assert_eq!(verify(&auth, &[head, auth.audit_head().unwrap()]), None);
    assert_eq!(auth.audit_extends(&head).unwrap(), None);
}

#[test]
fn what_waits_is_written_in_order_and_with_the_next_act() {
    let (_, auth) = log_of(0);
    let soon = |what: &str| {
        let kind = AuditKind::Access;
        auth.note_soon(&AuditNote { who: "bob", from: "::1", kind, what, object: "alice", result: "ok" })
            .unwrap();
    };
    soon("one");
    soon("two");
    auth.audit("local:root", "socket", "three", "ok").unwrap();
    soon("four");
    let log = auth.audit_log(10).unwrap();
    let what: Vec<&str> = log.iter().map(|e| e.what.as_str()).collect();
    assert_eq!(what, ["one", "two", "three", "four"]);
    assert_eq!(verify(&auth, &[]), None);
}

#[test]
fn the_last_auth_writes_the_rest() {
    let (db, auth) = log_of(0);
    for i in 0..2_500 {
        let what = format!("act {i}");
        let kind = AuditKind::Access;
        auth.note_soon(&AuditNote { who: "bob", from: "::1", kind, what: &what, object: "", result: "ok" })
            .unwrap();
    }
    drop(auth);
    assert_eq!(db.begin_read().unwrap().open_table(AUDIT).unwrap().len().unwrap(), 2_500);
    let auth = Auth::open(db).unwrap();
    assert_eq!(verify(&auth, &[]), None);
    let log = auth.audit_log(usize::MAX).unwrap();
    assert!(log.iter().enumerate().all(|(i, entry)| entry.what == format!("act {i}")));
}

fn attempt(how: How) -> Attempt<'static> {
    Attempt { name: "alice", need: Privilege::Imap, from: Some([192, 0, 2, 1].into()), how }
}

fn user(auth: &Auth, name: &str, admin: bool) -> crate::User {
    auth.add(name, &Zeroizing::new("correct horse battery".into()), admin).unwrap()
}

#[test]
fn logins_are_noted_as_the_settings_say_and_administrators_always() {
    for (successes, expected) in [(Successes::Off, 0), (Successes::Daily, 1), (Successes::All, 3)] {
        let notes = LoginNotes { successes, failures: false };
        let auth = Auth::open_with(database(), &Settings { logins: notes, ..Settings::default() }).unwrap();
        let (alice, root) = (user(&auth, "alice", false), user(&auth, "root", true));
        for _ in 0..3 {
            auth.audit_login(&attempt(How::Plain), &alice).unwrap();
            auth.audit_login(&attempt(How::Plain), &root).unwrap();
            auth.audit_login(&attempt(How::Command), &root).unwrap();
            auth.audit_refused(&attempt(How::Plain), Some("alice"));
        }
        let log = auth.audit_log(100).unwrap();
        let of = |name: &str| log.iter().filter(|e| e.who == name && e.kind == AuditKind::Login).count();
        assert_eq!((of("alice"), of("root")), (expected, 3), "{successes:?}");
    }
}

#[test]
fn refused_logins_are_bounded_and_counted_and_name_nobody_unknown() {
    let (_, auth) = log_of(0);
    user(&auth, "alice", false);
    let wrong = Zeroizing::new("wrong horse".to_owned());
    assert!(auth.login(&attempt(How::Login), &wrong).is_err());
    let misplaced = Attempt { name: "correct horse battery", ..attempt(How::Login) };
    assert!(auth.login(&misplaced, &wrong).is_err());
    for _ in 0..1_000 {
        auth.audit_refused(&attempt(How::Login), Some("alice"));
    }
    auth.audit_flush().unwrap();
    let log = auth.audit_log(10_000).unwrap();
    assert!(!format!("{log:?}").contains("horse"));
    assert_eq!((log[0].who.as_str(), log[1].who.as_str()), ("alice", "(unknown)"));
    assert_eq!((log[0].what.as_str(), log[0].from.as_str()), ("imap.login LOGIN", "192.0.2.1"));
    let single = log.iter().filter(|e| e.result == "refused").count();
    let more: u64 = log
        .iter()
        .filter_map(|e| e.result.strip_prefix("refused: ")?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    // A minute may turn while this runs.
    assert!(single <= 2 * logins::MAX_REFUSED_A_MINUTE as usize);
    assert_eq!(single as u64 + more, 1_002);
}

#[test]
fn filters_want_what_they_say() {
    let entry = AuditEntry {
        number: 1,
        when: 1_000,
        who: "bob".into(),
        from: "socket".into(),
        kind: AuditKind::Access,
        what: "mail.cat".into(),
        object: "alice/Inbox, carol".into(),
        result: "ok: 3".into(),
    };
    let none = AuditFilter::default();
    let archive = |name: &str| AuditFilter { archive: Some(name.into()), ..none.clone() };
    for (filter, wanted) in [
        (none.clone(), true),
        (AuditFilter { since: Some(1_000), ..none.clone() }, true),
        (AuditFilter { since: Some(1_001), ..none.clone() }, false),
        (AuditFilter { until: Some(1_001), ..none.clone() }, true),
        (AuditFilter { until: Some(1_000), ..none.clone() }, false),
        (AuditFilter { who: Some("bob".into()), ..none.clone() }, true),
        (AuditFilter { who: Some("bo".into()), ..none.clone() }, false),
        (AuditFilter { kinds: vec![AuditKind::Run, AuditKind::Access], ..none.clone() }, true),
        (AuditFilter { kinds: vec![AuditKind::Run], ..none.clone() }, false),
        (archive("alice"), true),
        (archive("carol"), true),
        (archive("ali"), false),
        (archive("alice/In"), false),
        (AuditFilter { ok: Some(true), ..none.clone() }, true),
        (AuditFilter { ok: Some(false), ..none.clone() }, false),
    ] {
        assert_eq!(filter.wants(&entry), wanted, "{filter:?}");
    }
}

#[test]
fn pages_go_both_ways() {
    let (db, auth) = log_of(0);
    let mut many: Vec<AuditEntry> = (0..AUDIT_PAGE + 5)
        .map(|i| {
            let what = format!("act {i}");
            AuditEntry::new(&AuditNote {
                who: "a",
                from: "b",
                kind: AuditKind::Act,
                what: &what,
                object: "",
                result: "ok",
            })
        })
        .collect();
    chain::append(&db, &mut many).unwrap();
    let numbers = |page: Vec<(AuditEntry, [u8; 32])>| page.iter().map(|(e, _)| e.number).collect::<Vec<_>>();
    let last = AUDIT_PAGE as u64 + 5;
    assert_eq!(numbers(auth.audit_page(0, false).unwrap()), (1..=AUDIT_PAGE as u64).collect::<Vec<_>>());
    assert_eq!(numbers(auth.audit_page(last - 1, false).unwrap()), [last - 1, last]);
    assert_eq!(numbers(auth.audit_page(u64::MAX, true).unwrap())[..2], [last, last - 1]);
    assert_eq!(numbers(auth.audit_page(2, true).unwrap()), [2, 1]);
    let (entry, hash) = auth.audit_page(u64::MAX, true).unwrap().remove(0);
    assert_eq!(
        AuditHead { size: entry.number, hash, log: auth.audit_head().unwrap().log },
        auth.audit_head().unwrap()
    );
}
