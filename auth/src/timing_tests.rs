//! Whether the time of a refusal tells a name that nobody has from a wrong password.
//!
//! No time is asserted: kinds of tries are measured in turn and compared by rank, beside two kinds that are the same, so that a busy
//! machine slows all of them alike. A password costs what it does with the usual settings' memory: beside that, what a user's entry costs to read
//! must not show. `MAILKEEP_LONG=1` makes it 10,000 trials of each.

use super::tests::{attempt, secret};
use super::*;
use std::net::Ipv4Addr;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// Names of each kind, so that no single entry's place decides.
const NAMES: usize = 20;

/// How probable it is that one of `a` took longer than one of `b` (Mann and Whitney's U over all pairs): a half, if they are alike.
fn longer(a: &[u64], b: &[u64]) -> f64 {
    let mut all: Vec<(u64, bool)> =
        a.iter().map(|&t| (t, true)).chain(b.iter().map(|&t| (t, false))).collect();
    all.sort_unstable();
    let (mut below, mut twice) = (0_u64, 0_u64);
    for same in all.chunk_by(|x, y| x.0 == y.0) {
        let of_a = same.iter().filter(|(_, is_a)| *is_a).count() as u64;
        let of_b = same.len() as u64 - of_a;
        twice += of_a * (2 * below + of_b);
        below += of_b;
    }
    twice as f64 / (2 * a.len() * b.len()) as f64
}

fn median(times: &[u64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2] as f64
}

#[test]
fn ranks_tell_what_differs_from_what_does_not() {
    assert_eq!(longer(&[1, 2, 3], &[1, 2, 3]), 0.5);
    assert_eq!(longer(&[4, 5], &[1, 2, 3]), 1.0);
    assert_eq!(longer(&[1], &[1, 2]), 0.25);
}

#[test]
fn a_name_that_nobody_has_takes_the_time_of_a_wrong_password() {
    let trials = if std::env::var_os("MAILKEEP_LONG").is_some_and(|long| long == "1") { 10_000 } else { 150 };
    let settings =
        Settings { hash_cost: HashCost { passes: 1, ..HashCost::default() }, ..Settings::default() };
    let db = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
    let auth = Auth::open_with(Arc::new(db), &settings).unwrap();
    // Two halves of the users are tried as two kinds: they show what is chance. The third kind isn't there.
    let names: Vec<Vec<String>> = ["aa", "bb", "cc"]
        .iter()
        .map(|kind| (0..NAMES).map(|n| format!("{kind} user {n:02}")).collect())
        .collect();
    for name in names[..2].iter().flatten() {
        auth.add(name, &secret("correct horse"), false).unwrap();
    }
    type Try = fn(&Auth, &str) -> bool;
    let ways: [(&str, Try); 2] = [
        ("IMAP", |auth, name| auth.login(&attempt(name, Some(HERE)), &secret("wrong horse")).is_err()),
        ("a command", |auth, name| auth.login_command(name, &secret("wrong horse"), None, HERE).is_err()),
    ];
    for (way, refused) in ways {
        let mut times = vec![Vec::new(); 3];
        for round in 0..trials {
            for turn in 0..3 {
                let kind = (round + turn) % 3;
                let name = &names[kind][round / 3 % NAMES];
                let begun = Instant::now();
                assert!(refused(&auth, name));
                times[kind].push(u64::try_from(begun.elapsed().as_nanos()).unwrap());
            }
        }
        let off = |a: usize, b: usize| (longer(&times[a], &times[b]) - 0.5).abs();
        let apart = |a: usize, b: usize| (median(&times[a]) / median(&times[b]) - 1.0).abs();
        let (chance, far) = (off(0, 1), apart(0, 1));
        for known in [0, 1] {
            assert!(
                off(known, 2) < 0.2 + chance,
                "{way}: by rank {} of a half, by chance {chance}",
                off(known, 2)
            );
            assert!(
                apart(known, 2) < 0.05 + far,
                "{way}: medians {} apart, by chance {far}",
                apart(known, 2)
            );
        }
    }
}
