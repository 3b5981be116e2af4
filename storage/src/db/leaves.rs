//! The Merkle log's tables: pages of leaves, and where the facts that the leaves are about lie.
//!
//! Invariant: a whole page is one hash, the root over its 64 leaves, so that the log takes half a byte a leaf; the leaf
//! hashes themselves stand in the packs. Only the last page, while it isn't whole, has its leaves here.

use super::{BATCHES, Db, LEAVES};
use crate::Error;
use crate::evidence::{Frontier, Hash, PAGE_LEAVES};
use crate::pack::varint::{Reader, put};
use crate::pack::{Addr, LogHead, PackId};
use crate::store::facts::Fact;
use redb::{ReadableTable, Table};

/// The log as of the last commit: all that a new leaf needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) frontier: Frontier,
    /// The leaves of the last page, while it isn't whole.
    pub(crate) open: Vec<Hash>,
}

impl Tree {
    /// Leaves so far.
    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Size and root, as a commit record has them.
    pub(crate) fn head(&self) -> LogHead {
        LogHead { size: self.size(), root: self.frontier.root() }
    }

    /// The log once a batch of these facts is in it; none when their leaves don't follow on those before.
    pub(crate) fn after(&self, facts: &[Fact]) -> Result<Option<LogHead>, Error> {
        let leaves = facts.iter().filter_map(Fact::evidence);
        let leaves = leaves.map(|evidence| (evidence.leaf, evidence.hash)).collect();
        let mut tree = self.clone();
        let rising = tree.extend(leaves, false, |_, _| Ok(()))?;
        Ok(rising.map(|()| tree.head()))
    }

    /// Appends a leaf; gives the page that it makes whole and that page's root.
    pub(crate) fn push(&mut self, leaf: Hash) -> Option<(u64, Hash)> {
        let page = self.size() / PAGE_LEAVES;
        self.frontier.push(leaf);
        self.open.push(leaf);
        if self.open.len() as u64 != PAGE_LEAVES {
            return None;
        }
        let mut whole = Frontier::default();
        self.open.drain(..).for_each(|leaf| whole.push(leaf));
        Some((page, whole.root()))
    }

    /// Appends the leaves of a batch, whose numbers are given in any order; hands on each page that gets whole. `None` when the
    /// numbers don't follow on those before. With `lost` what is missing stands as a hash of zeros.
    pub(crate) fn extend(
        &mut self,
        mut leaves: Vec<(u64, Hash)>,
        lost: bool,
        mut whole: impl FnMut(u64, Hash) -> Result<(), Error>,
    ) -> Result<Option<()>, Error> {
        leaves.sort_unstable_by_key(|(number, _)| *number);
        for (number, leaf) in leaves {
            if number < self.size() && lost {
                continue;
            }
            while lost && self.size() < number {
                if let Some((page, root)) = self.push([0; 32]) {
                    whole(page, root)?;
                }
            }
            if number != self.size() {
                return Ok(None);
            }
            if let Some((page, root)) = self.push(leaf) {
                whole(page, root)?;
            }
        }
        Ok(Some(()))
    }

    /// The row of the last page while it isn't whole: its number and its leaves.
    pub(super) fn open_page(&self) -> Option<(u64, Vec<u8>)> {
        (!self.open.is_empty()).then(|| (self.size() / PAGE_LEAVES, self.open.concat()))
    }
}

/// Writes where a batch's facts begin, under its first leaf.
pub(super) fn put_batch(
    table: &mut Table<'_, u64, &'static [u8]>,
    first: u64,
    facts: Addr,
) -> Result<(), redb::StorageError> {
    let mut value = Vec::with_capacity(10);
    put(&mut value, u64::from(facts.pack.0));
    put(&mut value, facts.offset);
    table.insert(first, &value[..]).map(drop)
}

fn batch(value: &[u8]) -> Option<Addr> {
    let mut from = Reader::new(value);
    let pack = PackId(u32::try_from(from.varint()?).ok()?);
    let addr = Addr { pack, offset: from.varint()? };
    from.is_empty().then_some(addr)
}

impl Db {
    /// The log of `size` leaves.
    pub(super) fn tree(&self, txn: &redb::ReadTransaction, size: u64) -> Result<Tree, Error> {
        let table = txn.open_table(LEAVES).map_err(|e| self.err(e))?;
        let mut tree = Tree::default();
        let wrong = || self.derived("the pages of the evidence log are damaged");
        for entry in table.iter().map_err(|e| self.err(e))? {
            let (page, value) = entry.map_err(|e| self.err(e))?;
            let value = value.value();
            if page.value() != tree.size() / PAGE_LEAVES || !tree.open.is_empty() {
                return Err(wrong());
            }
            if size - tree.size().min(size) >= PAGE_LEAVES {
                let root = value.try_into().map_err(|_| wrong())?;
                tree.frontier.push_subtree(root, PAGE_LEAVES);
                continue;
            }
            for leaf in value.chunks(32) {
                tree.push(leaf.try_into().map_err(|_| wrong())?);
            }
        }
        if tree.size() != size {
            return Err(wrong());
        }
        Ok(tree)
    }

    /// The root over whole pages, a power of two of them that divides `first`.
    pub(crate) fn pages_root(&self, first: u64, pages: u64) -> Result<Hash, Error> {
        let txn = self.read()?;
        let table = txn.open_table(LEAVES).map_err(|e| self.err(e))?;
        let mut part = Frontier::default();
        for entry in table.range(first..first.saturating_add(pages)).map_err(|e| self.err(e))? {
            let (_, value) = entry.map_err(|e| self.err(e))?;
            let root = value.value().try_into();
            part.push(root.map_err(|_| self.derived("a page of the evidence log is damaged"))?);
        }
        if part.size() != pages {
            return Err(self.derived("pages of the evidence log are missing"));
        }
        Ok(part.root())
    }

    /// The batches with leaves from `leaf` on, the one that holds it first: where each one's facts begin. `after` gives those
    /// after a batch's first leaf.
    pub(crate) fn batch_with(&self, leaf: u64) -> Result<Option<(u64, Addr)>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(BATCHES).map_err(|e| self.err(e))?;
        let found = table.range(..=leaf).map_err(|e| self.err(e))?.next_back();
        self.batch_row(found)
    }

    /// The batch with leaves after the one whose first leaf is `first`.
    pub(crate) fn batch_after(&self, first: u64) -> Result<Option<(u64, Addr)>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(BATCHES).map_err(|e| self.err(e))?;
        let found = table.range(first.saturating_add(1)..).map_err(|e| self.err(e))?.next();
        self.batch_row(found)
    }

    #[expect(clippy::type_complexity, reason = "it is redb's")]
    fn batch_row(
        &self,
        row: Option<Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>), redb::StorageError>>,
    ) -> Result<Option<(u64, Addr)>, Error> {
        let Some(row) = row else { return Ok(None) };
        let (first, value) = row.map_err(|e| self.err(e))?;
        let addr = batch(value.value());
        let addr = addr.ok_or_else(|| self.derived("the place of a batch in the packs is damaged"))?;
        Ok(Some((first.value(), addr)))
    }
}
