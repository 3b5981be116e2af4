//! Logging in by a token of an OpenID Connect issuer: OAUTHBEARER (RFC 7628) and XOAUTH2, without their SASL form.
//!
//! Invariant: nobody gets in by a token whose signature, issuer, audience and time aren't right, whatever its header says of itself;
//! the user must be here already, and [`Auth::decide`] lets it in, as with a password. A token is never kept, shown or logged.

mod fetch;
mod keys;
#[cfg(test)]
mod tests;
mod token;

pub use token::{Algorithm, MAX_TOKEN_BYTES};

use crate::{Attempt, Auth, Credential, Entered, Error, User, name, users};
use keys::Keys;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// How a claim names a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UserIs {
    /// By one of the user's e-mail addresses.
    #[default]
    Address,
    /// By the user's name.
    Name,
}

/// An issuer of tokens, and what is believed of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// The issuer, exactly as `iss` in its tokens has it: an https URL.
    pub issuer: String,
    /// Tokens must be for one of these (`aud`).
    pub audiences: Vec<String>,
    /// Tokens must have been given to one of these clients (`azp`); empty: to any.
    pub clients: Vec<String>,
    /// The claim that names the user: `email`, `preferred_username`, `upn`, `sub`, or another.
    pub user_claim: String,
    /// How it does.
    pub user_is: UserIs,
    /// Signatures that are believed.
    pub algorithms: Vec<Algorithm>,
    /// Seconds that the issuer's clock may be away from ours.
    pub skew_secs: u64,
    /// Where the keys are, an https URL or a file; empty: where the issuer's discovery document says.
    pub jwks: String,
    /// Certificate authorities, PEM, that are believed in place of the system's.
    pub ca: Option<PathBuf>,
    /// A token with an unknown key has the keys fetched again, but not sooner than this after the last time.
    pub refresh_secs: u64,
    /// Keys of this age are fetched again.
    pub max_age_secs: u64,
    /// Keys are used until this age while the issuer can't be reached.
    pub keep_secs: u64,
}

impl Default for OAuth {
    fn default() -> Self {
        OAuth {
            issuer: String::new(),
            audiences: Vec::new(),
            clients: Vec::new(),
            user_claim: "email".into(),
            user_is: UserIs::default(),
            algorithms: Algorithm::ALL.to_vec(),
            skew_secs: 60,
            jwks: String::new(),
            ca: None,
            refresh_secs: 60,
            max_age_secs: 3_600,
            keep_secs: 86_400,
        }
    }
}

/// The issuer in use.
pub(crate) struct Issuer {
    settings: OAuth,
    keys: Keys,
}

impl Auth {
    /// The same, taking tokens of an issuer too.
    /// # Errors
    /// `Issuer` when its address or its authorities make no sense.
    pub fn with_issuer(mut self, settings: OAuth) -> Result<Auth, Error> {
        let keys = Keys::new(&settings)?;
        self.issuer = Some(Arc::new(Issuer { settings, keys }));
        Ok(self)
    }

    /// Whether tokens are taken.
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        self.issuer.is_some()
    }

    /// Where the issuer's discovery document is, for clients that were refused (RFC 7628 §3.2.2); none without an issuer.
    #[must_use]
    pub fn discovery(&self) -> Option<String> {
        self.issuer.as_ref().map(|issuer| fetch::discovery(&issuer.settings.issuer))
    }

    /// Fetches the issuer's keys, so that the first login needn't wait for it. May wait for the network.
    /// # Errors
    /// `Issuer`: it can't be reached; the next login tries again.
    pub fn fetch_keys(&self) -> Result<(), Error> {
        match &self.issuer {
            Some(issuer) => issuer.keys.refresh(crate::now()),
            None => Ok(()),
        }
    }

    /// Checks a token, and all else that is asked of whoever logs in. The attempt's name is whom the client says to be, by name or
    /// address; empty: it doesn't say. May wait for the network, at most some seconds: call it off the async threads. The end
    /// counts for [`Auth::ask`], under the name that [`Attempt::account`] gives.
    /// # Errors
    /// As [`Auth::login`]; `Issuer` when the issuer's keys can't be had.
    pub fn login_token(&self, attempt: &Attempt<'_>, token: &Zeroizing<String>) -> Result<Entered, Error> {
        let Some(issuer) = &self.issuer else {
            return Err(self.refuse(attempt, None, "no issuer is configured"));
        };
        let claimed = match token::check(token, &issuer.settings, &issuer.keys, crate::now()) {
            Ok(claimed) => claimed,
            Err(token::Refused::Issuer(error)) => return Err(error),
            Err(token::Refused::Token(why)) => {
                return Err(self.refuse(attempt, None, &format!("token: {why}")));
            }
        };
        let name = match issuer.settings.user_is {
            UserIs::Name => Some(claimed),
            UserIs::Address => users::all(&self.db)?
                .into_iter()
                .find(|user| has_address(user, &claimed))
                .map(|user| user.name),
        };
        let found = name.map(|name| self.find(&name)).transpose()?.flatten();
        let Some(stored) = found else {
            return Err(self.refuse(attempt, None, "the token's user is not known here"));
        };
        let user = &stored.user;
        let is_named =
            name::normal(crate::bounded(attempt.name)) == user.name || has_address(user, attempt.name);
        if !attempt.name.is_empty() && !is_named {
            let why = "the client says to be another user than the token";
            return Err(self.refuse(attempt, Some(&stored), why));
        }
        self.decide(attempt, Some(&stored), Some(Credential::Token))
    }

    /// The account that refused tokens from an address count for. Not the user's: nobody guesses a token, and a stranger's
    /// rubbish must not slow a user down.
    pub(crate) fn token_account(from: IpAddr) -> String {
        // No user can have that name.
        format!("/token from {from}")
    }
}

fn has_address(user: &User, address: &str) -> bool {
    user.addresses.iter().any(|known| known.eq_ignore_ascii_case(address))
}
