//! Slows down the guessing of passwords, without letting a stranger lock a user out.
//!
//! Invariant: who has logged in from a network lately isn't slowed by others' failures, be they at the same account or from the
//! same network; an account's failures slow strangers by [`MAX_ACCOUNT_DELAY_MS`] at most; all tables are bounded. Knows no
//! clock and waits for nothing: times come in as milliseconds, delays go out.
//!
//! Failures are counted per network (an IPv4 address; for IPv6 the /64, which is what one customer has), per account, and per
//! pair of both where a login has succeeded. One is forgotten a minute.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};

/// The first delay; each further failure doubles it.
const FIRST_DELAY_MS: u64 = 500;
/// What strangers' failures at an account can cost somebody who comes from a new network.
pub const MAX_ACCOUNT_DELAY_MS: u64 = 8_000;
/// One failure is forgotten in this time.
const FORGET_MS: u64 = 60_000;
/// No more failures are remembered: they would be forgotten too late.
const MAX_SCORE: u32 = 30;
/// So long a network is known for an account after a login.
const KNOWN_MS: u64 = 30 * 86_400_000;

/// What is free, and what guessing costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Failures without a delay.
    pub free_failures: u32,
    /// The longest delay of a network; who would wait longer is refused.
    pub max_delay_ms: u64,
    /// Entries of each table.
    pub max_entries: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { free_failures: 5, max_delay_ms: 20_000, max_entries: 10_000 }
    }
}

/// Whether a password may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// At once.
    Now,
    /// After so many milliseconds; they have been set aside for this one.
    After(u64),
    /// Not now: too many wait already.
    Refused,
}

/// Where somebody comes from, as far as it can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Network {
        Network(network_of(address))
    }
}

/// What one customer has: an IPv4 address, or the first address of an IPv6 network of 64 bits.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// The failures of one network, account or pair.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    score: u32,
    /// Since when the score waits for its next failure to be forgotten.
    since: u64,
    /// Until when delays are set aside.
    taken_until: u64,
}

impl Failures {
    fn forget(&mut self, now: u64) {
        let steps = now.saturating_sub(self.since) / FORGET_MS;
        self.score = self.score.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
        self.since = if self.score == 0 { now } else { self.since + steps * FORGET_MS };
    }
    fn add(&mut self, now: u64) {
        self.forget(now);
        self.score = (self.score + 1).min(MAX_SCORE);
    }
    fn delay(&self, bounds: &Bounds) -> u64 {
        match self.score.checked_sub(bounds.free_failures) {
            None => 0,
            Some(over) => (FIRST_DELAY_MS << over.min(32)).min(bounds.max_delay_ms),
        }
    }
    /// When the next one of these may try; `None`: too late to wait for.
    fn wait(&mut self, now: u64, bounds: &Bounds) -> Option<u64> {
        self.forget(now);
        let delay = self.delay(bounds);
        if delay == 0 {
            return Some(0);
        }
        let wait = self.taken_until.saturating_sub(now) + delay;
        (wait <= bounds.max_delay_ms).then_some(wait)
    }
}

/// A bounded table of failures; what is worth least goes first.
#[derive(Debug)]
struct Table<K>(HashMap<K, Failures>);

impl<K: Eq + Hash + Copy> Table<K> {
    fn entry(&mut self, key: K, now: u64, most: usize) -> &mut Failures {
        if !self.0.contains_key(&key) && self.0.len() >= most.max(1) {
            let worth = |failures: &Failures| {
                let mut failures = *failures;
                failures.forget(now);
                (failures.score, failures.taken_until, failures.since)
            };
            let least = self.0.iter().min_by_key(|(_, failures)| worth(failures)).map(|(&key, _)| key);
            if let Some(least) = least {
                self.0.remove(&least);
            }
        }
        self.0.entry(key).or_insert(Failures { since: now, ..Failures::default() })
    }
}

/// An account by the hash of its name: names that nobody has are of any length.
type Account = u64;

/// A network from which somebody has logged in.
#[derive(Debug, Clone, Copy)]
struct Known {
    last: u64,
    failures: Failures,
}

/// The failures of late.
#[derive(Debug)]
pub struct Throttle {
    bounds: Bounds,
    hasher: RandomState,
    networks: Table<Network>,
    accounts: Table<Account>,
    known: HashMap<(Network, Account), Known>,
}

impl Throttle {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Throttle {
        Throttle {
            bounds,
            hasher: RandomState::new(),
            networks: Table(HashMap::new()),
            accounts: Table(HashMap::new()),
            known: HashMap::new(),
        }
    }

