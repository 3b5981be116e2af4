//! Counts connections per address and per user; a place is given back when its guard is dropped.
//!
//! Invariant: counts never pass the settings' bounds, and maps hold no address or user without a connection.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<IpAddr, (usize, usize)>,
    users: HashMap<String, usize>,
}

/// The counts of a server; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    counts: Arc<Mutex<Counts>>,
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

impl Gate {
    /// With the settings' bounds.
    pub(crate) fn new(settings: &crate::Settings) -> Gate {
        Gate {
            counts: Arc::default(),
            per_address: settings.max_connections_per_address,
            before_login: settings.max_before_login_per_address,
            per_user: settings.max_connections_per_user,
        }
    }

    /// A place for a new connection; `None` when the address has enough.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut counts = self.counts.lock();
        let (all, waiting) = counts.addresses.get(&address).copied().unwrap_or_default();
        if all >= self.per_address || waiting >= self.before_login {
            return None;
        }
        counts.addresses.insert(address, (all + 1, waiting + 1));
        Some(Place { gate: self.clone(), address, user: None })
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
        assert!(gate.enter(here).is_none(), "two have not logged in");
        assert!(a.login("bob") && b.login("bob"));
        let c = gate.enter(here).unwrap();
        assert!(gate.enter(here).is_none(), "three in all");
        let mut d = gate.enter(there).unwrap();
        assert!(!d.login("bob"), "two are bob's");
        drop(a);
        assert!(d.login("bob"));
        assert!(gate.enter(here).is_some());
        // Who logs out counts among those who have not logged in, of which there may be two.
        assert!(d.logout() && d.login("eve") && d.logout());
        let mut e = gate.enter(there).unwrap();
        assert!(e.login("eve") && gate.enter(there).is_some());
        let f = gate.enter(there).unwrap();
        assert!(!e.logout(), "three would wait");
        drop((b, c, d, e, f));
        let counts = gate.counts.lock();
        assert!(counts.addresses.is_empty() && counts.users.is_empty());
    }
}
