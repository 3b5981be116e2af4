//! A profile's runs on a machine whose power fails: at every sync of a run, and anywhere by chance, what was not synced kept, lost, torn
//! or out of order.
//!
//! Always: what was deleted at the source is in the archive; a rerun completes; nothing comes twice; the accounts of all runs agree,
//! and may only lag behind the archive.

use super::histories::{NAMES, Step, change, counts, step};
use super::server::{Mailbox, Model};
use super::*;
use crate::profile::text::Whole;
use crate::profile::{Ask, Kind, Profile};
use auth::Auth;
use proptest::prelude::*;
use storage::testing::Machine;

const MASTER: &str = "master.redb";
const PROFILE: &str = "mail";

/// An installation on a machine, opened.
struct Opened {
    archiver: Archiver,
    storage: Storage,
    auth: Auth,
    _indexes: tempfile::TempDir,
}

impl Opened {
    fn on(machine: &Machine) -> Result<Opened, String> {
        let indexes = tempfile::tempdir().unwrap();
        let storage = machine.open(indexes.path()).map_err(|error| error.to_string())?;
        let db = Arc::new(machine.database(MASTER).map_err(|error| error.to_string())?);
        let auth = Auth::open(db.clone()).map_err(|error| error.to_string())?;
        let archiver = Archiver::open(storage.clone(), db).map_err(|error| error.to_string())?;
        Ok(Opened { archiver, storage, auth, _indexes: indexes })
    }

    /// Runs the profile.
    fn run(&self) -> Result<Run, String> {
        let ask = Ask { name: PROFILE.into(), who: "test".into(), dry_run: false };
        let ran = self.archiver.run_profile(&self.auth, &ask, &|_| {}, &|_| {}, &Cancel::default());
        ran.map_err(|error| error.to_string())
    }

    /// Sums of all runs, each of which agrees with itself and has ended.
    fn ledger(&self) -> crate::Sums {
        let mut all = crate::Sums::default();
        for run in self.archiver.runs().unwrap() {
            assert!(run.sums.agree() && run.state != State::Running, "{run:?}");
            all.archived += run.sums.archived;
            all.deleted += run.sums.deleted;
        }
        all
    }
}

/// A machine that has archived the server's mail once, by a profile that deletes what is old at the source from now on.
fn machine(server: &Server) -> Machine {
    let machine = Machine::new(Limits { max_message_bytes: 1 << 20, ..Limits::default() }).unwrap();
    let opened = Opened::on(&machine).unwrap();
    let account = Account::of(server);
    let mut profile = Profile {
        into: Some(account.into.to_string()),
        server: Some(crate::profile::Server {
            host: account.access.host,
            port: Some(server.port),
            tls: Tls::None,
            trust: Trust::System,
            mechanism: Mechanism::Auto,
            user: Some(account.login.user),
            timeout_secs: 10,
        }),
        ..Profile::new(PROFILE, Kind::Imap)
    };
    let secret = Some(account.login.secret);
    opened.archiver.profiles().create(&Whole { profile: profile.clone(), secret }).unwrap();
    assert_eq!(opened.run().unwrap().state, State::Succeeded);
    profile.deletion = Some(Deletion { older_than_days: Some(365), ..Deletion::default() });
    opened.archiver.profiles().replace(&Whole { profile, secret: None }).unwrap();
    opened.storage.close().unwrap();
    drop(opened);
    machine.after(0)
}

fn world() -> Model {
    let mut model = Model {
        capabilities: "ENABLE QRESYNC CONDSTORE ESEARCH UIDPLUS LIST-EXTENDED LIST-STATUS".into(),
        ..Model::default()
    };
    for (name, numbers) in [("INBOX", 0..6), ("Work", 10..14)] {
        fill(model.boxes.entry(name.into()).or_default(), numbers);
    }
    model
}

/// What happens at the server between two runs: mail comes, some moves, some goes, some is flagged, a folder gets another name.
fn news(model: &mut Model) {
    let moved = model.boxes.get_mut("INBOX").unwrap().remove(2).unwrap();
    let work = model.boxes.get_mut("Work").unwrap();
    work.add(&moved.bytes);
    work.remove(3);
    work.mails.get_mut(&1).unwrap().flags.push("\\Flagged".into());
    let back = work.remove(2).unwrap();
    let inbox = model.boxes.get_mut("INBOX").unwrap();
    inbox.add(&back.bytes);
    fill(inbox, 20..24);
    fill(model.boxes.entry("Fresh".into()).or_default(), 30..33);
}

type Boxes = BTreeMap<String, Mailbox>;

/// All that ever was at the server.
fn everything() -> BTreeMap<ContentHash, usize> {
    (0..6).chain(10..14).chain(20..24).chain(30..33).map(|n| (hash(&mail(n)), 1)).collect()
}

