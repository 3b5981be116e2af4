//! THREAD=REFERENCES and THREAD=ORDEREDSUBJECT (RFC 5256 §3), on the keys of a search's messages.
//!
//! Invariant: no link ever makes a loop, and every message ends in exactly one place. Links are arrays of parents and nothing
//! recurses. A link of a message that has children already is checked by climbing to the root: headers made to make that
//! long meet the caller's `check`, which ends the work.

use super::forest::{Forest, NONE, spread};
use crate::Error;
use std::collections::HashMap;

/// Steps upwards between two calls of `check`.
const STEPS: u32 = 1 << 16;

/// What threading knows of the messages, in the order of the mailbox.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) uids: Vec<u32>,
    /// The sent moment, or when it arrived.
    pub(super) dates: Vec<i64>,
    /// The base subject: equal numbers are equal subjects; 0 is the empty one.
    pub(super) subjects: Vec<u32>,
    /// The subject is one of a reply or a forwarded message.
    pub(super) replies: Vec<bool>,
    pub(super) ids: Vec<Option<u64>>,
    /// Where each message's references begin in `references`; one more than there are messages.
    pub(super) begins: Vec<u32>,
    pub(super) references: Vec<u64>,
}

type Check<'c> = &'c dyn Fn() -> Result<(), Error>;

/// ORDEREDSUBJECT: of each subject the first message by date, the others below it; threads by the date of their first.
pub(super) fn ordered_subject(input: Input, check: Check<'_>) -> Result<Forest, Error> {
    let count = input.uids.len();
    let mut order: Vec<u32> = (0..number(count)).collect();
    check()?;
    order.sort_by_key(|&n| at(&input.dates, n));
    let mut firsts = by_subject(&input.subjects);
    let mut parents = vec![NONE; count];
    for &n in &order {
        let subject = at(&input.subjects, n);
        match at(&firsts, subject) {
            NONE => set(&mut firsts, subject, n),
            first => set(&mut parents, n, first),
        }
    }
    Ok(Forest::new(input.uids, &parents, &order))
}

/// REFERENCES, step by step as RFC 5256 §3 numbers them.
pub(super) fn references(input: Input, check: Check<'_>) -> Result<Forest, Error> {
    let mut links = Links::new(&input, check)?;
    let messages = number(input.uids.len());
    for n in 0..messages {
        links.message(&input, n, check)?;
    }
    check()?;
    let parents = pruned(&links.parents, messages);
    check()?;
    Ok(gathered(input, parents, messages))
}

/// Step 1: who is whose child. The messages come first, then what stands for ids without a message.
struct Links {
    nodes: HashMap<u64, u32>,
    parents: Vec<u32>,
    /// Whether the node has, or had, a child.
    has_child: Vec<bool>,
    steps: u32,
}

impl Links {
    fn new(input: &Input, check: Check<'_>) -> Result<Links, Error> {
        let mut nodes = HashMap::with_capacity(input.ids.len());
        for (n, id) in (0u32..).zip(&input.ids) {
            // The first message of an id has it; the others are as if they had none.
            if let Some(id) = id {
                nodes.entry(*id).or_insert(n);
            }
        }
        check()?;
        let count = input.uids.len();
        Ok(Links { nodes, parents: vec![NONE; count], has_child: vec![false; count], steps: STEPS })
    }

    fn node(&mut self, id: u64) -> u32 {
        let next = number(self.parents.len());
        let node = *self.nodes.entry(id).or_insert(next);
        if node == next {
            self.parents.push(NONE);
            self.has_child.push(false);
        }
        node
    }

    /// Whether making `child` a child of `parent` would make a loop.
    fn loops(&mut self, parent: u32, child: u32, check: Check<'_>) -> Result<bool, Error> {
        if parent == child {
            return Ok(true);
        }
        if !at(&self.has_child, child) {
            return Ok(false);
        }
        let mut up = parent;
        loop {
            up = at(&self.parents, up);
            if up == NONE || up == child {
                return Ok(up == child);
            }
            self.steps -= 1;
            if self.steps == 0 {
                self.steps = STEPS;
                check()?;
            }
        }
    }

    fn link(&mut self, parent: u32, child: u32) {
        set(&mut self.parents, child, parent);
        set(&mut self.has_child, parent, true);
    }

    /// Step 1 for one message.
    fn message(&mut self, input: &Input, n: u32, check: Check<'_>) -> Result<(), Error> {
        let bound = |n: usize| input.begins.get(n).map_or(0, |&b| b as usize);
        let ids = input.references.get(bound(n as usize)..bound(n as usize + 1)).unwrap_or_default();
        // 1.A: each reference is the parent of the next, unless that has one.
        let mut last = NONE;
        for &id in ids {
            let node = self.node(id);
            if last != NONE && at(&self.parents, node) == NONE && !self.loops(last, node, check)? {
                self.link(last, node);
            }
            last = node;
        }
        // 1.B: the last one is the message's parent, whatever was thought before.
        if at(&self.parents, n) == last {
            return Ok(());
        }
        set(&mut self.parents, n, NONE);
        if last != NONE && !self.loops(last, n, check)? {
            self.link(last, n);
        }
        Ok(())
    }
}

