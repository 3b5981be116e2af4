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
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use storage::{Cancel, ModSeq};

const BAD_EVENT: Refusal = Refusal::No(
    "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)",
    "An event is not known here",
);
const OVERFLOW: Refusal = Refusal::No("NOTIFICATIONOVERFLOW", "These are more mailboxes than are watched");

/// What a client wants to be told, and what it knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    groups: Arc<Vec<Group>>,
    known: BTreeMap<String, Seen>,
    /// SET is as good as a NOOP (RFC 5465 §3.1): what has gathered in the selected mailbox is told once more.
    fresh: bool,
}

/// How a mailbox was when it was last told of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    id: MailboxId,
    kind: Kind,
    children: bool,
    comment: Option<Arc<str>>,
    uid_validity: u32,
    messages: u64,
    uid_next: u32,
    mod_seq: ModSeq,
    of: Of,
}

/// What is to be told of a mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Of {
    messages: bool,
    flags: bool,
    names: bool,
    metadata: bool,
}

impl Seen {
    fn same_messages(&self, other: &Seen) -> bool {
        (self.uid_validity, self.messages, self.uid_next)
            == (other.uid_validity, other.messages, other.uid_next)
    }
}

impl Wanted {
    /// Nothing that comes or goes in the selected mailbox is to be told: it stays as the client knows it.
    pub(crate) fn is_silent(&mut self) -> bool {
        !std::mem::take(&mut self.fresh) && self.tells_selected().is_none()
    }
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
        s.notify = Some(Wanted::default());
        return Ok(Done::Ok("NOTIFY done"));
    };
    let groups = Arc::new(groups);
    // RFC 5465 §5.8: after an overflow nothing is watched.
    let known = match look(s, &groups) {
        Err(refusal @ Refusal::No(..)) => {
            s.notify = Some(Wanted::default());
            return Err(refusal);
        }
        other => other?,
    };
    if status {
        let selected = selected_name(s)?;
        for (name, seen) in
            known.iter().filter(|(name, seen)| seen.of.messages && Some(*name) != selected.as_ref())
        {
            // RFC 5465 §3.1: who asks for changes of flags is told what they are counted by.
            write_status(s, name, seen, seen.of.flags, call.out);
        }
    }
    s.notify = Some(Wanted { groups, known, fresh: true });
    Ok(Done::Ok("NOTIFY done"))
}

/// The watched mailboxes as they are now.
fn look(s: &Session, groups: &[Group]) -> Result<BTreeMap<String, Seen>, Refusal> {
    let mut seen = BTreeMap::new();
    if groups.iter().all(|group| group.filter.is_selected()) {
        return Ok(seen);
    }
    let mut walk = Walk::new(&s.world, s.user()?, &["*".to_owned()], false)?;
    while let Some(piece) = walk.next()? {
        for Entry { name, kind, children, target } in piece {
            let of = events_of(groups, &name, kind);
            let Some(target) = target.filter(|_| of != Of::default()) else { continue };
            let mailbox = match s.world.open(walk.sight(), target) {
                Ok(mailbox) => mailbox,
                // It went between two looks.
                Err(Refusal::No(..)) => continue,
                Err(other) => return Err(other),
            };
            let one = Seen {
                id: mailbox.id(),
                kind,
                children,
                comment: mailbox.comment().filter(|_| of.metadata).cloned(),
                uid_validity: mailbox.uid_validity(),
                messages: mailbox.uids().len(),
                uid_next: mailbox.uid_next(),
                mod_seq: mailbox.mod_seq(),
                of,
            };
            seen.insert(name, one);
            if seen.len() > s.world.settings.max_notify_mailboxes {
                return Err(OVERFLOW);
            }
        }
    }
    Ok(seen)
}

