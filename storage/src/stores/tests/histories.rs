//! Histories by chance: archiving, archiving again, moves, deletions, renames, new stores, compactions, rebuilds, closings, each cut off anywhere by a power cut or an
//! I/O error, and again while it recovers. A model tells what may be there afterwards.
//!
//! Always: what was acknowledged reads back bit for bit; what was in hand is there whole or not at all; a rerun brings nothing
//! twice; a UID is given once and names one message for ever; UIDVALIDITY stays; the evidence extends every head seen before;
//! databases made again from the packs are the same.
//!
//! A failure prints its seed; `MAILKEEP_SEED=N` begins there. `MAILKEEP_LONG=1` runs them by number, else time ends them.

use super::dump::dump_all;
use super::*;
use crate::pack::disk::crash::{Dice, Fault, Span};
use crate::store::log::Log;
use crate::{ContentHash, UidValidity, Whereabouts};
use std::collections::{BTreeMap, BTreeSet};

const LONG_SEEDS: u64 = 3_000;
const STEPS: u64 = 14;
/// Power cuts in a row while one recovery is tried again and again.
const CUTS_IN_RECOVERY: u64 = 3;

const FOLDERS: [&str; 5] = ["alice/Inbox", "alice/Lists/a", "bob", "bob/Größe", "carol/x"];

/// Where time ends the seeds of a usual run.
fn time_is_up(began: std::time::Instant) -> bool {
    began.elapsed() >= Duration::from_secs(45)
}

