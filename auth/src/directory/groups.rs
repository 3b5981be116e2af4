//! Who is in which group, groups inside groups included.
//!
//! Invariant: a walk ends, whatever contains whatever: each group is visited once, at most [`MAX_DEPTH`] levels up. Two groups of
//! one name can't lend each other's rights: such groups go by their distinguished names.

use super::dn;
use super::ldap::Entry;
use super::settings::Directory;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most groups of a directory.
pub(super) const MAX_GROUPS: usize = 50_000;
/// Most memberships of all groups together.
pub(super) const MAX_MEMBERSHIPS: usize = 5_000_000;
/// Most levels of groups inside groups.
pub(super) const MAX_DEPTH: usize = 32;
/// Most groups of one user.
pub(super) const MAX_GROUPS_OF_ONE: usize = crate::MAX_GROUPS;

/// The groups of a directory. Groups are numbers here, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Groups {
    names: Vec<String>,
    /// The groups' own distinguished names, in their form for comparing.
    keys: Vec<String>,
    /// By distinguished name, in its form for comparing.
    by_dn: HashMap<String, usize>,
    /// What contains an entry, by its distinguished name.
    of_dn: HashMap<String, Vec<usize>>,
    /// What contains a user by name, in lower case (posixGroup).
    of_name: HashMap<String, Vec<usize>>,
    memberships: usize,
    /// What was left out, for people.
    pub(super) warnings: Vec<String>,
}

impl Groups {
    /// Takes a group.
    /// # Errors
    /// Past a bound.
    pub(super) fn add(&mut self, directory: &Directory, entry: &Entry) -> Result<(), String> {
        let Some(key) = dn::normal(&entry.dn) else { return Ok(()) };
        if self.by_dn.contains_key(&key) {
            return Ok(());
        }
        if self.names.len() >= MAX_GROUPS {
            return Err(format!("more than {MAX_GROUPS} groups; narrow --group-base or --group-filter"));
        }
        let number = self.names.len();
        let named = directory
            .group_attributes()
            .into_iter()
            .find_map(|name| entry.texts(name).next().map(str::to_owned));
        // A name that can't be a rule's is no use.
        let good = |name: &String| crate::users::check_group(name).is_ok();
        self.names.push(named.filter(good).unwrap_or_else(|| key.clone()));
        self.keys.push(key.clone());
        self.by_dn.insert(key, number);
        for attribute in ["member", "uniqueMember"] {
            self.members(number, entry.values(attribute))?;
        }
        for name in entry.texts("memberUid") {
            self.count()?;
            self.of_name.entry(name.to_lowercase()).or_default().push(number);
        }
        Ok(())
    }

    /// More members of a group that was taken (Active Directory gives 1,500 at a time).
    /// # Errors
    /// Past a bound.
    pub(super) fn more(&mut self, group: &str, members: &[Vec<u8>]) -> Result<(), String> {
        let number = dn::normal(group).and_then(|key| self.by_dn.get(&key).copied());
        number.map_or(Ok(()), |number| self.members(number, members))
    }

