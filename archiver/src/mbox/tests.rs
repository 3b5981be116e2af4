//! Framing of good and bad mailbox files, in memory.

use super::*;
use crate::mmdf::Mmdf;
use proptest::prelude::*;
use std::io::Read;

const FROM: &str = "From a@b Fri Sep  4 14:55:26 2020\n";

/// (offset, prefix, content) of messages, or (offset, reason, "!").
fn read(data: &str, format: Format) -> Vec<(u64, String, String)> {
    read_bytes(data.as_bytes(), format)
        .into_iter()
        .map(|(at, a, b)| (at, String::from_utf8(a).unwrap(), String::from_utf8(b).unwrap()))
        .collect()
}

fn read_bytes(data: &[u8], format: Format) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
    let data = data.to_vec();
    let mut mbox = Mbox::new(&data, data.len() as u64, format);
    let mut mmdf = Mmdf::new(&data, data.len() as u64);
    let mut out = Vec::new();
    while let Some(entry) =
        if format == Format::Mmdf { mmdf.next_entry() } else { mbox.next_entry() }.unwrap()
    {
        out.push(match entry {
            Entry::Message(framed) => {
                let mut content = Vec::new();
                Content::new(&data, &framed).read_to_end(&mut content).unwrap();
                (framed.at, framed.prefix, content)
            }
            Entry::Skip { at, reason, .. } => (at, reason.into_bytes(), b"!".to_vec()),
        });
    }
    out
}

fn contents(data: &str, format: Format) -> Vec<String> {
    read(data, format).into_iter().map(|(_, _, content)| content).collect()
}

fn detected(data: &str) -> Format {
    detect(&data.as_bytes().to_vec(), data.len() as u64).unwrap()
}

#[test]
fn two_messages() {
    let data = format!("{FROM}Subject: 1\n\nbody\n\n{FROM}Subject: 2\n\nlast\n");
    let second = (FROM.len() + "Subject: 1\n\nbody\n\n".len()) as u64;
    let from = || FROM.to_owned();
    assert_eq!(
        read(&data, Format::Mboxo),
        [(0, from(), "Subject: 1\n\nbody\n".into()), (second, from(), "Subject: 2\n\nlast\n".into())]
    );
}

#[test]
fn crlf_and_mixed_line_ends() {
    let data = format!("{FROM}Subject: 1\n\nbody\n\n{FROM}Subject: 2\r\n\r\nx\n")
        .replace('\n', "\r\n")
        .replace("\r\r", "\r");
    assert_eq!(contents(&data, Format::Mboxrd), ["Subject: 1\r\n\r\nbody\r\n", "Subject: 2\r\n\r\nx\r\n"]);
    let data = format!("{FROM}Subject: 1\r\n\r\nbody\n\r\n{FROM}Subject: 2\n\r\nx");
    assert_eq!(contents(&data, Format::Mboxrd), ["Subject: 1\r\n\r\nbody\n", "Subject: 2\n\r\nx"]);
}

#[test]
fn quoting_of_each_variant() {
    let data = format!("{FROM}S: 1\n\n>From a\n>>From b\n >From c\n>>>>From d\n>From\n>Fro");
    let body = |lines: &str| format!("S: 1\n\n{lines}");
    assert_eq!(contents(&data, Format::Mboxo), [body("From a\n>>From b\n >From c\n>>>>From d\n>From\n>Fro")]);
    assert_eq!(contents(&data, Format::Mboxrd), [body("From a\n>From b\n >From c\n>>>From d\n>From\n>Fro")]);
    assert_eq!(
        contents(&data, Format::Mboxcl2),
        [body(">From a\n>>From b\n >From c\n>>>>From d\n>From\n>Fro")]
    );
}

#[test]
fn bound_of_quotes() {
    let data = |count: usize| format!("{FROM}S: 1\n\n{}From x\n", ">".repeat(count));
    let body = |count: usize| format!("S: 1\n\n{}From x\n", ">".repeat(count));
    assert_eq!(contents(&data(1_000), Format::Mboxrd), [body(999)]);
    assert_eq!(contents(&data(1_001), Format::Mboxrd), [body(1_001)]);
}

