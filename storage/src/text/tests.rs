//! The text of whole messages.

use super::*;
use proptest::prelude::*;

fn take_with(bytes: &[u8], limits: &Limits) -> SearchText {
    let tree = Tree::parse(bytes, limits).unwrap();
    SearchText::new(&tree, &Content::Memory(bytes::Bytes::copy_from_slice(bytes)), limits)
}

fn take(text: &str) -> SearchText {
    take_with(text.replace('\n', "\r\n").as_bytes(), &Limits::default())
}

#[test]
fn a_plain_message() {
    let text = take("Subject: =?utf-8?q?h=C3=A4?=\n folded\nReceived: by x\n\nbody\n");
    let field = |name: &str, value: &str| Field { name: name.to_owned(), value: value.to_owned() };
    assert_eq!(text.fields, [field("Subject", "hä folded")]);
    assert_eq!(text.body, ["body\r\n"]);
    assert!(!text.cut);
}

#[test]
fn parts_names_and_nested_messages() {
    let text = take(
        "Content-Type: multipart/mixed; boundary=x\n\npreamble\n--x\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nh=E4=\nh\n--x\nContent-Type: text/html\n\n<p>a&amp;b</p>\n--x\nContent-Type: image/png; name=\"pic.png\"\nContent-Disposition: attachment; filename=\"pic.png\"\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n--x\nContent-Type: text/calendar\nContent-Transfer-Encoding: base64\n\nU1VNTUFSWTpY\n--x\nContent-Type: message/rfc822\n\nSubject: inner\nReceived: machine\n\ninner body\n--x--\nepilogue\n",
    );
    assert_eq!(text.body, ["häh", "\na&b\n", "pic.png", "SUMMARY:X", "Subject: inner", "inner body"]);
}

#[test]
fn a_multipart_without_parts_is_searched_as_text() {
    assert_eq!(take("Content-Type: multipart/mixed; boundary=x\n\nhello\n").body, ["hello\r\n"]);
}

#[test]
fn text_has_a_bound() {
    let message = b"A: b\r\n\r\n0123456789";
    let limits = Limits { max_text_bytes: 12, ..Limits::default() };
    let text = take_with(message, &limits);
    assert_eq!((text.body.as_slice(), text.cut), (&["0123456789".to_owned()][..], false));
    let limits = Limits { max_text_bytes: 11, ..Limits::default() };
    let text = take_with(message, &limits);
    assert_eq!((text.body.as_slice(), text.cut), (&["012345678".to_owned()][..], true));
    let limits = Limits { max_text_bytes: 3, ..Limits::default() };
    assert_eq!(take_with("\r\nää".as_bytes(), &limits).body, ["ä"]);
}

proptest! {
    #[test]
    fn any_message(bytes in proptest::collection::vec(any::<u8>(), 0..400), header in "(Content-Type: (text/html|multipart/mixed; boundary=x|message/rfc822|text/plain; charset=[a-z0-9-]{1,8})\r\n|Content-Transfer-Encoding: (base64|quoted-printable)\r\n|\r\n|--x\r\n){0,8}") {
        let mut message = header.into_bytes();
        message.extend_from_slice(&bytes);
        let limits = Limits { max_text_bytes: 100, ..Limits::default() };
        let text = take_with(&message, &limits);
        let fields: usize = text.fields.iter().map(|field| field.name.len() + field.value.len()).sum();
        prop_assert!(fields + text.body.iter().map(String::len).sum::<usize>() <= 100);
    }
}

#[test]
fn text_is_cut_at_the_bound_and_one_past_it() {
    for (text, left, fits) in [
        ("abc", 3, (3, 3)),
        ("abcd", 3, (3, 3)),
        ("a\u{e9}", 3, (3, 3)),
        ("a\u{e9}", 2, (1, 1)),
        ("\u{d55c}\u{ae00}", 6, (6, 6)),
        ("\u{fdfa}", 33, (3, 33)),
        ("\u{fdfa}", 32, (0, 0)),
        ("", 0, (0, 0)),
    ] {
        assert_eq!(within(text, left), fits, "{text:?} {left}");
        assert!(fold(text.split_at(fits.0).0).len() <= 3 * fits.1);
    }
}
