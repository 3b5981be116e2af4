//! A JSON Web Token (RFC 7519, RFC 8725): taken apart within bounds, its signature and claims checked.
//!
//! Invariant: the algorithm comes from the settings and the key's own type; the header only chooses among them. `none` and all that
//! works with a shared secret don't exist here, and keys in or named by a header are never used.

use super::OAuth;
use super::keys::{Key, Keys};
use crate::Error;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest token.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// Longest value of a claim that names a user.
const MAX_USER_BYTES: usize = 1_000;

/// A signature's algorithm (RFC 7518 §3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS #1 1.5, SHA-256.
    Rs256,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// ECDSA, P-256, SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All that are known.
    pub const ALL: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];

    /// Its name in tokens.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Ps256 => "PS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// Why a token is not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// What is wrong with it; nothing of it is in the words.
    Token(String),
    /// Nothing can be said: the keys can't be had.
    Issuer(Error),
}

fn refused<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Token(why.into()))
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

fn part<T: for<'de> Deserialize<'de>>(base64: &str, what: &str) -> Result<T, Refused> {
    let bytes =
        BASE64_URL_SAFE_NO_PAD.decode(base64).or_else(|_| refused(format!("its {what} is no base64url")))?;
    // serde_json goes 128 levels deep and no further.
    serde_json::from_slice(&bytes).or_else(|_| refused(format!("its {what} is no JSON of the expected form")))
}

/// Checks a token; gives the claim that names the user. `now`: seconds since 1970.
pub(super) fn check(token: &str, settings: &OAuth, keys: &Keys, now: i64) -> Result<String, Refused> {
    if token.len() > MAX_TOKEN_BYTES {
        return refused("it is too long");
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return refused("it is no signed JSON Web Token");
    };
    let header: Header = part(head, "header")?;
    // RFC 7515 §4.1.11: what must be understood and isn't, is refused.
    if header.crit.is_some() {
        return refused("its header has critical extensions");
    }
    // RFC 8725 §3.11: tokens for other uses (of logging out, say) are signed by the same key.
    let typ = header.typ.as_deref().unwrap_or("JWT");
    let typ =
        typ.get(..12).filter(|start| start.eq_ignore_ascii_case("application/")).map_or(typ, |_| &typ[12..]);
    if !["jwt", "at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) {
        return refused("its type is neither JWT nor at+jwt");
    }
    let Some(algorithm) = settings.algorithms.iter().copied().find(|known| known.name() == header.alg) else {
        return refused("its algorithm is not allowed");
    };
    // What is known without a key is looked at first: rubbish has no keys fetched.
    let claims: Map<String, Value> = part(body, "body")?;
    times_and_names(&claims, settings, now)?;
    let message = token.get(..head.len() + 1 + body.len()).unwrap_or_default();
    let good = |key: &Key| {
        key.fits(algorithm)
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, algorithm.library())
                .unwrap_or(false)
    };
    let found = keys.of(header.kid.as_deref(), algorithm, now).map_err(Refused::Issuer)?;
    if found.is_empty() {
        return refused("the issuer has no such key");
    }
    if !found.iter().any(good) {
        return refused("its signature is wrong");
    }
    user(&claims, settings)
}

/// Seconds since 1970 (RFC 7519 §2: fractions are allowed).
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Refused> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            #[expect(clippy::cast_possible_truncation, reason = "a cast from f64 ends at the type's bounds")]
            let whole = |value: f64| value.floor() as i64;
            match value.as_i64().or_else(|| value.as_f64().map(whole)) {
                Some(secs) => Ok(Some(secs)),
                None => refused(format!("its {name} is no number")),
            }
        }
    }
}

fn times_and_names(claims: &Map<String, Value>, settings: &OAuth, now: i64) -> Result<(), Refused> {
    let skew = i64::try_from(settings.skew_secs).unwrap_or(i64::MAX);
    let Some(exp) = date(claims, "exp")? else { return refused("it never expires") };
    // RFC 7519 §4.1.4: "the expiration time on or after which the JWT MUST NOT be accepted".
    if now >= exp.saturating_add(skew) {
        return refused("it has expired");
    }
    if date(claims, "nbf")?.is_some_and(|nbf| now < nbf.saturating_sub(skew)) {
        return refused("it is not valid yet");
    }
    if date(claims, "iat")?.is_some_and(|iat| now < iat.saturating_sub(skew)) {
        return refused("it was issued in the future");
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(settings.issuer.as_str()) {
        return refused("it is of another issuer");
    }
    let ours = |audience: &str| settings.audiences.iter().any(|known| known == audience);
    let for_us = match claims.get("aud") {
        Some(Value::String(one)) => ours(one),
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str().is_some_and(ours)),
        _ => false,
    };
    if !for_us {
        return refused("it is for another audience");
    }
    // Entra's first version has the client in `appid`.
    let client = text("azp").or_else(|| text("client_id")).or_else(|| text("appid")).unwrap_or_default();
    if !settings.clients.is_empty() && !settings.clients.iter().any(|known| known == client) {
        return refused("it was given to another client");
    }
    Ok(())
}

fn user(claims: &Map<String, Value>, settings: &OAuth) -> Result<String, Refused> {
    let name = &settings.user_claim;
    // OpenID Connect Core §5.1: without this, whoever may type an address at the issuer would be its owner here.
    if name == "email" && claims.get("email_verified").is_some_and(|verified| *verified == Value::Bool(false))
    {
        return refused("its address is not verified");
    }
    match claims.get(name).and_then(Value::as_str) {
        Some(user) if !user.is_empty() && user.len() <= MAX_USER_BYTES => Ok(user.to_owned()),
        Some(_) => refused(format!("its {name} is empty or too long")),
        None => refused(format!("it has no {name}")),
    }
}
