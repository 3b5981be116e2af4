//! Random histories at a server, with runs in between and connections cut, against a plain model: whatever was there during a run that
//! succeeded is in the archive, as often as it was at any such moment, and nothing is ever removed.

use super::server::Model;
use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Add(usize, usize),
    Move(usize, usize, usize),
    Delete(usize, usize),
    Flag(usize, usize),
    Validity(usize),
    Cut(usize),
    Run,
}

pub(super) const NAMES: [&str; 3] = ["INBOX", "A", "B"];

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize, 0..30usize).prop_map(|(folder, mail)| Step::Add(folder, mail)),
        3 => (0..3usize, 0..3usize, 0..8usize).prop_map(|(from, to, which)| Step::Move(from, to, which)),
        2 => (0..3usize, 0..8usize).prop_map(|(folder, which)| Step::Delete(folder, which)),
        1 => (0..3usize, 0..8usize).prop_map(|(folder, which)| Step::Flag(folder, which)),
        1 => (0..3usize).prop_map(Step::Validity),
        1 => (0..4_000usize).prop_map(Step::Cut),
        4 => Just(Step::Run),
    ]
}

fn nth(model: &Model, folder: usize, which: usize) -> Option<u32> {
    let mails = &model.boxes[NAMES[folder]].mails;
    mails.keys().nth(which % mails.len().max(1)).copied()
}

pub(super) fn change(model: &mut Model, step: &Step) {
    match *step {
        Step::Add(folder, n) => {
            model.boxes.get_mut(NAMES[folder]).unwrap().add(&mail(n));
        }
        Step::Move(from, to, which) => {
            if let Some(uid) = nth(model, from, which) {
                let moved = model.boxes.get_mut(NAMES[from]).unwrap().remove(uid).unwrap();
                model.boxes.get_mut(NAMES[to]).unwrap().add(&moved.bytes);
            }
        }
        Step::Delete(folder, which) => {
            if let Some(uid) = nth(model, folder, which) {
                model.boxes.get_mut(NAMES[folder]).unwrap().remove(uid);
            }
        }
        Step::Flag(folder, which) => {
            if let Some(uid) = nth(model, folder, which) {
                let mailbox = model.boxes.get_mut(NAMES[folder]).unwrap();
                mailbox.mod_seq += 1;
                let mod_seq = mailbox.mod_seq;
                let mail = mailbox.mails.get_mut(&uid).unwrap();
                mail.flags.push("\\Seen".into());
                mail.mod_seq = mod_seq;
            }
        }
        Step::Validity(folder) => {
            let mailbox = model.boxes.get_mut(NAMES[folder]).unwrap();
            mailbox.uid_validity += 1;
            mailbox.gone.clear();
        }
        Step::Cut(bytes) => model.cut = Some(bytes),
        Step::Run => {}
    }
}

/// How often each message is on the server.
pub(super) fn counts(model: &Model) -> BTreeMap<ContentHash, usize> {
    let mut all = BTreeMap::new();
    for mail in model.boxes.values().flat_map(|mailbox| mailbox.mails.values()) {
        *all.entry(hash(&mail.bytes)).or_insert(0) += 1;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_and_nothing_repeated(
        steps in proptest::collection::vec(step(), 1..40),
        qresync in any::<bool>(),
    ) {
        let capabilities = if qresync { "ENABLE QRESYNC CONDSTORE ESEARCH" } else { "" };
        let mut model = Model { capabilities: capabilities.into(), ..Model::default() };
        for name in NAMES {
            model.boxes.entry(name.into()).or_default();
        }
        let (house, server) = (House::new(), Server::start(model));
        let (account, rules) = (Account::of(&server), Plain::default());
        let mut archived: BTreeMap<ContentHash, usize> = BTreeMap::new();
        let mut added: BTreeMap<ContentHash, usize> = BTreeMap::new();
        // What moves into a folder that is walked again at the same time is there twice, since nothing tells it from a copy.
        let walked_again = steps.iter().any(|step| matches!(step, Step::Validity(_)));
        for step in steps.iter().chain([&Step::Run, &Step::Run]) {
            if !matches!(step, Step::Run) {
                server.with(|model| change(model, step));
                if let Step::Add(_, n) = step {
                    *added.entry(hash(&mail(*n))).or_insert(0) += 1;
                }
                continue;
            }
            let run = house.run(&[account.job(&rules)], &quick());
            prop_assert_eq!(run.state, State::Succeeded, "{:?}", house.reasons(&run));
            let there = server.with(|model| counts(model));
            prop_assert_eq!(run.sums.seen, there.values().sum::<usize>() as u64);
            prop_assert_eq!(run.sums.on_server, run.sums.seen);
            let now = counted(&house.storage);
            for (message, count) in &archived {
                prop_assert!(now.get(message).is_some_and(|now| now >= count), "something was removed");
            }
            for message in there.keys() {
                prop_assert!(now.contains_key(message), "something was lost");
            }
            for (message, count) in &now {
                prop_assert!(walked_again || *count <= added[message], "something was repeated");
            }
            archived = now;
        }
        let last = house.run(&[account.job(&rules)], &quick());
        prop_assert_eq!((last.sums.archived, last.sums.moved), (0, 0), "a run without news brings nothing");
    }
}
