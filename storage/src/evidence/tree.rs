//! The Merkle tree of RFC 9162 §2.1 over leaf hashes: roots, proofs, their verification, and a frontier that grows.
//!
//! Invariant: nothing is held but what the height needs; a proof that verifies is one for exactly these numbers and
//! hashes. Where the hashes of complete subtrees come from is the caller's business ([`Subtrees`]).

use super::{Hash, MAX_PATH};
use sha2::{Digest, Sha256};

/// Leaves of a page of the database: complete subtrees of this size are kept as one hash. A power of two.
pub(crate) const PAGE_LEAVES: u64 = 64;

/// RFC 9162 §2.1.1: "SHA-256(0x01 || left || right)".
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// RFC 9162 §2.1.1: the hash of an empty list is the hash of an empty string.
fn empty() -> Hash {
    Sha256::digest([]).into()
}

/// The largest power of two below `size`, which is at least two: where RFC 9162 splits a list.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The complete subtrees at the end of a growing log: what the root is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Frontier {
    size: u64,
    /// The root of a complete subtree for every bit that is set in `size`, largest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Leaves so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.push_subtree(leaf, 1);
    }

    /// Appends the root of a complete subtree of `leaves` leaves, a power of two that divides the size so far.
    pub(crate) fn push_subtree(&mut self, root: Hash, leaves: u64) {
        debug_assert!(leaves.is_power_of_two() && self.size.is_multiple_of(leaves));
        let (mut hash, mut bit) = (root, leaves);
        while self.size & bit != 0
            && let Some(left) = self.peaks.pop()
        {
            hash = node(&left, &hash);
            bit <<= 1;
        }
        self.peaks.push(hash);
        self.size += leaves;
    }

    /// The root of all leaves so far.
    pub(crate) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => empty(),
            Some(last) => peaks.fold(*last, |right, left| node(left, &right)),
        }
    }
}

/// Gives the roots of complete subtrees.
pub(crate) trait Subtrees {
    /// What can go wrong.
    type Error;
    /// The root over the leaves `first..first + leaves`; `leaves` is a power of two that divides `first`.
    fn subtree(&mut self, first: u64, leaves: u64) -> Result<Hash, Self::Error>;
}

/// The root over the leaves `first..end`, which RFC 9162's splitting leads to.
fn range<S: Subtrees>(from: &mut S, first: u64, end: u64) -> Result<Hash, S::Error> {
    let size = end - first;
    if size.is_power_of_two() {
        return from.subtree(first, size);
    }
    let middle = first + split(size);
    Ok(node(&from.subtree(first, middle - first)?, &range(from, middle, end)?))
}

/// The root of the first `size` leaves.
pub(crate) fn root<S: Subtrees>(from: &mut S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(empty()) } else { range(from, 0, size) }
}

/// The inclusion proof of a leaf in the tree of the first `size` leaves (RFC 9162 §2.1.3.1); `leaf` is below `size`.
pub(crate) fn inclusion<S: Subtrees>(from: &mut S, leaf: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    let (mut first, mut end) = (0, size);
    let mut path = Vec::new();
    while end - first > 1 {
        let middle = first + split(end - first);
        if leaf < middle {
            path.push(range(from, middle, end)?);
            end = middle;
        } else {
            path.push(range(from, first, middle)?);
            first = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The consistency proof between the trees of the first `old` and the first `new` leaves (RFC 9162 §2.1.4.1);
/// empty for `old` 0 or `old` = `new`.
pub(crate) fn consistency<S: Subtrees>(from: &mut S, old: u64, new: u64) -> Result<Vec<Hash>, S::Error> {
    let (mut first, mut end) = (0, new);
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    while end != old {
        let middle = first + split(end - first);
        if old <= middle {
            path.push(range(from, middle, end)?);
            end = middle;
        } else {
            path.push(range(from, first, middle)?);
            first = middle;
        }
    }
    // What is left is a subtree of the old tree; the verifier knows it only if it is all of that.
    if first != 0 {
        path.push(range(from, first, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether the path leads from the leaf to the root (RFC 9162 §2.1.3.2).
pub(crate) fn includes(leaf: u64, hash: &Hash, path: &[Hash], size: u64, root: &Hash) -> bool {
    if leaf >= size || path.len() > MAX_PATH {
        return false;
    }
    let (mut fnode, mut snode) = (leaf, size - 1);
    let mut r = *hash;
    for p in path {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            r = node(p, &r);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            r = node(&r, p);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && r == *root
}

/// Whether the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162 §2.1.4.2).
pub(crate) fn extends(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if path.len() > MAX_PATH {
        return false;
    }
    if old == 0 {
        return path.is_empty() && *old_root == empty() && (new != 0 || *new_root == empty());
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    if old > new {
        return false;
    }
    let mut path = path.iter();
    // "If first is an exact power of 2, then prepend first_hash to the consistency_path array."
    let start = if old.is_power_of_two() { Some(old_root) } else { path.next() };
    let Some(start) = start else { return false };
    let (mut fnode, mut snode) = (old - 1, new - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut fr, mut sr) = (*start, *start);
    for c in path {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            fr = node(c, &fr);
            sr = node(c, &sr);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            sr = node(&sr, c);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && fr == *old_root && sr == *new_root
}

#[cfg(test)]
mod tests;
