//! A profile's run: from what is kept of it to the engine, and the account afterwards.
//!
//! Invariant: a profile never runs beside itself, nor two profiles over one source; every run has an account, whatever ended it,
//! once it could begin at all.

use super::mailboxes::{self, Mailboxes, Tested};
use super::ruled::Ruled;
use super::{Kind, Profile};
use crate::disk::{applemail, thunderbird};
use crate::remote::access::Trust;
use crate::remote::job::Start;
use crate::run::{self, DiskJob};
use crate::turns::Source;
use crate::walk::{self, Sink, Stop};
use crate::{Archiver, Error, PROFILE_SOURCE, Progress, Run, State, ledger, names};
use auth::Auth;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use storage::{Cancel, FolderPath};

/// What the ledger calls the target of messages whose header says where they go.
const BY_ADDRESS: &str = "(by address)";

/// A run that is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The profile.
    pub name: String,
    /// Who asked, for the ledger.
    pub who: String,
    /// Delete nothing at the source, only list what would be.
    pub dry_run: bool,
}

/// A run that has its profile's turn.
struct Begun<'a> {
    profile: &'a Profile,
    auth: &'a Auth,
    who: &'a str,
    dry_run: bool,
    /// What the ledger calls it.
    source: String,
    /// When it ends at the latest.
    until: Option<Instant>,
    progress: &'a (dyn Fn(&Progress) + Sync),
    warn: &'a dyn Fn(&str),
    cancel: &'a Cancel,
}

impl Archiver {
    /// Runs a profile; gives the run's account, also when items failed. Blocking. `warn` gets what its user should know.
    /// # Errors
    /// `UnknownProfile`, `Busy`, `Profile` when it can't be begun; what goes wrong later stands in the account.
    pub fn run_profile(
        &self,
        auth: &Auth,
        ask: &Ask,
        progress: &(dyn Fn(&Progress) + Sync),
        warn: &dyn Fn(&str),
        cancel: &Cancel,
    ) -> Result<Run, Error> {
        let profile = self.profiles.get(&ask.name)?;
        let name = format!("{PROFILE_SOURCE}{}", profile.name);
        let _own = self.turns.take(&[Source::Name(name.clone())]).ok_or_else(|| Error::Busy(name.clone()))?;
        let minutes = u64::from(profile.max_minutes);
        let until = (minutes > 0).then(|| Instant::now() + Duration::from_secs(minutes * 60));
        let begun = Begun {
            profile: &profile,
            auth,
            who: &ask.who,
            dry_run: ask.dry_run,
            source: name,
            until,
            progress,
            warn,
            cancel,
        };
        let run = match profile.kind.protocol() {
            Some(_) => self.run_remote(begun)?,
            None => self.run_disk(begun)?,
        };
        self.ledger.settle(&run)?;
        Ok(run)
    }

    fn run_remote(&self, begun: Begun<'_>) -> Result<Run, Error> {
        let Begun { profile, auth, cancel, .. } = begun;
        let secret = self.profiles.secret(&profile.name)?;
        let mut mailboxes = Mailboxes::of(profile, secret, auth, ledger::now())?;
        if let Some(deletion) = &mut mailboxes.rules.deletion {
            deletion.dry_run |= begun.dry_run;
        }
        let warning = insecure(profile);
        if let Some(warning) = &warning {
            tracing::warn!(profile = profile.name, "{warning}");
            (begun.warn)(warning);
        }
        for (user, address) in &mailboxes.missing {
            add_user(auth, user, address.as_deref())?;
        }
        let turns: Vec<Source> =
            mailboxes.list.iter().map(|mailbox| Source::Name(mailbox.key.clone())).collect();
        let Some(_turns) = self.turns.wait(&turns, cancel) else {
            return Err(Error::Storage(storage::Error::Cancelled));
        };
        let into = profile.into.clone().unwrap_or_else(|| "(each user's archive)".into());
        let start = Start {
            source: begun.source,
            into,
            who: begun.who.to_owned(),
            parallel: profile.parallel,
            until: begun.until,
        };
        let run = crate::remote::archive_mailboxes(self, &start, &mailboxes.jobs(), begun.progress, cancel)?;
        if let Some(warning) = &warning {
            self.ledger.note(run.id, warning)?;
        }
        for (user, _) in &mailboxes.missing {
            self.ledger.note(
                run.id,
                &format!("user {user:?} was added; no one can log in before a password is set"),
            )?;
        }
        Ok(run)
    }

    fn run_disk(&self, begun: Begun<'_>) -> Result<Run, Error> {
        let Begun { profile, auth, until, progress, cancel, .. } = begun;
        let told = |what: String| Error::Profile { name: profile.name.clone(), what };
        let (path, disk) = Disk::of(profile)?;
        let router =
            profile.kind.is_multidrop().then(|| auth.users().map(|users| mailboxes::router(profile, &users)));
        let router = router.transpose()?;
        let into = if router.is_some() { BY_ADDRESS } else { profile.into.as_deref().unwrap_or_default() };
        let into = FolderPath::new(into).map_err(|error| told(error.to_string()))?;
        let max_message_bytes = self.storage.limits().max_message_bytes;
        let now = ledger::now();
        let above = disk.above();
        let job = DiskJob {
            source: begun.source,
            turn: Source::Path(path),
            into,
            who: begun.who.to_owned(),
            deleted_too: profile.deleted_too,
            measure: &|stop| disk.measure(stop),
            read: &|sink| {
                let (folders, filters, router) = (&profile.folders, &profile.filters, router.as_ref());
                disk.read(&mut Ruled {
                    inner: sink,
                    folders,
                    filters,
                    router,
                    above,
                    now,
                    max_message_bytes,
                    known: Vec::new(),
                })
            },
        };
        let timed = Cancel::default();
        let watched = |now: &Progress| {
            if cancel.is_set() || until.is_some_and(|until| Instant::now() >= until) {
                timed.set();
            }
            progress(now);
        };
        let run = match until {
            Some(_) => run::archive_disk(self, &job, &watched, &timed)?,
            None => run::archive_disk(self, &job, progress, cancel)?,
        };
        if run.state == State::Cancelled && !cancel.is_set() {
            let minutes = profile.max_minutes;
            self.ledger.note(
                run.id,
                &format!("ended after {minutes} minutes (max-minutes); the next run goes on"),
            )?;
        }
        Ok(run)
    }

