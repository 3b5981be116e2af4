//! AUTHENTICATE OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's and Microsoft's form of it): a token in place of a password.
//!
//! Invariant: as with passwords, nothing is taken on a connection that others can read, and all refusals look alike. Which tokens are
//! good, `auth` says. Offered only where an issuer is configured.

use super::login::present;
use crate::proto::parse::Wrong;
use crate::reply::Refusal;
use crate::session::{Done, Mode, Session};
use auth::{Auth, How, MAX_TOKEN_BYTES};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// Longest line with a token before login: the longest token in base64, and what stands beside it.
pub(crate) const MAX_LINE_BYTES: usize = MAX_TOKEN_BYTES / 3 * 4 + 2_048;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// RFC 7628.
    OAuthBearer,
    /// Older than that.
    XOAuth2,
}

impl Form {
    /// The mechanism of this name, where tokens are taken.
    pub(crate) fn named(s: &Session, mechanism: &[u8]) -> Option<Form> {
        let forms = [Form::OAuthBearer, Form::XOAuth2];
        let named = forms.into_iter().find(|form| mechanism.eq_ignore_ascii_case(form.name().as_bytes()));
        named.filter(|_| s.world.auth.takes_tokens())
    }

    fn name(self) -> &'static str {
        self.how().words()
    }

    pub(super) fn how(self) -> How {
        match self {
            Form::OAuthBearer => How::OAuthBearer,
            Form::XOAuth2 => How::XOAuth2,
        }
    }

    /// Says that a token was refused: RFC 7628 §3.2.3 has the client answer with one more message, then comes the NO.
    pub(super) fn refuse(self, auth: &Auth, out: &mut Vec<u8>) -> Done {
        let json = self.challenge(auth.discovery().as_deref());
        out.extend_from_slice(b"+ ");
        out.extend_from_slice(BASE64_STANDARD.encode(json).as_bytes());
        out.extend_from_slice(b"\r\n");
        Done::Continue(Mode::BearerRefused)
    }

    /// What a client with a bad token is told, as JSON: RFC 7628 §3.2.2, and what servers of the older form send.
    fn challenge(self, discovery: Option<&str>) -> String {
        let json = match self {
            Form::OAuthBearer => serde_json::json!({
                "status": "invalid_token", "scope": "openid email", "openid-configuration": discovery,
            }),
            Form::XOAuth2 => {
                serde_json::json!({ "status": "401", "schemes": "bearer", "scope": "openid email" })
            }
        };
        json.to_string()
    }
}

/// What CAPABILITY has of them.
pub(crate) fn capabilities(s: &Session) -> &'static str {
    if s.world.auth.takes_tokens() { " AUTH=OAUTHBEARER AUTH=XOAUTH2" } else { "" }
}

/// The response, as a line of its own or with the command.
pub(crate) fn response(s: &mut Session, form: Form, response: &[u8]) -> Result<Done, Refusal> {
    if response == b"*" {
        return Err(Refusal::Bad("AUTHENTICATE cancelled"));
    }
    let (named, token) = parse(form, response)?;
    present(s, form, named, token)
}

/// What a client says to the challenge: whatever it is, the login has failed.
pub(crate) fn refused() -> Result<Done, Refusal> {
    Err(Refusal::No("AUTHENTICATIONFAILED", "The token is not valid here"))
}

/// Whom the client says to be, and the token.
fn parse(form: Form, base64: &[u8]) -> Result<(Option<String>, Zeroizing<String>), Wrong> {
    const WRONG: Wrong = Wrong("The response has not the mechanism's form");
    let bytes =
        Zeroizing::new(BASE64_STANDARD.decode(base64).map_err(|_| Wrong("The response is no base64"))?);
    let text = std::str::from_utf8(&bytes).map_err(|_| WRONG)?;
    let (head, rest) = text.split_once('\x01').ok_or(WRONG)?;
    let pairs = rest.strip_suffix("\x01\x01").ok_or(WRONG)?;
    let named = match form {
        Form::OAuthBearer => authorization(head).ok_or(WRONG)?,
        Form::XOAuth2 => head.strip_prefix("user=").map(|user| Some(user.to_owned())).ok_or(WRONG)?,
    };
    let auth = pairs.split('\x01').find_map(|pair| pair.strip_prefix("auth=")).ok_or(WRONG)?;
    let (scheme, token) = auth.split_once(' ').ok_or(WRONG)?;
    if !scheme.eq_ignore_ascii_case("Bearer") || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(WRONG);
    }
    Ok((named.filter(|named| !named.is_empty()), Zeroizing::new(token.to_owned())))
}

