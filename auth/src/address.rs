//! What a user's e-mail address may be, and the form in which it is kept and compared.
//!
//! Invariant: a checked address is lower case, `local@domain`, without blanks, control characters or brackets. The local part is
//! compared without case too: RFC 5321 §2.4 allows servers to tell case apart, and none that people use does.

use crate::Error;

/// Longest address, RFC 5321 §4.5.3.1.3 without the brackets of a path.
pub const MAX_ADDRESS_BYTES: usize = 254;
/// Most addresses of one user.
pub(crate) const MAX_ADDRESSES: usize = 1_000;

/// Checks an address and gives it in lower case.
/// # Errors
/// `BadAddress` with the rule.
pub fn check_address(address: &str) -> Result<String, Error> {
    let bad = |why| Error::BadAddress { address: address.chars().take(80).collect(), why };
    if address.len() > MAX_ADDRESS_BYTES {
        return Err(bad("it is longer than 254 bytes"));
    }
    let lower = address.to_lowercase();
    if lower.len() > MAX_ADDRESS_BYTES {
        return Err(bad("it is longer than 254 bytes"));
    }
    if lower.chars().any(|c| c.is_control() || c.is_whitespace() || "<>()[]\\,;:\"".contains(c)) {
        return Err(bad("it has a blank, a control character or a sign that no address has"));
    }
    match lower.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !local.contains('@') => Ok(lower),
        _ => Err(bad("it is not of the form name@domain")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_addresses() {
        for (given, kept) in
            [("Alice@Example.ORG", "alice@example.org"), ("ü@müller.example", "ü@müller.example")]
        {
            assert_eq!(check_address(given).unwrap(), kept);
        }
        for bad in ["", "alice", "@x", "a@", "a@b@c", "a b@c", "<a@b>", "a\n@b", "a,b@c"] {
            assert!(matches!(check_address(bad), Err(Error::BadAddress { .. })), "{bad:?}");
        }
        let longest = format!("{}@b", "a".repeat(MAX_ADDRESS_BYTES - 2));
        assert!(check_address(&longest).is_ok() && check_address(&format!("a{longest}")).is_err());
    }
}
