//! The selected mailbox: the snapshot that sequence numbers count in, and how it takes in what came and went.
//!
//! Invariant: sequence numbers count in the snapshot, and it changes only together with what is told: EXPUNGE, highest
//! number first, then EXISTS. Messages are only ever added behind the last one.

use super::enabled::Enabled;
use super::names::Target;
use super::{CHUNK, Work};
use crate::cmd::objects::MailboxId;
use crate::cmd::vanished::Vanished;
use crate::proto::encode;
use crate::reply::Refusal;
use std::sync::Arc;
use storage::{Cancel, FolderView, ModSeq, Storage, UidRanges};

/// What happened to the selected mailbox.
pub(crate) enum News {
    /// Nothing that may be told now.
    Nothing,
    /// Messages came or went: the snapshot has taken it in, `told` tells it. `came`: those that came.
    Changed { told: Box<dyn Work>, came: UidRanges },
    /// The folder was removed or renamed.
    Vanished,
}

/// Tells what went and what came, in chunks.
struct Changes {
    /// What went, where it is told by UID.
    vanished: Option<Vanished>,
    /// Runs of sequence numbers of the old snapshot, rising; told from the end. A higher number doesn't change the lower ones.
    gone: Vec<(u64, u64)>,
    /// How many there are now, if some came.
    exists: Option<u64>,
    enabled: Enabled,
}

impl Work for Changes {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        if let Some(vanished) = &mut self.vanished {
            if !vanished.step(out, cancel)? {
                return Ok(false);
            }
            self.vanished = None;
        }
        while let Some((first, last)) = self.gone.last_mut() {
            if out.len() >= CHUNK {
                return Ok(false);
            }
            out.extend_from_slice(b"* ");
            encode::number(*last, out);
            out.extend_from_slice(b" EXPUNGE\r\n");
            if first == last {
                self.gone.pop();
            } else {
                *last -= 1;
            }
        }
        if let Some(count) = self.exists {
            self.enabled.exists(count, out);
        }
        Ok(true)
    }
}

/// What a session has selected.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    /// What its name meant.
    pub(crate) target: Target,
    /// The snapshot; none while INBOX has no folder.
    view: Option<FolderView>,
    empty: Arc<UidRanges>,
    /// Messages came back among the others since, which can't be told: what happened later is not said to be all there is.
    complete_until: Option<ModSeq>,
}

/// UIDVALIDITY of an INBOX without a folder. Folders' numbers start above it.
const EMPTY_INBOX_VALIDITY: u32 = 1;

impl Mailbox {
    /// Takes a snapshot.
    /// # Errors
    /// `NO_MAILBOX` if there is no such folder; that a year's dates can't be read.
    pub(crate) fn open(storage: &Storage, target: Target) -> Result<Mailbox, Refusal> {
        let view = match &target {
            Target::EmptyInbox => None,
            target => Some(look(storage, target)?.ok_or(Refusal::NO_MAILBOX)?),
        };
        Ok(Mailbox { target, view, empty: Arc::default(), complete_until: None })
    }

    /// The snapshot, unless there is no folder.
    pub(crate) fn view(&self) -> Option<&FolderView> {
        self.view.as_ref()
    }
    /// The snapshot's UIDs.
    pub(crate) fn uids(&self) -> &Arc<UidRanges> {
        self.view.as_ref().map_or(&self.empty, |v| &v.uids)
    }
    /// UIDVALIDITY.
    pub(crate) fn uid_validity(&self) -> u32 {
        self.view.as_ref().map_or(EMPTY_INBOX_VALIDITY, |v| v.info.uid_validity.0)
    }
    /// UIDNEXT.
    pub(crate) fn uid_next(&self) -> u32 {
        self.view.as_ref().map_or(1, |v| v.info.uid_next.0)
    }
    /// What an administrator says of the folder.
    pub(crate) fn comment(&self) -> Option<&Arc<str>> {
        self.view.as_ref().and_then(|v| v.comment.as_ref())
    }
    /// HIGHESTMODSEQ: the client knows all changes up to there.
    pub(crate) fn mod_seq(&self) -> ModSeq {
        let highest = self.view.as_ref().map_or(ModSeq(1), |v| v.info.highest_mod_seq);
        self.complete_until.map_or(highest, |until| highest.min(until))
    }
    /// MAILBOXID. INBOX is another mailbox once it has a folder.
    pub(crate) fn id(&self) -> MailboxId {
        let number = self.view.as_ref().map_or(0, |view| view.info.id.0);
        match &self.target {
            Target::AllMail(_) => MailboxId::AllMail(number),
            Target::Year(_, year) => MailboxId::Year(number, *year),
            Target::Folder(_) | Target::EmptyInbox => MailboxId::Folder(number),
        }
    }
    /// Sum of sizes.
    pub(crate) fn bytes(&self) -> u64 {
        self.view.as_ref().map_or(0, |v| v.info.bytes)
    }