/// The server as the cut run left it, and what that run had deleted there.
struct Left {
    boxes: Boxes,
    deleted: Vec<ContentHash>,
}

/// The machine starts again, and the profile is run until it is done.
fn completes(machine: &Machine, server: &Server, left: &Left, what: &str) {
    server.with(|model| (model.boxes, model.expunged) = (left.boxes.clone(), Vec::new()));
    let opened = Opened::on(machine).unwrap_or_else(|error| panic!("{what}: {error}"));
    let before = counted(&opened.storage);
    for hash in &left.deleted {
        assert!(before.contains_key(hash), "{what}: deleted at the source, and not in the archive");
    }
    let lag = before.len() as u64 - opened.ledger().archived;
    let lag_of_deleted = left.deleted.len() as u64 - opened.ledger().deleted;
    let cut = opened.archiver.runs().unwrap().into_iter().find(|run| run.id == 2);
    // Its account may have been closed when the power failed: then it says so rightly.
    if let Some(cut) = cut.filter(|cut| cut.state != State::Succeeded) {
        assert_eq!(cut.state, State::Failed, "{what}");
        assert!(cut.error.unwrap().contains("ended in the middle"), "{what}");
    }
    let on_server = left.boxes.values().map(|mailbox| mailbox.mails.len()).sum::<usize>() as u64;
    let run = opened.run().unwrap();
    assert_eq!(run.state, State::Succeeded, "{what}: {:?}", opened.archiver.items(run.id));
    assert_eq!((run.sums.seen, run.sums.on_server), (on_server, on_server), "{what}");
    let after = counted(&opened.storage);
    assert_eq!(after, everything(), "{what}: something is lost, or there twice");
    let flagged = server.with(|model| model.boxes.values().map(|mailbox| mailbox.mails.len()).sum::<usize>());
    assert_eq!(flagged, 1, "{what}: all is deleted at the source but what is flagged");
    let ledger = opened.ledger();
    assert_eq!(ledger.archived + lag, after.len() as u64, "{what}");
    let deleted = left.deleted.len() + server.with(|model| model.expunged.len());
    assert_eq!(ledger.deleted + lag_of_deleted, deleted as u64, "{what}");
    let again = opened.run().unwrap();
    assert_eq!((again.state, sums(&again)), (State::Succeeded, (0, 1, 0, 0, 0)), "{what}");
    assert!(opened.archiver.unsolved().unwrap().is_empty(), "{what}");
}

#[test]
fn a_profile_run_cut_at_every_sync() {
    let server = Server::start(world());
    let whole = machine(&server);
    server.with(news);
    let changed = server.with(|model| model.boxes.clone());
    let (mut cuts, mut with_deleted) = (0, 0);
    loop {
        server.with(|model| (model.boxes, model.expunged) = (changed.clone(), Vec::new()));
        let machine = whole.after(0);
        let opened = Opened::on(&machine).unwrap();
        machine.crash_at_sync(cuts);
        let ran = opened.run();
        // Closing the databases syncs as well, and is no part of the run.
        let was_cut = machine.crashed();
        drop(opened);
        let (boxes, expunged) = server.with(|model| (model.boxes.clone(), model.expunged.clone()));
        let bytes = |(name, uid): &(String, u32)| changed[name].mails[uid].bytes.clone();
        let left = Left { boxes, deleted: expunged.iter().map(|one| hash(&bytes(one))).collect() };
        if !was_cut {
            assert_eq!(ran.unwrap().state, State::Succeeded);
            break;
        }
        assert!(ran.is_err(), "a run whose machine stopped says that all is well");
        with_deleted += usize::from(!left.deleted.is_empty());
        // Dropped each time; kept, torn and out of order in turn, since each of them takes a start and two runs.
        for seed in [1, [0, 2, 5, 3, 6, 4, 7][cuts as usize % 7]] {
            completes(&machine.after(seed), &server, &left, &format!("cut at sync {cuts}, then {seed}"));
        }
        cuts += 1;
    }
    assert!(cuts > 10 && with_deleted > 1, "{cuts} cuts, {with_deleted} after a deletion");
}

#[test]
fn a_database_that_is_lost_back_to_an_earlier_state() {
    let server = Server::start(world());
    let machine = machine(&server);
    let earlier = machine.file(MASTER);
    server.with(news);
    let opened = Opened::on(&machine).unwrap();
    assert_eq!(opened.run().unwrap().state, State::Succeeded);
    drop(opened);
    let deleted: Vec<ContentHash> = everything().into_keys().filter(|one| *one != hash(&mail(10))).collect();
    let boxes = server.with(|model| model.boxes.clone());
    machine.put_file(MASTER, &earlier);
    server.with(|model| model.expunged.clear());
    let opened = Opened::on(&machine).unwrap();
    assert_eq!(opened.archiver.runs().unwrap().len(), 1, "the earlier state");
    assert!(deleted.iter().all(|one| counted(&opened.storage).contains_key(one)));
    for _ in 0..2 {
        let run = opened.run().unwrap();
        assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 1, 0, 0, 0)));
        assert_eq!(counted(&opened.storage), everything());
    }
    assert_eq!(server.with(|model| model.boxes.clone()).len(), boxes.len());
}

