//! RFC 5256 §3 taken literally, step by step on trees of vectors, beside ours.

use super::super::forest::Token;
use super::*;
use proptest::prelude::*;

/// One message: date, subject (0: empty), reply, id, references.
type Mail = (i64, u32, bool, Option<u64>, Vec<u64>);

fn input(mails: &[Mail]) -> Input {
    let mut input = Input { begins: vec![0], ..Input::default() };
    for (n, (date, subject, reply, id, references)) in mails.iter().enumerate() {
        input.uids.push(n as u32 + 1);
        input.dates.push(*date);
        input.subjects.push(*subject);
        input.replies.push(*reply && *subject != 0);
        input.ids.push(*id);
        input.references.extend(references);
        input.begins.push(input.references.len() as u32);
    }
    input
}

fn text(forest: Forest) -> String {
    let mut out = String::new();
    let mut message_before = false;
    for token in forest.walk() {
        let blank = if message_before && token != Token::Close { " " } else { "" };
        match token {
            Token::Open => out += &format!("{blank}("),
            Token::Close => out.push(')'),
            Token::Message(uid) => out += &format!("{blank}{uid}"),
        }
        message_before = matches!(token, Token::Message(_));
    }
    out
}

fn ours(mails: &[Mail]) -> String {
    text(references(input(mails), &|| Ok(())).unwrap())
}

/// A node of the literal trees; `message` none: a dummy.
#[derive(Debug, Clone, Default)]
struct Node {
    message: Option<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
}

struct Literal<'m> {
    mails: &'m [Mail],
    nodes: Vec<Node>,
}

impl Literal<'_> {
    fn is_below(&self, node: usize, top: usize) -> bool {
        node == top || self.nodes[node].parent.is_some_and(|p| self.is_below(p, top))
    }
    fn cut(&mut self, node: usize) {
        if let Some(p) = self.nodes[node].parent.take() {
            self.nodes[p].children.retain(|c| *c != node);
        }
    }
    fn adopt(&mut self, parent: usize, child: usize) {
        self.cut(child);
        self.nodes[child].parent = Some(parent);
        self.nodes[parent].children.push(child);
    }
    fn dummy(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }
    /// What siblings are sorted by; a dummy by its first child.
    fn order(&self, node: usize) -> (i64, usize) {
        match self.nodes[node].message {
            Some(m) => (self.mails[m].0, m),
            None => self.nodes[node].children.iter().map(|c| self.order(*c)).min().unwrap(),
        }
    }
    fn first(&self, node: usize) -> usize {
        self.nodes[node].message.unwrap_or_else(|| self.order(node).1)
    }
    fn prune(&mut self, node: usize, at_root: bool) -> Vec<usize> {
        let children = std::mem::take(&mut self.nodes[node].children);
        let mut kept = Vec::new();
        for child in children {
            kept.extend(self.prune(child, false));
        }
        if self.nodes[node].message.is_none() && (kept.len() < 2 || !at_root) {
            return kept;
        }
        for child in &kept {
            self.nodes[*child].parent = Some(node);
        }
        self.nodes[node].children = kept;
        vec![node]
    }
    fn write(&self, node: usize, out: &mut String) {
        if let Some(m) = self.nodes[node].message {
            *out += &(m + 1).to_string();
        }
        let mut children = self.nodes[node].children.clone();
        children.sort_by_key(|c| self.order(*c));
        if let ([only], true) = (&children[..], self.nodes[node].message.is_some()) {
            out.push(' ');
            return self.write(*only, out);
        }
        if !children.is_empty() && self.nodes[node].message.is_some() {
            out.push(' ');
        }
        for child in children {
            out.push('(');
            self.write(child, out);
            out.push(')');
        }
    }
}

