//! What goes wrong with a server, in words for who must act.
//!
//! Invariant: what a server said is cut to 300 characters and has no control characters before it becomes part of an error.

use std::time::Duration;

/// Characters of a server's words that are shown.
const SHOWN: usize = 300;

/// Why something could not be had from a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The connection did not come about.
    #[error("{place}: {what}")]
    Connect {
        /// Host and port.
        place: String,
        /// Why.
        what: String,
    },
    /// No protected connection.
    #[error("TLS with {place}: {what}")]
    Tls {
        /// Host.
        place: String,
        /// Why, and what to do.
        what: String,
    },
    /// The connection ended, broke or fell silent.
    #[error("the connection ended: {what}")]
    Ended {
        /// How.
        what: String,
    },
    /// The server broke the protocol or a bound.
    #[error("the server broke the protocol: {what}")]
    Protocol {
        /// How.
        what: String,
    },
    /// The server said no.
    #[error("{command} was refused: {text}")]
    Refused {
        /// The command's name.
        command: String,
        /// The server's words.
        text: String,
    },
    /// The server asks to come again later.
    #[error("{command}: the server is busy: {text}")]
    Busy {
        /// The command's name.
        command: String,
        /// The server's words.
        text: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// The login was refused.
    #[error("login as {user} was refused: {text}")]
    Login {
        /// Who.
        user: String,
        /// The server's words, and what to do.
        text: String,
    },
    /// The server can't do what is needed.
    #[error("{what}")]
    Lacks {
        /// What, and what to do.
        what: String,
    },
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The run's time is over.
    #[error("the time for the run is over; the next run goes on from here")]
    Over,
    /// The archive failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The database of runs failed.
    #[error("{0}")]
    Database(String),
}

impl Fault {
    /// Whether a new connection may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Fault::Connect { .. } | Fault::Ended { .. } | Fault::Busy { .. } | Fault::Protocol { .. }
        )
    }
    /// Whether the whole run ends with it.
    #[must_use]
    pub fn ends_run(&self) -> bool {
        matches!(self, Fault::Cancelled | Fault::Over | Fault::Storage(_) | Fault::Database(_))
    }
    pub(crate) fn protocol(what: impl Into<String>) -> Fault {
        Fault::Protocol { what: what.into() }
    }
    pub(crate) fn ended(what: impl Into<String>) -> Fault {
        Fault::Ended { what: what.into() }
    }
}

/// A server's words without control characters, cut to 300 characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(SHOWN * 4)).unwrap_or_default());
    let mut out: String =
        text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).take(SHOWN).collect();
    if text.chars().count() > SHOWN || bytes.len() > SHOWN * 4 {
        out.push('…');
    }
    out
}

/// Whether a refusal means "later" (RFC 5530, RFC 9208 and what Exchange and Gmail say), and how long the server asks to wait.
/// `code`: the response code in capitals, or nothing.
pub(crate) fn busy(code: &str, text: &str) -> Option<Option<Duration>> {
    let lower = text.to_ascii_lowercase();
    let by_code = matches!(
        code.split(' ').next().unwrap_or_default(),
        "LIMIT" | "UNAVAILABLE" | "INUSE" | "IN-USE" | "THROTTLED" | "LOGIN-DELAY" | "SYS/TEMP"
    );
    let by_text =
        ["throttl", "too many", "try again", "backoff", "rate limit", "bandwidth limit", "temporar"]
            .iter()
            .any(|words| lower.contains(words));
    (by_code || by_text).then(|| delay(&lower))
}

/// A time that a server names: `Suggested Backoff Time: 299961 milliseconds`, `try again in 10 seconds`, `retry after 3 minutes`.
fn delay(lower: &str) -> Option<Duration> {
    let words: Vec<&str> =
        lower.split(|char: char| !char.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    words.windows(2).find_map(|pair| {
        let [number, unit] = pair else { return None };
        let number: u64 = number.parse().ok()?;
        match *unit {
            "ms" | "millisecond" | "milliseconds" => Some(Duration::from_millis(number)),
            "s" | "sec" | "second" | "seconds" => Some(Duration::from_secs(number)),
            "min" | "minute" | "minutes" => Some(Duration::from_secs(number.saturating_mul(60))),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_cleaned() {
        assert_eq!(shown(b"a\x1b[31m\0b"), "a\u{fffd}[31m\u{fffd}b");
        assert_eq!(shown("ü".repeat(300).as_bytes()).chars().count(), 300);
        let long = shown("ü".repeat(301).as_bytes());
        assert!(long.ends_with('…') && long.chars().count() == 301);
    }

    #[test]
    fn who_is_busy() {
        assert_eq!(busy("UNAVAILABLE", "User's backend is down"), Some(None));
        assert_eq!(busy("INUSE", ""), Some(None));
        assert_eq!(
            busy("", "Request is throttled. Suggested Backoff Time: 299961 milliseconds"),
            Some(Some(Duration::from_millis(299_961)))
        );
        assert_eq!(busy("LIMIT", "try again in 10 seconds"), Some(Some(Duration::from_secs(10))));
        assert_eq!(busy("NONEXISTENT", "No such mailbox"), None);
        assert_eq!(busy("", ""), None);
    }
}
