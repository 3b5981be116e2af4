//! Bytes that rot anywhere, by chance: flipped, zeroed, swapped, cut off, misplaced, in packs, databases, the list of stores and
//! what is remembered of them. Never a wrong message as if it were right, never a panic; what is hurt is told, what is derived
//! heals from the packs.

use super::dump::dump_all;
use super::histories::for_seeds;
use super::*;
use crate::pack::disk::crash::Dice;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const MAILS: u64 = 45;

type Mail = BTreeMap<(&'static str, u32), Vec<u8>>;

/// Several packs, two folders, one large message; all of it as it must come back.
fn filled() -> (House, Mail) {
    let limits = Limits { max_pack_bytes: 9_000, spool_above_bytes: 300_000, ..Limits::default() };
    let house = House::with(limits);
    let storage = house.open();
    let mut mails = Mail::new();
    let mut number = 0;
    while number < MAILS {
        let mut batch = storage.batch(&Cancel::default()).unwrap();
        let mut placed = Vec::new();
        for _ in 0..5 {
            let folder = ["alice/Inbox", "bob/Lists/x"][(number % 2) as usize];
            let raw = mail(number, if number == 7 { 400_000 } else { 300 });
            let id = batch.folder(&path(folder)).unwrap();
            let added = batch.add(id, prepared(&storage, &raw, b""), &from("mbox", &number.to_string()));
            placed.push(((folder, added.unwrap().uid.0), raw));
            number += 1;
        }
        batch.commit().unwrap();
        mails.extend(placed);
    }
    storage.close().unwrap();
    (house, mails)
}

/// Changes some bytes; says how.
fn rot(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) -> String {
    let len = bytes.len() as u64;
    let at = dice.below(len) as usize;
    let most = 1 << dice.below(13);
    let run = (1 + dice.below(most)).min(len - at as u64) as usize;
    match dice.below(6) {
        0 => {
            bytes[at] ^= 1 << dice.below(8);
            format!("a bit of byte {at}")
        }
        1 => {
            bytes[at..at + run].fill(0);
            format!("{run} bytes zeroed at {at}")
        }
        2 => {
            let to = dice.below(len - run as u64 + 1) as usize;
            let (one, two) = (bytes[at..at + run].to_vec(), bytes[to..to + run].to_vec());
            bytes[to..to + run].copy_from_slice(&one);
            bytes[at..at + run].copy_from_slice(&two);
            format!("{run} bytes swapped between {at} and {to}")
        }
        3 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        4 => {
            let run = run.min(other.len());
            let from = dice.below((other.len() - run) as u64 + 1) as usize;
            bytes[at..at + run].copy_from_slice(&other[from..from + run]);
            format!("{run} bytes of another file's {from} at {at}")
        }
        _ => {
            bytes[at..at + run].iter_mut().for_each(|byte| *byte = dice.below(256) as u8);
            format!("{run} bytes of noise at {at}")
        }
    }
}

/// Reads all that can be read; gives how many messages came, all of them right.
fn read(storage: &Storage, mails: &Mail) -> u64 {
    let mut right = 0;
    for info in storage.folders() {
        let view = storage.view(&info.path).unwrap();
        let Some(folder) = mails.keys().map(|(name, _)| *name).find(|name| *name == info.path.as_str())
        else {
            panic!("{} never was", info.path);
        };
        for uid in view.uids.iter() {
            let mut bytes = Vec::new();
            if storage.cat(info.id, uid, &mut bytes).is_ok() {
                assert_eq!(
                    mails.get(&(folder, uid.0)),
                    Some(&bytes),
                    "{folder} UID {uid} is a wrong message"
                );
                right += 1;
            }
        }
        let mut rows = storage.rows(&view, &view.uids);
        while let Ok(Some(batch)) = rows.next_batch() {
            for row in batch {
                // Whatever they say, they say it without a panic.
                let (card, message) = (storage.card(&row), storage.message(&row));
                drop((card, message.and_then(|message| message.content().map(drop))));
            }
        }
    }
    right
}

fn is_derived(file: &Path) -> bool {
    file.extension().is_none_or(|ending| ending != "pack")
}

#[test]
fn rot_in_any_file_is_told_and_never_taken_for_mail() {
    let (house, mails) = filled();
    let whole = dump_all(&house.open());
    let files = house.disk.paths();
    let (packs, derived): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| !is_derived(file));
    for_seeds(|seed| {
        let mut dice = Dice(seed);
        let dice = &mut dice;
        let mut pick = |from: &[PathBuf]| from[dice.below(from.len() as u64) as usize].clone();
        let (file, other) = (pick(if seed % 2 == 0 { &packs } else { &derived }), pick(&packs));
        let rotten = house.after(Loss::Keep);
        let (before, other) = (rotten.disk.bytes(&file), rotten.disk.bytes(&other));
        let mut how = String::new();
        rotten.disk.damage(&file, |bytes| how = rot(bytes, &other, dice));
        if rotten.disk.bytes(&file) == before {
            return;
        }
        let place = format!("{}: {how}", file.display());
        let look = catch_unwind(AssertUnwindSafe(|| match rotten.try_open() {
            Ok(storage) => {
                let right = read(&storage, &mails);
                let report = storage.check(&Cancel::default(), &mut |_, _| ()).unwrap();
                let hurt = right < mails.len() as u64;
                assert!(!hurt || !report.damage.is_empty(), "{right} are readable, and the check is content");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }));
        assert!(look.is_ok(), "{place}");
        if !is_derived(&file) {
            return;
        }
        // What is derived heals from the packs; nothing else was hurt.
        rotten.arc().remove(&file).unwrap();
        let storage = rotten.open();
        assert_eq!(read(&storage, &mails), mails.len() as u64, "{place}");
        assert!(dump_all(&storage) == whole, "{place}: made again, it is another one");
        sound(&storage);
    });
}
