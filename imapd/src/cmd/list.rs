//! LIST and LSUB with LIST-EXTENDED, LIST-STATUS, SPECIAL-USE, CHILDREN (RFC 3501 §6.3.8, RFC 5258, 5819, 6154, 3348).
//!
//! Everything counts as subscribed. Parents without a folder of their own are shown as containers. What the user may
//! not read isn't there. Only `All Mail` has a special use, shown in plain LIST too, since Apple's clients don't ask for it:
//! \Sent, \Drafts, \Trash, \Junk would make clients write.

use super::status;
use crate::proto::encode;
use crate::proto::parse::Cursor;
use crate::proto::parse::list::{self as grammar, List};
use crate::reply::Refusal;
use crate::session::{Call, Done, Session, names};
use std::collections::{BTreeMap, HashMap};

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has something below it, and can't be selected.
    Container,
    Folder,
    /// All messages of the own archive.
    AllMail,
}

/// All names that a user sees, sorted.
pub(crate) type Tree = BTreeMap<String, Kind>;

/// LIST
pub(crate) fn list(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let asked = grammar::list(c)?;
    c.end()?;
    if asked.delimiter_only {
        call.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
    } else {
        show(s, call.out, b"* LIST (", &asked)?;
    }
    Ok(Done::Ok("LIST done"))
}

/// LSUB: equals LIST.
pub(crate) fn lsub(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let asked = grammar::lsub(c)?;
    c.end()?;
    show(s, call.out, b"* LSUB (", &asked)?;
    Ok(Done::Ok("LSUB done"))
}

fn show(s: &Session, out: &mut Vec<u8>, word: &[u8], asked: &List) -> Result<(), Refusal> {
    let patterns: Vec<String> =
        asked.patterns.iter().flat_map(|p| spellings(format!("{}{p}", asked.reference))).collect();
    let tree = tree(s)?;
    for (name, &kind) in &tree {
        if asked.special_only && kind != Kind::AllMail {
            continue;
        }
        let selectable = kind != Kind::Container;
        if !patterns.iter().any(|p| grammar::matches(p, name)) {
            continue;
        }
        let below = format!("{name}/");
        let children = tree.range(below.clone()..).next().is_some_and(|(n, _)| n.starts_with(&below));
        out.extend_from_slice(word);
        if asked.subscribed {
            out.extend_from_slice(b"\\Subscribed ");
        }
        if !selectable {
            out.extend_from_slice(b"\\NonExistent \\Noselect ");
        }
        out.extend_from_slice(if children { b"\\HasChildren" } else { b"\\HasNoChildren" });
        if kind == Kind::AllMail {
            out.extend_from_slice(b" \\All");
        }
        out.extend_from_slice(b") \"/\" ");
        encode::mailbox(name, out);
        if asked.recursive && children {
            out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
        }
        out.extend_from_slice(b"\r\n");
        if let Some(items) = asked.status.as_ref().filter(|_| selectable)
            && let Ok(mailbox) = s.open(Some(name))
        {
            status::write(name, &mailbox, items, out);
        }
    }
    Ok(())
}

/// INBOX is one name in any case (RFC 3501 §5.1): a pattern that begins so is tried in capitals too.
fn spellings(pattern: String) -> impl Iterator<Item = String> {
    let inbox = pattern
        .split_at_checked(5)
        .filter(|(first, _)| first.eq_ignore_ascii_case("INBOX"))
        .map(|(_, rest)| format!("INBOX{rest}"));
    std::iter::once(pattern).chain(inbox)
}

/// What a user sees.
pub(crate) fn tree(s: &Session) -> Result<Tree, Refusal> {
    let user = s.user()?;
    let auth = &s.world.auth;
    let inbox = names::inbox_of(&s.world.storage.folders_of(user));
    let mut tree = Tree::new();
    tree.insert("INBOX".to_owned(), Kind::Folder);
    if s.world.settings.all_mail && s.world.storage.all_mail(user).is_some() {
        tree.insert(names::ALL_MAIL.to_owned(), Kind::AllMail);
    }
    let mut readable: HashMap<String, bool> = HashMap::new();
    for folder in s.world.storage.folders() {
        let archive = folder.path.archive();
        let may = match readable.get(archive) {
            Some(&may) => may,
            None => {
                let may = auth.may_read(user, archive);
                readable.insert(archive.to_owned(), may);
                may
            }
        };
        // The top folder of the own archive is shown if there is something in it.
        if !may || (archive == user && folder.path.inner().is_none() && folder.messages == 0) {
            continue;
        }
        let name = names::show(user, &folder.path, inbox.as_deref());
        for (at, _) in name.match_indices('/') {
            if let Some(parent) = name.get(..at)
                && !tree.contains_key(parent)
            {
                tree.insert(parent.to_owned(), Kind::Container);
            }
        }
        tree.insert(name, Kind::Folder);
    }
    Ok(tree)
}
