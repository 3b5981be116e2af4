//! GETMETADATA (RFC 5464): what an administrator says of a folder, and of the server.
//!
//! Nothing is private here: entries below /private are there for every mailbox and have no value, but for the special use of
//! `All Mail`. What was asked for by its own
//! name is answered, with NIL where there is nothing; of what lies below it only what is there.

use crate::proto::encode::{self, Text};
use crate::proto::parse::Cursor;
use crate::proto::parse::metadata::{self, Depth};
use crate::reply::Refusal;
use crate::session::names::Target;
use crate::session::{Call, Done, Mailbox, Session};
use std::sync::Arc;

const COMMENT: &str = "/shared/comment";
const ADMIN: &str = "/shared/admin";
const SPECIAL_USE: &str = "/private/specialuse";

/// The entries of a mailbox, or of the server, that have a value.
pub(crate) type Known = Vec<(&'static str, Arc<str>)>;

/// Those of a mailbox. Lines end as all lines of the protocol do.
pub(crate) fn of_mailbox(mailbox: &Mailbox) -> Known {
    let lines = |comment: &Arc<str>| match comment.contains('\n') {
        true => comment.replace("\r\n", "\n").replace('\n', "\r\n").into(),
        false => Arc::clone(comment),
    };
    let comment = mailbox.comment().map(|comment| (COMMENT, lines(comment)));
    // RFC 6154 §4: what LIST says of it.
    let all = matches!(mailbox.target, Target::AllMail(_)).then(|| (SPECIAL_USE, "\\All".into()));
    comment.into_iter().chain(all).collect()
}

/// GETMETADATA
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let asked = metadata::get(c)?;
    c.end()?;
    let name = asked.mailbox.as_deref();
    let known = if name == Some("") {
        let settings = &s.world.settings;
        let all = [(COMMENT, &settings.metadata_comment), (ADMIN, &settings.metadata_admin)];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.as_str().into()))
            .collect()
    } else {
        of_mailbox(&s.open(name)?)
    };
    let (mut found, mut longest) = (Vec::new(), 0);
    for (entry, value) in pick(&known, &asked.entries, asked.depth) {
        let size = value.map_or(0, |value| value.len() as u64);
        if asked.max_size.is_some_and(|most| size > most) {
            longest = longest.max(size);
        } else {
            found.push((entry, value));
        }
    }
    write(s.enabled.text(), name.unwrap_or_default(), &found, call.out);
    // RFC 5464 §4.2.1: the longest one that was left out.
    Ok(match longest {
        0 => Done::Ok("GETMETADATA done"),
        longest => Done::Told(format!("[METADATA LONGENTRIES {longest}] GETMETADATA done")),
    })
}

/// The entries that are asked for, each once.
pub(crate) fn pick<'a>(
    known: &'a Known,
    entries: &'a [String],
    depth: Depth,
) -> Vec<(&'a str, Option<&'a str>)> {
    let mut found: Vec<(&str, Option<&str>)> = Vec::new();
    for entry in entries {
        let below = |name: &str| {
            let rest = name.strip_prefix(entry.as_str()).and_then(|rest| rest.strip_prefix('/'));
            rest.is_some_and(|rest| match depth {
                Depth::Zero => false,
                Depth::One => !rest.contains('/'),
                Depth::Infinity => true,
            })
        };
        let own = known.iter().find(|(name, _)| name == entry).map(|(_, value)| &**value);
        if own.is_some() || depth == Depth::Zero {
            found.push((entry, own));
        }
        found.extend(
            known.iter().filter(|(name, _)| below(name)).map(|(name, value)| (*name, Some(&**value))),
        );
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The untagged answer; none for nothing.
pub(crate) fn write(text: Text, mailbox: &str, entries: &[(&str, Option<&str>)], out: &mut Vec<u8>) {
    if entries.is_empty() {
        return;
    }
    out.extend_from_slice(b"* METADATA ");
    text.mailbox(canonical(mailbox), out);
    for (n, (entry, value)) in entries.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b" (" } else { b" " });
        encode::astring(entry.as_bytes(), out);
        out.push(b' ');
        match value {
            Some(value) => text.string(value.as_bytes(), out),
            None => out.extend_from_slice(b"NIL"),
        }
    }
    out.extend_from_slice(b")\r\n");
}

/// INBOX is written in one way.
fn canonical(name: &str) -> &str {
    if name.eq_ignore_ascii_case("INBOX") { "INBOX" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let known: Known = vec![(COMMENT, "c".into()), (ADMIN, "a".into()), ("/shared/x/y", "z".into())];
        let of = |entries: &[&str], depth| {
            let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
            let found = pick(&known, &entries, depth);
            found
                .iter()
                .map(|(name, value)| format!("{name}={}", value.unwrap_or("NIL")))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(of(&[COMMENT, "/private/comment"], Depth::Zero), "/private/comment=NIL /shared/comment=c");
        assert_eq!(of(&["/shared"], Depth::Zero), "/shared=NIL");
        assert_eq!(of(&["/shared"], Depth::One), "/shared/admin=a /shared/comment=c");
        assert_eq!(
            of(&["/shared", COMMENT], Depth::Infinity),
            "/shared/admin=a /shared/comment=c /shared/x/y=z"
        );
        assert_eq!(of(&["/private"], Depth::Infinity), "");
        assert_eq!(of(&["/shared/x"], Depth::One), "/shared/x/y=z");
    }
}