fn literal(mails: &[Mail]) -> String {
    let nodes: Vec<Node> = (0..mails.len()).map(|m| Node { message: Some(m), ..Node::default() }).collect();
    let mut l = Literal { mails, nodes };
    let mut ids: HashMap<u64, usize> = HashMap::new();
    for (m, mail) in mails.iter().enumerate() {
        if let Some(id) = mail.3 {
            ids.entry(id).or_insert(m);
        }
    }
    for (m, mail) in mails.iter().enumerate() {
        let mut last = None;
        for id in &mail.4 {
            let node = match ids.get(id) {
                Some(node) => *node,
                None => {
                    let node = l.dummy();
                    ids.insert(*id, node);
                    node
                }
            };
            if let Some(last) = last
                && l.nodes[node].parent.is_none()
                && !l.is_below(last, node)
            {
                l.adopt(last, node);
            }
            last = Some(node);
        }
        if last != l.nodes[m].parent {
            l.cut(m);
            if let Some(last) = last.filter(|last| !l.is_below(*last, m)) {
                l.adopt(last, m);
            }
        }
    }
    let tops: Vec<usize> = (0..l.nodes.len()).filter(|n| l.nodes[*n].parent.is_none()).collect();
    let mut roots = Vec::new();
    for top in tops {
        let kept = l.prune(top, true);
        for root in &kept {
            l.nodes[*root].parent = None;
        }
        roots.extend(kept);
    }
    roots.sort_by_key(|r| l.order(*r));
    let subject = |l: &Literal<'_>, node: usize| mails[l.first(node)].1;
    let reply =
        |l: &Literal<'_>, node: usize| l.nodes[node].message.is_some_and(|m| mails[m].2 && mails[m].1 != 0);
    let is_dummy = |l: &Literal<'_>, node: usize| l.nodes[node].message.is_none();
    let mut table: HashMap<u32, usize> = HashMap::new();
    for &root in &roots {
        let s = subject(&l, root);
        if s == 0 {
            continue;
        }
        match table.get(&s).copied() {
            None => drop(table.insert(s, root)),
            Some(t) if !is_dummy(&l, t) && (is_dummy(&l, root) || (reply(&l, t) && !reply(&l, root))) => {
                table.insert(s, root);
            }
            Some(_) => {}
        }
    }
    let mut top = roots.clone();
    for root in roots {
        if !top.contains(&root) {
            continue;
        }
        let s = subject(&l, root);
        let Some(t) = table.get(&s).copied().filter(|t| s != 0 && *t != root) else { continue };
        top.retain(|r| *r != root);
        if is_dummy(&l, root) && is_dummy(&l, t) {
            for child in l.nodes[root].children.clone() {
                l.adopt(t, child);
            }
        } else if is_dummy(&l, t) || (reply(&l, root) && !reply(&l, t)) {
            l.adopt(t, root);
        } else {
            let dummy = l.dummy();
            top.retain(|r| *r != t);
            l.adopt(dummy, root);
            l.adopt(dummy, t);
            top.push(dummy);
            table.insert(s, dummy);
        }
    }
    top.sort_by_key(|r| l.order(*r));
    let mut out = String::new();
    for root in top {
        out.push('(');
        l.write(root, &mut out);
        out.push(')');
    }
    out
}

fn mail(date: i64, subject: u32, reply: bool, id: u64, references: &[u64]) -> Mail {
    (date, subject, reply, Some(id), references.to_vec())
}

