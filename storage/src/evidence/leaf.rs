//! What a leaf says: its logical fields, taken apart. `storage/FORMAT.md` has their order.
//!
//! Invariant: fields are understood whole or not at all; no physical place is in them.

use crate::pack::varint::Reader;
use crate::store::facts::{DeletionFact, MoveFact, PlacementFact, flags_of};
use crate::{ContentHash, FolderId, InternalDate, ModSeq, SourceFlags, Uid, UidValidity};

/// A place in the archive, as leaves name it: the folder's number never changes, its path may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The folder's number in its store.
    pub folder: FolderId,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The UID in it.
    pub uid: Uid,
}

/// What was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message came into a folder.
    Archived {
        /// Its identity.
        message: ContentHash,
        /// Where.
        at: Place,
        /// INTERNALDATE, as the source gave it.
        date: InternalDate,
        /// Flags, as the source gave them.
        flags: SourceFlags,
        /// The archive-wide UID.
        archive_uid: Uid,
        /// The mod-sequence.
        mod_seq: ModSeq,
    },
    /// It went to another folder.
    Moved {
        /// The folder it left.
        from: FolderId,
        /// The UID there.
        from_uid: Uid,
        /// Where it went.
        to: Place,
        /// The archive-wide UID from then on.
        archive_uid: Uid,
        /// The mod-sequence.
        mod_seq: ModSeq,
    },
    /// It was deleted.
    Deleted {
        /// Where it was.
        at: Place,
        /// The mod-sequence.
        mod_seq: ModSeq,
    },
}

impl What {
    /// Understands the fields of a leaf of this kind.
    pub(crate) fn decode(kind: u8, fields: &[u8]) -> Option<What> {
        let mut from = Reader::new(fields);
        let what = match kind {
            PlacementFact::LEAF => What::Archived {
                message: ContentHash(from.array()?),
                at: place(&mut from)?,
                archive_uid: Uid(number(&mut from)?),
                mod_seq: ModSeq(from.varint()?),
                date: InternalDate { secs: from.signed()?, zone: i16::try_from(from.signed()?).ok()? },
                flags: flags_of(from.u8()?),
            },
            MoveFact::LEAF => What::Moved {
                from: FolderId(number(&mut from)?),
                from_uid: Uid(number(&mut from)?),
                to: place(&mut from)?,
                archive_uid: Uid(number(&mut from)?),
                mod_seq: ModSeq(from.varint()?),
            },
            DeletionFact::LEAF => What::Deleted { at: place(&mut from)?, mod_seq: ModSeq(from.varint()?) },
            _ => return None,
        };
        from.is_empty().then_some(what)
    }
}

fn number(from: &mut Reader<'_>) -> Option<u32> {
    u32::try_from(from.varint()?).ok()
}

fn place(from: &mut Reader<'_>) -> Option<Place> {
    Some(Place {
        folder: FolderId(number(from)?),
        uid_validity: UidValidity(number(from)?),
        uid: Uid(number(from)?),
    })
}