#[test]
fn from_in_bodies_is_prose() {
    let body = "Subject: 1\n\nFrom here on:\n\nFrom the docs Fri\n\nFrom: x\nFrom a@b Fri Sep  4 14:55:26 2020\nprose\n";
    assert_eq!(contents(&format!("{FROM}{body}"), Format::Mboxo), [body]);
}

#[test]
fn a_separator_without_the_blank_line() {
    let data = format!("{FROM}Subject: 1\n\nbody\n{FROM}Subject: 2\n\nlast\n");
    assert_eq!(contents(&data, Format::Mboxo), ["Subject: 1\n\nbody\n", "Subject: 2\n\nlast\n"]);
}

#[test]
fn a_byte_order_mark_and_from_lines_without_date() {
    let data = "\u{feff}From -\nSubject: 1\n\nFrom -\nprose\n\nFrom -\nSubject: 2\n\nz\n";
    assert_eq!(contents(data, Format::Mboxo), ["Subject: 1\n\nFrom -\nprose\n", "Subject: 2\n\nz\n"]);
}

#[test]
fn blank_lines_belong_where_they_stand() {
    // One blank line is the separator's, others are the message's; the header's own is not taken.
    let data = format!(
        "\n\n{FROM}Subject: 1\n\nbody\n\n\n\n{FROM}Subject: 2\n\n{FROM}Subject: 3\n{FROM}Subject: 4\n\n"
    );
    assert_eq!(
        contents(&data, Format::Mboxo),
        ["Subject: 1\n\nbody\n\n\n", "Subject: 2\n\n", "Subject: 3\n", "Subject: 4\n\n"]
    );
}

#[test]
fn garbage_before_the_first_message() {
    let data = format!("what is this\nfor a file\n\n{FROM}Subject: 1\n\nbody\n");
    let found = read(&data, Format::Mboxo);
    assert_eq!(found.len(), 2);
    assert!(found[0].1.contains("before the first From_ line") && found[0].2 == "!", "{found:?}");
    assert_eq!(found[1].2, "Subject: 1\n\nbody\n");
}

#[test]
fn no_from_line_at_the_start() {
    let data = format!("Subject: 0\n\nzero\n\n{FROM}Subject: 1\n\nbody\n");
    assert_eq!(contents(&data, Format::Mboxo), ["Subject: 0\n\nzero\n", "Subject: 1\n\nbody\n"]);
}

#[test]
fn nothing_and_nearly_nothing() {
    for format in [Format::Mboxo, Format::Mboxrd, Format::Mboxcl, Format::Mboxcl2, Format::Mmdf] {
        assert!(read("", format).is_empty());
        assert!(read("\n\r\n\n", format).is_empty());
    }
    let found = read(&format!("{FROM}{FROM}Subject: 1\n\n"), Format::Mboxo);
    assert_eq!(found[0].1, "nothing between two From_ lines");
    assert_eq!(found[1].2, "Subject: 1\n\n");
    assert_eq!(read(FROM, Format::Mboxo)[0].2, "!");
}

#[test]
fn nuls_and_other_bytes_stay() {
    let body = b"Subject: 1\n\n\0\xff\0\r\r\n\x1a\0";
    let data = [FROM.as_bytes(), body].concat();
    for format in [Format::Mboxo, Format::Mboxrd, Format::Mboxcl, Format::Mboxcl2] {
        assert_eq!(read_bytes(&data, format)[0].2, body);
    }
}

#[test]
fn content_length_frames() {
    let body = format!("x\n\n{FROM}Subject: inner\n\ny\n");
    let data = format!(
        "{FROM}Subject: 1\nContent-Length: {}\nTo: z\n\n{body}\n{FROM}Subject: 2\nContent-Length: 2\n\nz\n",
        body.len()
    );
    let found = read(&data, Format::Mboxcl2);
    assert_eq!(found[0].2, format!("Subject: 1\nTo: z\n\n{body}"));
    assert_eq!(found[0].1, format!("{FROM}Content-Length: {}\n", body.len()));
    assert_eq!(found[1].2, "Subject: 2\n\nz\n");
    assert_eq!(detected(&data), Format::Mboxcl2);
    // As mboxo, the field is the message's, and the inner line cuts.
    assert_eq!(contents(&data, Format::Mboxo).len(), 3);
}

