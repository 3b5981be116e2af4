//! What was read of users and their rules, so that a decision costs no read of the database.
//!
//! Invariant: nothing is kept that a write which has returned made old. Every write of the tables `users`, `group_rights` and
//! `auth_settings` ends with [`Known::forget`]; what was read while one went on is used once and not kept. What time alone
//! decides (the end of a user, of archive access) isn't kept: it is looked at anew each time.

use crate::{ArchiveAccess, Sight, User};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// Most rules of all users together that are kept; then all is read anew. A user counts as one more.
const MAX_WEIGHT: usize = 200_000;

/// A user with the rules of their own and of their groups put together.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) user: User,
    pub(crate) rules: Sight,
}

#[derive(Debug, Default)]
struct Kept {
    generation: u64,
    people: HashMap<String, Arc<Person>>,
    weight: usize,
    access: Option<ArchiveAccess>,
}

/// What is known since the last write.
#[derive(Debug, Default)]
pub(crate) struct Known(RwLock<Kept>);

impl Known {
    /// Of which state of the tables what is read now is; to be asked before reading.
    pub(crate) fn generation(&self) -> u64 {
        self.0.read().generation
    }

    /// All that was read is old: to be called after each write, before it returns.
    pub(crate) fn forget(&self) {
        let mut kept = self.0.write();
        *kept = Kept { generation: kept.generation + 1, ..Kept::default() };
    }

    /// A user, by the name in the form that it is kept in.
    pub(crate) fn person(&self, name: &str) -> Option<Arc<Person>> {
        self.0.read().people.get(name).cloned()
    }

    /// Keeps a user that was read in this generation.
    pub(crate) fn keep_person(&self, read_in: u64, person: &Arc<Person>) {
        let mut kept = self.0.write();
        if kept.generation != read_in || kept.people.contains_key(&person.user.name) {
            return;
        }
        let weight = 1 + person.rules.rules();
        if kept.weight + weight > MAX_WEIGHT {
            kept.people.clear();
            kept.weight = 0;
        }
        kept.weight += weight;
        kept.people.insert(person.user.name.clone(), person.clone());
    }

    /// Whether administrators may read others' archives.
    pub(crate) fn access(&self) -> Option<ArchiveAccess> {
        self.0.read().access.clone()
    }

    /// Keeps what was read of that in this generation.
    pub(crate) fn keep_access(&self, read_in: u64, access: &ArchiveAccess) {
        let mut kept = self.0.write();
        if kept.generation == read_in {
            kept.access = Some(access.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, Right};

    fn rules(count: usize) -> Sight {
        let rules: Vec<_> = (0..count).map(|n| Right::new(&format!("a/{n}"), Level::Read).unwrap()).collect();
        Sight::new(&rules, &[])
    }

    fn person(name: &str, rules: &Sight) -> Arc<Person> {
        Arc::new(Person { user: User { name: name.into(), ..User::default() }, rules: rules.clone() })
    }

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let known = Known::default();
        let before = known.generation();
        known.keep_person(before, &person("a", &rules(1)));
        assert!(known.person("a").is_some());
        known.forget();
        assert!(known.person("a").is_none());
        known.keep_person(before, &person("a", &rules(1)));
        known.keep_access(before, &ArchiveAccess::default());
        assert!(known.person("a").is_none() && known.access().is_none());
        known.keep_person(known.generation(), &person("a", &rules(1)));
        known.keep_access(known.generation(), &ArchiveAccess::default());
        assert!(known.person("a").is_some() && known.access().is_some());
    }

    #[test]
    fn no_more_rules_are_kept_than_the_bound() {
        let known = Known::default();
        let each = 1_000;
        let many = rules(each);
        let fit = MAX_WEIGHT / (each + 1);
        for n in 0..fit {
            known.keep_person(0, &person(&n.to_string(), &many));
            known.keep_person(0, &person(&n.to_string(), &many));
        }
        assert_eq!(known.0.read().people.len(), fit);
        assert!(known.0.read().weight <= MAX_WEIGHT);
        known.keep_person(0, &person("one more", &many));
        assert_eq!(known.0.read().people.len(), 1);
        assert_eq!(known.0.read().weight, each + 1);
    }
}
