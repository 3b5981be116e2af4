//! The splitter against written-out structures, and its invariants against any bytes.

use super::{Kind, Tree};
use crate::Limits;
use proptest::prelude::*;
use std::io::BufReader;

fn canonical(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn parse(bytes: &[u8]) -> Tree {
    Tree::parse(bytes, &Limits::default()).unwrap()
}

/// One line an entity: depth, kind, lines, body.
fn shape(text: &str) -> Vec<String> {
    let bytes = canonical(text);
    let tree = parse(&bytes);
    check(&tree, bytes.len() as u64);
    tree.entities
        .iter()
        .map(|entity| {
            let mut depth = 0;
            let mut parent = entity.parent;
            while let Some(index) = parent {
                depth += 1;
                parent = tree.entities[index].parent;
            }
            let body = &bytes[entity.body.start as usize..entity.body.end as usize];
            let body = String::from_utf8_lossy(body).replace("\r\n", "/");
            let kind = match entity.kind {
                Kind::Leaf => "leaf",
                Kind::Multipart => "multipart",
                Kind::Message => "message",
            };
            // A multipart's lines are shown to nobody; the property tests count them.
            let lines =
                if entity.kind == Kind::Multipart { String::new() } else { format!(" {}", entity.lines) };
            format!("{depth} {kind}{lines} {body}")
        })
        .collect()
}

/// What must hold of any tree.
fn check(tree: &Tree, len: u64) {
    assert!(!tree.entities.is_empty());
    for (index, entity) in tree.entities.iter().enumerate() {
        assert!(entity.header.start <= entity.header.end);
        assert_eq!(entity.header.end, entity.body.start);
        assert!(entity.body.start <= entity.body.end && entity.body.end <= len);
        assert_eq!(entity.kind == Kind::Leaf, entity.children.is_empty());
        assert_eq!(entity.parent.is_none(), index == 0);
        let mut from = entity.body.start;
        for &child in &entity.children {
            assert!(child > index);
            let child = &tree.entities[child];
            assert_eq!(child.parent, Some(index));
            assert!(child.header.start >= from && child.body.end <= entity.body.end);
            from = child.body.end;
        }
    }
    for pair in tree.entities.windows(2) {
        assert!(pair[0].header.start <= pair[1].header.start, "preorder");
    }
}

#[test]
fn structures() {
    let cases: &[(&str, &[&str])] = &[
        ("", &["0 leaf 0 "]),
        ("\n", &["0 leaf 0 "]),
        ("A: b", &["0 leaf 0 "]),
        ("A: b\n\nhello\nthere", &["0 leaf 1 hello/there"]),
        (
            "Content-Type: multipart/mixed; boundary=x\n\npre\n--x\n\none\n--x\n\n\n--x--\nepi\n",
            &["0 multipart pre/--x//one/--x///--x--/epi/", "1 leaf 0 one", "1 leaf 0 "],
        ),
        // No closing boundary; a boundary that ends the file begins no part.
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x",
            &["0 multipart --x//one/--x", "1 leaf 0 one"],
        ),
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\n",
            &["0 multipart --x//one/--x/", "1 leaf 0 one", "1 leaf 0 "],
        ),
        // A boundary that begins another's: the longest counts.
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=xy\n\n--xy\n\nin\n--xy--\n--x\n\nout\n--x--\n",
            &[
                "0 multipart --x/Content-Type: multipart/mixed; boundary=xy//--xy//in/--xy--/--x//out/--x--/",
                "1 multipart --xy//in/--xy--",
                "2 leaf 0 in",
                "1 leaf 0 out",
            ],
        ),
        // The inner closing boundary is missing.
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=y\n\n--y\n\nin\n--x\n\nout\n--x--\n",
            &[
                "0 multipart --x/Content-Type: multipart/mixed; boundary=y//--y//in/--x//out/--x--/",
                "1 multipart --y//in",
                "2 leaf 0 in",
                "1 leaf 0 out",
            ],
        ),
        // A header cut off by a boundary, and one that is not there at all.
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nA: b\n--x\n--x--\n",
            &["0 multipart --x/A: b/--x/--x--/", "1 leaf 0 ", "1 leaf 0 "],
        ),
        (
            "Content-Type: message/rfc822\n\nSubject: a\n\nbody\n",
            &["0 message 3 Subject: a//body/", "1 leaf 1 body/"],
        ),
        ("Content-Type: message/rfc822\n\n", &["0 message 0 ", "1 leaf 0 "]),
        ("Content-Type: message/global\n\nA: b\n\nc", &["0 message 2 A: b//c", "1 leaf 0 c"]),
        ("Content-Type: message/rfc822\nContent-Transfer-Encoding: BASE64\n\nU3Vi\n", &["0 leaf 1 U3Vi/"]),
        (
            "Content-Type: multipart/digest; boundary=x\n\n--x\n\nA: b\n\nc\n--x\nContent-Type: text/plain\n\nd\n--x--",
            &[
                "0 multipart --x//A: b//c/--x/Content-Type: text/plain//d/--x--",
                "1 message 2 A: b//c",
                "2 leaf 0 c",
                "1 leaf 0 d",
            ],
        ),
        // A message whose empty body stands before the boundary keeps its header's blank line.
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\nA: b\n\n--x--\n",
            &[
                "0 multipart --x/Content-Type: message/rfc822//A: b//--x--/",
                "1 message 2 A: b//",
                "2 leaf 0 ",
            ],
        ),
        // No part, no boundary: one empty part stands for them.
        ("Content-Type: multipart/mixed; boundary=x\n\nhi\n", &["0 multipart hi/", "1 leaf 0 "]),
        ("Content-Type: multipart/mixed\n\nhi\n", &["0 multipart hi/", "1 leaf 0 "]),
        // The first Content-Type counts; an unreadable one is text/plain.
        ("Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=x\n\n--x\n", &["0 leaf 1 --x/"]),
        ("Content-Type: multipart; boundary=x\n\n--x\n", &["0 leaf 1 --x/"]),
        // `--` alone is no boundary; trailing blanks after one are fine.
        (
            "Content-Type: multipart/mixed; boundary=\"a b\"\n\n--\n--a b \t\n\none\n--a b-- \n",
            &["0 multipart --/--a b \t//one/--a b-- /", "1 leaf 0 one"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(shape(text), *expected, "{text}");
    }
}

