//! A connection that comes back: whatever ends it, the next command goes over a new one, with growing waits, up to a number of
//! failures in a row.
//!
//! Invariant: a folder that is open again after a new connection is the same one: its UIDVALIDITY is compared.

use super::connect;
use super::engine::{Desk, Patience};
use super::fault::Fault;
use super::imap::client::{Client, Options};
use super::imap::select::{Selected, Since};
use super::job::MailboxJob;

/// Tries where another one hardly helps.
const FEW_TRIES: u32 = 2;

pub(crate) struct Link<'a> {
    job: &'a MailboxJob<'a>,
    net: &'a connect::Limits,
    patience: &'a Patience,
    limits: storage::Limits,
    client: Option<Client>,
    /// The open folder: its name and UIDVALIDITY.
    open: Option<(Vec<u8>, Option<u32>)>,
    failures: u32,
    ever: bool,
}

impl<'a> Link<'a> {
    pub(crate) fn new(desk: &'a Desk<'_>) -> Link<'a> {
        Link {
            job: desk.job,
            net: &desk.net,
            patience: desk.patience,
            limits: desk.line.storage.limits().clone(),
            client: None,
            open: None,
            failures: 0,
            ever: false,
        }
    }

    /// The connection, made if there is none.
    pub(crate) fn client(&mut self) -> Result<&mut Client, Fault> {
        while self.client.is_none() {
            let options = self.patience.options.unwrap_or_else(|| Options::of(self.job.access));
            match Client::open(self.job.access, self.job.login, self.net, &self.limits, &options) {
                Ok(client) => {
                    self.client = Some(client);
                    self.open = None;
                    self.ever = true;
                }
                Err(fault) => self.failed(fault)?,
            }
        }
        self.client.as_mut().ok_or_else(|| Fault::ended("there is none"))
    }

    /// Takes note of a failure: waits when a new try may help, else gives the fault back.
    pub(crate) fn failed(&mut self, fault: Fault) -> Result<(), Fault> {
        if !fault.may_pass() {
            return Err(fault);
        }
        self.client = None;
        self.open = None;
        self.failures += 1;
        let tries = match fault {
            Fault::Busy { .. } => self.patience.tries,
            // A server that was never reached is rather a wrong name than a passing trouble, and one that breaks the protocol or
            // a bound does so again.
            Fault::Protocol { .. } => self.patience.tries.min(FEW_TRIES),
            _ if self.ever => self.patience.tries,
            _ => self.patience.tries.min(FEW_TRIES),
        };
        if self.failures > tries {
            return Err(fault);
        }
        let asked = match &fault {
            Fault::Busy { wait, .. } => *wait,
            _ => None,
        };
        let wait = self.patience.wait(self.failures, asked);
        tracing::info!(mailbox = %self.job.key, reason = %fault, wait_secs = wait.as_secs(), "trying again");
        self.net.sleep(wait)
    }

    /// Something was had: failures count anew.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Does something, over a new connection if need be.
    pub(crate) fn with<T>(
        &mut self,
        mut work: impl FnMut(&mut Client) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        loop {
            match work(self.client()?) {
                Ok(done) => return Ok(done),
                Err(fault) => self.failed(fault)?,
            }
        }
    }

    /// Opens a folder for reading, anew.
    pub(crate) fn examine(&mut self, raw: &[u8], since: Option<Since>) -> Result<Selected, Fault> {
        self.open = None;
        let selected = self.with(|client| client.examine(raw, since))?;
        self.open = Some((raw.to_vec(), selected.uid_validity));
        Ok(selected)
    }

    /// The connection with this folder open, which has this UIDVALIDITY.
    pub(crate) fn inside(&mut self, raw: &[u8], uid_validity: Option<u32>) -> Result<&mut Client, Fault> {
        loop {
            self.client()?;
            let there =
                self.open.as_ref().is_some_and(|(open, validity)| open == raw && *validity == uid_validity);
            if there {
                break;
            }
            let selected = self.examine(raw, None)?;
            if selected.uid_validity != uid_validity {
                return Err(Fault::Lacks {
                    what: "the folder's UIDVALIDITY changed while it was read; the next run walks it again"
                        .into(),
                });
            }
        }
        self.client()
    }

    /// Does something inside a folder, over a new connection if need be.
    pub(crate) fn within<T>(
        &mut self,
        raw: &[u8],
        uid_validity: Option<u32>,
        mut work: impl FnMut(&mut Client) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        loop {
            match work(self.inside(raw, uid_validity)?) {
                Ok(done) => return Ok(done),
                Err(fault) => self.failed(fault)?,
            }
        }
    }

    /// Opens a folder so that it can be changed.
    pub(crate) fn select(&mut self, raw: &[u8]) -> Result<(&mut Client, Selected), Fault> {
        self.open = None;
        let selected = self.with(|client| client.select(raw))?;
        Ok((self.client()?, selected))
    }

    /// After this the open folder is opened again before it is used.
    pub(crate) fn leave(&mut self) {
        self.open = None;
    }

    /// Says goodbye.
    pub(crate) fn close(mut self) {
        if let Some(client) = self.client.take() {
            client.logout();
        }
    }
}