    /// Tries a profile: connects, logs in, lists folders, and says what would be archived. Changes nothing. Each row is told as it
    /// comes; gives whether all is well.
    /// # Errors
    /// `UnknownProfile`, `Profile`.
    pub fn test_profile(
        &self,
        auth: &Auth,
        name: &str,
        row: &mut dyn FnMut(&Tested),
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        let profile = self.profiles.get(name)?;
        if profile.kind.protocol().is_some() {
            let secret = self.profiles.secret(&profile.name)?;
            let mailboxes = Mailboxes::of(&profile, secret, auth, ledger::now())?;
            let mut well = true;
            for (job, mailbox) in mailboxes.jobs().iter().zip(&mailboxes.list) {
                cancel.check()?;
                let into = mailbox.into.as_ref().map(ToString::to_string);
                for tested in mailboxes::tested(job, into, self.storage.limits(), cancel) {
                    well &= tested.trouble.is_none();
                    row(&tested);
                }
            }
            return Ok(well);
        }
        let (path, disk) = Disk::of(&profile)?;
        let into = profile.into.clone().filter(|_| !profile.kind.is_multidrop());
        let tested = |source: String, folder| Tested::of(source, into.clone(), folder);
        match &disk {
            Disk::Thunderbird(accounts) => {
                for account in accounts {
                    row(&tested(names::text(&account.dir), Some(account.name.clone())));
                }
            }
            Disk::AppleMail(_) | Disk::Files { .. } => row(&tested(names::text(&path), None)),
        }
        Ok(true)
    }

    /// Waits until a continuous profile's mailbox has something that the last run didn't see, or it is time to look.
    /// # Errors
    /// `UnknownProfile`, `Profile` with what the server said.
    pub fn wait_for_news(&self, auth: &Auth, name: &str, cancel: &Cancel) -> Result<(), Error> {
        let profile = self.profiles.get(name)?;
        let secret = self.profiles.secret(&profile.name)?;
        let mailboxes = Mailboxes::of(&profile, secret, auth, ledger::now())?;
        let told = |what: String| Error::Profile { name: profile.name.clone(), what };
        let jobs = mailboxes.jobs();
        let Some(job) = jobs.first() else { return Err(told("it has no mailbox".into())) };
        mailboxes::watch(self, job, cancel).map_err(told)
    }
}

/// What should worry the user of a profile at every run.
fn insecure(profile: &Profile) -> Option<String> {
    let server = profile.server.as_ref()?;
    (server.trust == Trust::IgnoreErrors).then(|| {
        format!(
            "profile {}: certificates are not checked (ignore-tls-errors): whoever stands between can read the mail and the password",
            profile.name
        )
    })
}

/// Adds a user for a mailbox. The password is random and told to nobody: one that is set lets the user log in.
fn add_user(auth: &Auth, name: &str, address: Option<&str>) -> Result<(), Error> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| Error::Profile {
        name: name.to_owned(),
        what: "the system has no randomness to give for a password".into(),
    })?;
    let password = zeroize::Zeroizing::new(hex::encode(*bytes));
    auth.add(name, &password, false)?;
    if let Some(address) = address {
        auth.set_address(name, address, true)?;
    }
    tracing::info!(user = name, "a user was added for a mailbox of a CSV file");
    Ok(())
}

/// A source on disk.
enum Disk<'a> {
    Thunderbird(Vec<thunderbird::Account>),
    AppleMail(PathBuf),
    Files { path: PathBuf, profile: &'a Profile },
}

impl<'a> Disk<'a> {
    fn of(profile: &'a Profile) -> Result<(PathBuf, Disk<'a>), Error> {
        let given = profile.path.as_deref().unwrap_or(Path::new(""));
        let failed = |what: String| Error::Source { path: given.to_owned(), what };
        let path = given.canonicalize().map_err(|error| failed(error.to_string()))?;
        let disk = match profile.kind {
            Kind::Thunderbird => Disk::Thunderbird(thunderbird::accounts(&path).map_err(failed)?),
            Kind::Applemail if !path.is_dir() => return Err(failed("it is no directory".into())),
            Kind::Applemail => Disk::AppleMail(path.clone()),
            _ => Disk::Files { path: path.clone(), profile },
        };
        Ok((path, disk))
    }

    /// Levels at the top that are no folders at the source.
    fn above(&self) -> usize {
        usize::from(matches!(self, Disk::Thunderbird(_)))
    }

    fn measure(&self, stop: &dyn Fn() -> bool) -> u64 {
        match self {
            Disk::Thunderbird(accounts) => {
                accounts.iter().map(|account| walk::measure(&account.dir, stop)).sum()
            }
            Disk::AppleMail(path) | Disk::Files { path, .. } => walk::measure(path, stop),
        }
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), Stop> {
        match self {
            Disk::Thunderbird(accounts) => thunderbird::read(accounts, sink),
            Disk::AppleMail(path) => applemail::read(path, sink),
            Disk::Files { path, profile } => walk::walk(path, profile.format, sink),
        }
    }
}
