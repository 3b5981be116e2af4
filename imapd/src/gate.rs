//! Counts connections in all, per address (IPv6: per /64, which is what one customer has) and per user; a place is given back when its guard is dropped.
//!
//! Invariant: counts never pass the settings' bounds, and maps hold no address or user without a connection.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    addresses: HashMap<IpAddr, (usize, usize)>,
    users: HashMap<String, usize>,
}

/// The counts of a server; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    counts: Arc<Mutex<Counts>>,
    in_all: usize,
    per_address: usize,
    before_login: usize,
    per_user: usize,
}

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Gate,
    address: IpAddr,
    user: Option<String>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The address has enough.
    Address,
    /// The server has enough.
    Server,
}

impl Gate {
    /// With the settings' bounds.
    pub(crate) fn new(settings: &crate::Settings) -> Gate {
        Gate {
            counts: Arc::default(),
            in_all: settings.max_connections,
            per_address: settings.max_connections_per_address,
            before_login: settings.max_before_login_per_address,
            per_user: settings.max_connections_per_user,
        }
    }

    /// A place for a new connection.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Place, Full> {
        let address = auth::throttle::network_of(address);
        let mut counts = self.counts.lock();
        if counts.all >= self.in_all {
            return Err(Full::Server);
        }
        let (all, waiting) = counts.addresses.get(&address).copied().unwrap_or_default();
        if all >= self.per_address || waiting >= self.before_login {
            return Err(Full::Address);
        }
        counts.all += 1;
        counts.addresses.insert(address, (all + 1, waiting + 1));
        Ok(Place { gate: self.clone(), address, user: None })
    }
}

impl Place {
    /// Counts the connection as the user's; false when the user has enough.
    pub(crate) fn login(&mut self, user: &str) -> bool {
        let mut counts = self.gate.counts.lock();
        let n = counts.users.get(user).copied().unwrap_or(0);
        if self.user.is_some() || n >= self.gate.per_user {
            return false;
        }
        counts.users.insert(user.to_owned(), n + 1);
        if let Some(address) = counts.addresses.get_mut(&self.address) {
            address.1 = address.1.saturating_sub(1);
        }
        self.user = Some(user.to_owned());
        true
    }
}

impl Place {
    /// The user has logged out, the connection stays; false when the address has enough connections without a login.
    pub(crate) fn logout(&mut self) -> bool {
        let mut counts = self.gate.counts.lock();
        let Some(user) = self.user.take() else { return true };
        counts.leave(&user);
        let Some(address) = counts.addresses.get_mut(&self.address) else { return true };
        address.1 += 1;
        address.1 <= self.gate.before_login
    }
}

impl Counts {
    fn leave(&mut self, user: &str) {
        if let Some(n) = self.users.get_mut(user) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.users.remove(user);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.gate.counts.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some((all, waiting)) = counts.addresses.get_mut(&self.address) {
            *all = all.saturating_sub(1);
            if self.user.is_none() {
                *waiting = waiting.saturating_sub(1);
            }
            if *all == 0 {
                counts.addresses.remove(&self.address);
            }
        }
        if let Some(user) = &self.user {
            counts.leave(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_giving_back() {
        let settings = crate::Settings {
            max_connections_per_address: 3,
            max_before_login_per_address: 2,
            max_connections_per_user: 2,
            ..crate::Settings::default()
        };
        let gate = Gate::new(&settings);
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let mut a = gate.enter(here).unwrap();
        let mut b = gate.enter(here).unwrap();
        assert!(gate.enter(here).is_err(), "two have not logged in");
        assert!(a.login("bob") && b.login("bob"));
        let c = gate.enter(here).unwrap();
        assert!(gate.enter(here).is_err(), "three from here");
        let mut d = gate.enter(there).unwrap();
        assert!(!d.login("bob"), "two are bob's");
        drop(a);
        assert!(d.login("bob"));
        assert!(gate.enter(here).is_ok());
        // Who logs out counts among those who have not logged in, of which there may be two.
        assert!(d.logout() && d.login("eve") && d.logout());
        let mut e = gate.enter(there).unwrap();
        assert!(e.login("eve") && gate.enter(there).is_ok());
        let f = gate.enter(there).unwrap();
        assert!(!e.logout(), "three would wait");
        drop((b, c, d, e, f));
        let counts = gate.counts.lock();
        assert!(counts.addresses.is_empty() && counts.users.is_empty() && counts.all == 0);
    }

    #[test]
    fn a_server_has_so_many_places_and_a_customer_is_one() {
        let settings = crate::Settings {
            max_connections: 3,
            max_connections_per_address: 2,
            ..crate::Settings::default()
        };
        let gate = Gate::new(&settings);
        let from = |text: &str| gate.enter(text.parse().unwrap());
        let first = from("2001:db8::1").unwrap();
        let _second = from("2001:db8::2").unwrap();
        assert_eq!(from("2001:db8:0:0:ffff::").unwrap_err(), Full::Address);
        let _third = from("2001:db8:0:1::").unwrap();
        assert_eq!(from("192.0.2.1").unwrap_err(), Full::Server);
        drop(first);
        assert!(from("192.0.2.1").is_ok());
    }
}