#[test]
fn what_a_dead_run_archived_without_account_moves_with_its_source() {
    let mut model =
        Model { capabilities: "UIDPLUS ENABLE QRESYNC CONDSTORE ESEARCH".into(), ..Model::default() };
    for name in NAMES {
        model.boxes.entry(name.into()).or_default();
    }
    let server = Server::start(model);
    let account = Account::of(&server);
    let machine = Machine::new(Limits { max_message_bytes: 1 << 20, ..Limits::default() }).unwrap();
    let opened = Opened::on(&machine).unwrap();
    server.with(|model| model.boxes.get_mut("A").unwrap().add(&mail(0)));
    assert_eq!(archive_and_delete(&opened, &account, None).unwrap().sums.archived, 1);
    drop(opened);
    // Between two runs new mail comes into INBOX; the second run dies at every sync in turn; then the mail moves.
    server.with(|model| model.boxes.get_mut("INBOX").unwrap().add(&mail(1)));
    let before = server.with(|model| model.boxes.clone());
    let all: BTreeMap<_, _> = [(hash(&mail(0)), 1), (hash(&mail(1)), 1)].into();
    let mut without_account = 0;
    for cut in 0.. {
        server.with(|model| model.boxes = before.clone());
        let machine = machine.after(0);
        let opened = Opened::on(&machine).unwrap();
        machine.crash_at_sync(cut);
        let ran = archive_and_delete(&opened, &account, None);
        if !machine.crashed() {
            break;
        }
        assert!(ran.is_err());
        drop(opened);
        let machine = machine.after(0);
        server.with(|model| {
            change(model, &Step::Move(0, 2, 0));
            change(model, &Step::Add(2, 2));
        });
        let opened = Opened::on(&machine).unwrap();
        without_account += usize::from(counted(&opened.storage) == all && opened.ledger().archived == 1);
        let run = archive_and_delete(&opened, &account, None).unwrap();
        assert_eq!(run.state, State::Succeeded);
        let places = folders(&opened.storage);
        let found: Vec<(&str, usize)> =
            places.iter().map(|(path, mails)| (path.as_str(), mails.len())).collect();
        assert_eq!(found, [("alice/mail/A", 1), ("alice/mail/B", 2)], "cut at sync {cut}");
        let again = archive_and_delete(&opened, &account, None).unwrap();
        assert_eq!(sums(&again), (0, 3, 0, 0, 0), "cut at sync {cut}");
    }
    assert!(without_account > 0, "no cut fell between the archive and its account");
}

#[test]
fn a_maildrop_emptied_by_a_run_cut_at_every_sync() {
    let mails = drops::mails(5);
    let everything: BTreeMap<ContentHash, usize> = mails.iter().map(|(_, bytes)| (hash(bytes), 1)).collect();
    let server = drops::Server::start(drops::Model::default());
    let account = server.account();
    let whole = Machine::new(Limits { max_message_bytes: 1 << 20, ..Limits::default() }).unwrap();
    drop(Opened::on(&whole).unwrap());
    let (mut cuts, mut with_deleted) = (0, 0);
    for cut in 0.. {
        server.with(|model| model.mails.clone_from(&mails));
        let machine = whole.after(0);
        let opened = Opened::on(&machine).unwrap();
        machine.crash_at_sync(cut);
        let ran = archive_and_delete(&opened, &account, Some(Deletion::default()));
        let was_cut = machine.crashed();
        drop(opened);
        if !was_cut {
            assert_eq!(ran.unwrap().state, State::Succeeded);
            break;
        }
        assert!(ran.is_err(), "a run whose machine stopped says that all is well");
        let left = server.with(|model| model.mails.clone());
        with_deleted += usize::from(left.len() < mails.len());
        for seed in [1, [0, 2, 5, 3, 6, 4, 7][cut as usize % 7]] {
            server.with(|model| model.mails.clone_from(&left));
            let opened = Opened::on(&machine.after(seed)).unwrap();
            let there = counted(&opened.storage);
            for (id, bytes) in &mails {
                let at_server = left.iter().any(|(other, _)| other == id);
                assert!(
                    at_server || there.contains_key(&hash(bytes)),
                    "cut at sync {cut}, then {seed}: {id} is lost"
                );
            }
            let run = archive_and_delete(&opened, &account, Some(Deletion::default())).unwrap();
            assert_eq!(
                (run.state, run.sums.seen),
                (State::Succeeded, left.len() as u64),
                "cut at sync {cut}, then {seed}"
            );
            assert_eq!(counted(&opened.storage), everything, "cut at sync {cut}, then {seed}");
            assert!(server.with(|model| model.mails.is_empty()), "cut at sync {cut}, then {seed}");
            opened.ledger();
        }
        cuts += 1;
    }
    assert!(cuts > 5 && with_deleted > 0, "{cuts} cuts, {with_deleted} after a deletion");
}