#[test]
fn a_wrong_content_length_falls_back() {
    for length in ["1", "3", "7", "9999", "99999999999999999999", "-1", "x", ""] {
        let data = format!("{FROM}Subject: 1\nContent-Length: {length}\n\nbody\n\n{FROM}Subject: 2\n\nz\n");
        let wanted = [format!("Subject: 1\nContent-Length: {length}\n\nbody\n"), "Subject: 2\n\nz\n".into()];
        assert_eq!(contents(&data, Format::Mboxcl), wanted, "{length}");
    }
}

#[test]
fn a_content_length_that_counts_the_last_line_end_or_not() {
    for length in [4, 5] {
        let data = format!("{FROM}Subject: 1\nContent-Length: {length}\n\nbody\n\n{FROM}Subject: 2\n\nz\n");
        let found = contents(&data, Format::Mboxcl);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].trim_end(), "Subject: 1\n\nbody");
    }
}

#[test]
fn a_truncated_last_message() {
    let data = format!("{FROM}Subject: 1\nContent-Length: 500\n\nbody ends he");
    assert_eq!(contents(&data, Format::Mboxcl), ["Subject: 1\nContent-Length: 500\n\nbody ends he"]);
    assert_eq!(contents(&format!("{FROM}Subj"), Format::Mboxo), ["Subj"]);
}

#[test]
fn variants_are_told_apart() {
    let plain = |lines: &str| detected(&format!("{FROM}S: 1\n\n{lines}"));
    assert_eq!(plain("x\n"), Format::Mboxo);
    assert_eq!(plain("> a\n>>From b\n> c\n"), Format::Mboxo);
    assert_eq!(plain("> a\n>>>From b\n> c\n"), Format::Mboxrd);
    assert_eq!(plain("A wrote:\n>>>From b\n> c\n"), Format::Mboxrd);
    assert_eq!(plain(">a\n>>From b\n>c\n"), Format::Mboxrd);
    let sized = |body: &str| detected(&format!("{FROM}S: 1\nContent-Length: {}\n\n{body}", body.len()));
    assert_eq!(sized("x\n"), Format::Mboxcl2);
    assert_eq!(sized("From x\n"), Format::Mboxcl2);
    assert_eq!(sized(">From x\n"), Format::Mboxcl);
}

#[test]
fn bookkeeping_goes_to_the_prefix() {
    let top = format!("{FROM}X-Mozilla-Status: 1006\nX-Mozilla-Status2: 00000000\nX-Gmail-Labels: a,\n b\n");
    let data = format!("{top}Subject: 1\nX-Mozilla-Status: 0008\n\nbody\n");
    let bytes = data.clone().into_bytes();
    let mut mbox = Mbox::new(&bytes, bytes.len() as u64, Format::Mboxo);
    let Some(Entry::Message(framed)) = mbox.next_entry().unwrap() else { panic!("no message") };
    assert_eq!(framed.prefix, top.as_bytes());
    assert_eq!(framed.flags, SourceFlags { answered: true, flagged: true, forwarded: true });
    assert_eq!(contents(&data, Format::Mboxo), ["Subject: 1\nX-Mozilla-Status: 0008\n\nbody\n"]);
}

#[test]
fn bound_of_bookkeeping() {
    let data = |count: usize| format!("{FROM}X-Gmail-Labels: {}\nSubject: 1\n\n", "a".repeat(count));
    let field = "X-Gmail-Labels: \n".len();
    assert_eq!(contents(&data((16 << 10) - field), Format::Mboxo), ["Subject: 1\n\n"]);
    assert!(contents(&data((16 << 10) - field + 1), Format::Mboxo)[0].starts_with("X-Gmail-Labels"));
}

#[test]
fn flags_of_status_fields() {
    let data = format!("{FROM}Subject: 1\nStatus: RO\nX-Status: AF\n\nX-Status: D\n").into_bytes();
    let mut mbox = Mbox::new(&data, data.len() as u64, Format::Mboxo);
    let Some(Entry::Message(framed)) = mbox.next_entry().unwrap() else { panic!("no message") };
    assert_eq!(framed.flags, SourceFlags { answered: true, flagged: true, forwarded: false });
}

