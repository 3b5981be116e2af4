//! The one place that turns failures into `NO`, `BAD` and `BYE` with a code (RFC 3501 §7.1, RFC 5530).
//!
//! Generic words on the wire, detail in the log: no path, no folder of others, no cause that tells about the machine.

use crate::proto::parse::{Wrong, search};

/// Why a command ends with something other than OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Syntax, or not in this state.
    Bad(&'static str),
    /// Understood and refused: code (with its brackets' content) and words.
    No(&'static str, &'static str),
    /// The command is about more messages than one may be (RFC 9738): the bound.
    TooMany(u64),
    /// The session ends, with this said.
    Bye(&'static str),
    /// The connection is dropped without a word: the client has gone, or nothing sane can follow.
    Drop,
}

impl Refusal {
    /// No right and no mailbox look the same.
    pub(crate) const NO_MAILBOX: Refusal = Refusal::No("NONEXISTENT", "There is no such mailbox");
    /// Nothing can be changed here.
    pub(crate) const READ_ONLY: Refusal = Refusal::No("NOPERM", "The archive is read-only");

    /// Messages with these sequence numbers are gone, and it could not be told yet.
    pub(crate) const EXPUNGED: Refusal =
        Refusal::No("EXPUNGEISSUED", "Some of the messages are gone; NOOP tells which");

    /// Writes the tagged answer (or `* BYE`).
    pub(crate) fn write(&self, tag: &[u8], out: &mut Vec<u8>) {
        let mut line = |parts: &[&[u8]]| {
            parts.iter().for_each(|p| out.extend_from_slice(p));
            out.extend_from_slice(b"\r\n");
        };
        match self {
            Refusal::Bad(why) => line(&[tag, b" BAD ", why.as_bytes()]),
            Refusal::No("", why) => line(&[tag, b" NO ", why.as_bytes()]),
            Refusal::No(code, why) => line(&[tag, b" NO [", code.as_bytes(), b"] ", why.as_bytes()]),
            Refusal::TooMany(most) => {
                let why =
                    format!(" NO [MESSAGELIMIT {most}] The command is about more messages than one may be");
                line(&[tag, why.as_bytes()]);
            }
            Refusal::Bye(why) => line(&[b"* BYE ", why.as_bytes()]),
            Refusal::Drop => {}
        }
    }
}

/// What clients may send instead (RFC 3501 §7.1): the names that mail uses of the charsets that are known.
const BADCHARSET: &str = "BADCHARSET (UTF-8 US-ASCII ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1250 WINDOWS-1251 \
     WINDOWS-1252 KOI8-R ISO-2022-JP SHIFT_JIS EUC-JP GB18030 BIG5 EUC-KR)";

impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Refusal {
        Refusal::Bad(wrong.0)
    }
}

impl From<search::Refused> for Refusal {
    fn from(refused: search::Refused) -> Refusal {
        match refused {
            search::Refused::Wrong(wrong) => wrong.into(),
            search::Refused::Charset => {
                Refusal::No(BADCHARSET, "The charset is unknown or a string is not in it")
            }
            search::Refused::Limit(why) => Refusal::No("LIMIT", why),
        }
    }
}

impl From<storage::Error> for Refusal {
    fn from(error: storage::Error) -> Refusal {
        use storage::Error as E;
        match &error {
            E::Cancelled => {
                tracing::debug!("a command was given up: its client has gone, or the server stops");
                return Refusal::Drop;
            }
            E::SearchTime { .. } => {
                return Refusal::No(
                    "LIMIT",
                    "The search takes too long; narrow it by date, sender or folder",
                );
            }
            _ => tracing::error!(%error, "storage failed under an IMAP command"),
        }
        match error {
            E::Corrupt { .. } | E::WrongContent { .. } => {
                Refusal::No("CORRUPTION", "A message is damaged; the administrator's log tells which")
            }
            E::Limit { .. } => Refusal::No("LIMIT", "More than the server does at once"),
            _ => {
                Refusal::No("UNAVAILABLE", "The archive can't be read now; the administrator's log tells why")
            }
        }
    }
}

impl From<auth::Error> for Refusal {
    fn from(error: auth::Error) -> Refusal {
        match error {
            auth::Error::Denied => Refusal::No("AUTHENTICATIONFAILED", "User name or password is wrong"),
            auth::Error::Unavailable => Refusal::No(
                "UNAVAILABLE",
                "Logging in is not possible now: the directory that checks passwords doesn't answer; try again later",
            ),
            error => {
                tracing::error!(%error, "authentication failed for a reason of ours");
                Refusal::No("UNAVAILABLE", "Logging in is not possible now")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_words_with_codes() {
        let io = storage::Error::Io {
            path: "/secret/place".into(),
            source: std::io::Error::other("disk on fire"),
        };
        for (refusal, line) in [
            (Refusal::Bad("why"), "a BAD why\r\n"),
            (Refusal::No("", "why"), "a NO why\r\n"),
            (Refusal::READ_ONLY, "a NO [NOPERM] The archive is read-only\r\n"),
            (
                Refusal::TooMany(1_000),
                "a NO [MESSAGELIMIT 1000] The command is about more messages than one may be\r\n",
            ),
            (Refusal::Bye("enough"), "* BYE enough\r\n"),
            (Refusal::Drop, ""),
            (
                io.into(),
                "a NO [UNAVAILABLE] The archive can't be read now; the administrator's log tells why\r\n",
            ),
            (
                storage::Error::SearchTime { secs: 3 }.into(),
                "a NO [LIMIT] The search takes too long; narrow it by date, sender or folder\r\n",
            ),
            (storage::Error::Cancelled.into(), ""),
            (
                search::Refused::Charset.into(),
                "a NO [BADCHARSET (UTF-8 US-ASCII ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1250 WINDOWS-1251 \
                 WINDOWS-1252 KOI8-R ISO-2022-JP SHIFT_JIS EUC-JP GB18030 BIG5 EUC-KR)] The charset is unknown or a string is not in it\r\n",
            ),
        ] {
            let mut out = Vec::new();
            refusal.write(b"a", &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), line);
        }
    }
}