    /// Whether the folder is still there, under its name.
    pub(crate) fn is_there(&self, storage: &Storage) -> bool {
        match &self.view {
            // What can't be read now is there all the same.
            Some(old) => match look(storage, &self.target) {
                Ok(new) => new.is_some_and(|new| is_same(old, &new)),
                Err(error) => {
                    tracing::debug!(%error, "whether a selected mailbox changed can't be told now");
                    true
                }
            },
            None => true,
        }
    }

    /// Takes in what came and went, and gives what tells it. While EXPUNGE may not be told (RFC 3501 §7.4.1: during FETCH,
    /// STORE and SEARCH by sequence number), a snapshot that lost messages stays as it is.
    pub(crate) fn refresh(&mut self, storage: &Storage, may_expunge: bool, enabled: Enabled) -> News {
        let Some(old) = &self.view else { return News::Nothing };
        let found = match look(storage, &self.target) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "what came to a selected mailbox can't be told now");
                return News::Nothing;
            }
        };
        let Some(mut new) = found.filter(|new| is_same(old, new)) else { return News::Vanished };
        if Arc::ptr_eq(&new.uids, &old.uids) || *new.uids == *old.uids {
            return News::Nothing;
        }
        let gone = old.uids.subtract(&new.uids);
        if !gone.is_empty() && !may_expunge {
            return News::Nothing;
        }
        let behind = match old.uids.last().map_or(Some(1), |last| last.0.checked_add(1)) {
            Some(first) => new.uids.intersect(&UidRanges::from_spans([(first, u32::MAX)])),
            None => UidRanges::new(),
        };
        if gone.is_empty() && behind.is_empty() {
            self.complete_until.get_or_insert(old.info.highest_mod_seq);
            return News::Nothing;
        }
        // What came back among the others (a store that was attached) can't be told in a session: the next SELECT shows it.
        let kept = old.uids.intersect(&new.uids);
        if kept.len() + behind.len() < new.uids.len() {
            self.complete_until.get_or_insert(old.info.highest_mod_seq);
        }
        let uids = UidRanges::from_spans(kept.spans().chain(behind.spans()));
        let number = |uid| old.uids.seq_of(storage::Uid(uid)).unwrap_or(0);
        // A run of UIDs that are all in the old snapshot is a run of sequence numbers.
        let (vanished, gone) = if enabled.vanishes() {
            ((!gone.is_empty()).then(|| Vanished::now(&gone)), Vec::new())
        } else {
            (None, gone.spans().map(|(first, last)| (number(first), number(last))).collect())
        };
        let exists = (!behind.is_empty()).then(|| uids.len());
        new.uids = Arc::new(uids);
        self.view = Some(new);
        News::Changed { told: Box::new(Changes { vanished, gone, exists, enabled }), came: behind }
    }
}

/// What a name shows now.
fn look(storage: &Storage, target: &Target) -> Result<Option<FolderView>, storage::Error> {
    Ok(match target {
        Target::EmptyInbox => None,
        Target::Folder(path) => storage.view(path),
        Target::AllMail(archive) => storage.all_mail(archive),
        Target::Year(path, year) => match storage.view(path) {
            Some(folder) => storage.in_year(&folder, *year)?,
            None => None,
        },
    })
}

/// Whether it is the same folder: a name may have been given to another one.
fn is_same(old: &FolderView, new: &FolderView) -> bool {
    (old.info.id, old.info.uid_validity) == (new.info.id, new.info.uid_validity)
}
