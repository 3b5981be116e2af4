//! What synchronisation changes: pure, from the users who are here and everybody who is in the directory.
//!
//! Invariant: nobody who is not the directory's is touched: a user whose password is kept here stays as is, and so does one who
//! was made from another entry of the same name; both are listed as conflicts. An entry is known by its id, so that a
//! renamed one is the same user. Rights and privileges of users who are there never change.

use super::person::{Found, Person};
use super::settings::{Directory, Gone};
use crate::users::{Mode, Origin, User};
use crate::{Level, Right, check_address, check_name};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So many users may go without a question.
pub(super) const FEW_LOSSES: usize = 10;
/// Longest list of changed values that is told of one user.
const MAX_TOLD: usize = 20;

/// What happens to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Comes.
    Created,
    /// Something else than the name changes.
    Changed,
    /// The name changes, and maybe more.
    Renamed,
    /// May log in again.
    Enabled,
    /// May not log in any more.
    Disabled,
    /// Goes.
    Removed,
    /// Nothing: somebody else stands in the way.
    Conflict,
    /// Nothing: the entry can't be used.
    Skipped,
}

/// A line of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What happens.
    pub action: Action,
    /// To whom: the user's name from now on.
    pub name: String,
    /// What changes, and why.
    pub what: Vec<String>,
    /// The entry in the directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
}

/// A line of the account, and what it means for the table of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) row: Row,
    pub(super) edit: Option<Edit>,
}

/// An entry of the table of users, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    /// The name until now; none: there was none.
    pub(super) before: Option<String>,
    /// None: gone.
    pub(super) after: Option<User>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In an order in which no name is wanted before it is free.
    pub(super) steps: Vec<Step>,
    /// Users who are the directory's, before.
    pub(super) linked: usize,
    /// Of these, disabled or removed because their entry is gone.
    pub(super) losses: usize,
}

struct Planner<'a> {
    users: &'a [User],
    directory: &'a Directory,
    now: i64,
    /// Whose a name is, in lower case, as far as the plan goes.
    names: HashMap<String, String>,
    /// Whose an address is.
    addresses: HashMap<String, String>,
    plan: Plan,
}

/// What to do with these users, given what was found.
pub(super) fn plan(users: &[User], found: &[Found], directory: &Directory, now: i64) -> Plan {
    let names = users.iter().map(|user| (user.name.to_lowercase(), user.name.clone())).collect();
    let mut planner =
        Planner { users, directory, now, names, addresses: HashMap::new(), plan: Plan::default() };
    planner.all(found);
    planner.plan
}

