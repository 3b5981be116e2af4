//! Keys of written-out headers, their bounds, and that columns come back.

use super::*;
use crate::incoming::Content;
use crate::mime::Tree;
use crate::{Limits, incoming::Incoming};
use proptest::prelude::*;

fn of(raw: &[u8]) -> Keys {
    let limits = Limits::default();
    let incoming = Incoming::read(raw, Vec::new(), &limits).unwrap();
    let content: &Content = &incoming.content;
    let tree = Tree::parse(content.reader(), &limits).unwrap();
    Keys::new(&tree.entities[0].header_bytes, &Card::new(&tree, content, &limits))
}

fn hash(id: &str) -> u64 {
    u64::from_le_bytes(Sha256::digest(id.as_bytes())[..8].try_into().unwrap())
}

#[test]
fn a_message_and_its_keys() {
    let keys = of(b"From: \"Doe, \\\"J\\\"\" <John@Example.org>, b@x\r\nTo: friends: a@x, b@x;\r\nCc: =?utf-8?q?=C3=A9t=C3=A9?= <e@x>\r\n\
        Date: Thu, 1 Jan 1970 01:00:01 +0100\r\nSubject: [list] Re: =?utf-8?q?H=C3=A4?=\r\n it\r\n\
        Message-ID: <1@x>\r\nReferences: <a@x> junk <\"b c\"@x> <broken <d@x>\r\nIn-Reply-To: <z@x>\r\n\r\nbody");
    assert_eq!(keys.sent, Some(1));
    assert_eq!((&*keys.subject, keys.reply), ("HA\u{308} IT", true));
    assert_eq!(keys.id, Some(hash("1@x")));
    assert_eq!(keys.references, [hash("a@x"), hash("b c@x"), hash("d@x")]);
    let [from, to, cc] = &keys.people;
    assert_eq!((&*from.mailbox, &*from.display), ("JOHN", "DOE, \"J\""));
    assert_eq!((&*to.mailbox, &*to.display), ("FRIENDS", "FRIENDS"));
    assert_eq!((&*cc.mailbox, &*cc.display), ("E", ""), "nothing sorts by the name in Cc");
    assert_eq!(of(b"\r\nnothing"), Keys::default());
}

#[test]
fn what_stands_in_for_what_is_missing() {
    let keys = of(b"From: a@b\r\nIn-Reply-To: your mail <p@x> and <q@x>\r\nReferences: none\r\n\r\n");
    assert_eq!(keys.references, [hash("p@x")]);
    assert_eq!(&*keys.people[0].display, "A@B");
    // Quoting and white space apart, ids are the same.
    assert_eq!(of(b"Message-ID: < \"1\"@x >\r\n\r\n").id, Some(hash("1@x")));
    for none in ["1@x", "<1>", "<@x>", "<1@>", "<\"1@x>", "<>", "<"] {
        assert_eq!(of(format!("Message-ID: {none}\r\n\r\n").as_bytes()).id, None, "{none}");
    }
}

#[test]
fn bounds_of_strings_and_references() {
    let subject = |len: usize| of(format!("Subject: {}\r\n\r\n", "x".repeat(len)).as_bytes()).subject;
    assert_eq!(subject(MAX_TEXT), "X".repeat(MAX_TEXT));
    assert_eq!(subject(MAX_TEXT + 1).len(), MAX_TEXT);
    assert_ne!(subject(MAX_TEXT + 1), subject(MAX_TEXT + 2), "only equal ones are equal");
    let wide = of(format!("Subject: {}\r\n\r\n", "\u{4e2d}".repeat(MAX_TEXT)).as_bytes()).subject;
    assert!(wide.len() <= MAX_TEXT && wide.starts_with('\u{4e2d}'));
    let refs = |count: usize| {
        let all: String = (0..count).map(|n| format!("<{n}@x>\r\n ")).collect();
        of(format!("References: {all}\r\n\r\n").as_bytes()).references
    };
    assert_eq!(refs(MAX_REFERENCES).len(), MAX_REFERENCES);
    let cut = refs(MAX_REFERENCES + 1);
    assert_eq!(cut.len(), MAX_REFERENCES);
    assert_eq!((cut[0], cut[1]), (hash("0@x"), hash("2@x")));
    assert_eq!(cut.last(), Some(&hash(&format!("{MAX_REFERENCES}@x"))));
}

fn any_keys() -> impl Strategy<Value = Keys> {
    let text = || "[A-Z ]{0,20}";
    let person = || (text(), text()).prop_map(|(mailbox, display)| Person { mailbox, display });
    let sent = prop::option::of(-70_000_000_000i64..260_000_000_000);
    let ids = (prop::option::of(any::<u64>()), prop::collection::vec(any::<u64>(), 0..5));
    (sent, text(), any::<bool>(), ids, [person(), person(), person()]).prop_map(
        |(sent, subject, reply, (id, references), people)| Keys {
            sent,
            subject,
            reply,
            id,
            references,
            people,
        },
    )
}

proptest! {
    #[test]
    fn columns_come_back(all in prop::collection::vec(any_keys(), 0..20)) {
        for column in COLUMNS {
            let (mut plain, mut before) = (Vec::new(), 0);
            all.iter().for_each(|keys| keys.encode(column, &mut before, &mut plain));
            let (mut from, mut before) = (Reader::new(&plain), 0);
            for keys in &all {
                let [f, t, c] = &keys.people;
                let bytes: Vec<u8> = keys.references.iter().flat_map(|id| id.to_le_bytes()).collect();
                let expected = match column {
                    Column::Sent => Entry::Sent(keys.sent),
                    Column::Subject => Entry::Subject { text: keys.subject.as_bytes(), reply: keys.reply },
                    Column::Ids => Entry::Ids { id: keys.id, references: &bytes },
                    Column::From => Entry::Person { mailbox: f.mailbox.as_bytes(), display: f.display.as_bytes() },
                    Column::To => Entry::Person { mailbox: t.mailbox.as_bytes(), display: t.display.as_bytes() },
                    Column::Cc => Entry::Person { mailbox: c.mailbox.as_bytes(), display: c.display.as_bytes() },
                };
                prop_assert_eq!(decode(column, &mut before, &mut from), Some(expected));
            }
            prop_assert!(from.is_empty());
        }
    }

    #[test]
    fn any_header_is_no_panic(raw in prop::collection::vec(prop_oneof![
        Just(b"Subject:".to_vec()), Just(b"From:".to_vec()), Just(b"References:".to_vec()), Just(b"Message-ID: <".to_vec()),
        Just(b"\r\n".to_vec()), Just(b"<".to_vec()), Just(b">".to_vec()), Just(b"\"".to_vec()), Just(b"\\".to_vec()), Just(b"@".to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ], 0..30)) {
        of(&raw.concat());
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for column in COLUMNS {
            let (mut from, mut before) = (Reader::new(&bytes), 0);
            while decode(column, &mut before, &mut from).is_some() && !from.is_empty() {}
        }
        people(&bytes);
    }
}