    /// Whether somebody from `address` may try a password of `account` at `now`. Whoever gets leave must tell the end:
    /// [`Throttle::succeeded`] or [`Throttle::failed`], which stands for giving up too.
    pub fn ask(&mut self, now: u64, address: IpAddr, account: &str) -> Leave {
        let (network, account) = (Network::of(address), self.hasher.hash_one(account));
        let bounds = self.bounds;
        if let Some(known) = self.is_known(now, network, account) {
            return leave(known.failures.wait(now, &bounds), &mut known.failures, now);
        }
        let strangers = match self.accounts.0.get_mut(&account) {
            Some(failures) => {
                failures.forget(now);
                failures.delay(&bounds).min(MAX_ACCOUNT_DELAY_MS)
            }
            None => 0,
        };
        match self.networks.0.get_mut(&network) {
            Some(failures) => {
                let wait = failures.wait(now, &bounds).map(|wait| wait.max(strangers));
                leave(wait, failures, now)
            }
            None if strangers > 0 => Leave::After(strangers),
            None => Leave::Now,
        }
    }

    /// The password was right.
    pub fn succeeded(&mut self, now: u64, address: IpAddr, account: &str) {
        let key = (Network::of(address), self.hasher.hash_one(account));
        if !self.known.contains_key(&key) && self.known.len() >= self.bounds.max_entries.max(1) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last).map(|(&key, _)| key);
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(key, Known { last: now, failures: Failures::default() });
    }

    /// The password was wrong, or whoever tried it didn't wait for the answer.
    pub fn failed(&mut self, now: u64, address: IpAddr, account: &str) {
        let (network, account) = (Network::of(address), self.hasher.hash_one(account));
        let most = self.bounds.max_entries;
        // A forgotten client with an old password slows nobody else behind its address.
        if let Some(known) = self.is_known(now, network, account) {
            known.failures.add(now);
            return;
        }
        self.networks.entry(network, now, most).add(now);
        self.accounts.entry(account, now, most).add(now);
    }

    fn is_known(&mut self, now: u64, network: Network, account: Account) -> Option<&mut Known> {
        self.known.get_mut(&(network, account)).filter(|known| now.saturating_sub(known.last) < KNOWN_MS)
    }
}

