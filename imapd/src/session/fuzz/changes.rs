//! The session under fuzz while messages come, move and go: a client that only counts stays in step.
//!
//! Invariants, whatever is sent meanwhile: EXPUNGE and FETCH name numbers that are there, EXISTS takes nothing back (RFC 3501
//! §7.3.1, §7.4.1), and in the end the numbers go from 1 to the last, their UIDs rising.

use super::*;
use storage::UidRanges;

/// Executions of a short round; each writes to the storage a few times.
const SHORT: u64 = 300;
const MOVING: &str = "alice/Moving";
const ELSEWHERE: &str = "alice/Elsewhere";

/// What a client knows that takes every answer at its word.
#[derive(Debug, Default)]
struct Counting {
    /// Messages in the selected mailbox; none while that is open.
    count: Option<u64>,
}

impl Counting {
    fn take(&mut self, response: &[u8]) {
        let text = String::from_utf8_lossy(response);
        let mut words = text.split(' ');
        if words.next() != Some("*") {
            return;
        }
        let Some(number) = words.next() else { return };
        if number == "FLAGS" || number == "VANISHED" {
            self.count = None;
        }
        let (Ok(number), Some(what)) = (number.parse::<u64>(), words.next()) else { return };
        match what {
            "EXISTS" => {
                assert!(self.count.is_none_or(|count| number >= count), "{text} after {:?}", self.count);
                self.count = Some(number);
            }
            "EXPUNGE" => {
                if let Some(count) = &mut self.count {
                    assert!((1..=*count).contains(&number), "{text} of {count}");
                    *count -= 1;
                }
            }
            "FETCH" => {
                let there = self.count.is_none_or(|count| (1..=count).contains(&number));
                assert!(there, "{text} of {:?}", self.count);
            }
            _ => {}
        }
    }
}

fn path(text: &str) -> FolderPath {
    FolderPath::new(text).unwrap()
}

impl Fuzzed {
    fn add(&self, folder: &str, number: u64) {
        let mut batch = self.world.storage.batch(&Cancel::default()).unwrap();
        let folder_id = batch.folder(&path(folder)).unwrap();
        let raw = format!("Subject: turnips {number}\r\n\r\nbody {number}\r\n").into_bytes();
        let incoming = Incoming::read(raw.as_slice(), Vec::new(), self.world.storage.limits()).unwrap();
        let occurrence = number.to_string();
        let placement = NewPlacement {
            date: Zoned { secs: 837_596_665, zone: 0 },
            flags: SourceFlags::default(),
            source: folder,
            occurrence: &occurrence,
        };
        batch.add(folder_id, Prepared::new(incoming, self.world.storage.limits()), &placement).unwrap();
        batch.commit().unwrap();
    }

    /// A few of a folder's messages.
    fn some(&self, dice: &mut Dice, folder: &str) -> UidRanges {
        let view = self.world.storage.view(&path(folder)).unwrap();
        let uids: Vec<_> = view.uids.iter().collect();
        let first = dice.below(uids.len());
        uids.into_iter().skip(first).take(1 + dice.below(3)).collect()
    }

    /// Messages come, go, or move.
    fn change(&self, dice: &mut Dice, number: u64) {
        let storage = &self.world.storage;
        let none = Cancel::default();
        let left = storage.view(&path(MOVING)).map_or(0, |view| view.info.messages);
        match dice.below(4) {
            0 if left > 3 => {
                let uids = self.some(dice, MOVING);
                storage.delete_messages(&path(MOVING), &uids, &none, &mut |_, _| ()).unwrap();
            }
            1 if left > 3 => {
                let uids = self.some(dice, MOVING);
                storage.move_messages(&path(MOVING), &uids, &path(ELSEWHERE), &none, &mut |_, _| ()).unwrap();
            }
            _ => self.add(MOVING, number),
        }
    }
}

/// Takes what was said since the last time.
fn look(client: &mut Client<'_>, counting: &mut Counting) -> Vec<Vec<u8>> {
    let said = responses(&std::mem::take(&mut client.out), false, client.stands == Stands::Closed).unwrap();
    said.iter().for_each(|response| counting.take(response));
    said
}