#[test]
fn mmdf_good_and_bad() {
    let sep = "\x01\x01\x01\x01\n";
    let good = format!("{sep}{FROM}Subject: 1\n\nbody\n\n{sep}{sep}Subject: 2\n\nFrom x\n>From y\n{sep}");
    let wanted = ["Subject: 1\n\nbody\n\n", "Subject: 2\n\nFrom x\n>From y\n"];
    assert_eq!(contents(&good, Format::Mmdf), wanted);
    assert_eq!(read(&good, Format::Mmdf)[0].1, FROM);
    let single = good.replace(&format!("{sep}{sep}"), sep);
    assert_eq!(contents(&single, Format::Mmdf), wanted, "one separator between two messages");
    assert_eq!(contents(good.trim_end_matches(sep), Format::Mmdf), wanted, "truncated");
    assert_eq!(
        contents(&good.replace('\n', "\r\n"), Format::Mmdf),
        wanted.map(|text| text.replace('\n', "\r\n"))
    );
    assert_eq!(contents(&format!("{good}\n\n"), Format::Mmdf), wanted);
    let garbage = read(&format!("{good}garbage\n{good}"), Format::Mmdf);
    assert_eq!(garbage[2].2, "!", "{garbage:?}");
    assert_eq!(garbage.len(), 5);
    assert_eq!(read(&format!("{sep}{sep}"), Format::Mmdf)[0].1, "nothing between two separators");
}

fn write(messages: &[String], format: Format) -> String {
    let mut out = String::new();
    for message in messages {
        let quoted: String = message
            .split_inclusive('\n')
            .map(|line| {
                let quotes = line.trim_start_matches('>').starts_with("From ");
                let quote = match format {
                    Format::Mboxrd => quotes,
                    Format::Mboxo | Format::Mboxcl => line.starts_with("From "),
                    _ => false,
                };
                format!("{}{line}", if quote { ">" } else { "" })
            })
            .collect();
        if format == Format::Mmdf {
            out.push_str(&format!("\x01\x01\x01\x01\n{quoted}\x01\x01\x01\x01\n"));
        } else if matches!(format, Format::Mboxcl | Format::Mboxcl2) {
            let (header, body) = quoted.split_once("\n\n").unwrap();
            out.push_str(&format!("{FROM}{header}\nContent-Length: {}\n\n{body}\n", body.len()));
        } else {
            out.push_str(&format!("{FROM}{quoted}\n"));
        }
    }
    out
}

proptest! {
    /// Writing and reading back gives the same messages, for every variant that keeps them apart.
    #[test]
    fn write_then_read(bodies in proptest::collection::vec(
        proptest::collection::vec(prop_oneof![
            Just("From a@b Fri Sep  4 14:55:26 2020"), Just(">From x"), Just(">>From y"), Just("From z"), Just(""),
            Just("text"), Just("> text"), Just("To: x"),
        ], 0..8), 1..5))
    {
        let messages: Vec<String> = bodies
            .iter()
            .enumerate()
            .map(|(n, lines)| format!("Subject: {n}\n\n{}end\n", lines.iter().map(|line| format!("{line}\n")).collect::<String>()))
            .collect();
        for format in [Format::Mboxrd, Format::Mboxcl2, Format::Mmdf] {
            prop_assert_eq!(&contents(&write(&messages, format), format), &messages);
        }
    }

    /// Nothing panics, and no byte of a message is given twice, whatever the file.
    #[test]
    fn any_bytes(pieces in proptest::collection::vec(prop_oneof![
        Just(FROM.as_bytes().to_vec()), Just(b"\n".to_vec()), Just(b"\x01\x01\x01\x01\n".to_vec()), Just(b"Content-Length: 3\n".to_vec()),
        Just(b">From ".to_vec()), Just(b"Subject: x\n".to_vec()), proptest::collection::vec(any::<u8>(), 0..20),
    ], 0..20)) {
        let data = pieces.concat();
        for format in [Format::Mboxo, Format::Mboxrd, Format::Mboxcl, Format::Mboxcl2, Format::Mmdf] {
            let given: usize = read_bytes(&data, format).iter().map(|(_, prefix, content)| if content == b"!" { 0 } else { prefix.len() + content.len() }).sum();
            prop_assert!(given <= data.len());
        }
        detect(&data, data.len() as u64).unwrap();
    }
}