impl Planner<'_> {
    fn all(&mut self, found: &[Found]) {
        let mut people: BTreeMap<&str, &Person> = BTreeMap::new();
        let (mut left_out, mut untouched) = (HashMap::new(), BTreeSet::new());
        for one in found {
            match one {
                Found::Person(person) => {
                    if people.insert(&person.id, person).is_some() {
                        self.tell(
                            Action::Skipped,
                            &person.name,
                            vec!["another entry has the same id".into()],
                            person.dn.clone(),
                        );
                    }
                }
                Found::LeftOut { id, name, why } => {
                    left_out.insert(id.as_str(), (name, *why));
                }
                Found::Unusable { id, entry, why } => {
                    untouched.insert(id.as_str());
                    self.tell(Action::Skipped, entry, vec![why.clone()], None);
                }
            }
        }
        let mut clash: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for person in people.values() {
            clash.entry(person.name.to_lowercase()).or_default().push(&person.id);
        }
        let by_id: HashMap<&str, &User> =
            self.users.iter().filter_map(|user| Some((user.origin.as_ref()?.id.as_str(), user))).collect();
        self.plan.linked = by_id.len();
        self.claim_addresses(&people);
        let (known, new): (Vec<&Person>, Vec<&Person>) =
            people.values().copied().partition(|person| by_id.contains_key(person.id.as_str()));
        // Who is gone goes first, so that the name is free; who is there next, so that names that change are free.
        for user in self.users {
            let Some(origin) = &user.origin else { continue };
            if people.contains_key(origin.id.as_str()) || untouched.contains(origin.id.as_str()) {
                continue;
            }
            let why = left_out.get(origin.id.as_str()).map_or("the entry is gone", |(_, why)| *why);
            self.gone(user, why);
        }
        for person in known {
            if let Some(user) = by_id.get(person.id.as_str()) {
                self.known(user, person);
            }
        }
        let mut new = new;
        new.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        for person in new {
            let rivals = clash.get(&person.name.to_lowercase()).map_or(0, Vec::len);
            self.add(person, rivals > 1);
        }
    }

    /// Addresses stay with who has them, as long as they may.
    fn claim_addresses(&mut self, people: &BTreeMap<&str, &Person>) {
        for user in self.users {
            let person = user.origin.as_ref().and_then(|origin| people.get(origin.id.as_str()));
            let entry = person
                .map(|person| person.addresses.iter().map(|a| a.to_lowercase()).collect::<BTreeSet<_>>());
            for address in &user.addresses {
                if entry.as_ref().is_none_or(|entry| entry.contains(address)) {
                    self.addresses.insert(address.clone(), user.name.clone());
                }
            }
        }
    }

    fn tell(&mut self, action: Action, name: &str, what: Vec<String>, entry: Option<String>) {
        self.plan.steps.push(Step { row: Row { action, name: name.to_owned(), what, entry }, edit: None });
    }
    fn step(&mut self, row: Row, before: Option<String>, after: Option<User>) {
        self.plan.steps.push(Step { row, edit: Some(Edit { before, after }) });
    }

    fn gone(&mut self, user: &User, why: &'static str) {
        let Some(origin) = &user.origin else { return };
        match self.directory.gone {
            Gone::Keep => {}
            Gone::Disable if user.disabled => {}
            Gone::Disable => {
                self.plan.losses += 1;
                let origin = Some(Origin { disabled: true, ..origin.clone() });
                let after = User { disabled: true, origin, ..user.clone() };
                let row = Row {
                    action: Action::Disabled,
                    name: user.name.clone(),
                    what: vec![why.into()],
                    entry: user.dn.clone(),
                };
                self.step(row, Some(user.name.clone()), Some(after));
            }
            Gone::Remove => {
                self.plan.losses += 1;
                self.addresses.retain(|_, whose| *whose != user.name);
                // The name stays taken for this time: who has it next must be meant by somebody.
                let what = vec![why.into(), "the archive stays".into()];
                let row =
                    Row { action: Action::Removed, name: user.name.clone(), what, entry: user.dn.clone() };
                self.step(row, Some(user.name.clone()), None);
            }
        }
    }

    fn known(&mut self, user: &User, person: &Person) {
        let mut notes = Vec::new();
        let mut after = user.clone();
        match check_name(&person.name.to_lowercase()) {
            Ok(name) if name == user.name => {}
            // What a person or an older version wrote in capitals stays.
            Ok(name) if name == user.name.to_lowercase() => {}
            Ok(name) => match self.names.get(&name.to_lowercase()) {
                Some(other) => notes.push(format!("can't be called {name:?}: there is a user {other:?}")),
                None => {
                    self.names.remove(&user.name.to_lowercase());
                    self.names.insert(name.to_lowercase(), name.clone());
                    notes.push(format!("was called {:?}; that archive keeps its name", user.name));
                    // Mail goes to the archive of the new name from now on.
                    let own = user
                        .rights
                        .iter()
                        .find(|right| right.folder == user.name && right.level > Level::None);
                    if let (Some(own), None) = (own, self.reader_of(&name, Some(&user.name))) {
                        after.rights.retain(|right| right.folder != name);
                        after.rights.push(Right { folder: name.clone(), level: own.level });
                        after.rights.sort_unstable();
                    }
                    after.name = name;
                }
            },
            Err(error) => notes.push(error.to_string()),
        }
        self.fill(&mut after, person, &mut notes);
        let by_directory = user.origin.as_ref().is_some_and(|origin| origin.disabled);
        let mut action = if after.name == user.name { Action::Changed } else { Action::Renamed };
        if person.disabled && !user.disabled {
            after.disabled = true;
            notes.push("disabled in the directory".into());
            action = Action::Disabled;
        } else if !person.disabled && user.disabled && by_directory {
            after.disabled = false;
            notes.push("is in the directory and enabled".into());
            action = Action::Enabled;
        }
        after.origin = Some(Origin {
            id: person.id.clone(),
            disabled: after.disabled && (by_directory || !user.disabled),
        });
        if after == *user {
            // A name that can't be had is told each time, like every conflict.
            if !notes.is_empty() {
                self.tell(Action::Conflict, &user.name, notes, person.dn.clone());
            }
            return;
        }
        let mut what = notes;
        what.extend(differences(user, &after));
        let row = Row { action, name: after.name.clone(), what, entry: person.dn.clone() };
        self.step(row, Some(user.name.clone()), Some(after));
    }

    fn add(&mut self, person: &Person, rivals: bool) {
        if person.disabled {
            return;
        }
        let entry = person.dn.clone();
        let name = match check_name(&person.name.to_lowercase()) {
            Ok(name) => name,
            Err(error) => return self.tell(Action::Skipped, &person.name, vec![error.to_string()], entry),
        };
        if rivals {
            let what = "several entries have this name; none of them is taken".to_owned();
            return self.tell(Action::Conflict, &name, vec![what], entry);
        }
        let there = self.users.iter().find(|user| user.name.to_lowercase() == name.to_lowercase());
        let mut notes = Vec::new();
        let (before, mut after) = match there {
            Some(user) if self.names.get(&name.to_lowercase()) == Some(&user.name) => {
                match (user.mode, &user.origin) {
                    (Mode::Directory, None) => {
                        notes.push("is checked by the directory already; linked to its entry".into());
                        (Some(user.name.clone()), user.clone())
                    }
                    (Mode::Integrated, _) => {
                        let what = format!(
                            "user {:?} has a password here and is not taken over; to have that: mailkeep user edit {:?} --mode directory",
                            user.name, user.name
                        );
                        return self.tell(Action::Conflict, &name, vec![what], entry);
                    }
                    (Mode::Directory, Some(_)) => {
                        let what = format!(
                            "user {:?} was made from another entry; if this is the same person, delete the user and synchronise again",
                            user.name
                        );
                        return self.tell(Action::Conflict, &name, vec![what], entry);
                    }
                }
            }
            _ if self.names.contains_key(&name.to_lowercase()) => {
                let what = "a user who is renamed now has this name".to_owned();
                return self.tell(Action::Conflict, &name, vec![what], entry);
            }
            _ => (None, self.fresh(&name, &mut notes)),
        };
        self.names.insert(name.to_lowercase(), after.name.clone());
        after.mode = Mode::Directory;
        after.origin = Some(Origin { id: person.id.clone(), disabled: false });
        self.fill(&mut after, person, &mut notes);
        let action = if before.is_some() { Action::Changed } else { Action::Created };
        let old = before.as_ref().and(there).cloned().unwrap_or_default();
        let mut what = notes;
        what.extend(differences(&old, &after));
        self.step(Row { action, name: after.name.clone(), what, entry }, before, Some(after));
    }

    /// A new user, with what new users get.
    fn fresh(&self, name: &str, notes: &mut Vec<String>) -> User {
        let mut privileges = self.directory.privileges.clone();
        privileges.sort_unstable();
        privileges.dedup();
        let mut user = User { name: name.to_owned(), privileges, created: self.now, ..User::default() };
        // An archive that a renamed user reads is not the new user's, though it has the name.
        match self.reader_of(name, None) {
            Some(other) => {
                notes.push(format!("gets no right on the archive {name:?}, which {:?} may read", other.name))
            }
            None if self.directory.own_archive > Level::None => {
                user.rights = vec![Right { folder: name.to_owned(), level: self.directory.own_archive }];
            }
            None => {}
        }
        user
    }

    /// Somebody else than `but` whose own rule is on this archive. A name that is new may be the old one of who is renamed.
    fn reader_of(&self, archive: &str, but: Option<&str>) -> Option<&User> {
        self.users.iter().find(|other| {
            Some(other.name.as_str()) != but
                && other.rights.iter().any(|right| right.folder == archive && right.level > Level::None)
        })
    }

    /// Takes what the entry says.
    fn fill(&mut self, user: &mut User, person: &Person, notes: &mut Vec<String>) {
        user.full_name.clone_from(&person.full_name);
        user.dn.clone_from(&person.dn);
        user.groups = person.groups.iter().cloned().collect();
        user.aliases.clone_from(&person.aliases);
        let mut addresses = Vec::new();
        for address in &person.addresses {
            match check_address(address) {
                Ok(address) => match self.addresses.get(&address) {
                    Some(other) if *other != user.name && !self.is_before(other, &user.name, person) => {
                        notes.push(format!("{address} is {other:?}'s address"));
                    }
                    _ => {
                        self.addresses.insert(address.clone(), user.name.clone());
                        if !addresses.contains(&address) {
                            addresses.push(address);
                        }
                    }
                },
                Err(error) => notes.push(error.to_string()),
            }
        }
        user.addresses = addresses;
    }

    /// Whether a name is this one's own from before a change of name.
    fn is_before(&self, other: &str, name: &str, person: &Person) -> bool {
        let mut users = self.users.iter();
        name != other
            && users.any(|user| {
                user.name == other && user.origin.as_ref().is_some_and(|origin| origin.id == person.id)
            })
    }
}

/// What differs between two states of a user, for people.
fn differences(before: &User, after: &User) -> Vec<String> {
    let mut what = Vec::new();
    if before.full_name != after.full_name {
        what.push(format!("full name {:?}", after.full_name));
    }
    if before.dn != after.dn {
        what.push("distinguished name".into());
    }
    for (kind, before, after) in [
        ("address", &before.addresses, &after.addresses),
        ("alias", &before.aliases, &after.aliases),
        ("group", &before.groups, &after.groups),
    ] {
        let came =
            after.iter().filter(|value| !before.contains(value)).map(|value| format!("{kind} +{value}"));
        let went =
            before.iter().filter(|value| !after.contains(value)).map(|value| format!("{kind} -{value}"));
        let count = what.len();
        what.extend(came.chain(went).take(MAX_TOLD));
        if what.len() == count && before != after {
            what.push(format!("order of {kind}es").replace("groupes", "groups"));
        }
    }
    what
}

#[cfg(test)]
mod tests;