/// What happens between two starts of the machine.
#[derive(Debug, Clone)]
enum Act {
    /// At the server, or a run.
    Step(Step),
    /// The power fails within the change of this number during a run; what is left is by the seed; and again while it starts.
    Power { change: u64, seed: u64, again: Option<u64> },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => step().prop_map(Act::Step),
        1 => (0..400u64, any::<u64>(), proptest::option::of(0..40u64))
            .prop_map(|(change, seed, again)| Act::Power { change, seed, again }),
    ]
}

/// Archives with deletion by age.
fn archive(opened: &Opened, account: &Account) -> Result<Run, String> {
    archive_and_delete(opened, account, Some(Deletion { older_than_days: Some(365), ..Deletion::default() }))
}

/// Archives, patient as tests can afford.
fn archive_and_delete(opened: &Opened, account: &Account, deletion: Option<Deletion>) -> Result<Run, String> {
    let rules = Plain { deletion, ..Plain::default() };
    let start = Start { source: "t".into(), into: "a".into(), who: "x".into(), parallel: 1, until: None };
    let jobs = [account.job(&rules)];
    archive_with(&opened.archiver, &start, &jobs, &quick(), &|_| {}, &Cancel::default())
        .map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn power_cuts_and_cut_connections_by_chance(acts in proptest::collection::vec(act(), 1..30), qresync in any::<bool>()) {
        let more = if qresync { "ENABLE QRESYNC CONDSTORE ESEARCH" } else { "" };
        let mut model = Model { capabilities: format!("UIDPLUS {more}"), ..Model::default() };
        for name in NAMES {
            model.boxes.entry(name.into()).or_default();
        }
        let server = Server::start(model);
        let account = Account::of(&server);
        let mut machine = Machine::new(Limits { max_message_bytes: 1 << 20, ..Limits::default() }).unwrap();
        let mut opened = Opened::on(&machine).unwrap();
        let mut added: BTreeMap<ContentHash, usize> = BTreeMap::new();
        let mut ever: BTreeMap<ContentHash, usize> = BTreeMap::new();
        let walked_again = acts.iter().any(|act| matches!(act, Act::Step(Step::Validity(_))));
        let end = [Act::Step(Step::Run), Act::Step(Step::Run)];
        for act in acts.iter().chain(&end) {
            let there = server.with(|model| counts(model));
            match act {
                Act::Step(Step::Run) => {
                    let run = archive(&opened, &account).unwrap();
                    prop_assert_eq!(run.state, State::Succeeded, "{:?}", opened.archiver.items(run.id));
                    prop_assert_eq!(run.sums.seen, there.values().sum::<usize>() as u64);
                    ever.extend(there);
                }
                Act::Step(step) => {
                    server.with(|model| change(model, step));
                    if let Step::Add(_, n) = step {
                        *added.entry(hash(&mail(*n))).or_insert(0) += 1;
                    }
                    continue;
                }
                Act::Power { change, seed, again } => {
                    machine.crash_at_change(*change);
                    let ran = archive(&opened, &account);
                    prop_assert!(!machine.crashed() || ran.is_err(), "a run whose machine stopped says that all is well");
                    // What the run deleted counts as had, whatever became of the run.
                    let left = server.with(|model| counts(model));
                    ever.extend(there.into_iter().filter(|(hash, _)| !left.contains_key(hash)));
                    drop(opened);
                    machine = machine.after(*seed);
                    if let Some(again) = again {
                        machine.crash_at_change(*again);
                        drop(Opened::on(&machine));
                        machine = machine.after(seed.rotate_left(7));
                    }
                    opened = Opened::on(&machine).unwrap();
                    opened.ledger();
                }
            }
            let now = counted(&opened.storage);
            for message in ever.keys() {
                prop_assert!(now.contains_key(message), "something was lost");
            }
            for (message, count) in &now {
                prop_assert!(walked_again || *count <= added[message], "something was repeated");
            }
        }
        let last = archive(&opened, &account).unwrap();
        prop_assert_eq!((last.sums.archived, last.sums.moved), (0, 0), "a run without news brings nothing");
    }
}
