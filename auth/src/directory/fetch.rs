//! Everybody in the directory, with their groups, as synchronisation wants them.
//!
//! Invariant: either all of it or an error; what stands half way is never taken for the whole, since who is missing from it would
//! lose what they have. If a server fails in the middle, the next one is asked from the beginning.

use super::filter::{Filter, IN_CHAIN};
use super::groups::Groups;
use super::ldap::{Entry, Ldap, Scope, Search};
use super::login::Loaded;
use super::person::{self, Found};
use super::settings::Kind;
use super::wire::Fault;
use super::{code, mdaemon};
use crate::Error;
use std::collections::BTreeSet;

/// Most pieces of large groups, all groups together: six times what the bound on memberships takes of those that Active Directory gives.
pub(super) const MAX_PIECES: usize = 20_000;

/// Everybody, and what people should know.
#[derive(Debug, Default)]
pub(super) struct Everybody {
    pub(super) found: Vec<Found>,
    pub(super) warnings: Vec<String>,
}

/// Reads the directory.
/// # Errors
/// `Directory`: which server said what.
pub(super) fn everybody(loaded: &Loaded, cancelled: &dyn Fn() -> bool) -> Result<Everybody, Error> {
    let directory = &loaded.directory;
    match (directory.kind, &directory.file) {
        (Kind::Mdaemon, Some(file)) => {
            Ok(Everybody { found: mdaemon::read(directory, file)?, warnings: Vec::new() })
        }
        (Kind::Ldap | Kind::ActiveDirectory, _) => {
            let mut failed = Vec::new();
            for server in &loaded.servers {
                let read = loaded.connect_for_long(server).and_then(|mut ldap| {
                    let read = from_ldap(loaded, &mut ldap, cancelled)?;
                    ldap.close();
                    Ok(read)
                });
                match read {
                    Ok(read) => return read.map_err(Error::Directory),
                    Err(fault) if fault.is_passing() => failed.push(fault.to_string()),
                    Err(fault) => return Err(Error::Directory(fault.to_string())),
                }
            }
            Err(Error::Directory(failed.join("; ")))
        }
        _ => Err(Error::Directory("this kind of directory has no list of users; add them by hand".into())),
    }
}

/// The inner error is one that asking another server wouldn't mend.
fn from_ldap(
    loaded: &Loaded,
    ldap: &mut Ldap,
    cancelled: &dyn Fn() -> bool,
) -> Result<Result<Everybody, String>, Fault> {
    let directory = &loaded.directory;
    let check = || if cancelled() { Err(Fault::Cancelled) } else { Ok(()) };
    let (mut groups, mut warnings) = (Groups::default(), Vec::new());
    if let Err(what) = read_groups(loaded, ldap, &mut groups, &mut warnings, &check)? {
        return Ok(Err(what));
    }
    groups.complete();
    let mut wanted = BTreeSet::new();
    for given in &directory.groups {
        match groups.find(given) {
            Ok(key) => {
                wanted.insert(key);
            }
            Err(what) => return Ok(Err(what)),
        }
    }
    // Active Directory walks its groups itself.
    let chained = directory.kind == Kind::ActiveDirectory && !wanted.is_empty();
    let mut filter = loaded.filter.clone();
    if chained {
        let any = Filter::or(wanted.iter().map(|key| Filter::matches("memberOf", IN_CHAIN, key.as_bytes())));
        filter = Filter::and([filter, any]);
    }
    let attributes = person::wanted(directory);
    let search = Search {
        base: &directory.base,
        scope: Scope::Subtree,
        filter: &filter,
        attributes: &attributes,
        page: directory.page,
    };
    let mut found = Vec::new();
    ldap.search(&search, &mut |entry| {
        check()?;
        let mut one = person::read(directory, &entry);
        if let Found::Person(person) = &mut one {
            if !chained && !wanted.is_empty() && !groups.is_in(&entry.dn, &person.name, &wanted) {
                one = Found::LeftOut {
                    id: person.id.clone(),
                    name: person.name.clone(),
                    why: "in none of the groups",
                };
            } else {
                person.groups = groups.of(&entry.dn, &person.name);
            }
        }
        found.push(one);
        Ok(())
    })?;
    warnings.append(&mut groups.warnings);
    Ok(Ok(Everybody { found, warnings }))
}

/// Reads the groups. Large ones come in pieces from Active Directory (`member;range=0-1499`).
fn read_groups(
    loaded: &Loaded,
    ldap: &mut Ldap,
    groups: &mut Groups,
    warnings: &mut Vec<String>,
    check: &dyn Fn() -> Result<(), Fault>,
) -> Result<Result<(), String>, Fault> {
    let directory = &loaded.directory;
    let mut attributes = directory.group_attributes();
    attributes.extend(["member", "uniqueMember", "memberUid"]);
    let base = directory.group_base.as_deref().unwrap_or(&directory.base);
    let search = Search {
        base,
        scope: Scope::Subtree,
        filter: &loaded.groups,
        attributes: &attributes,
        page: directory.page,
    };
    let (mut bound, mut pieces) = (None, Vec::new());
    let read = ldap.search(&search, &mut |entry| {
        check()?;
        if bound.is_none() {
            bound = groups.add(directory, &entry).err();
            if let Some(next) = first_piece(&entry, groups, &mut bound) {
                pieces.push((entry.dn, next));
            }
        }
        Ok(())
    });
    match read {
        Err(Fault::Refused { what, .. }) if what.contains(code::NO_BASE) => {
            warnings.push(format!("there is nothing at {base}, where groups should be"));
            return Ok(Ok(()));
        }
        other => other?,
    }
    let (any, mut asked) = (Filter::present("objectClass"), 0);
    for (dn, mut next) in pieces {
        while bound.is_none() {
            asked += 1;
            if asked > MAX_PIECES {
                bound = Some(format!(
                    "large groups come in more than {MAX_PIECES} pieces; narrow --group-base or --group-filter, or raise the server's MaxValRange"
                ));
                break;
            }
            let attribute = format!("member;range={next}-*");
            let attributes = [attribute.as_str()];
            let search =
                Search { base: &dn, scope: Scope::Base, filter: &any, attributes: &attributes, page: 0 };
            let mut after = None;
            ldap.search(&search, &mut |entry| {
                check()?;
                after = first_piece(&entry, groups, &mut bound);
                Ok(())
            })?;
            match after {
                Some(after) if after > next => next = after,
                _ => break,
            }
        }
    }
    Ok(bound.map_or(Ok(()), Err))
}

/// Takes the piece of members that an entry has; gives where the next one begins.
fn first_piece(entry: &Entry, groups: &mut Groups, bound: &mut Option<String>) -> Option<u64> {
    let (name, values) = entry.attributes.iter().find(|(name, _)| name.starts_with("member;range="))?;
    if let Err(what) = groups.more(&entry.dn, values) {
        bound.get_or_insert(what);
    }
    let (_, end) = name.strip_prefix("member;range=")?.split_once('-')?;
    // The last piece ends with a star.
    end.parse::<u64>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests;
