//! NOTIFY (RFC 5465): what happens in other mailboxes is told at any time, of the selected one without IDLE too.
//!
//! Invariant: only mailboxes that the user may read are watched, and rights are asked at every look. What is remembered is a few
//! numbers a mailbox, of a bounded number of mailboxes. `All Mail` repeats the others: it is watched only where it is named.

use super::multisearch::{capital, is_below, name_of};
use super::objects::MailboxId;
use crate::proto::encode::{self, Text};
use crate::proto::parse::Cursor;
use crate::proto::parse::fetch::Item;
use crate::proto::parse::notify::{self as grammar, Events, Filter, Group, Notify, Refused};
use crate::reply::Refusal;
use crate::session::tree::{Entry, Kind, Walk};
use crate::session::{Call, Done, Session, Work, names};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{Cancel, ModSeq};

const BAD_EVENT: Refusal = Refusal::No(
    "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)",
    "An event is not known here",
);
const OVERFLOW: Refusal = Refusal::No("NOTIFICATIONOVERFLOW", "These are more mailboxes than are watched");

/// What a client wants to be told, and what it knows.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    groups: Arc<Vec<Group>>,
    known: BTreeMap<String, Seen>,
}

/// How a mailbox was when it was last told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    id: MailboxId,
    uid_validity: u32,
    messages: u64,
    uid_next: u32,
    mod_seq: ModSeq,
    /// Events of messages are to be told.
    of_messages: bool,
    /// Events of names are to be told.
    of_names: bool,
}

impl Seen {
    fn same_messages(&self, other: &Seen) -> bool {
        (self.uid_validity, self.messages, self.uid_next)
            == (other.uid_validity, other.messages, other.uid_next)
    }
}

impl Wanted {
    fn selected(&self) -> Option<(bool, &Events)> {
        let group = self.groups.iter().find(|group| group.filter.is_selected())?;
        Some((group.filter == Filter::SelectedDelayed, group.events.as_ref()?))
    }
    /// Whether what comes and goes in the selected mailbox is told without being asked for; whether EXPUNGE waits for a command.
    pub(crate) fn tells_selected(&self) -> Option<bool> {
        self.selected().filter(|(_, events)| events.messages).map(|(delayed, _)| delayed)
    }
    /// What is fetched of new messages.
    pub(crate) fn items(&self) -> &[Item] {
        self.selected().map_or(&[], |(_, events)| &events.items)
    }
}

/// NOTIFY
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let asked = grammar::notify(c).map_err(|refused| match refused {
        Refused::Wrong(wrong) => wrong.into(),
        Refused::BadEvent => BAD_EVENT,
    })?;
    c.end()?;
    let Notify::Set { status, groups } = asked else {
        s.notify = None;
        return Ok(Done::Ok("NOTIFY done"));
    };
    let groups = Arc::new(groups);
    // RFC 5465 §5.8: after an overflow nothing is watched.
    let known = match look(s, &groups) {
        Err(refusal @ Refusal::No(..)) => {
            s.notify = None;
            return Err(refusal);
        }
        other => other?,
    };
    if status {
        let selected = selected_name(s)?;
        for (name, seen) in
            known.iter().filter(|(name, seen)| seen.of_messages && Some(*name) != selected.as_ref())
        {
            write_status(s, name, seen, call.out);
        }
    }
    s.notify = Some(Wanted { groups, known });
    Ok(Done::Ok("NOTIFY done"))
}

/// The watched mailboxes as they are now.
fn look(s: &Session, groups: &[Group]) -> Result<BTreeMap<String, Seen>, Refusal> {
    let mut seen = BTreeMap::new();
    if groups.iter().all(|group| group.filter.is_selected()) {
        return Ok(seen);
    }
    let mut walk = Walk::new(&s.world, s.user()?, &["*".to_owned()], false);
    while let Some(piece) = walk.next() {
        for Entry { name, kind, .. } in piece {
            let Some(events) = events_of(groups, &name, kind) else { continue };
            let mailbox = match s.open(Some(&name)) {
                Ok(mailbox) => mailbox,
                // It went between two looks.
                Err(Refusal::No(..)) => continue,
                Err(other) => return Err(other),
            };
            let one = Seen {
                id: mailbox.id(),
                uid_validity: mailbox.uid_validity(),
                messages: mailbox.uids().len(),
                uid_next: mailbox.uid_next(),
                mod_seq: mailbox.mod_seq(),
                of_messages: events.messages,
                of_names: events.names,
            };
            seen.insert(name, one);
            if seen.len() > s.world.settings.max_notify_mailboxes {
                return Err(OVERFLOW);
            }
        }
    }
    Ok(seen)
}