/// Steps 2 and 3: the parents without nodes that stand for no message, but for roots with two children or more. Such a root keeps
/// its number.
fn pruned(parents: &[u32], messages: u32) -> Vec<u32> {
    let all: Vec<u32> = (0..number(parents.len())).collect();
    let (begins, children, roots) = spread(parents, &all);
    // From the roots downwards, so that a parent's own parent is known.
    let mut kept = vec![NONE; parents.len()];
    let mut below = vec![0u32; parents.len()];
    let mut open = roots;
    while let Some(node) = open.pop() {
        let from = at(&begins, node) as usize;
        let to = begins.get(node as usize + 1).map_or(from, |&to| to as usize);
        open.extend_from_slice(children.get(from..to).unwrap_or_default());
        let parent = at(parents, node);
        let is_root_dummy = |node: u32| at(parents, node) == NONE;
        let kept_parent = match parent {
            NONE => NONE,
            parent if parent < messages || is_root_dummy(parent) => parent,
            parent => at(&kept, parent),
        };
        set(&mut kept, node, kept_parent);
        if node < messages && kept_parent != NONE && kept_parent >= messages {
            let count = at(&below, kept_parent);
            set(&mut below, kept_parent, count + 1);
        }
    }
    for parent in kept.iter_mut().take(messages as usize) {
        if *parent != NONE && *parent >= messages && at(&below, *parent) == 1 {
            *parent = NONE;
        }
    }
    kept
}

/// Steps 4 to 6: roots of one subject are gathered, siblings sorted.
fn gathered(input: Input, mut parents: Vec<u32>, messages: u32) -> Forest {
    let Input { mut uids, dates, subjects, replies, .. } = input;
    let mut by_date: Vec<u32> = (0..messages).collect();
    by_date.sort_by_key(|&n| at(&dates, n));
    // Of each root that stands for no message its first child; in step 4's order, since that child is the earliest.
    let mut has_first = vec![false; parents.len()];
    let mut roots = Vec::new();
    for &n in &by_date {
        let parent = at(&parents, n);
        if parent == NONE {
            roots.push((n, n));
        } else if parent >= messages && !at(&has_first, parent) {
            set(&mut has_first, parent, true);
            roots.push((parent, n));
        }
    }
    let is_dummy = |node: u32| node >= messages;
    // Step 5.B.
    let mut table = by_subject(&subjects);
    for &(root, first) in &roots {
        let subject = at(&subjects, first);
        let known = at(&table, subject);
        let better = !is_dummy(known) && (is_dummy(root) || (at(&replies, known) && !at(&replies, root)));
        if subject != 0 && (known == NONE || better) {
            set(&mut table, subject, root);
        }
    }
    // Step 5.C. What a root that went had for children goes where it went.
    let mut went: HashMap<u32, u32> = HashMap::new();
    for &(root, first) in &roots {
        let subject = at(&subjects, first);
        let known = at(&table, subject);
        // A message that was put below another meanwhile is no child of the root any more.
        if subject == 0 || known == root || at(&parents, root) != NONE {
            continue;
        }
        if is_dummy(root) {
            // The table's is one too: 5.B prefers them.
            went.insert(root, known);
        } else if is_dummy(known) || (at(&replies, root) && !at(&replies, known)) {
            set(&mut parents, root, known);
        } else {
            let dummy = number(parents.len());
            parents.push(NONE);
            set(&mut parents, root, dummy);
            set(&mut parents, known, dummy);
            set(&mut table, subject, dummy);
        }
    }
    if !went.is_empty() {
        for parent in parents.iter_mut().take(messages as usize) {
            if let Some(to) = went.get(parent) {
                *parent = *to;
            }
        }
    }
    // Step 6: by date, then by number; a root that stands for no message by its first child.
    let mut order = Vec::with_capacity(by_date.len());
    let mut seen = vec![false; parents.len()];
    for n in by_date {
        let parent = at(&parents, n);
        if parent != NONE && is_dummy(parent) && !at(&seen, parent) {
            set(&mut seen, parent, true);
            order.push(parent);
        }
        order.push(n);
    }
    uids.resize(parents.len(), 0);
    Forest::new(uids, &parents, &order)
}

/// A place for each subject, empty.
fn by_subject(subjects: &[u32]) -> Vec<u32> {
    let count = subjects.iter().max().map_or(0, |&most| most as usize + 1);
    vec![NONE; count]
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

fn at<T: Copy + Default>(all: &[T], n: u32) -> T {
    all.get(n as usize).copied().unwrap_or_default()
}

fn set<T>(all: &mut [T], n: u32, value: T) {
    if let Some(place) = all.get_mut(n as usize) {
        *place = value;
    }
}

#[cfg(test)]
mod tests;
