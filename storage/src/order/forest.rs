//! Threads: messages as trees, some under roots that stand for messages which aren't there.
//!
//! Invariant: every message that was asked for stands in it once; siblings come in the order of RFC 5256. Neither building nor
//! walking recurses: a thread may be as deep as the mailbox has messages.

use crate::Uid;

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// The threads of a search's messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forest {
    /// Of each node its UID, 0 where it stands for a message that isn't there.
    uids: Vec<u32>,
    /// Where each node's children begin in `children`; one more than there are nodes.
    begins: Vec<u32>,
    children: Vec<u32>,
    roots: Vec<u32>,
}

/// What a walk meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A list begins: a thread, or one of several branches.
    Open,
    /// A message; the one before it in its list is its parent.
    Message(Uid),
    /// The list ends.
    Close,
}

impl Forest {
    /// Of nodes with these UIDs (0: none) and parents; `NONE`: a root. Siblings stand in the order of `order`, which names
    /// every node that counts.
    pub(super) fn new(uids: Vec<u32>, parents: &[u32], order: &[u32]) -> Forest {
        let (begins, children, roots) = spread(parents, order);
        Forest { uids, begins, children, roots }
    }

    /// Whether it has no thread.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Walks all threads, in order; what it holds grows with the branches that are open.
    #[must_use]
    pub fn walk(self) -> Walk {
        let open = self.roots.iter().rev().map(|&root| Place::Begin(root)).collect();
        Walk { forest: self, open, at: NONE }
    }
}

/// Children of each parent, in the order of `order`: where they begin, who they are, and who has no parent.
pub(super) fn spread(parents: &[u32], order: &[u32]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let mut begins = vec![0u32; parents.len() + 1];
    let parent_of = |node: u32| parents.get(node as usize).copied().unwrap_or(NONE);
    let mut roots = Vec::new();
    for &node in order {
        match begins.get_mut((parent_of(node) as usize).saturating_add(1)) {
            Some(count) => *count += 1,
            None => roots.push(node),
        }
    }
    let mut sum = 0;
    for begin in &mut begins {
        sum += *begin;
        *begin = sum;
    }
    let mut next = begins.clone();
    let mut children = vec![NONE; sum as usize];
    for &node in order {
        let Some(at) = next.get_mut(parent_of(node) as usize).filter(|_| parent_of(node) != NONE) else {
            continue;
        };
        if let Some(place) = children.get_mut(*at as usize) {
            *place = node;
        }
        *at += 1;
    }
    (begins, children, roots)
}

#[derive(Debug)]
enum Place {
    Begin(u32),
    End,
}

/// A walk through all threads.
#[derive(Debug)]
pub struct Walk {
    forest: Forest,
    open: Vec<Place>,
    /// The node whose list goes on.
    at: u32,
}

impl Iterator for Walk {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            if self.at == NONE {
                return match self.open.pop()? {
                    Place::End => Some(Token::Close),
                    Place::Begin(node) => {
                        self.open.push(Place::End);
                        self.at = node;
                        Some(Token::Open)
                    }
                };
            }
            let node = self.at as usize;
            let bound = |at: usize| self.forest.begins.get(at).map_or(0, |&b| b as usize);
            let children = self.forest.children.get(bound(node)..bound(node + 1)).unwrap_or_default();
            self.at = match children {
                [only] if self.uid(node) != 0 => *only,
                branches => {
                    self.open.extend(branches.iter().rev().map(|&child| Place::Begin(child)));
                    NONE
                }
            };
            if self.uid(node) != 0 {
                return Some(Token::Message(Uid(self.uid(node))));
            }
        }
    }
}

impl Walk {
    fn uid(&self, node: usize) -> u32 {
        self.forest.uids.get(node).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(forest: Forest) -> String {
        forest
            .walk()
            .map(|token| match token {
                Token::Open => "(".to_owned(),
                Token::Close => ")".to_owned(),
                Token::Message(uid) => format!("{uid} "),
            })
            .collect()
    }

    #[test]
    fn lists_as_the_rfc_writes_them() {
        // RFC 5256 §4: 3 6 with the branches (4 23) and (44 7 96); and a root that isn't there.
        let uids = vec![2, 3, 6, 4, 23, 44, 7, 96, 0, 8, 9];
        let parents = [NONE, NONE, 1, 2, 3, 2, 5, 6, NONE, 8, 8];
        let order: Vec<u32> = (0..11).collect();
        assert_eq!(text(Forest::new(uids, &parents, &order)), "(2 )(3 6 (4 23 )(44 7 96 ))((8 )(9 ))");
        assert_eq!(text(Forest::new(Vec::new(), &[], &[])), "");
    }

    #[test]
    fn a_thread_as_deep_as_it_is_long() {
        let count = 200_000;
        let uids: Vec<u32> = (1..=count).collect();
        // Every message has a child that ends and one that goes on.
        let parents: Vec<u32> = (0..count).map(|n| if n == 0 { NONE } else { (n - 1) / 2 * 2 }).collect();
        let order: Vec<u32> = (0..count).collect();
        let forest = Forest::new(uids, &parents, &order);
        let (mut depth, mut deepest, mut messages) = (0u32, 0, 0);
        for token in forest.walk() {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                Token::Message(_) => messages += 1,
            }
            deepest = deepest.max(depth);
        }
        assert_eq!((depth, messages), (0, count));
        assert!(deepest > 90_000);
    }
}
