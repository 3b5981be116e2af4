//! Users as administrators see them: making, changing, renaming, and many at once.
//!
//! Invariant: an archive is never touched: a new user of an old name finds the old archive, a renamed user keeps the rule on the
//! archive of the old name and gets one on that of the new. Rules of names, addresses and bounds are kept by [`crate::book`].

use crate::book::{self, Book};
use crate::credentials::Secrets;
use crate::groups;
use crate::rights::{Level, Right};
use crate::users::{self, Mode, Stored, User};
use crate::{Auth, Error, PasswordRules, Privilege, check_address, check_name, name, now};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What a user gets who is told nothing else.
const USUAL: [Privilege; 3] = [Privilege::Login, Privilege::Imap, Privilege::ChangePassword];

/// What is to be changed of a user; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Edit {
    /// The name for people; empty: none.
    pub full_name: Option<String>,
    /// All e-mail addresses, the primary one first.
    pub addresses: Option<Vec<String>>,
    /// All other names at mail servers.
    pub aliases: Option<Vec<String>>,
    /// The distinguished name in a directory; empty: none.
    pub dn: Option<String>,
    /// Who checks the password.
    pub mode: Option<Mode>,
    /// Nothing is allowed, or what was allowed before is again.
    pub disabled: Option<bool>,
    /// When the user ends, seconds since 1970 (UTC); zero: never.
    pub expires: Option<i64>,
    /// All groups.
    pub groups: Option<Vec<String>>,
}

impl Edit {
    /// Changes a user, and names what is other than it was.
    /// # Errors
    /// `BadAddress`, `BadField`.
    fn apply(&self, user: &mut User) -> Result<Vec<&'static str>, Error> {
        let before = user.clone();
        if let Some(full_name) = &self.full_name {
            full_name.clone_into(&mut user.full_name);
        }
        if let Some(addresses) = &self.addresses {
            user.addresses = once(addresses.iter().map(|text| check_address(text)))?;
        }
        if let Some(aliases) = &self.aliases {
            user.aliases = once(aliases.iter().map(|text| Ok(name::normal(text))))?;
        }
        if let Some(dn) = &self.dn {
            user.dn = Some(dn.clone()).filter(|dn| !dn.is_empty());
        }
        if let Some(groups) = &self.groups {
            user.groups = once(groups.iter().map(|text| Ok(text.clone())))?;
        }
        user.mode = self.mode.unwrap_or(user.mode);
        user.disabled = self.disabled.unwrap_or(user.disabled);
        if let Some(expires) = self.expires {
            user.expires = Some(expires).filter(|&at| at != 0);
        }
        Ok([
            (before.full_name != user.full_name).then_some("full name"),
            (before.addresses != user.addresses).then_some("addresses"),
            (before.aliases != user.aliases).then_some("aliases"),
            (before.dn != user.dn).then_some("DN"),
            (before.groups != user.groups).then_some("groups"),
            (before.mode != user.mode).then_some("mode"),
            (before.disabled != user.disabled).then_some("state"),
            (before.expires != user.expires).then_some("expiry"),
        ]
        .into_iter()
        .flatten()
        .collect())
    }
}

/// The values in their order, each once.
fn once(values: impl Iterator<Item = Result<String, Error>>) -> Result<Vec<String>, Error> {
    let mut seen = std::collections::HashSet::new();
    let mut all = Vec::new();
    for value in values {
        let value = value?;
        if seen.insert(value.clone()) {
            all.push(value);
        }
    }
    Ok(all)
}

/// A user to be made. No `Debug`: the password is nobody's business.
#[derive(Clone, Default)]
pub struct NewUser {
    /// The login name, also the name of the own archive.
    pub name: String,
    /// None: nobody can log in with one until it is set.
    pub password: Option<Zeroizing<String>>,
    /// What the user may do beside what all may who are told nothing else (`login`, `imap`, `changePassword`).
    pub privileges: Vec<Privilege>,
    /// All else.
    pub edit: Edit,
}

/// What became of one of many users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// Made.
    Created,
    /// There already, and changed in this.
    Changed(Vec<&'static str>),
    /// There already as it should be.
    Same,
    /// There already, and left as it was, since nothing should be changed.
    LeftAlone,
}