#[test]
fn ranges_are_exact() {
    let bytes = canonical("Content-Type: multipart/mixed; boundary=x\n\n--x\nA: b\n\none\n--x--\n");
    let tree = parse(&bytes);
    let part = &tree.entities[1];
    assert_eq!(&bytes[part.header.start as usize..part.header.end as usize], b"A: b\r\n\r\n");
    assert_eq!(part.header_bytes, b"A: b\r\n\r\n");
    assert_eq!(tree.entities[0].header, 0..45);
    assert_eq!(tree.entities[0].body, 45..bytes.len() as u64);
}

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = b"Content-Type: message/rfc822\r\n\r\n".repeat(depth - 1);
    bytes.extend_from_slice(b"Subject: innermost\r\n\r\nbody\r\n");
    bytes
}

#[test]
fn depth_has_a_bound() {
    let tree = parse(&nested(100));
    assert_eq!((tree.entities.len(), tree.cut), (100, false));
    let tree = parse(&nested(101));
    assert_eq!((tree.entities.len(), tree.cut), (100, true));
    assert_eq!(tree.entities[99].kind, Kind::Leaf);
    assert_eq!(parse(&nested(20_000)).entities.len(), 100);
}

fn many(parts: usize) -> Vec<u8> {
    let mut bytes = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n".to_vec();
    bytes.extend_from_slice(&b"--x\r\n\r\nhi\r\n".repeat(parts));
    bytes.extend_from_slice(b"--x--\r\n");
    bytes
}

#[test]
fn parts_have_a_bound() {
    let bytes = many(9_999);
    let tree = parse(&bytes);
    assert_eq!((tree.entities.len(), tree.cut), (10_000, false));
    let bytes = many(10_000);
    let tree = parse(&bytes);
    check(&tree, bytes.len() as u64);
    assert_eq!((tree.entities.len(), tree.cut), (10_000, true));
    assert_eq!(tree.entities[9_999].body.end, bytes.len() as u64);
}

#[test]
fn header_bytes_have_a_bound() {
    let limits = Limits { max_header_bytes: 32, ..Limits::default() };
    let fits = format!("A: {}\r\n\r\nbody", "x".repeat(32 - 7));
    let tree = Tree::parse(fits.as_bytes(), &limits).unwrap();
    assert_eq!((tree.entities[0].header_bytes.len(), tree.cut), (32, false));
    let over = format!("A: {}\r\n\r\nbody", "x".repeat(32 - 6));
    let tree = Tree::parse(over.as_bytes(), &limits).unwrap();
    assert_eq!((tree.entities[0].header_bytes.len(), tree.cut), (32, true));
    assert_eq!(tree.entities[0].body, 33..37);
}

#[test]
fn a_line_without_end_needs_no_memory() {
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let give = (out.len() as u64).min(self.0) as usize;
            out[..give].fill(b'x');
            self.0 -= give as u64;
            Ok(give)
        }
    }
    let tree = Tree::parse(BufReader::new(Endless(100_000_000)), &Limits::default()).unwrap();
    assert_eq!(tree.entities[0].header, 0..100_000_000);
    assert!(tree.cut && tree.entities[0].header_bytes.capacity() <= 4 << 20);
}

/// Text made of what matters to the splitter.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("Content-Type: multipart/mixed; boundary=x\r\n".to_owned()),
        Just("Content-Type: multipart/digest; boundary=xy\r\n".to_owned()),
        Just("Content-Type: message/rfc822\r\n".to_owned()),
        Just("--x\r\n".to_owned()),
        Just("--x".to_owned()),
        Just("--xy\r\n".to_owned()),
        Just("--x--\r\n".to_owned()),
        Just("--xy--\r\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\r".to_owned()),
        Just("text\r\n".to_owned()),
        Just("A: b\r\n".to_owned()),
        "[ -~]{0,8}",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_give_a_tree(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        check(&parse(&bytes), bytes.len() as u64);
    }

    #[test]
    fn any_structure_nests_whatever_the_reads(bytes in hostile(), step in 1_usize..20) {
        let tree = parse(&bytes);
        check(&tree, bytes.len() as u64);
        let limits = Limits::default();
        prop_assert_eq!(&tree, &Tree::parse(BufReader::with_capacity(step, &bytes[..]), &limits).unwrap());
        for (entity, index) in tree.entities.iter().zip(0..) {
            let body = &bytes[entity.body.start as usize..entity.body.end as usize];
            let expected = body.iter().filter(|&&byte| byte == b'\n').count() as u64;
            prop_assert_eq!(entity.lines, expected, "entity {}", index);
        }
    }

    #[test]
    fn small_limits_hold(bytes in hostile(), depth in 1_usize..5, parts in 1_usize..9) {
        let limits = Limits { max_mime_depth: depth, max_mime_parts: parts, ..Limits::default() };
        let tree = Tree::parse(&bytes[..], &limits).unwrap();
        check(&tree, bytes.len() as u64);
        prop_assert!(tree.entities.len() <= parts);
    }
}