#[test]
fn the_steps() {
    for (mails, expected) in [
        (vec![], ""),
        (vec![mail(1, 0, false, 1, &[])], "(1)"),
        // A reply, and one to that; in any order of arrival.
        (vec![mail(3, 1, true, 3, &[1, 2]), mail(1, 1, false, 1, &[]), mail(2, 1, true, 2, &[1])], "(2 3 1)"),
        // The parent isn't there: one child takes its place, two have a root that stands for it.
        (vec![mail(1, 1, true, 2, &[1])], "(1)"),
        (vec![mail(2, 1, true, 2, &[1]), mail(1, 2, true, 3, &[1])], "((2)(1))"),
        // What is missing in the middle is left out.
        (vec![mail(1, 1, false, 1, &[]), mail(2, 1, true, 3, &[1, 2])], "(1 2)"),
        // A loop is not made.
        (vec![mail(1, 0, false, 1, &[2]), mail(2, 0, false, 2, &[1])], "(2 1)"),
        (vec![mail(1, 0, false, 1, &[1])], "(1)"),
        // One id twice: the first has it.
        (vec![mail(1, 0, false, 1, &[]), mail(2, 0, false, 1, &[]), mail(3, 0, false, 2, &[1])], "(1 3)(2)"),
        // One subject: a reply goes below, two that are none get a root.
        (vec![mail(1, 1, false, 1, &[]), mail(2, 1, true, 2, &[])], "(1 2)"),
        (vec![mail(1, 1, true, 1, &[]), mail(2, 1, false, 2, &[])], "(2 1)"),
        (
            vec![mail(1, 1, false, 1, &[]), mail(2, 1, false, 2, &[]), mail(3, 1, false, 3, &[])],
            "((1)(2)(3))",
        ),
        (vec![mail(1, 0, false, 1, &[]), mail(2, 0, false, 2, &[])], "(1)(2)"),
        // Two roots that stand for messages: their children become siblings.
        (
            vec![
                mail(1, 1, true, 11, &[1]),
                mail(2, 1, true, 12, &[1]),
                mail(3, 1, true, 21, &[2]),
                mail(4, 1, true, 22, &[2]),
                mail(5, 1, false, 31, &[]),
            ],
            "((1)(2)(3)(4)(5))",
        ),
        // Siblings and threads by date, then by number.
        (
            vec![mail(5, 0, false, 9, &[]), mail(7, 0, false, 1, &[9]), mail(6, 0, false, 2, &[9])],
            "(1 (3)(2))",
        ),
        (vec![mail(1, 0, false, 9, &[]), mail(1, 0, false, 8, &[]), mail(0, 0, false, 7, &[])], "(3)(1)(2)"),
        // A truncated References: the last one counts.
        (
            vec![
                mail(1, 0, false, 1, &[]),
                mail(2, 0, false, 2, &[]),
                mail(3, 0, false, 5, &[1, 4]),
                mail(4, 0, false, 4, &[2]),
            ],
            "(1)(2 4 3)",
        ),
    ] {
        assert_eq!(ours(&mails), expected, "{mails:?}");
        assert_eq!(literal(&mails), expected, "the literal one, {mails:?}");
    }
}

#[test]
fn by_subject_alone() {
    let of = |mails: &[Mail]| text(ordered_subject(input(mails), &|| Ok(())).unwrap());
    let mails = [
        mail(5, 1, true, 1, &[]),
        mail(3, 1, false, 2, &[]),
        mail(4, 2, false, 3, &[1]),
        mail(6, 1, true, 4, &[]),
    ];
    assert_eq!(of(&mails), "(2 (1)(4))(3)");
    assert_eq!(of(&mails[..2]), "(2 1)");
    assert_eq!(of(&[]), "");
}

#[test]
fn deep_threads_and_long_references_end() {
    let count = 100_000u64;
    let date = |n: u64| n as i64;
    // Each answers the one before; the same the other way round; all name a chain of ids that nobody has.
    let chain: Vec<Mail> = (0..count).map(|n| mail(date(n), 1, n > 0, n + 1, &[n])).collect();
    let back: Vec<Mail> = (0..count).map(|n| mail(date(n), 1, true, n + 1, &[n + 2])).collect();
    let dummies: Vec<Mail> =
        (0..count).map(|n| mail(date(n), 0, false, 1 << 40 | n, &[1 << 41 | n, 1 << 41 | (n + 1)])).collect();
    for mails in [chain, back] {
        let walk = references(input(&mails), &|| Ok(())).unwrap().walk();
        let lists = walk.filter(|token| *token == Token::Open).count();
        assert_eq!(lists, 1, "one thread without a branch");
    }
    assert!(!references(input(&dummies), &|| Ok(())).unwrap().is_empty());
}

#[test]
fn headers_that_make_every_check_long_meet_the_limit() {
    // A chain, and messages that try over and over to put its head below its end.
    let mut mails: Vec<Mail> = (0..2_000u64).map(|n| mail(n as i64, 0, false, n + 1, &[n])).collect();
    mails.extend((0..2_000u64).map(|n| {
        let pairs = [2_000, 1].repeat(50);
        mail(0, 0, false, 1 << 40 | n, &pairs)
    }));
    mails[0].4.clear();
    let calls = std::cell::Cell::new(0);
    let check = || {
        calls.set(calls.get() + 1);
        if calls.get() > 5 { Err(Error::SearchTime { secs: 1 }) } else { Ok(()) }
    };
    assert!(matches!(references(input(&mails), &check), Err(Error::SearchTime { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_same_as_the_literal_steps(
        mails in prop::collection::vec(
            (0i64..6, 0u32..4, any::<bool>(), prop::option::of(0u64..10), prop::collection::vec(0u64..14, 0..5)),
            0..14,
        )
    ) {
        prop_assert_eq!(ours(&mails), literal(&mails));
    }
}