/// A rule that decides what a user sees, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Effective {
    /// The folder; none: all archives.
    pub folder: Option<String>,
    /// The level there and below.
    pub level: Level,
    /// `own rule`, `group NAME`, `auditor`, `archive access until …`.
    pub from: Source,
}

/// Where a right comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The user's own rule.
    Own,
    /// A group's.
    Group(String),
    /// The privilege to read everything.
    Auditor,
    /// Archive access of administrators, until this second since 1970 (UTC).
    ArchiveAccess(i64),
}

impl Auth {
    /// What a user sees, rule by rule, sorted by folder: for each folder that some rule names, the one that decides there. Rules of
    /// one who is disabled, expired or may not log in are shown too, though they give nothing now.
    /// # Errors
    /// `Unknown`, `Database`.
    pub fn effective(&self, name: &str) -> Result<Vec<Effective>, Error> {
        let person = self.person(name)?.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let mut rules: BTreeMap<String, (Level, Source)> = BTreeMap::new();
        let groups = groups::all(&self.db)?;
        let of_user: Vec<String> = person.user.groups.iter().map(|group| groups::normal(group)).collect();
        for (group, rights) in groups.into_iter().filter(|(group, _)| of_user.contains(group)) {
            for Right { folder, level } in rights {
                let rule = (level, Source::Group(group.clone()));
                let entry = rules.entry(folder).or_insert_with(|| rule.clone());
                if entry.0 < level {
                    *entry = rule;
                }
            }
        }
        rules.extend(person.user.rights.iter().map(|own| (own.folder.clone(), (own.level, Source::Own))));
        let sight = self.sight_of(&person)?;
        let access = self.archive_access()?.open_until.unwrap_or_default();
        let everywhere = match person.user.privileges.contains(&Privilege::Auditor) {
            true => Source::Auditor,
            false => Source::ArchiveAccess(access),
        };
        let all = sight.reads_everything().then(|| Effective {
            folder: None,
            level: Level::Read,
            from: everywhere.clone(),
        });
        let named = rules.into_iter().map(|(folder, (given, from))| {
            let level = sight.level(&folder);
            let from = if level > given { everywhere.clone() } else { from };
            Effective { folder: Some(folder), level, from }
        });
        Ok(all.into_iter().chain(named).collect())
    }

    /// Makes a user, with `read` on the own archive. An archive that an earlier user of this name left is the new user's own.
    /// # Errors
    /// `Exists`, `Alike`, `BadName`, `BadPassword`, `BadAddress`, `AddressTaken`, `AliasTaken`, `BadField`, `AuditorWithoutEnd`.
    pub fn create(&self, new: &NewUser) -> Result<User, Error> {
        let stored = self.stored(new)?;
        self.written(book::with(&self.db, |book| {
            let user = stored.user.clone();
            book.insert(stored)?;
            Ok(user)
        }))
    }

    /// A new user's entry. Hashing the password takes its time, so nothing is held meanwhile.
    fn stored(&self, new: &NewUser) -> Result<Stored, Error> {
        let mut stored = entry(new)?;
        if let Some(password) = &new.password {
            self.logins.rules.check(&stored.user, password)?;
            let verifier = self.verifier(&stored, password);
            stored.take_password(self.hasher.hash(password)?, verifier);
        }
        Ok(stored)
    }

    /// Changes what is known of a user.
    /// # Errors
    /// As [`Auth::create`]; `Unknown`.
    pub fn edit(&self, name: &str, edit: &Edit) -> Result<User, Error> {
        let name = name::normal(name);
        let edited = self.written(book::with(&self.db, |book| {
            book.change(&name, |stored| {
                edit.apply(&mut stored.user)?;
                Ok(stored.user.clone())
            })
        }));
        self.verified.lock().forget(&name);
        edited
    }