fn execute_changing(fuzzed: &Fuzzed, dialogues: &[Vec<Vec<u8>>], number: u64, sent: &mut Vec<u8>) {
    let mut dice = Dice::new(number);
    let mut client = fuzzed.client(Some("alice"));
    let mut counting = Counting::default();
    let mailbox = *dice.of(&["Moving", "Moving", "Moving", "Elsewhere", "\"All Mail\""]);
    client.send(format!("s SELECT {mailbox}\r\n").as_bytes());
    look(&mut client, &mut counting);
    for round in 0..6 {
        if dice.one_in(2) {
            fuzzed.change(&mut dice, number * 8 + round);
            // What the network does for one that idles.
            client.send(b"");
        }
        let piece = match dice.below(3) {
            0 => b"f FETCH 1:* (UID FLAGS)\r\ng UID FETCH 2:* (UID)\r\nh NOOP\r\n".to_vec(),
            1 => b"i IDLE\r\n".to_vec(),
            _ => input(&mut dice, dialogues),
        };
        sent.extend_from_slice(&piece);
        client.send(&piece);
        client.complete();
        if client.session.mode != Mode::Command {
            fuzzed.change(&mut dice, number * 8 + round);
            client.send(b"");
            client.send(b"DONE\r\n");
        }
        look(&mut client, &mut counting);
    }
    if client.stands != Stands::Open || client.session.is_partial() || client.session.mode != Mode::Command {
        return;
    }
    client.send(b"y NOOP\r\n");
    look(&mut client, &mut counting);
    client.send(b"z FETCH 1:* (UID)\r\n");
    let said = look(&mut client, &mut counting);
    // Nothing may be selected any more, or nothing be there.
    if !said.last().is_some_and(|last| last.starts_with(b"z OK")) {
        return;
    }
    let rows: Vec<(u64, u64)> = said
        .iter()
        .filter_map(|row| {
            let text = std::str::from_utf8(row).ok()?;
            let (number, uid) = text.strip_prefix("* ")?.split_once(" FETCH (UID ")?;
            Some((number.parse().ok()?, uid.trim_end_matches(')').parse().ok()?))
        })
        .collect();
    if let Some(count) = counting.count {
        assert_eq!(rows.len() as u64, count, "EXISTS and EXPUNGE make {count}, there are {}", rows.len());
    }
    assert!(rows.iter().zip(1..).all(|((number, _), expected)| *number == expected), "{rows:?}");
    assert!(rows.windows(2).all(|pair| pair[0].1 < pair[1].1), "{rows:?}");
}

#[test]
fn a_client_that_counts_stays_in_step_while_messages_come_and_go() {
    let fuzzed = Fuzzed::new();
    let dialogues = corpus();
    for number in 0..8 {
        fuzzed.add(MOVING, 1_000_000 + number);
        fuzzed.add(ELSEWHERE, 2_000_000 + number);
    }
    let first = std::env::var("MAILKEEP_SEED").ok().and_then(|seed| seed.parse::<u64>().ok()).unwrap_or(0);
    let many = if std::env::var_os("MAILKEEP_LONG").is_some_and(|v| v == "1") { 100 * SHORT } else { SHORT };
    for number in first..first + many {
        let mut sent = Vec::new();
        let done =
            catch_unwind(AssertUnwindSafe(|| execute_changing(&fuzzed, &dialogues, number, &mut sent)));
        assert!(done.is_ok(), "MAILKEEP_SEED={number}: {}", sent.escape_ascii());
    }
}

#[test]
fn a_wrong_count_is_seen() {
    for wrong in [
        &["* 3 EXISTS", "* 4 EXPUNGE"][..],
        &["* 3 EXISTS", "* 2 EXISTS"],
        &["* 3 EXISTS", "* 3 EXPUNGE", "* 3 FETCH (UID 9)"],
        &["* 3 EXISTS", "* 0 FETCH (UID 9)"],
    ] {
        let counted = catch_unwind(|| {
            let mut counting = Counting::default();
            wrong.iter().for_each(|response| counting.take(response.as_bytes()));
        });
        assert!(counted.is_err(), "{wrong:?}");
    }
    let mut counting = Counting::default();
    for right in ["* 3 EXISTS", "* 3 EXPUNGE", "* 2 FETCH (UID 9)", "* 5 EXISTS", "* FLAGS ()", "* 1 EXISTS"]
    {
        counting.take(right.as_bytes());
    }
    assert_eq!(counting.count, Some(1));
}
