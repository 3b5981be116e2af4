//! NOTIFY (RFC 5465 §8): which events of which mailboxes a client wants to be told.

use super::fetch::{self, Item, MAX_ITEMS};
use super::{Cursor, Wrong};

/// Most event groups, and most names in all of them; the line's own bound is near.
pub(crate) const MAX_NAMES: usize = 1_024;

/// A parsed NOTIFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notify {
    /// NONE
    None,
    /// SET
    Set {
        /// How the mailboxes stand is to be told first.
        status: bool,
        /// A mailbox that belongs to several has the events of all of them (RFC 5465 §6).
        groups: Vec<Group>,
    },
}

/// An event group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) filter: Filter,
    /// None: nothing is told of these.
    pub(crate) events: Option<Events>,
}

/// Which mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The selected one; EXPUNGE at any time.
    Selected,
    /// The selected one; EXPUNGE when a command allows it.
    SelectedDelayed,
    /// INBOX.
    Inboxes,
    /// All of the own archive.
    Personal,
    /// All that is subscribed.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<String>),
    /// These.
    Mailboxes(Vec<String>),
}

impl Filter {
    /// Whether it is about the selected mailbox.
    pub(crate) fn is_selected(&self) -> bool {
        matches!(self, Filter::Selected | Filter::SelectedDelayed)
    }
}

/// What is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// MessageNew and MessageExpunge.
    pub(crate) messages: bool,
    /// What is fetched of a new message in the selected mailbox.
    pub(crate) items: Vec<Item>,
    /// FlagChange. Flags never change, but who asks is told the mod-sequence with STATUS.
    pub(crate) flags: bool,
    /// MailboxName
    pub(crate) names: bool,
    /// MailboxMetadataChange
    pub(crate) metadata: bool,
}

/// Why a NOTIFY was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Syntax, or events that may not stand together.
    Wrong(Wrong),
    /// An event that is not known.
    BadEvent,
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Refused {
        Refused::Wrong(wrong)
    }
}

/// Parses what follows `NOTIFY `.
pub(crate) fn notify(c: &mut Cursor<'_>) -> Result<Notify, Refused> {
    if c.eat_word("NONE") {
        return Ok(Notify::None);
    }
    if !c.eat_word("SET") {
        return Err(Wrong("NOTIFY has SET or NONE").into());
    }
    c.sp()?;
    let status = c.eat_word("STATUS");
    if status {
        c.sp()?;
    }
    let (mut groups, mut names) = (Vec::new(), 0);
    loop {
        groups.push(group(c, &mut names)?);
        if groups.len() > MAX_NAMES {
            return Err(Wrong("too many event groups").into());
        }
        if !c.eat(b' ') || c.is_end() {
            break;
        }
    }
    // RFC 5465 §6: one of the two, once.
    if groups.iter().filter(|group| group.filter.is_selected()).count() > 1 {
        return Err(Wrong("SELECTED and SELECTED-DELAYED stand alone").into());
    }
    Ok(Notify::Set { status, groups })
}

fn group(c: &mut Cursor<'_>, names: &mut usize) -> Result<Group, Refused> {
    c.byte(b'(', "an event group stands in parentheses")?;
    let filter = match c.atom()?.to_ascii_uppercase().as_slice() {
        b"SELECTED" => Filter::Selected,
        b"SELECTED-DELAYED" => Filter::SelectedDelayed,
        b"INBOXES" => Filter::Inboxes,
        b"PERSONAL" => Filter::Personal,
        b"SUBSCRIBED" => Filter::Subscribed,
        b"SUBTREE" => Filter::Subtree(mailboxes(c, names)?),
        b"MAILBOXES" => Filter::Mailboxes(mailboxes(c, names)?),
        _ => return Err(Wrong("unknown mailboxes of an event group").into()),
    };
    c.sp()?;
    let events = if c.eat_word("NONE") { None } else { Some(events(c, &filter)?) };
    c.byte(b')', "an event group is not closed")?;
    Ok(Group { filter, events })
}

/// One name, or several in parentheses; one that is no modified UTF-7 is that of no mailbox.
fn mailboxes(c: &mut Cursor<'_>, names: &mut usize) -> Result<Vec<String>, Wrong> {
    c.sp()?;
    let list = c.eat(b'(');
    let mut found = Vec::new();
    loop {
        *names += 1;
        if *names > MAX_NAMES {
            return Err(Wrong("too many mailboxes"));
        }
        found.extend(c.mailbox()?);
        if !list || c.eat(b')') {
            return Ok(found);
        }
        c.sp()?;
    }
}

