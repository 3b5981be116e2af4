//! Distinguished names in a form that can be compared (RFC 4514): servers write one and the same name in several ways.
//!
//! Invariant: two names with the same form name the same entry, for attributes that compare without case, as those of names do.

use crate::MAX_DN_BYTES;

/// The form of a name; `None`: it is none.
pub(super) fn normal(dn: &str) -> Option<String> {
    if dn.len() > MAX_DN_BYTES {
        return None;
    }
    if dn.trim().is_empty() {
        return Some(String::new());
    }
    let mut rdns = Vec::new();
    for rdn in parts(dn, ',')? {
        let mut pairs = parts(rdn, '+')?.into_iter().map(pair).collect::<Option<Vec<_>>>()?;
        pairs.sort_unstable();
        rdns.push(pairs.join("+"));
    }
    Some(rdns.join(","))
}

/// Parts between separators that aren't escaped.
fn parts(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut out, mut begin, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            out.push(text.get(begin..at)?);
            begin = at + separator.len_utf8();
        }
    }
    out.push(text.get(begin..)?);
    (!escaped).then_some(out)
}

fn pair(text: &str) -> Option<String> {
    let (kind, value) = text.split_once('=')?;
    let kind = kind.trim().to_ascii_lowercase();
    let kind = kind.strip_prefix("oid.").unwrap_or(&kind);
    if kind.is_empty()
        || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    {
        return None;
    }
    let value = value.trim_start_matches(' ');
    // RFC 4514 §2.4: the bytes of the value's BER, which is opaque here.
    let value =
        if value.starts_with('#') { value.trim_end().to_ascii_lowercase() } else { unescaped(value)? };
    Some(format!("{kind}={value}"))
}

/// A value without escapes, lower case, blanks at its ends gone and inside single; what parts names is escaped anew.
fn unescaped(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    // What stands up to here was escaped, so that it is no blank at the end.
    let mut kept = 0;
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let first = rest.next()?;
        let hex =
            char::from(first).to_digit(16).zip(rest.clone().next().and_then(|c| char::from(c).to_digit(16)));
        match hex {
            Some((high, low)) => {
                rest.next();
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            None => bytes.push(first),
        }
        kept = bytes.len();
    }
    while bytes.len() > kept && bytes.last() == Some(&b' ') {
        bytes.pop();
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let mut out = String::with_capacity(text.len());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars() {
            if matches!(c, ',' | '+' | '=' | '\\' | '"' | ';' | '<' | '>' | '#') {
                out.push('\\');
            }
            out.push(c);
        }
    }
    Some(out)
}

/// The value of a name's first part.
#[cfg(test)]
pub(super) fn first_value(dn: &str) -> Option<String> {
    let rdn = parts(dn, ',')?.first().copied()?;
    let (_, value) = rdn.split_once('=')?;
    unescaped(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_many_ways() {
        let same = [
            "CN=Keller\\, Anna,OU=Mitarbeiter,DC=contoso,DC=example",
            "cn=keller\\2c anna,ou=mitarbeiter,dc=contoso,dc=example",
            "cn=Keller\\2C Anna , ou = Mitarbeiter, dc=Contoso,  DC=example ",
            "OID.cn=Keller\\,  Anna,OU=Mitarbeiter,DC=contoso,DC=example",
        ];
        for dn in same {
            assert_eq!(normal(dn), normal(same[0]), "{dn}");
        }
        assert_eq!(normal(same[0]).unwrap(), "cn=keller\\, anna,ou=mitarbeiter,dc=contoso,dc=example");
        assert_eq!(normal("uid=a+cn=b,o=x"), normal("CN=b + UID=A, O=X"));
        assert_eq!(normal("cn=Lu\\C4\\8Di\\C4\\87"), normal("cn=LUČIĆ"));
    }

    #[test]
    fn names_that_differ() {
        let dns = [
            "cn=a,dc=x",
            "cn=a\\,dc=x",
            "cn=a,dc=x,dc=y",
            "cn=a+dc=x",
            "cn=a b",
            "cn=ab",
            "cn=a\\+b",
            "cn=a+sn=b",
            "cn=\\#61",
            "cn=#61",
            "sn=a,dc=x",
        ];
        for (at, dn) in dns.iter().enumerate() {
            for other in &dns[at + 1..] {
                assert_ne!(normal(dn), normal(other), "{dn} {other}");
            }
        }
    }

    #[test]
    fn no_names() {
        for bad in ["cn", "=x", "cn=a,", ",cn=a", "cn=a\\", "c n=a", "cn=a,,dc=b"] {
            assert_eq!(normal(bad), None, "{bad}");
        }
        assert_eq!(normal("").as_deref(), Some(""));
        let long = |bytes: usize| format!("cn={}", "x".repeat(bytes - 3));
        assert!(normal(&long(MAX_DN_BYTES)).is_some() && normal(&long(MAX_DN_BYTES + 1)).is_none());
    }

    #[test]
    fn what_an_entry_is_called() {
        assert_eq!(first_value("CN=Legal \\+ Tax,OU=x").as_deref(), Some("legal \\+ tax"));
        assert_eq!(first_value("nothing"), None);
    }
}
