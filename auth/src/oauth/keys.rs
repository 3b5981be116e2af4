//! The issuer's keys (RFC 7517), fetched when they are needed and kept for a while.
//!
//! Invariant: whatever tokens say, the issuer is asked at most once in `refresh_secs`, by one thread at a time; the others use what is
//! there, or wait a few seconds. Keys that couldn't be fetched again are used until `keep_secs` have passed, then no more.

use super::fetch::Source;
use super::{Algorithm, OAuth};
use crate::Error;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Keys of one issuer at most.
pub(super) const MAX_KEYS: usize = 100;
/// How long a login waits for keys that another one fetches.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// A key that can verify.
#[derive(Clone)]
pub(super) struct Key {
    kid: Option<String>,
    /// What it may verify: by its type, and by what it says of itself.
    algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

impl Key {
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The usable keys of a JWK set; others are passed over.
pub(super) fn read(json: &[u8]) -> Result<Vec<Key>, String> {
    let set: Set = serde_json::from_slice(json).map_err(|error| format!("is no JWK set: {error}"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(format!("has {} keys, {MAX_KEYS} are the limit", set.keys.len()));
    }
    let keys: Vec<Key> = set.keys.into_iter().filter_map(key).collect();
    if keys.is_empty() {
        return Err("has no key for signatures of a known kind".into());
    }
    Ok(keys)
}

fn key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    let by_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::Rs256, Algorithm::Ps256],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => &[Algorithm::Es256],
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDsa],
        _ => return None,
    };
    let own = jwk.common.key_algorithm.map(|own| own.to_string());
    let algorithms: Vec<Algorithm> = by_type
        .iter()
        .copied()
        .filter(|algorithm| own.as_deref().is_none_or(|own| own == algorithm.name()))
        .collect();
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (!algorithms.is_empty()).then_some(Key { kid: jwk.common.key_id, algorithms, key })
}

#[derive(Default)]
struct State {
    keys: Arc<Vec<Key>>,
    /// When they were fetched.
    at: Option<i64>,
    /// When that was tried last.
    tried: Option<i64>,
}

/// The keys of the issuer in use.
pub(super) struct Keys {
    source: Source,
    refresh_secs: i64,
    max_age_secs: i64,
    keep_secs: i64,
    state: Mutex<State>,
    /// Held by who fetches.
    fetching: Mutex<()>,
}

fn secs(given: u64) -> i64 {
    i64::try_from(given).unwrap_or(i64::MAX)
}

impl Keys {
    pub(super) fn new(settings: &OAuth) -> Result<Keys, Error> {
        Ok(Keys {
            source: Source::new(settings)?,
            refresh_secs: secs(settings.refresh_secs),
            max_age_secs: secs(settings.max_age_secs),
            keep_secs: secs(settings.keep_secs),
            state: Mutex::default(),
            fetching: Mutex::default(),
        })
    }

    /// The keys that may have signed: those of this id, or, for a token that names none, all of the right kind.
    pub(super) fn of(&self, kid: Option<&str>, algorithm: Algorithm, now: i64) -> Result<Vec<Key>, Error> {
        let found = self.kept(kid, algorithm, now);
        let old = self.state.lock().at.is_none_or(|at| age(now, at) >= self.max_age_secs);
        if !old && found.as_ref().is_some_and(|keys| !keys.is_empty()) {
            return Ok(found.unwrap_or_default());
        }
        if !self.may_try(now) {
            return self.or_unreachable(found);
        }
        // Who has keys that will do waits for nobody.
        let turn = match &found {
            Some(keys) if !keys.is_empty() => self.fetching.try_lock(),
            _ => self.fetching.try_lock_for(MAX_WAIT),
        };
        if turn.is_some()
            && self.may_try(now)
            && let Err(error) = self.fetch(now)
        {
            tracing::warn!(%error, "the issuer's keys can't be fetched");
        }
        let found = self.kept(kid, algorithm, now);
        self.or_unreachable(found)
    }

    /// Fetches the keys, if that may be tried now.
    pub(super) fn refresh(&self, now: i64) -> Result<(), Error> {
        let _turn = self.fetching.lock();
        if self.may_try(now) { self.fetch(now) } else { Ok(()) }
    }

    fn fetch(&self, now: i64) -> Result<(), Error> {
        self.state.lock().tried = Some(now);
        let keys = self.source.keys()?;
        let mut state = self.state.lock();
        tracing::debug!(keys = keys.len(), "the issuer's keys were fetched");
        (state.keys, state.at) = (Arc::new(keys), Some(now));
        Ok(())
    }

    fn may_try(&self, now: i64) -> bool {
        self.state.lock().tried.is_none_or(|tried| age(now, tried) >= self.refresh_secs)
    }

    /// Fitting ones of the keys that are there; none when there are no keys that may still be used.
    fn kept(&self, kid: Option<&str>, algorithm: Algorithm, now: i64) -> Option<Vec<Key>> {
        let state = self.state.lock();
        let keys = Arc::clone(&state.keys);
        let usable = state.at.is_some_and(|at| age(now, at) < self.keep_secs);
        drop(state);
        let fits = |key: &&Key| key.fits(algorithm) && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        usable.then(|| keys.iter().filter(fits).cloned().collect())
    }

    fn or_unreachable(&self, found: Option<Vec<Key>>) -> Result<Vec<Key>, Error> {
        found.ok_or_else(|| Error::Issuer(format!("{}: its keys can't be had now", self.source)))
    }
}

/// Seconds since `then`; a clock that was set back must keep nothing for ever.
fn age(now: i64, then: i64) -> i64 {
    if now < then { i64::MAX } else { now - then }
}
