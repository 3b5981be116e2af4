//! Evidence: the Merkle log over what a store was told, its signed heads, and proofs that stand without the archive.
//!
//! Invariant: a proof says no more than its bytes carry: what it proves is computed from hashes and signatures, never
//! taken from a field that nothing covers. Nothing here reads a store: where leaves lie is `store::log`'s business.
//! `storage/FORMAT.md` has the bytes that are hashed and signed.

mod consistency;
mod head;
mod key;
mod leaf;
mod proof;
mod text;
mod tree;

pub use consistency::{Consistency, Grown};
pub use head::Head;
pub use key::{EvidenceKey, is_signed, public_key};
pub use leaf::{Place, What};
pub use proof::{Proof, Proven, Step, Trust};

pub(crate) use proof::{Folder, Leaf};
pub(crate) use tree::{Frontier, PAGE_LEAVES, Subtrees, consistency, inclusion, root};

/// A SHA-256 of the tree.
pub(crate) type Hash = [u8; 32];

/// Largest proof or head that is read, bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most leaves in one proof: a placement and its moves.
pub const MAX_LEAVES: usize = 1_000;
/// Longest path of a proof: the height of a tree of 2^64 leaves.
pub const MAX_PATH: usize = 64;

/// Why a head or a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are no head or proof of a version that is known here.
    #[error("this is not {what}: {why}")]
    Unreadable {
        /// What was expected.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A bound was passed.
    #[error("{what}: {found} is above the limit of {limit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many may be.
        limit: u64,
    },
    /// A signature isn't its key's.
    #[error("the signature {of} is not the key's: it was changed, or signed by somebody else")]
    Signature {
        /// What was signed.
        of: &'static str,
    },
    /// Signed by a key that isn't the expected one.
    #[error("the head was signed with the key {found}, not with the expected {expected}")]
    Key {
        /// The key in the head.
        found: String,
        /// The key that the verifier trusts.
        expected: String,
    },
    /// The proof is for another head than the one that is trusted.
    #[error("{0}")]
    Head(String),
    /// The file isn't the message.
    #[error(
        "the file is another message: its SHA-256 (with CRLF line ends) is {found}, the proof is for {expected}"
    )]
    Message {
        /// The hash of the file.
        found: String,
        /// The hash in the proof.
        expected: String,
    },
    /// Leaf and path don't lead to the root.
    #[error("leaf {leaf} does not lead to the head's root: the leaf, its number or its path was changed")]
    Path {
        /// The leaf's number.
        leaf: u64,
    },
    /// The leaves contradict each other or what is told of them.
    #[error("the proof contradicts itself: {0}")]
    Contradiction(String),
    /// The log of the newer head isn't a continuation of the older one's.
    #[error("{0}")]
    Rewritten(String),
}
