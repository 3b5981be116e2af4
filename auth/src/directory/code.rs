//! LDAP's result codes (RFC 4511 §4.1.9) and what Active Directory says besides, in words for those who must act.

use super::ldap::Ended;

pub(super) const SUCCESS: i64 = 0;
pub(super) const SIZE_LIMIT_EXCEEDED: i64 = 4;
pub(super) const NO_SUCH_OBJECT: i64 = 32;
pub(super) const INVALID_CREDENTIALS: i64 = 49;

/// What `words` begins with for a base that is not there.
pub(super) const NO_BASE: &str = "noSuchObject";

/// Whether a bind that ended so says that the password isn't right (or that this one may not log in), and not that the server
/// couldn't tell.
pub(super) fn is_no(code: i64) -> bool {
    // constraintViolation is a locked account at servers with a password policy; unwillingToPerform an account that may not bind.
    matches!(code, 16 | 19 | NO_SUCH_OBJECT | 34 | 48 | INVALID_CREDENTIALS | 50 | 53)
}

/// Whether another server, or the same one later, may do it.
pub(super) fn is_passing(code: i64) -> bool {
    matches!(code, 1 | 2 | 3 | 10 | 51 | 52 | 80)
}

/// The code's name and what to do about it, with the server's own words.
pub(super) fn words(ended: &Ended) -> String {
    let Ended { code, text } = ended;
    let meaning = match code {
        0 => "success",
        1 => {
            "operationsError: Active Directory says so when nobody has bound; give a bind DN and its password"
        }
        2 => "protocolError",
        3 => {
            "timeLimitExceeded: the directory takes too long; an index on the filter's attributes is missing"
        }
        4 => {
            "sizeLimitExceeded: the directory gives no more entries at once; raise its limit for the bind DN, or check that it knows paging"
        }
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired: the directory takes passwords over TLS only; use ldaps:// or StartTLS",
        10 => "referral: this server doesn't have that part of the directory; name one that has it",
        11 => "adminLimitExceeded: the directory's own limit is too low for this",
        12 => "unavailableCriticalExtension",
        13 => {
            "confidentialityRequired: the directory takes passwords over TLS only; use ldaps:// or StartTLS"
        }
        16 => "noSuchAttribute",
        18 => "inappropriateMatching",
        19 => "constraintViolation: the account may be locked",
        32 => "noSuchObject: there is no such entry; check the base DN",
        34 => "invalidDNSyntax: that is no distinguished name",
        48 => "inappropriateAuthentication: the entry has no password",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights: the bind DN may not do that",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        _ => "",
    };
    let mut out = if meaning.is_empty() { format!("result {code}") } else { meaning.to_owned() };
    if let Some(why) = (*code == INVALID_CREDENTIALS).then(|| active_directory(text)).flatten() {
        out = format!("{out}: {why}");
    }
    if !text.is_empty() {
        out = format!("{out} ({text})");
    }
    out
}

/// What Active Directory's `data` in a refused bind means.
fn active_directory(text: &str) -> Option<&'static str> {
    let data = text.split("data ").nth(1)?.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    Some(match data.to_ascii_lowercase().as_str() {
        "525" => "there is no such account",
        "52e" => "the password is wrong",
        "530" => "the account may not log in at this time",
        "531" => "the account may not log in from this machine",
        "532" => "the password has expired; it must be changed at a Windows machine",
        "533" => "the account is disabled",
        "568" => "the account is in too many groups",
        "701" => "the account has expired",
        "773" => "the password must be changed before the first login, at a Windows machine",
        "775" => {
            "the account is locked after too many wrong passwords; it is freed by itself or by an administrator"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_active_directory_means() {
        for (data, part) in [
            ("525", "no such account"),
            ("52e", "the password is wrong"),
            ("532", "expired; it must be changed"),
            ("533", "disabled"),
            ("701", "the account has expired"),
            ("773", "changed before the first login"),
            ("775", "locked"),
        ] {
            let text = format!(
                "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data {data}, v2580"
            );
            let words = words(&Ended { code: INVALID_CREDENTIALS, text: text.clone() });
            assert!(words.contains(part) && words.contains(&text), "{words}");
        }
        let unknown = words(&Ended { code: INVALID_CREDENTIALS, text: "data fff, v1".into() });
        assert_eq!(unknown, "invalidCredentials (data fff, v1)");
        assert_eq!(words(&Ended { code: 200, text: String::new() }), "result 200");
    }

    #[test]
    fn no_and_not_now_are_told_apart() {
        for code in 0..120 {
            assert!(!(is_no(code) && is_passing(code)), "{code}");
        }
        assert!(
            is_no(INVALID_CREDENTIALS)
                && is_passing(51)
                && is_passing(52)
                && !is_passing(SIZE_LIMIT_EXCEEDED)
        );
    }
}