/// What is to be told of a mailbox: what any group that has it asks for (RFC 5465 §6).
fn events_of(groups: &[Group], name: &str, kind: Kind) -> Of {
    let folder = matches!(kind, Kind::Folder | Kind::Container);
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
    let all = groups.iter().filter(has).filter_map(|group| group.events.as_ref());
    all.fold(Of::default(), |of, events| Of {
        messages: of.messages || events.messages,
        flags: of.flags || events.flags,
        names: of.names || events.names,
        metadata: of.metadata || events.metadata,
    })
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
            s.notify = Some(Wanted::default());
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
    let mut names = Names::default();
    for (name, seen) in &now {
        let before = watch.known.get(name);
        if before.is_none_or(|before| before.id != seen.id) {
            match gone.remove(&seen.id) {
                Some((old, _)) => names.renamed.push((old, name)),
                None => names.changed.push((name, Some(seen))),
            }
        }
    }
    names.changed.extend(gone.into_values().filter(|(_, seen)| seen.of.names).map(|(name, _)| (name, None)));
    names.tell(s, &watch.groups, &now, out)?;
    for (name, seen) in &now {
        let before = watch.known.get(name);
        let same = before.is_some_and(|before| before.same_messages(seen));
        if seen.of.messages && !same && Some(name) != selected.as_ref() {
            write_status(s, name, seen, false, out);
        }
        // RFC 5464 §4.4.2: names of entries, without values.
        if before.is_some_and(|before| before.id == seen.id && before.comment != seen.comment) {
            out.extend_from_slice(b"* METADATA ");
            s.enabled.text().mailbox(name, out);
            out.extend_from_slice(b" /shared/comment\r\n");
        }
    }
    s.notify = Some(Wanted { known: now, ..watch });
    Ok(())
}

/// Names that came, went or changed.
#[derive(Default)]
struct Names<'n> {
    /// Old and new.
    renamed: Vec<(&'n String, &'n String)>,
    /// That came, or went.
    changed: Vec<(&'n String, Option<&'n Seen>)>,
}

impl Names<'_> {
    /// RFC 5465 §5.4: what is below a name that changed is not told; the parent of what came or went is told too.
    fn tell(
        &self,
        s: &Session,
        groups: &[Group],
        now: &BTreeMap<String, Seen>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let text = s.enabled.text();
        for (old, new) in &self.renamed {
            let follows = |(above, to): &(&String, &String)| {
                let (rest, moved) = (old.strip_prefix(above.as_str()), new.strip_prefix(to.as_str()));
                rest == moved && rest.is_some_and(|rest| rest.starts_with('/'))
            };
            if let Some(seen) = now.get(*new).filter(|seen| seen.of.names)
                && !self.renamed.iter().any(follows)
            {
                write_list(text, new, Some(&seen.entry(new)), Some(old), out);
            }
        }
        let mut parents = BTreeSet::new();
        for (name, seen) in &self.changed {
            parents.extend(name.rsplit_once('/').map(|(parent, _)| parent));
            match seen {
                Some(seen) if seen.of.names => write_list(text, name, Some(&seen.entry(name)), None, out),
                Some(_) => {}
                None => write_list(text, name, None, None, out),
            }
        }
        let is_told = |parent: &str| self.changed.iter().any(|(name, _)| *name == parent);
        for parent in parents.into_iter().filter(|parent| !is_told(parent)) {
            if !events_of(groups, parent, Kind::Container).names {
                continue;
            }
            let mut walk = Walk::new(&s.world, s.user()?, &[parent.to_owned()], false)?;
            let mut found = None;
            while let Some(piece) = walk.next()? {
                found = piece.into_iter().find(|entry| entry.name == parent).or(found);
            }
            write_list(text, parent, found.as_ref(), None, out);
        }
        Ok(())
    }
}

impl Seen {
    fn entry(&self, name: &str) -> Entry {
        Entry { name: name.to_owned(), kind: self.kind, children: self.children, target: None }
    }
}

fn write_status(s: &Session, name: &str, seen: &Seen, mod_seq: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* STATUS ");
    s.enabled.text().mailbox(name, out);
    let mut item = |word: &[u8], value: u64| {
        out.extend_from_slice(word);
        encode::number(value, out);
    };
    item(b" (MESSAGES ", seen.messages);
    item(b" UIDNEXT ", u64::from(seen.uid_next));
    item(b" UIDVALIDITY ", u64::from(seen.uid_validity));
    if mod_seq || s.enabled.condstore {
        item(b" HIGHESTMODSEQ ", seen.mod_seq.0);
    }
    out.extend_from_slice(b")\r\n");
}

/// `entry`: what there is under the name; none if nothing is. Everything counts as subscribed.
fn write_list(text: Text, name: &str, entry: Option<&Entry>, old: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* LIST (");
    match entry {
        Some(entry) => {
            out.extend_from_slice(b"\\Subscribed ");
            super::list::attributes(entry, out);
        }
        None => out.extend_from_slice(b"\\NonExistent"),
    }
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