fn leave(wait: Option<u64>, failures: &mut Failures, now: u64) -> Leave {
    match wait {
        None => Leave::Refused,
        Some(0) => Leave::Now,
        Some(wait) => {
            failures.taken_until = failures.taken_until.max(now + wait);
            Leave::After(wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn throttle() -> Throttle {
        Throttle::new(Bounds::default())
    }

    #[test]
    fn delays_grow_from_the_bound_on_and_are_forgotten() {
        let mut t = throttle();
        for _ in 0..5 {
            assert_eq!(t.ask(0, HERE, "alice"), Leave::Now);
            t.failed(0, HERE, "alice");
        }
        for delay in [500, 1_000, 2_000, 4_000, 8_000, 16_000] {
            assert_eq!(t.clone_ask(0, HERE, "alice"), Leave::After(delay));
            t.failed(0, HERE, "alice");
        }
        assert_eq!(t.clone_ask(0, HERE, "alice"), Leave::After(20_000));
        // Eleven failures; at seven left the network waits for 2 s, after seven minutes it is free.
        assert_eq!(t.clone_ask(4 * FORGET_MS, HERE, "bob"), Leave::After(2_000));
        assert_eq!(t.clone_ask(7 * FORGET_MS - 1, HERE, "bob"), Leave::After(500));
        assert_eq!(t.clone_ask(7 * FORGET_MS, HERE, "bob"), Leave::Now);
    }

    impl Throttle {
        /// Asks without setting a delay aside.
        fn clone_ask(&mut self, now: u64, address: IpAddr, account: &str) -> Leave {
            let taken = self.networks.0.get(&Network::of(address)).map(|f| f.taken_until);
            let leave = self.ask(now, address, account);
            if let (Some(taken), Some(failures)) = (taken, self.networks.0.get_mut(&Network::of(address))) {
                failures.taken_until = taken;
            }
            leave
        }
    }

    #[test]
    fn who_tries_at_once_waits_one_after_the_other() {
        let mut t = throttle();
        (0..9).for_each(|n| t.failed(0, HERE, &format!("user {n}")));
        // Nine failures: 8 s each; a third one would wait for 24 s.
        assert_eq!(t.ask(0, HERE, "x"), Leave::After(8_000));
        assert_eq!(t.ask(0, HERE, "y"), Leave::After(16_000));
        assert_eq!(t.ask(0, HERE, "z"), Leave::Refused);
        assert_eq!(t.ask(4_000, HERE, "z"), Leave::After(20_000));
        assert_eq!(t.ask(0, THERE, "z"), Leave::Now);
    }

    #[test]
    fn one_customer_of_ipv6_is_one_network() {
        let mut t = throttle();
        let of = |text: &str| -> IpAddr { text.parse().unwrap() };
        (0..6).for_each(|n| t.failed(0, of(&format!("2001:db8:1:2::{n}")), &format!("user {n}")));
        assert_eq!(t.ask(0, of("2001:db8:1:2:ffff::1"), "x"), Leave::After(1_000));
        assert_eq!(t.ask(0, of("2001:db8:1:3::1"), "x"), Leave::Now);
        (0..6).for_each(|n| t.failed(0, of("::ffff:192.0.2.1"), &format!("user {n}")));
        assert_eq!(t.ask(0, HERE, "x"), Leave::After(1_000), "IPv4 in IPv6's clothes");
    }

    #[test]
    fn strangers_slow_new_networks_a_little_and_known_ones_not() {
        let mut t = throttle();
        t.succeeded(0, HERE, "alice");
        for n in 0..200_u8 {
            t.failed(0, IpAddr::from([198, 51, 100, n]), "alice");
        }
        assert_eq!(t.ask(0, HERE, "alice"), Leave::Now);
        assert_eq!(t.ask(0, THERE, "alice"), Leave::After(MAX_ACCOUNT_DELAY_MS));
        assert_eq!(t.ask(0, THERE, "bob"), Leave::Now);
        // Not for ever.
        assert_eq!(t.ask(KNOWN_MS - 1, HERE, "alice"), Leave::Now);
    }

    #[test]
    fn a_success_of_ones_own_buys_no_guesses_at_others() {
        let mut t = throttle();
        for n in 0..8 {
            t.failed(0, HERE, &format!("victim {n}"));
            t.succeeded(0, HERE, "mallory");
        }
        assert_eq!(t.ask(0, HERE, "victim"), Leave::After(4_000));
        // Nor at the own account's password, once known.
        (0..6).for_each(|_| t.failed(0, HERE, "mallory"));
        assert_eq!(t.ask(0, HERE, "mallory"), Leave::After(1_000));
    }

    #[derive(Debug, Clone)]
    enum Act {
        Try { network: u8, account: u8, right: bool },
        Pass(u64),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            6 => (0..12_u8, 0..12_u8, prop::bool::weighted(0.1))
                .prop_map(|(network, account, right)| Act::Try { network, account, right }),
            1 => (0..200_000_u64).prop_map(Act::Pass),
        ];
        prop::collection::vec(act, 0..300)
    }

    proptest! {
        #[test]
        fn tables_stay_bounded_and_delays_too(acts in acts(), most in 1..8_usize) {
            let bounds = Bounds { max_entries: most, ..Bounds::default() };
            let mut t = Throttle::new(bounds);
            let mut now = 0;
            for act in acts {
                match act {
                    Act::Pass(ms) => now += ms,
                    Act::Try { network, account, right } => {
                        let (ip, name) = (IpAddr::from([10, 0, 0, network]), format!("user {account}"));
                        let leave = t.ask(now, ip, &name);
                        if let Leave::After(ms) = leave {
                            prop_assert!(ms > 0 && ms <= bounds.max_delay_ms);
                        }
                        match leave {
                            Leave::Refused => {}
                            _ if right => t.succeeded(now, ip, &name),
                            _ => t.failed(now, ip, &name),
                        }
                    }
                }
                prop_assert!(t.networks.0.len() <= most && t.accounts.0.len() <= most && t.known.len() <= most);
            }
        }

        /// Whatever others do, who logged in from here lately isn't delayed; a stranger to all is never refused.
        #[test]
        fn nobody_is_locked_out(acts in acts()) {
            let mut t = throttle();
            t.succeeded(0, HERE, "alice");
            let mut now = 0;
            for act in acts {
                match act {
                    Act::Pass(ms) => now += ms,
                    Act::Try { network, account, right } => {
                        // Network 0 is alice's own, account 0 is alice's; both together would be herself.
                        let ip = if network == 0 { HERE } else { IpAddr::from([10, 0, 0, network]) };
                        let name = if account == 0 && network != 0 { "alice".into() } else { format!("user {account}") };
                        let allowed = t.ask(now, ip, &name) != Leave::Refused;
                        if right { t.succeeded(now, ip, &name) } else if allowed { t.failed(now, ip, &name) }
                    }
                }
                prop_assert_eq!(t.ask(now, HERE, "alice"), Leave::Now);
                let stranger = t.ask(now, THERE, "alice");
                prop_assert!(matches!(stranger, Leave::Now | Leave::After(1..=MAX_ACCOUNT_DELAY_MS)));
            }
        }

        /// However fast one network guesses: after the free failures and the growing delays, one guess each longest delay.
        #[test]
        fn guessing_stays_slow(pauses in prop::collection::vec(0..3_000_u64, 2_000)) {
            let mut t = throttle();
            let (mut now, mut guesses) = (0_u64, 0_u64);
            for pause in pauses {
                now += pause;
                match t.ask(now, HERE, "alice") {
                    Leave::Refused => {}
                    Leave::Now => { guesses += 1; t.failed(now, HERE, "alice") }
                    Leave::After(ms) => { guesses += 1; now += ms; t.failed(now, HERE, "alice") }
                }
            }
            prop_assert!(guesses <= 5 + 7 + now / 15_000, "{} in {} ms", guesses, now);
        }
    }
}
