//! The archive itself: stores, packs, database, index, search.
//!
//! Promise: what a batch's commit has returned survives power loss, and every message comes back byte for byte or
//! not at all. Everything outside the packs is derived and can be made again from them.
//! Left to others: where mail comes from (`archiver`), who may see it (`auth`), and how it is shown (`imapd`).

pub mod attachments;
pub mod card;
mod db;
mod error;
pub mod evidence;
mod ids;
pub mod incoming;
pub mod keys;
mod limits;
pub mod mime;
pub mod order;
mod pack;
mod path;
mod prepared;
pub mod search;
mod skeleton;
mod store;
mod stores;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
mod uids;

pub use attachments::{AttachmentCounts, Extracted, FailedAttachment, TextExtractor};
pub use error::Error;
pub use ids::{ContentHash, FolderId, ModSeq, MsgNo, SourceId, StoreId, StoreNo, Uid, UidValidity};
pub use incoming::Incoming;
pub use keys::MasterKey;
pub use keys::secret::SecretKey;
pub use limits::Limits;
pub use path::{FolderPath, PathError};
pub use prepared::Prepared;
pub use store::verify::{Damage, Slice};
pub use store::{
    Added, Cancel, CheckReport, Columns, Committed, FolderInfo, FolderView, InternalDate, Message,
    MessageReader, NewPlacement, Progress, Row, Sighting, SourceFlags, StoreInfo, StoreState, Whereabouts,
};
pub use stores::{
    Ahead, AheadOf, Batch, Changed, Compacted, IndexStatus, Look, PackSnapshot, RebuildReport, Rekeyed, Rows,
    Sizes, Snapshot, Storage, StoreHead, StoreRebuilt, StoreSnapshot, Subscription, Tried, VerifyOptions,
    VerifyProgress, VerifyReport, rebuild,
};
pub use uids::UidRanges;