    fn members(&mut self, number: usize, members: &[Vec<u8>]) -> Result<(), String> {
        for member in members {
            let text = String::from_utf8_lossy(member);
            // RFC 4517 §3.3.21: a bit string may follow, for names that are used again.
            let text = text
                .rsplit_once('#')
                .filter(|(_, bits)| bits.starts_with('\''))
                .map_or(&*text, |(name, _)| name);
            if let Some(key) = dn::normal(text) {
                self.count()?;
                self.of_dn.entry(key).or_default().push(number);
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), String> {
        self.memberships += 1;
        if self.memberships > MAX_MEMBERSHIPS {
            return Err(format!(
                "more than {MAX_MEMBERSHIPS} memberships in groups; narrow --group-base or --group-filter"
            ));
        }
        Ok(())
    }

    /// All are taken: groups that share a name go by their distinguished names from here on.
    pub(super) fn complete(&mut self) {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, name) in self.names.iter().enumerate() {
            by_name.entry(crate::groups::normal(name)).or_default().push(number);
        }
        for (name, numbers) in by_name.into_iter().filter(|(_, numbers)| numbers.len() > 1) {
            for number in &numbers {
                if let (Some(place), Some(dn)) = (self.names.get_mut(*number), self.keys.get(*number)) {
                    place.clone_from(dn);
                }
            }
            self.warnings.push(format!(
                "{} groups are called {name:?}; rules must name them by their distinguished names",
                numbers.len()
            ));
        }
    }

    /// The groups that somebody is in, by number.
    fn walk(&mut self, member: &str, name: &str) -> BTreeSet<usize> {
        let direct = dn::normal(member).and_then(|key| self.of_dn.get(&key));
        let named = self.of_name.get(&name.to_lowercase());
        let mut level: Vec<usize> = direct.into_iter().chain(named).flatten().copied().collect();
        let mut all = BTreeSet::new();
        for depth in 0..MAX_DEPTH {
            level.retain(|number| all.insert(*number));
            if level.is_empty() {
                break;
            }
            let next: Vec<usize> = level.iter().flat_map(|number| self.above(*number)).copied().collect();
            if depth + 1 >= MAX_DEPTH {
                if next.iter().any(|number| !all.contains(number)) {
                    self.warnings
                        .push(format!("groups of {name:?} more than {MAX_DEPTH} levels up are left out"));
                }
                break;
            }
            level = next;
        }
        all
    }

    fn above(&self, number: usize) -> &[usize] {
        self.keys.get(number).and_then(|key| self.of_dn.get(key)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The names of all groups that somebody is in.
    pub(super) fn of(&mut self, member: &str, name: &str) -> BTreeSet<String> {
        let all = self.walk(member, name);
        if all.len() > MAX_GROUPS_OF_ONE {
            self.warnings.push(format!("{name:?} is in {} groups; {MAX_GROUPS_OF_ONE} count", all.len()));
        }
        all.iter().filter_map(|number| self.names.get(*number).cloned()).take(MAX_GROUPS_OF_ONE).collect()
    }

    /// The distinguished name of a group that is given by name or by distinguished name, in its form for comparing.
    /// # Errors
    /// There is none, or there are several.
    pub(super) fn find(&self, given: &str) -> Result<String, String> {
        if let Some(key) = dn::normal(given).filter(|key| self.by_dn.contains_key(key)) {
            return Ok(key);
        }
        let wanted = crate::groups::normal(given);
        let mut found = self.by_dn.iter().filter(|(_, number)| {
            self.names.get(**number).is_some_and(|name| crate::groups::normal(name) == wanted)
        });
        match (found.next(), found.next()) {
            (Some((key, _)), None) => Ok(key.clone()),
            (None, _) => Err(format!("there is no group {given:?} in the directory")),
            (Some(_), Some(_)) => {
                Err(format!("there are several groups {given:?}; name it by its distinguished name"))
            }
        }
    }

    /// Whether somebody is in one of these groups.
    pub(super) fn is_in(&mut self, member: &str, name: &str, wanted: &BTreeSet<String>) -> bool {
        let all = self.walk(member, name);
        wanted.iter().any(|key| self.by_dn.get(key).is_some_and(|number| all.contains(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(dn: &str, members: &[&str]) -> Entry {
        let values = members.iter().map(|member| member.as_bytes().to_vec()).collect();
        let name = dn::first_value(dn).unwrap().into_bytes();
        Entry { dn: dn.into(), attributes: vec![("cn".into(), vec![name]), ("member".into(), values)] }
    }

    fn all(entries: &[Entry]) -> Groups {
        let mut groups = Groups::default();
        for entry in entries {
            groups.add(&Directory::default(), entry).unwrap();
        }
        groups.complete();
        groups
    }

    fn names(set: BTreeSet<String>) -> Vec<String> {
        set.into_iter().collect()
    }

    #[test]
    fn groups_inside_groups_and_in_circles() {
        let mut groups = all(&[
            group("cn=legal,dc=x", &["CN=Anna, DC=x", "cn=tax,dc=x"]),
            group("cn=tax,dc=x", &["cn=Bob,dc=x", "cn=legal,dc=x"]),
            group("cn=staff,dc=x", &["cn=LEGAL,dc=x"]),
            group("cn=other,dc=x", &["cn=staff2,dc=x"]),
        ]);
        assert_eq!(names(groups.of("cn=bob,dc=x", "bob")), ["legal", "staff", "tax"]);
        assert_eq!(names(groups.of("cn=anna,dc=x", "anna")), ["legal", "staff", "tax"]);
        assert!(groups.of("cn=carol,dc=x", "carol").is_empty());
        let wanted = BTreeSet::from([groups.find("STAFF").unwrap()]);
        assert!(
            groups.is_in("cn=bob,dc=x", "bob", &wanted) && !groups.is_in("cn=carol,dc=x", "carol", &wanted)
        );
        assert!(groups.find("nobody").is_err());
    }

    #[test]
    fn one_name_twice_gives_nobody_the_other_groups_rights() {
        let mut groups = all(&[
            group("cn=admins,ou=a,dc=x", &["cn=a,dc=x"]),
            group("cn=Admins,ou=b,dc=x", &["cn=b,dc=x"]),
        ]);
        assert_eq!(names(groups.of("cn=a,dc=x", "a")), ["cn=admins,ou=a,dc=x"]);
        assert_eq!(groups.warnings.len(), 1);
        assert!(groups.find("admins").is_err() && groups.find("CN=admins, OU=a,dc=x").is_ok());
    }

    #[test]
    fn unique_members_and_posix_groups() {
        let mut entry = group("cn=posix,dc=x", &[]);
        entry.attributes.push(("memberuid".into(), vec![b"Anna".to_vec()]));
        entry.attributes.push(("uniquemember".into(), vec![b"cn=b,dc=x#'0101'B".to_vec()]));
        let mut groups = all(&[entry]);
        assert_eq!(names(groups.of("cn=a,dc=x", "anna")), ["posix"]);
        assert_eq!(names(groups.of("cn=b,dc=x", "b")), ["posix"]);
    }

    #[test]
    fn the_bound_of_levels() {
        let chain: Vec<Entry> = (0..=MAX_DEPTH)
            .map(|n| {
                let member = if n == 0 { "cn=a,dc=x".into() } else { format!("cn=g{},dc=x", n - 1) };
                group(&format!("cn=g{n},dc=x"), &[&member])
            })
            .collect();
        let mut groups = all(&chain[..MAX_DEPTH]);
        assert_eq!((groups.of("cn=a,dc=x", "a").len(), groups.warnings.len()), (MAX_DEPTH, 0));
        let mut groups = all(&chain);
        assert_eq!((groups.of("cn=a,dc=x", "a").len(), groups.warnings.len()), (MAX_DEPTH, 1));
    }

    #[test]
    fn the_bounds_of_numbers() {
        let mut groups = Groups::default();
        let directory = Directory::default();
        for n in 0..MAX_GROUPS {
            groups.add(&directory, &group(&format!("cn=g{n}"), &["cn=a"])).unwrap();
        }
        assert!(groups.add(&directory, &group("cn=more", &[])).is_err());
        groups.complete();
        assert_eq!((groups.of("cn=a", "a").len(), groups.warnings.len()), (MAX_GROUPS_OF_ONE, 1));
        groups.memberships = MAX_MEMBERSHIPS - 1;
        assert!(groups.more("cn=g0", &[b"cn=b".to_vec()]).is_ok());
        assert!(groups.more("cn=g0", &[b"cn=c".to_vec()]).is_err());
    }
}