/// The authorization identity of a GS2 header (RFC 5801 §4): no channel binding, `a=NAME`, with `=2C` and `=3D` for `,` and `=`.
fn authorization(head: &str) -> Option<Option<String>> {
    let rest = head.strip_prefix("n,").or_else(|| head.strip_prefix("y,"))?.strip_suffix(',')?;
    if rest.is_empty() {
        return Some(None);
    }
    let coded = rest.strip_prefix("a=").filter(|coded| !coded.contains(','))?;
    let mut pieces = coded.split('=');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (sign, rest) = piece.split_at_checked(2)?;
        name.push(match sign {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(form: Form, text: &str) -> Option<(Option<String>, String)> {
        let (named, token) = parse(form, BASE64_STANDARD.encode(text).as_bytes()).ok()?;
        Some((named, token.to_string()))
    }

    /// RFC 7628 §4.1 and the forms around it.
    #[test]
    fn responses_of_both_forms() {
        let example = "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
             auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==".to_owned();
        assert_eq!(of(Form::OAuthBearer, example), Some((Some("user@example.com".into()), token)));
        for (head, named) in [
            ("n,,", Some(None)),
            ("y,a=x,", Some(Some("x"))),
            ("n,a==2C=3D=2C,", Some(Some(",=,"))),
            ("n,a=a=3Db,", Some(Some("a=b"))),
            ("n,a=,", Some(None)),
            ("p=tls-unique,,", None),
            ("n,a=x", None),
            ("n,x,", None),
            ("n,a=x,y,", None),
            ("n,a=x=2,", None),
            ("n,a=x=41,", None),
            ("", None),
        ] {
            let found = of(Form::OAuthBearer, &format!("{head}\x01auth=bearer T\x01\x01"));
            assert_eq!(found, named.map(|named| (named.map(str::to_owned), "T".to_owned())), "{head:?}");
        }
        for text in [
            "n,,\x01auth=Bearer T\x01",
            "n,,\x01auth=Basic T\x01\x01",
            "n,,\x01auth=Bearer\x01\x01",
            "n,,\x01auth=Bearer T T\x01\x01",
            "n,,\x01auth=Bearer T\0\x01\x01",
            "n,,\x01host=x\x01\x01",
            "n,,\x01\x01",
            "\x01",
            "",
        ] {
            assert_eq!(of(Form::OAuthBearer, text), None, "{text:?}");
        }
        assert_eq!(
            of(Form::XOAuth2, "user=someuser@example.com\x01auth=Bearer ya29.vF9\x01\x01"),
            Some((Some("someuser@example.com".into()), "ya29.vF9".into()))
        );
        assert_eq!(of(Form::XOAuth2, "n,,\x01auth=Bearer T\x01\x01"), None);
        assert!(parse(Form::XOAuth2, b"!").is_err());
    }

    #[test]
    fn the_challenges_are_json_of_their_form() {
        let told: serde_json::Value =
            serde_json::from_str(&Form::OAuthBearer.challenge(Some("https://i/.well-known/x"))).unwrap();
        assert_eq!(
            (&told["status"], &told["openid-configuration"]),
            (&"invalid_token".into(), &"https://i/.well-known/x".into())
        );
        let told: serde_json::Value = serde_json::from_str(&Form::XOAuth2.challenge(None)).unwrap();
        assert_eq!(told["status"], "401");
    }
}
