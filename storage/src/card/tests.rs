//! Cards of written-out messages, and that what was encoded comes back.

use super::*;
use proptest::prelude::*;

fn card(text: &str) -> Card {
    let bytes = text.replace('\n', "\r\n").into_bytes();
    of(&bytes)
}

fn of(bytes: &[u8]) -> Card {
    Card::of_size(&Tree::parse(bytes, &Limits::default()).unwrap(), bytes.len() as u64)
}

fn envelope(text: &str) -> String {
    String::from_utf8(card(text).envelope.to_vec()).unwrap()
}

fn addresses(list: &str) -> String {
    let whole = envelope(&format!("To: {list}\n\n"));
    let list = whole.strip_prefix("(NIL NIL NIL NIL NIL ").unwrap();
    list.strip_suffix(" NIL NIL NIL NIL)").unwrap().to_owned()
}

#[test]
fn address_lists() {
    for (list, expected) in [
        ("", "NIL"),
        ("a@b", r#"((NIL NIL "a" "b"))"#),
        ("<a@b>", r#"((NIL NIL "a" "b"))"#),
        ("A B <a@b>, c@d", r#"(("A B" NIL "a" "b")(NIL NIL "c" "d"))"#),
        (r#""A \"x\" B" <a@b>"#, r#"(("A \"x\" B" NIL "a" "b"))"#),
        ("A B. C <a@b>", r#"(("A B. C" NIL "a" "b"))"#),
        ("a@b (Real (inner) Name)", r#"(("Real (inner) Name" NIL "a" "b"))"#),
        ("<a@b> (Real)", r#"(("Real" NIL "a" "b"))"#),
        ("=?utf-8?q?h=C3=A4?= <a@b>", r#"(("=?utf-8?q?h=C3=A4?=" NIL "a" "b"))"#),
        ("<@r1,@r2:u@h>", r#"((NIL "@r1,@r2" "u" "h"))"#),
        (
            "g: a@b, C <c@d>;, e@f",
            r#"((NIL NIL "g" NIL)(NIL NIL "a" "b")("C" NIL "c" "d")(NIL NIL NIL NIL)(NIL NIL "e" "f"))"#,
        ),
        ("undisclosed-recipients:;", r#"((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL))"#),
        ("g: a@b", r#"((NIL NIL "g" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL))"#),
        (r#""john doe"@x"#, r#"((NIL NIL "john doe" "x"))"#),
        ("a@[1.2.3.4]", r#"((NIL NIL "a" "[1.2.3.4]"))"#),
        ("a . b @ c . d", r#"((NIL NIL "a.b" "c.d"))"#),
        ("foo", r#"((NIL NIL "foo" ""))"#),
        ("foo bar", r#"(("foo bar" NIL "" ""))"#),
        ("<foo>", r#"((NIL NIL "foo" ""))"#),
        ("<>", r#"((NIL NIL "" ""))"#),
        ("a@b <a@b>", r#"(("a@b" NIL "a" "b"))"#),
        ("a b c@d.e", r#"(("a b" NIL "c" "d.e"))"#),
        (",,a@b,,", r#"((NIL NIL "a" "b"))"#),
        ("A <a@b, c@d", r#"(("A" NIL "a" "b")(NIL NIL "c" "d"))"#),
        (r#""open <a@b>"#, r#"(("open <a@b>" NIL "" ""))"#),
        ("<@>", r#"((NIL NIL "" ""))"#),
        ("<@a", r#"((NIL NIL "" "a"))"#),
        ("<@", r#"((NIL NIL "" ""))"#),
    ] {
        assert_eq!(addresses(list), expected, "{list}");
    }
}

#[test]
fn envelopes() {
    assert_eq!(
        envelope("From: a@b\nSubject: \nDate: x\nMessage-ID: <1@b>\nIn-Reply-To: <0@b>\n\n"),
        r#"("x" "" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL "<0@b>" "<1@b>")"#
    );
    assert_eq!(
        envelope("From: a@b\nSender: c@d\nReply-To:\nSubject: =?utf-8?q?=C3=A4?=\n folded\n\n"),
        r#"(NIL "=?utf-8?q?=C3=A4?= folded" ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)"#
    );
    assert_eq!(envelope(""), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    let bytes = b"Subject: h\xc3\xa4\r\n\r\n";
    assert_eq!(of(bytes).envelope, "(NIL {3}\r\nhä NIL NIL NIL NIL NIL NIL NIL NIL)".as_bytes());
}

#[test]
fn structures_and_bodies() {
    for (text, structure, body) in [
        (
            "\nhello\n",
            r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1 NIL NIL NIL NIL)"#,
            r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1)"#,
        ),
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: TEXT/HTML; charset=utf-8\nContent-Transfer-Encoding: base64\nContent-Language: de, en\nContent-Location: here\n\nAAAA\n--x\nContent-Type: image/png; name=\"a b.png\"\nContent-ID: <1>\nContent-Description: it\nContent-MD5: abc\nContent-Disposition: attachment; filename=\"a b.png\"\n\nx\n--x--\n",
            r#"(("TEXT" "HTML" ("charset" "utf-8") NIL NIL "base64" 4 0 NIL NIL ("de" "en") "here")("image" "png" ("name" "a b.png") "<1>" "it" "7bit" 1 "abc" ("attachment" ("filename" "a b.png")) NIL NIL) "mixed" ("boundary" "x") NIL NIL NIL)"#,
            r#"(("TEXT" "HTML" ("charset" "utf-8") NIL NIL "base64" 4 0)("image" "png" ("name" "a b.png") "<1>" "it" "7bit" 1) "mixed")"#,
        ),
        (
            "Content-Type: message/rfc822\n\nSubject: in (\"\n\nb\n",
            r#"("message" "rfc822" NIL NIL NIL "7bit" 21 (NIL "in (\"" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)"#,
            r#"("message" "rfc822" NIL NIL NIL "7bit" 21 (NIL "in (\"" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1) 3)"#,
        ),
        (
            "Content-Type: multipart/mixed\n\nx\n",
            r#"(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL) "mixed" NIL NIL NIL NIL)"#,
            r#"(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")"#,
        ),
        (
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3Vi",
            r#"("application" "octet-stream" NIL NIL NIL "base64" 4 NIL NIL NIL NIL)"#,
            r#"("application" "octet-stream" NIL NIL NIL "base64" 4)"#,
        ),
        (
            "Content-Type: message/delivery-status\n\nx",
            r#"("message" "delivery-status" NIL NIL NIL "7bit" 1 NIL NIL NIL NIL)"#,
            r#"("message" "delivery-status" NIL NIL NIL "7bit" 1)"#,
        ),
    ] {
        let card = card(text);
        assert_eq!(String::from_utf8_lossy(&card.bodystructure), structure, "{text}");
        assert_eq!(String::from_utf8_lossy(&card.body()), body, "{text}");
    }
}

#[test]
fn body_knows_literals() {
    let bytes = b"Content-Type: text/plain; name=\"\xff) \xff\"\r\n\r\nx";
    let card = of(bytes);
    assert!(card.bodystructure.windows(5).any(|window| window == b"{4}\r\n"));
    let body = card.body();
    assert!(body.ends_with(b"\"7bit\" 1 0)") && body.windows(4).any(|window| window == b"\xff) \xff"));
}

#[test]
fn a_raw_card_is_text() {
    let card = Card::raw(7);
    assert!(card.raw);
    assert_eq!(card.size, 7);
    assert_eq!(card.body(), b"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 7 0)");
    assert_eq!(card.part_table().unwrap()[0].body, 0..7);
}

#[test]
fn damaged_bytes_are_no_card() {
    let mut bytes = Vec::new();
    card("Date: 1 Jan 2024 00:00:00 +0000\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nhi\n--x--\n")
        .encode(&mut bytes);
    for end in 0..bytes.len() {
        let mut cut = Bytes::copy_from_slice(&bytes[..end]);
        assert!(matches!(Card::decode(&mut cut), Err(Error::Derived { .. })), "{end}");
    }
    for (at, flip) in (0..bytes.len()).flat_map(|at| [(at, 1), (at, 0x80), (at, 0xff)]) {
        let mut bytes = bytes.clone();
        bytes[at] ^= flip;
        if let Ok(card) = Card::decode(&mut bytes.into()) {
            drop(card.part_table());
            drop(card.body());
        }
    }
}

proptest! {
    #[test]
    fn cards_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..600), tail in any::<[u8; 3]>()) {
        let mut text = b"Date: 1 Jan 2024 00:00:00 -0130\r\nTo: ".to_vec();
        text.extend_from_slice(&bytes);
        let tree = Tree::parse(&text[..], &Limits::default()).unwrap();
        let card = Card::of_size(&tree, text.len() as u64);
        let mut encoded = Vec::new();
        card.encode(&mut encoded);
        encoded.extend_from_slice(&tail);
        let mut encoded = Bytes::from(encoded);
        prop_assert_eq!(&Card::decode(&mut encoded).unwrap(), &card);
        prop_assert_eq!(&encoded[..], &tail[..]);
        let table = card.part_table().unwrap();
        prop_assert_eq!(table.len(), tree.entities.len());
        for (part, entity) in table.iter().zip(&tree.entities) {
            prop_assert_eq!((&part.header, &part.body, part.kind), (&entity.header, &entity.body, entity.kind));
            prop_assert_eq!((&part.parent, &part.children), (&entity.parent, &entity.children));
        }
        prop_assert!(!card.envelope.contains(&0) && !card.bodystructure.contains(&0));
    }

    #[test]
    fn any_address_list(list in "[ab@<>(),:;.\"\\\\ \\[\\]]{0,40}") {
        let card = of(format!("To: {list}\r\n\r\n").as_bytes());
        prop_assert!(card.envelope.starts_with(b"(NIL NIL NIL NIL NIL "));
    }

    #[test]
    fn bodies_of_any_structure(text in "(Content-Type: (multipart/mixed; boundary=x|message/rfc822|text/plain; a=\"[ -~]{0,9})\r\n|--x\r\n|\r\n|a\r\n|Content-ID: \u{e4}{0,2}\r\n){0,30}") {
        let card = of(text.as_bytes());
        prop_assert!(body::without_extensions(&card.bodystructure).is_some(), "{:?}", card.bodystructure);
    }
}