/// Runs a test for seed after seed; tells the one that fails.
pub(super) fn for_seeds(one: impl Fn(u64)) {
    let first = std::env::var("MAILKEEP_SEED").ok().and_then(|text| text.parse().ok());
    let long = std::env::var_os("MAILKEEP_LONG").is_some_and(|value| value == "1");
    let began = std::time::Instant::now();
    let from = first.unwrap_or(0);
    for seed in from..from + LONG_SEEDS {
        if !long && seed > from && time_is_up(began) {
            eprintln!("{} seeds", seed - from);
            break;
        }
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(seed))) {
            eprintln!("failed with MAILKEEP_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// What a folder shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shown {
    uid_validity: u32,
    mail: BTreeMap<u32, ContentHash>,
}

/// All folders.
type Mail = BTreeMap<String, Shown>;

/// What is expected, and what must never change again.
#[derive(Debug, Default)]
struct Model {
    now: Mail,
    /// What the step in hand would leave: `now` or this may be found after it was cut off.
    next: Option<Mail>,
    /// Every UID that was ever seen, and its message.
    given: BTreeMap<(u32, u32), ContentHash>,
    /// Every UIDVALIDITY that was ever seen, and its folder's number.
    validities: BTreeMap<u32, FolderId>,
    /// Each archive's UIDVALIDITY and the UIDs that its messages have as a whole.
    all_mail: BTreeMap<String, (u32, BTreeMap<ContentHash, u32>)>,
    /// Every head of each store's log that was ever seen: size and root.
    heads: BTreeMap<String, BTreeMap<u64, [u8; 32]>>,
    /// Those who look now and then.
    clients: super::clients::Clients,
}

/// One history.
struct History {
    seed: u64,
    dice: Dice,
    house: House,
    model: Model,
    /// Messages that were made so far: they come again now and then.
    made: u64,
    log: Vec<String>,
}

/// A batch, as a run over sources would bring it.
#[derive(Debug, Clone)]
struct Step {
    mail: Vec<(String, u64)>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut dice = Dice(seed);
        let limits = Limits {
            spool_above_bytes: 100_000,
            max_pack_bytes: 5_000 + dice.below(60_000),
            max_store_messages: 6 + dice.below(60),
            ..Limits::default()
        };
        let house = House::with(limits);
        History { seed, dice, house, model: Model::default(), made: 0, log: Vec::new() }
    }

    fn say(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    fn raw(number: u64) -> Vec<u8> {
        mail(number, if number % 41 == 40 { 300_000 } else { 40 + (number * 37 % 900) as usize })
    }

    /// The next batch: new mail, and some that was there before.
    fn batch(&mut self) -> Step {
        let count = 1 + self.dice.below(6);
        let mut mail = Vec::new();
        for _ in 0..count {
            let folder = FOLDERS[self.dice.below(FOLDERS.len() as u64) as usize];
            let number = if self.made > 0 && self.dice.below(4) == 0 {
                self.dice.below(self.made)
            } else {
                self.made += 1;
                self.made - 1
            };
            mail.push((folder.to_owned(), number));
        }
        Step { mail }
    }

    /// Brings the batch as a run does: what the folder has is only noted.
    fn bring(&mut self, storage: &Storage, step: &Step) -> Result<(), Error> {
        let mut next = self.model.now.clone();
        let mut batch = storage.batch(&Cancel::default())?;
        let mut here = BTreeSet::new();
        for (n, (folder_path, number)) in step.mail.iter().enumerate() {
            let raw = Self::raw(*number);
            let message = prepared(storage, &raw, b"");
            let hash = message.hash();
            if !here.insert((folder_path.clone(), hash)) {
                continue;
            }
            let place = format!("{number}/{n}");
            let folder = batch.folder(&path(folder_path))?;
            let sightings = storage.sightings(&path(folder_path), &hash)?;
            let shown = next.entry(folder_path.clone()).or_default();
            match sightings.first() {
                // It was here once: what was moved away or deleted doesn't come back.
                Some(known) if known.there != Whereabouts::Here || known.folder != folder => {}
                Some(known) => {
                    assert_eq!(shown.mail.get(&known.uid.0), Some(&hash), "a sighting is what the model has");
                    batch.seen_at(folder, known.uid, &place)?;
                }
                None => {
                    let uid = batch.add(folder, message, &from("mbox", &place))?.uid;
                    shown.mail.insert(uid.0, hash);
                }
            }
        }
        self.model.next = Some(next);
        batch.commit()?;
        self.acknowledged(storage);
        Ok(())
    }

    /// Some messages of one folder that one store holds: what a batch does to them is done whole or not at all.
    fn some(&mut self, storage: &Storage) -> Result<Option<(FolderView, Vec<Uid>)>, Error> {
        let folders = storage.folders();
        if folders.is_empty() {
            return Ok(None);
        }
        let info = &folders[self.dice.below(folders.len() as u64) as usize];
        let view = storage.view(&info.path).unwrap();
        let mut rows = storage.rows(&view, &view.uids);
        let mut found = Vec::new();
        while let Some(batch) = rows.next_batch()? {
            found.extend(batch.into_iter().map(|row| (row.store, row.uid)));
        }
        if found.is_empty() {
            return Ok(None);
        }
        let (store, _) = found[self.dice.below(found.len() as u64) as usize];
        found.retain(|(other, _)| *other == store && self.dice.below(3) > 0);
        Ok(Some((view, found.into_iter().map(|(_, uid)| uid).collect())))
    }

    /// Moves or deletes messages.
    fn change(&mut self, storage: &Storage, delete: bool) -> Result<(), Error> {
        let Some((view, uids)) = self.some(storage)? else { return Ok(()) };
        let to = FOLDERS[self.dice.below(FOLDERS.len() as u64) as usize];
        let from = view.info.path.to_string();
        self.say(format!(
            "{} of {from} {uids:?}",
            if delete { "deletion".into() } else { format!("move to {to}") }
        ));
        if from == to && !delete {
            return Ok(());
        }
        let mut next = self.model.now.clone();
        let mut batch = storage.batch(&Cancel::default())?;
        for uid in uids {
            let hash = next.get_mut(&from).and_then(|shown| shown.mail.remove(&uid.0));
            let hash = hash.expect("what is shown is what the model has");
            if delete {
                batch.delete_message(view.info.id, uid)?;
            } else {
                let target = batch.folder(&path(to))?;
                let there = batch.move_message(view.info.id, uid, target)?;
                next.entry(to.to_owned()).or_default().mail.insert(there.0, hash);
            }
        }
        self.model.next = Some(next);
        batch.commit()?;
        self.acknowledged(storage);
        Ok(())
    }

    /// Gives a folder another path, with all below it.
    fn rename(&mut self, storage: &Storage) -> Result<(), Error> {
        let folders = storage.folders();
        if folders.is_empty() {
            return Ok(());
        }
        let from = folders[self.dice.below(folders.len() as u64) as usize].path.to_string();
        let Some((archive, _)) = from.split_once('/') else { return Ok(()) };
        let to = format!("{archive}/{}", ["x", "Lists", "Inbox", "y/z"][self.dice.below(4) as usize]);
        self.say(format!("rename {from} to {to}"));
        let mut batch = storage.batch(&Cancel::default())?;
        match batch.rename(&path(&from), &path(&to)) {
            Err(Error::Refused { .. }) => return Ok(()),
            done => done?,
        };
        let renamed = |path: &String| match path.strip_prefix(&from) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}"),
            _ => path.clone(),
        };
        self.model.next =
            Some(self.model.now.iter().map(|(path, shown)| (renamed(path), shown.clone())).collect());
        batch.commit()?;
        self.acknowledged(storage);
        Ok(())
    }

    /// The step in hand is done; what it made is seen at once.
    fn acknowledged(&mut self, storage: &Storage) {
        let mut next = self.model.next.take().unwrap();
        for view in storage.folders() {
            if let Some(shown) = next.get_mut(&view.path.to_string()) {
                shown.uid_validity = view.uid_validity.0;
            }
        }
        self.model.now = next;
        // What left an archive comes back as a new message.
        for (archive, (_, uids)) in &mut self.model.all_mail {
            let here = |path: &String| path.split('/').next() == Some(archive);
            let folders = self.model.now.iter().filter(|(path, _)| here(path));
            let there: BTreeSet<ContentHash> =
                folders.flat_map(|(_, shown)| shown.mail.values().copied()).collect();
            uids.retain(|hash, _| there.contains(hash));
        }
        self.note_heads(storage);
    }

    /// Reads every message of every folder.
    fn observe(&mut self, storage: &Storage) -> Result<Mail, Error> {
        let mut mail = Mail::new();
        for info in storage.folders() {
            let view = storage.view(&info.path).unwrap();
            let UidValidity(uid_validity) = info.uid_validity;
            let mut shown = Shown { uid_validity, ..Shown::default() };
            let mut rows = storage.rows(&view, &view.uids);
            let mut found = Vec::new();
            while let Some(batch) = rows.next_batch()? {
                found.extend(batch);
            }
            assert_eq!(found.len() as u64, view.uids.len());
            for row in found {
                assert!(row.uid < info.uid_next, "UIDNEXT is above all UIDs");
                let mut bytes = Vec::new();
                storage.cat(info.id, row.uid, &mut bytes)?;
                let hash = prepared(storage, &bytes, b"").hash();
                assert_eq!(storage.message(&row)?.hash(), hash);
                shown.mail.insert(row.uid.0, hash);
                let given = self.model.given.insert((uid_validity, row.uid.0), hash);
                assert!(given.is_none_or(|before| before == hash), "a UID names another message");
            }
            let owner = self.model.validities.insert(uid_validity, info.id);
            assert!(owner.is_none_or(|before| before == info.id), "a UIDVALIDITY was given twice");
            let highest = self.model.given.range((uid_validity, 0)..=(uid_validity, u32::MAX)).next_back();
            let highest = highest.map_or(0, |((_, uid), _)| *uid);
            assert!(info.uid_next.0 > highest, "UIDNEXT fell to a UID that was given");
            mail.insert(info.path.to_string(), shown);
        }
        self.observe_archives(storage, &mail)?;
        self.model.clients.look_at_all(storage);
        Ok(mail)
    }

    /// All mail of an archive: what its folders show, each message once; a UID is given once and stays as long as the message does.
    fn observe_archives(&mut self, storage: &Storage, mail: &Mail) -> Result<(), Error> {
        let archives: BTreeSet<&str> = mail.keys().filter_map(|path| path.split('/').next()).collect();
        for archive in archives {
            let view = storage.all_mail(archive).unwrap();
            let validity = view.info.uid_validity.0;
            let mut rows = storage.rows(&view, &view.uids);
            let (mut found, mut bytes) = (BTreeMap::new(), 0);
            while let Some(batch) = rows.next_batch()? {
                for row in batch {
                    assert!(row.uid < view.info.uid_next && view.uids.contains(row.uid));
                    assert!(row.mod_seq <= view.info.highest_mod_seq, "{row:?} {:?}", view.info);
                    bytes += row.size;
                    let hash = storage.message(&row)?.hash();
                    assert!(found.insert(hash, row.uid.0).is_none(), "a message is shown twice");
                    let given = self.model.given.insert((u32::MAX - validity, row.uid.0), hash);
                    assert!(
                        given.is_none_or(|before| before == hash),
                        "an archive-wide UID names another message"
                    );
                }
            }
            assert_eq!((found.len() as u64, view.info.messages), (view.uids.len(), view.uids.len()));
            assert!(view.info.bytes >= bytes, "the sum of sizes is too small");
            let below = format!("{archive}/");
            let folders = mail.iter().filter(|(path, _)| *path == archive || path.starts_with(&below));
            let there: BTreeSet<ContentHash> =
                folders.flat_map(|(_, shown)| shown.mail.values().copied()).collect();
            assert_eq!(
                found.keys().copied().collect::<BTreeSet<_>>(),
                there,
                "all mail is another than the folders'"
            );
            let key = crate::search::Key::All;
            assert_eq!(storage.search(&view, &key, &Cancel::default())?, *view.uids);
            if let Some((before, uids)) = self.model.all_mail.get(archive) {
                assert_eq!(*before, validity, "UIDVALIDITY stays");
                for (hash, uid) in uids {
                    assert!(
                        found.get(hash).is_none_or(|now| now == uid),
                        "a message has another archive-wide UID"
                    );
                }
            }
            self.model.all_mail.insert(archive.to_owned(), (validity, found));
        }
        Ok(())
    }

    /// Notes the present heads of the evidence.
    fn note_heads(&mut self, storage: &Storage) {
        for store in storage.shared.open_stores() {
            let head = store.state.read().tree.head();
            let heads = self.model.heads.entry(store.packs.identity().id.to_string()).or_default();
            let before = heads.insert(head.size, head.root);
            assert!(before.is_none_or(|before| before == head.root), "two logs of one size");
        }
    }

    /// The evidence goes on from every head that was ever seen; some of them are asked for.
    fn heads_are_extended(&mut self, storage: &Storage) -> Result<(), Error> {
        let mut seen = 0;
        for store in storage.shared.open_stores() {
            let Some(heads) = self.model.heads.get(&store.packs.identity().id.to_string()) else { continue };
            seen += 1;
            let cancel = Cancel::default();
            let mut log = Log::new(&store, &cancel);
            let highest = heads.last_key_value().map_or(0, |(size, _)| *size);
            assert!(highest <= log.size(), "the log has {} leaves, {highest} were seen", log.size());
            for (size, root) in heads.iter().filter(|_| self.dice.below(3) == 0) {
                assert_eq!(log.root(*size)?, *root, "the log of {size} leaves is another one");
            }
        }
        assert_eq!(seen, self.model.heads.len(), "a store is gone: {:?}", storage.stores());
        self.note_heads(storage);
        Ok(())
    }

    /// What is there is what was acknowledged, with the step in hand or without it.
    fn is_right(&mut self, storage: &Storage) -> Result<(), Error> {
        self.heads_are_extended(storage)?;
        let found = self.observe(storage)?;
        // A folder may be known before its first message is.
        let beside = |model: &Mail| -> Mail {
            let shown =
                |(path, shown): &(&String, &Shown)| !shown.mail.is_empty() || model.contains_key(*path);
            found.iter().filter(shown).map(|(path, shown)| (path.clone(), shown.clone())).collect()
        };
        let same = |model: &Mail| {
            let found = beside(model);
            found.len() == model.len()
                && found.iter().zip(model).all(|((path, found), (expected_path, expected))| {
                    let validity = [0, found.uid_validity].contains(&expected.uid_validity);
                    path == expected_path && validity && found.mail == expected.mail
                })
        };
        let next = self.model.next.take().filter(&same);
        if next.is_none() {
            assert!(same(&self.model.now), "found {found:#?}\nnot {:#?}", self.model.now);
        }
        self.model.now = beside(next.as_ref().unwrap_or(&self.model.now));
        Ok(())
    }

    /// The machine is off and on again; the index is what it was, or gone.
    fn power_cycle(&mut self, loss: Loss) {
        self.house.disk = self.house.disk.after(loss);
        if self.dice.below(4) == 0 {
            self.house.index = scratch();
        }
    }

    /// Opens with all stores; none when trouble hit that.
    fn opens(&mut self) -> Result<Storage, String> {
        let storage = self.house.try_open().map_err(|error| error.to_string())?;
        match storage.stores().into_iter().find_map(|store| store.trouble) {
            Some(trouble) => Err(trouble),
            None => Ok(storage),
        }
    }

    /// The machine starts again, perhaps several times before it gets through.
    fn recover(&mut self) -> Storage {
        for cut in 0..=CUTS_IN_RECOVERY {
            let loss = Loss::any(self.dice.below(u64::MAX));
            self.power_cycle(loss);
            if cut < CUTS_IN_RECOVERY && self.dice.below(2) == 0 {
                let change = self.dice.below(40);
                self.house.disk.crash_at_change(change);
                self.say(format!("start after {loss:?}, cut at change {change}"));
            } else {
                self.say(format!("start after {loss:?}"));
            }
            match self.opens() {
                Ok(storage) => {
                    // Reading changes nothing: a cut that is still to come hits a later step.
                    self.is_right(&storage).unwrap();
                    return storage;
                }
                Err(error) => assert!(self.house.disk.crashed(), "it doesn't open again: {error}"),
            }
        }
        panic!("the last start is not cut off");
    }

    /// Something that will go wrong before long, or nothing.
    fn arm(&mut self) {
        let disk = self.house.disk.clone();
        let what = match self.dice.below(10) {
            0..5 => {
                let change = self.dice.below(60);
                disk.crash_at_change(change);
                format!("power cut at change {change}")
            }
            5 => {
                let sync = self.dice.below(10);
                disk.crash_at_sync(sync);
                format!("power cut at sync {sync}")
            }
            6..9 => {
                let (call, fault) =
                    (self.dice.below(250), [Fault::Broken, Fault::Full][self.dice.below(2) as usize]);
                let span = [Span::Once, Span::Forever][self.dice.below(2) as usize];
                disk.fail(call, fault, span);
                format!("{fault:?} {span:?} from call {call}")
            }
            _ => "no trouble".to_owned(),
        };
        self.say(what);
    }

    /// After an error: what readers see is right still, and a new start heals.
    fn restart(&mut self, storage: Storage) -> Storage {
        if !self.house.disk.crashed() {
            self.house.disk.heal();
            let next = self.model.next.clone();
            // A store that was to be opened again while the disk failed is away until it is asked for.
            storage.retry_open(None).unwrap();
            self.is_right(&storage).unwrap();
            // The step may have reached the disk without having been acknowledged.
            self.model.next = next.filter(|next| *next != self.model.now);
        }
        drop(storage);
        self.recover()
    }

    fn step(&mut self, storage: Storage) -> Storage {
        match self.dice.below(20) {
            number @ 0..6 => {
                let changed = match number {
                    0 | 1 => self.change(&storage, true),
                    5 => self.rename(&storage),
                    _ => self.change(&storage, false),
                };
                let Err(error) = changed else { return storage };
                self.say(format!("failed: {error}"));
                self.restart(storage)
            }
            6 => {
                self.say("close");
                let closed = storage.close();
                drop(storage);
                match self.opens() {
                    Ok(storage) if closed.is_ok() => storage,
                    _ => self.recover(),
                }
            }
            7 => {
                self.say("databases lost");
                drop(storage);
                self.power_cycle(Loss::Keep);
                for file in self.house.disk.paths() {
                    if file.ends_with("store.redb") && self.dice.below(3) > 0 {
                        self.house.arc().remove(&file).unwrap();
                        self.house.arc().sync_dir(file.parent().unwrap()).unwrap();
                    }
                }
                self.recover()
            }
            number @ 9..12 => {
                let stores = storage.stores();
                let some = &stores[self.dice.below(stores.len() as u64) as usize].number;
                let cancel = Cancel::default();
                let done = match number {
                    9 => {
                        self.say(format!("compaction of {some}"));
                        storage.compact_store(some, &cancel, &mut |_, _| ()).map(|_| ())
                    }
                    10 => {
                        self.say("a new store");
                        storage.create_store(None, None).map(|_| ())
                    }
                    _ => {
                        self.say(format!("rebuilding of {some}"));
                        storage.rebuild_stores(Some(some), false, &cancel, &mut |_, _, _| ()).map(|_| ())
                    }
                };
                match done {
                    Ok(()) if !self.house.disk.crashed() => {
                        if self.is_right(&storage).is_err() {
                            return self.restart(storage);
                        }
                        storage
                    }
                    done => {
                        self.say(format!("failed: {:?}", done.err().map(|error| error.to_string())));
                        self.restart(storage)
                    }
                }
            }
            8 => {
                self.say("killed");
                drop(storage);
                self.recover()
            }
            _ => {
                let step = self.batch();
                self.say(format!("archive {:?}", step.mail));
                let Err(error) = self.bring(&storage, &step) else { return storage };
                self.say(format!("failed: {error}"));
                let storage = self.restart(storage);
                // The run is made again, by a machine that works.
                if self.dice.below(3) > 0 {
                    self.house.disk.heal();
                }
                if self.bring(&storage, &step).is_err() {
                    return self.restart(storage);
                }
                // And once more: nothing is new.
                let there = self.model.now.clone();
                match self.bring(&storage, &step) {
                    Ok(()) => {
                        assert_eq!(self.model.now, there, "a rerun brings mail twice");
                        storage
                    }
                    Err(_) => self.restart(storage),
                }
            }
        }
    }

    fn run(mut self) {
        let mut storage = self.house.open();
        for _ in 0..STEPS {
            self.arm();
            storage = self.step(storage);
        }
        drop(storage);
        self.power_cycle(Loss::Keep);
        let storage = self.house.open();
        self.is_right(&storage).unwrap();
        sound(&storage);
        let live = dump_all(&storage);
        drop(storage);
        for file in self.house.disk.paths().into_iter().filter(|file| file.ends_with("store.redb")) {
            self.house.arc().remove(&file).unwrap();
        }
        let storage = self.house.open();
        assert!(dump_all(&storage) == live, "databases made again from the packs differ");
        self.is_right(&storage).unwrap();
    }
}

impl Drop for History {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: {:#?}", self.seed, self.log);
        }
    }
}

#[test]
fn whatever_happens_what_was_acknowledged_is_there() {
    for_seeds(|seed| {
        let history = History::new(seed);
        history.run();
    });
}