    /// Gives a user another name. The archive keeps its own: the rule on it stays with the user, who gets one like it on the
    /// archive of the new name, where mail goes from now on.
    /// # Errors
    /// `Unknown`, `BadName`, `Exists`, `Alike`.
    pub fn rename(&self, name: &str, new: &str) -> Result<User, Error> {
        let (name, new) = (name::normal(name), check_name(new)?);
        let renamed = self.written(book::with(&self.db, |book| {
            let user = book.rename(&name, &new)?.user.clone();
            let own = user.rights.iter().find(|right| right.folder == name);
            let level = own.map_or(Level::None, |right| right.level);
            if user.rights.iter().any(|right| right.folder == new) || level == Level::None {
                return Ok(user);
            }
            book.change(&new, |stored| {
                let right = Right { folder: new.clone(), level };
                crate::rights::put(&mut stored.user.rights, &new, Some(right))?;
                Ok(stored.user.clone())
            })
        }));
        let mut verified = self.verified.lock();
        verified.forget(&name);
        verified.forget(&new);
        drop(verified);
        self.logins.history.forget(&name);
        renamed
    }

    /// Makes many users, or changes those that are there (`update`), all or none: if one fails, nothing is done and each says
    /// whether it was among the reasons. With `dry_run` nothing is done in any case.
    /// # Errors
    /// `Database`, `Hash`.
    pub fn import(
        &self,
        people: &[NewUser],
        update: bool,
        dry_run: bool,
    ) -> Result<Vec<Result<Imported, Error>>, Error> {
        let rules = &self.logins.rules;
        // First without passwords' hashes, which take their time: most files that fail do so for other reasons.
        let tried = book::with_if(&self.db, |book| Ok((enter_all(book, rules, people, &[], update), false)))?;
        if dry_run || tried.iter().any(Result::is_err) {
            return Ok(tried);
        }
        let mut hashes = Vec::with_capacity(people.len());
        for (new, done) in people.iter().zip(&tried) {
            let wanted = !matches!(done, Ok(Imported::LeftAlone));
            let hash = new.password.as_ref().filter(|_| wanted).map(|password| self.hasher.hash(password));
            hashes.push(hash.transpose()?);
        }
        let done = self.written(book::with_if(&self.db, |book| {
            let done = enter_all(book, rules, people, &hashes, update);
            // Somebody else may have taken a name meanwhile: nothing is written then.
            let all = done.iter().all(Result::is_ok);
            Ok((done, all))
        }));
        let mut verified = self.verified.lock();
        people.iter().for_each(|new| verified.forget(&name::normal(&new.name)));
        done
    }
}

/// A new user's entry, without a password.
fn entry(new: &NewUser) -> Result<Stored, Error> {
    let name = check_name(&new.name)?;
    let mut privileges = USUAL.to_vec();
    privileges.extend(new.privileges.iter().filter(|given| !USUAL.contains(given)));
    privileges.sort_unstable();
    privileges.dedup();
    let rights = vec![Right { folder: name.clone(), level: Level::Read }];
    let mut user = User { name, privileges, rights, created: now(), ..User::default() };
    new.edit.apply(&mut user)?;
    users::check(&user)?;
    Ok(Stored { user, hash: String::new(), secrets: Secrets::default() })
}

fn enter_all(
    book: &mut Book,
    rules: &PasswordRules,
    people: &[NewUser],
    hashes: &[Option<String>],
    update: bool,
) -> Vec<Result<Imported, Error>> {
    let mut done = Vec::with_capacity(people.len());
    for (number, new) in people.iter().enumerate() {
        let hash = hashes.get(number).cloned().flatten();
        done.push(enter(book, rules, new, hash, update));
    }
    done
}

/// The verifier of a password is made at its first login: making it takes as long as hashing it.
fn enter(
    book: &mut Book,
    rules: &PasswordRules,
    new: &NewUser,
    hash: Option<String>,
    update: bool,
) -> Result<Imported, Error> {
    let name = check_name(&new.name)?;
    if book.get(&name).is_none() {
        let mut stored = entry(new)?;
        if let Some(password) = &new.password {
            rules.check(&stored.user, password)?;
            stored.take_password(hash.unwrap_or_default(), None);
        }
        book.insert(stored)?;
        return Ok(Imported::Created);
    }
    if !update {
        return Ok(Imported::LeftAlone);
    }
    book.change(&name, |stored| {
        let mut changed = new.edit.apply(&mut stored.user)?;
        if let Some(password) = &new.password {
            if stored.user.mode != Mode::Integrated {
                return Err(Error::PasswordElsewhere);
            }
            rules.check(&stored.user, password)?;
            stored.take_password(hash.unwrap_or_default(), None);
            changed.push("password");
        }
        Ok(if changed.is_empty() { Imported::Same } else { Imported::Changed(changed) })
    })
}
