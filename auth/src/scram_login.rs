//! Logging in by SCRAM: which verifiers are asked for a name, and what is told of names that nobody has.
//!
//! Promise: a name that nobody has, one without a verifier and one with one get challenges of the same form, each name always the same
//! salt; all of them end in the same refusal. App passwords count too: one user's verifiers are all made with one salt, so that the proof
//! tells which of the passwords it was. The network's side (base64, lines, the channel's data) is the server's.

use crate::credentials::{Derivation, random, same};
use crate::history::How;
use crate::login::{Attempt, Credential, Entered};
use crate::scram::{Binding, First, Keys, Last, challenge};
use crate::users::Stored;
use crate::{Auth, Error, Privilege, bounded};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::net::IpAddr;

/// What binds an exchange to the channel that it goes through: the ways in which it can, with their data (RFC 5929, RFC 9266).
#[derive(Debug, Clone, Default)]
pub struct Channel(pub Vec<(&'static str, Vec<u8>)>);

impl Channel {
    fn data(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, data)| data.as_slice())
    }
}

/// An exchange whose challenge is out.
pub struct ScramExchange {
    first: First,
    plus: bool,
    /// What `c=` must be.
    expected: Vec<u8>,
    nonce: String,
    challenge: String,
    by: Derivation,
}

/// A client's proof, not yet looked at.
pub struct ScramProof {
    name: String,
    plus: bool,
    message: String,
    proof: Vec<u8>,
    by: Derivation,
}

impl ScramExchange {
    /// What the client is asked.
    #[must_use]
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The client's last message, if it belongs to this exchange and its channel.
    #[must_use]
    pub fn answer(self, message: &[u8]) -> Option<ScramProof> {
        let last = Last::parse(message)?;
        if last.nonce != self.nonce || !same(&last.channel, &self.expected) {
            return None;
        }
        let message = format!("{},{},{}", self.first.bare, self.challenge, last.without_proof);
        Some(ScramProof { name: self.first.name, plus: self.plus, message, proof: last.proof, by: self.by })
    }

    /// Who wants to log in.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.first.name
    }
}

impl ScramProof {
    /// Who wants to log in.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Auth {
    /// Whether SCRAM can be offered.
    #[must_use]
    pub fn offers_scram(&self) -> bool {
        self.logins.scram_iterations > 0
    }

    /// Begins an exchange. `plus`: the mechanism binds to the channel; `channel`: the ways that were offered for that. None: the message
    /// is wrong, asks to act as somebody else, or somebody between has changed what was offered (RFC 5802 §6).
    /// # Errors
    /// `Database`, `Hash` when the system has no randomness to give.
    pub fn scram_begin(
        &self,
        plus: bool,
        channel: &Channel,
        message: &[u8],
    ) -> Result<Option<ScramExchange>, Error> {
        let Some(first) = First::parse(message) else { return Ok(None) };
        let data = match (&first.binding, plus) {
            (Binding::Used(way), true) => match channel.data(way) {
                Some(data) => data,
                None => return Ok(None),
            },
            (Binding::Cannot, false) => &[],
            // It believes that the server can't: whoever told it so was not the server, if that has offered it.
            (Binding::Unused, false) if channel.0.is_empty() => &[],
            _ => return Ok(None),
        };
        if first.act_as.as_ref().is_some_and(|act_as| *act_as != first.name) {
            return Ok(None);
        }
        let name = crate::name::normal(bounded(&first.name));
        // Made for every name, so that time tells nothing.
        let salt = self.logins.salt(&name);
        let kept = self.find(&name)?.and_then(|stored| stored.secrets.scram);
        let by = kept.unwrap_or(Derivation { salt, iterations: self.logins.scram_iterations });
        let own = BASE64.encode(random::<18>()?.as_ref());
        let challenge = challenge(&first.nonce, &own, &by.salt, by.iterations);
        let expected = [first.gs2.as_bytes(), data].concat();
        let nonce = format!("{}{own}", first.nonce);
        Ok(Some(ScramExchange { first, plus, expected, nonce, challenge, by }))
    }

    /// Looks at a proof; gives who has logged in, and the server's own proof, which the client must be told. The end counts for
    /// [`Auth::ask`].
    /// # Errors
    /// As [`Auth::login`].
    pub fn scram_prove(
        &self,
        proof: &ScramProof,
        need: Privilege,
        from: Option<IpAddr>,
    ) -> Result<(Entered, String), Error> {
        let how = if proof.plus { How::ScramPlus } else { How::Scram };
        let attempt = Attempt { name: &proof.name, need, from, how };
        let found = self.find(&proof.name)?;
        let proven = found.as_ref().and_then(|stored| proven(stored, proof));
        let by = proven.as_ref().map(|(by, _)| *by);
        let entered = self.decide(&attempt, found.as_ref(), by)?;
        proven.map(|(_, words)| (entered, words)).ok_or(Error::Denied)
    }
}

/// By which of a user's passwords the proof was made, and the server's proof of that.
fn proven(stored: &Stored, proof: &ScramProof) -> Option<(Credential, String)> {
    let secrets = &stored.secrets;
    if secrets.scram.as_ref() != Some(&proof.by) {
        return None;
    }
    let account = stored.account_keys().map(|keys| (Credential::Password(secrets.serial), keys));
    let apps = secrets.app_passwords.iter();
    let apps = apps.filter_map(|app| Some((Credential::AppPassword(app.id), app.keys.as_ref()?)));
    let mut all: Box<dyn Iterator<Item = (Credential, &Keys)>> = Box::new(account.into_iter().chain(apps));
    all.find_map(|(by, keys)| Some((by, keys.answer(&proof.message, &proof.proof)?)))
}