fn events(c: &mut Cursor<'_>, filter: &Filter) -> Result<Events, Refused> {
    c.byte(b'(', "events stand in parentheses")?;
    let (mut events, mut unknown) = (Events::default(), false);
    let (mut new, mut expunge, mut of_mailbox) = (false, false, false);
    loop {
        match c.atom()?.to_ascii_uppercase().as_slice() {
            b"MESSAGENEW" => {
                new = true;
                if c.rest().starts_with(b" (") {
                    c.sp()?;
                    events.items = items(c)?;
                }
            }
            b"MESSAGEEXPUNGE" => expunge = true,
            b"FLAGCHANGE" => events.flags = true,
            b"MAILBOXNAME" => (events.names, of_mailbox) = (true, true),
            b"MAILBOXMETADATACHANGE" => (events.metadata, of_mailbox) = (true, true),
            // Everything is subscribed always; what the server says of itself is a setting.
            b"SUBSCRIPTIONCHANGE" | b"SERVERMETADATACHANGE" => of_mailbox = true,
            _ => unknown = true,
        }
        if c.eat(b')') {
            break;
        }
        c.sp()?;
    }
    if unknown {
        return Err(Refused::BadEvent);
    }
    // RFC 5465 §5: what was gone would be told as there, or the other way round.
    if new != expunge || (events.flags && !new) {
        return Err(Wrong("MessageNew and MessageExpunge go together, FlagChange with both").into());
    }
    if filter.is_selected() && of_mailbox {
        return Err(Wrong("the selected mailbox has events of messages only").into());
    }
    if !filter.is_selected() && !events.items.is_empty() {
        return Err(Wrong("only of the selected mailbox are messages fetched").into());
    }
    events.messages = new;
    Ok(events)
}

fn items(c: &mut Cursor<'_>) -> Result<Vec<Item>, Wrong> {
    c.byte(b'(', "what is fetched stands in parentheses")?;
    let mut all = Vec::new();
    loop {
        all.push(fetch::item(c)?);
        if all.len() > MAX_ITEMS {
            return Err(Wrong("too many items"));
        }
        if c.eat(b')') {
            return Ok(all);
        }
        c.sp()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Notify, Refused> {
        let mut c = Cursor::new(text.as_bytes());
        let found = notify(&mut c)?;
        c.end()?;
        Ok(found)
    }

    #[test]
    fn the_rfcs_examples() {
        let events = |messages, items: &[Item], names| {
            Some(Events { messages, items: items.to_vec(), names, ..Events::default() })
        };
        let flags = |events: Option<Events>| events.map(|events| Events { flags: true, ..events });
        let group = |filter, events| Group { filter, events };
        for (text, expected) in [
            ("NONE", Notify::None),
            (
                "SET STATUS (Selected (MessageNew (uid flags) MessageExpunge)) (subtree Lists (MessageNew MessageExpunge))",
                Notify::Set {
                    status: true,
                    groups: vec![
                        group(Filter::Selected, events(true, &[Item::Uid, Item::Flags], false)),
                        group(Filter::Subtree(vec!["Lists".into()]), events(true, &[], false)),
                    ],
                },
            ),
            (
                "set (selected-delayed (MessageNew MessageExpunge FlagChange)) (mailboxes (a \"b c\") (MailboxName)) (personal NONE) (inboxes (SubscriptionChange ServerMetadataChange)) (subscribed (MailboxName))",
                Notify::Set {
                    status: false,
                    groups: vec![
                        group(Filter::SelectedDelayed, flags(events(true, &[], false))),
                        group(Filter::Mailboxes(vec!["a".into(), "b c".into()]), events(false, &[], true)),
                        group(Filter::Personal, None),
                        group(Filter::Inboxes, events(false, &[], false)),
                        group(Filter::Subscribed, events(false, &[], true)),
                    ],
                },
            ),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "SET",
            "SET STATUS",
            "SET ()",
            "SET (nowhere (MailboxName))",
            "SET (personal)",
            "SET STATUS (selected MessageNew (UID) MessageExpunge)",
            "SET (personal ())",
            "SET (personal (MessageNew))",
            "SET (personal (MessageExpunge))",
            "SET (personal (FlagChange))",
            "SET (personal (MessageNew (UID) MessageExpunge))",
            "SET (selected (MessageNew MessageExpunge MailboxName))",
            "SET (selected (MessageNew (X) MessageExpunge))",
            "SET (selected (MessageNew MessageExpunge)) (selected-delayed (MessageNew MessageExpunge))",
            "SET (mailboxes (MessageNew MessageExpunge))",
            "SET (mailboxes () (MailboxName))",
            "NONE x",
        ] {
            assert!(matches!(parse(text), Err(Refused::Wrong(_))), "{text}");
        }
        for text in ["SET (personal (AnnotationChange))", "SET (selected (MessageNew MessageExpunge Foo))"] {
            assert_eq!(parse(text), Err(Refused::BadEvent), "{text}");
        }
    }

    #[test]
    fn bounds() {
        let many = |n: usize| format!("SET (mailboxes ({}) (MailboxName))", vec!["x"; n].join(" "));
        assert!(parse(&many(MAX_NAMES)).is_ok());
        assert!(parse(&many(MAX_NAMES + 1)).is_err());
        let groups = |n: usize| format!("SET {}", vec!["(personal (MailboxName))"; n].join(" "));
        assert!(parse(&groups(MAX_NAMES)).is_ok());
        assert!(parse(&groups(MAX_NAMES + 1)).is_err());
        let items =
            |n: usize| format!("SET (selected (MessageNew ({}) MessageExpunge))", vec!["UID"; n].join(" "));
        assert!(parse(&items(MAX_ITEMS)).is_ok());
        assert!(parse(&items(MAX_ITEMS + 1)).is_err());
    }
}