/// What is to be told of a mailbox: the first group that has it counts (RFC 5465 §6).
fn events_of<'g>(groups: &'g [Group], name: &str, kind: Kind) -> Option<&'g Events> {
    let folder = kind == Kind::Folder;
    let has = |group: &&Group| match &group.filter {
        Filter::Selected | Filter::SelectedDelayed => false,
        Filter::Inboxes => name == "INBOX",
        Filter::Personal => folder && !is_below(name, names::OTHERS),
        Filter::Subscribed => folder,
        Filter::Subtree(tops) => {
            tops.iter().map(|top| capital(top)).any(|top| name == top || is_below(name, &top))
        }
        Filter::Mailboxes(some) => some.iter().any(|one| capital(one) == name),
    };
    if kind == Kind::Container {
        return None;
    }
    groups.iter().find(has)?.events.as_ref()
}

fn selected_name(s: &Session) -> Result<Option<String>, Refusal> {
    s.mailbox.as_ref().map(|mailbox| name_of(s, mailbox)).transpose()
}

/// Appends what happened in other mailboxes since the last look.
pub(crate) fn tell(s: &mut Session, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Some(watch) = s.notify.clone() else { return Ok(()) };
    let now = match look(s, &watch.groups) {
        Ok(now) => now,
        Err(OVERFLOW) => {
            s.notify = None;
            out.extend_from_slice(
                b"* OK [NOTIFICATIONOVERFLOW] These are more mailboxes than are watched\r\n",
            );
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    let selected = selected_name(s)?;
    let gone = watch.known.iter().filter(|(name, _)| !now.contains_key(*name));
    let mut gone: BTreeMap<MailboxId, (&String, &Seen)> =
        gone.map(|(name, seen)| (seen.id, (name, seen))).collect();
    for (name, seen) in &now {
        let before = watch.known.get(name);
        if before.is_none_or(|before| before.id != seen.id) && seen.of_names {
            let old = gone.remove(&seen.id);
            write_list(s.enabled.text(), b"", name, old.map(|(name, _)| name.as_str()), out);
        }
        let same = before.is_some_and(|before| before.same_messages(seen));
        if seen.of_messages && !same && Some(name) != selected.as_ref() {
            write_status(s, name, seen, out);
        }
    }
    for (name, _) in gone.into_values().filter(|(_, seen)| seen.of_names) {
        write_list(s.enabled.text(), b"\\NonExistent", name, None, out);
    }
    s.notify = Some(Wanted { known: now, ..watch });
    Ok(())
}

fn write_status(s: &Session, name: &str, seen: &Seen, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* STATUS ");
    s.enabled.text().mailbox(name, out);
    let mut item = |word: &[u8], value: u64| {
        out.extend_from_slice(word);
        encode::number(value, out);
    };
    item(b" (MESSAGES ", seen.messages);
    item(b" UIDNEXT ", u64::from(seen.uid_next));
    item(b" UIDVALIDITY ", u64::from(seen.uid_validity));
    if s.enabled.condstore {
        item(b" HIGHESTMODSEQ ", seen.mod_seq.0);
    }
    out.extend_from_slice(b")\r\n");
}

fn write_list(text: Text, attribute: &[u8], name: &str, old: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* LIST (");
    out.extend_from_slice(attribute);
    out.extend_from_slice(b") \"/\" ");
    text.mailbox(name, out);
    if let Some(old) = old {
        out.extend_from_slice(b" (\"OLDNAME\" (");
        text.mailbox(old, out);
        out.extend_from_slice(b"))");
    }
    out.extend_from_slice(b"\r\n");
}

/// What is told without being asked for: that it fails is told without a tag, and ends no command.
pub(crate) struct Aside(pub(crate) Box<dyn Work>);

impl Work for Aside {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        match self.0.step(out, cancel) {
            Err(refusal @ Refusal::No(..)) => {
                refusal.write(b"*", out);
                Ok(true)
            }
            other => other,
        }
    }
    fn is_inside_line(&self) -> bool {
        self.0.is_inside_line()
    }
}
