//! Responses from the RFCs and from odd servers: whole, byte by byte, cut after every byte; and each bound, at it and one past it.

use super::Bounds;
use super::lexer::Lexer;
use super::response::{Response, State, Untagged, response};
use crate::remote::access::{Access, Mechanism, Tls, Trust};
use crate::remote::connect::{Limits, Traffic, Wire};
use crate::remote::fault::Fault;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use storage::Cancel;

/// The first response in these bytes, which come `step` at a time and then end.
fn parse_by(bytes: &[u8], step: usize, bounds: Bounds) -> Result<Response, Fault> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let access = Access {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        tls: Tls::None,
        trust: Trust::System,
        mechanism: Mechanism::Auto,
        timeout: Duration::from_secs(10),
    };
    let bytes = bytes.to_vec();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in bytes.chunks(step.max(1)) {
            // Who has read enough hangs up.
            if stream.write_all(piece).is_err() {
                return;
            }
        }
    });
    let net = Limits { cancel: Cancel::default(), until: None, traffic: Arc::new(Traffic::default()) };
    let mut lexer = Lexer::new(Wire::open(&access, &net).unwrap(), bounds);
    let limits = storage::Limits { max_message_bytes: 1_000, ..storage::Limits::default() };
    let found = response(&mut lexer, &limits);
    drop(lexer);
    peer.join().unwrap();
    found
}

fn parse(text: &str) -> Result<Response, Fault> {
    parse_by(text.as_bytes(), text.len(), Bounds::default())
}

const GOOD: [&str; 26] = [
    "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n",
    "* OK\r\n",
    "* BYE\n",
    "+ \r\n",
    "+\r\n",
    "+ aGVsbG8=\r\n",
    "a1 OK [READ-ONLY] done {3}\r\n",
    "a2 NO [UNAVAILABLE] later\r\n",
    "* 23 EXISTS\r\n",
    "* 44 EXPUNGE\r\n",
    "* 5 RECENT\r\n",
    "* CAPABILITY IMAP4rev1 STARTTLS\r\n",
    "* LIST (\\HasNoChildren \\Trash) \"/\" {7}\r\nfoo/b\r\n\r\n",
    "* LIST () NIL inbox\r\n",
    "* LIST () \".\" \"a\\\"b\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
    "* STATUS {3}\r\nfoo (MESSAGES 231 UIDNEXT 44292 X (1 (2)) HIGHESTMODSEQ 18446744073709551615)\r\n",
    "* SEARCH 2 84 882 (MODSEQ 917162500)\r\n",
    "* SEARCH\r\n",
    "* ESEARCH (TAG \"A285\") UID MIN 7 MAX 3800 ALL 2,10:11 COUNT 3\r\n",
    "* VANISHED (EARLIER) 300:310,405,411\r\n",
    "* VANISHED 5\r\n",
    "* NAMESPACE ((\"\" \"/\")) ((\"~\" \"/\")) NIL\r\n",
    "* 12 FETCH (FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 UID 7)\r\n",
    "* 12 FETCH (UID 7 BODY[] {5}\r\nab\r\nc MODSEQ (624140003) EMAILID (M6d99ac3275bb4e) THREADID NIL)\r\n",
    "* 12 FETCH (BODY[HEADER.FIELDS (FROM \"TO\")] \"a: b\" UID 7 ENVELOPE (NIL {1}\r\n) ((\"x\")) NIL))\r\n",
    "* XGOOGLE (what ever) {2}\r\n)( {0}\r\n more\r\n",
];

#[test]
fn good_ones_whole_byte_by_byte_and_cut() {
    for text in GOOD {
        let whole = parse(text).unwrap_or_else(|fault| panic!("{text:?}: {fault}"));
        let bytewise = parse_by(text.as_bytes(), 1, Bounds::default()).unwrap();
        // Spool files and such don't compare; what is shown of them does.
        let shown = |response: &Response| {
            let text = format!("{response:?}");
            text.split("body:").next().map(str::to_owned)
        };
        assert_eq!(shown(&whole), shown(&bytewise), "{text:?}");
        for cut in 0..text.len() - 1 {
            match parse(text.get(..cut).unwrap()) {
                Err(Fault::Ended { .. }) => {}
                // The shorter text is a response too.
                other => panic!("{text:?} cut at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn bad_ones() {
    for text in [
        "what is this\r\n",
        "* LIST foo\r\n",
        "* LIST (\\a \"/\" x\r\n",
        "* LIST () \"/ x\r\n",
        "* 1 FETCH UID 7\r\n",
        "* 1 FETCH (UID x)\r\n",
        "* 1 FETCH (BODY[] {x}\r\n)\r\n",
        "* 1 FETCH (= )\"\r\n",
        "* VANISHED 1:x\r\n",
        "* VANISHED 0\r\n",
        "* VANISHED 4294967296\r\n",
        "* 99999999999999999999 EXISTS\r\n",
    ] {
        assert!(matches!(parse(text), Err(Fault::Protocol { .. })), "{text:?}: {:?}", parse(text));
    }
}

#[test]
fn what_a_message_is() {
    let Ok(Response::Untagged(Untagged::Fetch(found))) = parse(GOOD[23]) else { panic!() };
    assert_eq!((found.uid, found.email_id.as_deref()), (Some(7), Some(&b"M6d99ac3275bb4e"[..])));
    assert_eq!(&found.body.unwrap().unwrap().content.read(0..9).unwrap()[..], b"ab\r\nc");
    let Ok(Response::Untagged(Untagged::Fetch(found))) = parse(GOOD[22]) else { panic!() };
    assert_eq!((found.size, found.date.unwrap().secs, found.has("\\seen")), (Some(4286), 837_596_665, true));
    let Ok(Response::Tagged(tag, told)) = parse(GOOD[6]) else { panic!() };
    assert_eq!(
        (tag.as_str(), told.state, told.code.as_str(), told.text.as_str()),
        ("a1", State::Ok, "READ-ONLY", "done {3}")
    );
}

#[track_caller]
fn bound(bounds: Bounds, at: &str, past: &str) {
    let parse = |text: &str| parse_by(text.as_bytes(), text.len(), bounds);
    let found = parse(at);
    assert!(found.is_ok(), "at the bound: {found:?}");
    assert!(matches!(parse(past), Err(Fault::Protocol { .. })), "past the bound");
}

#[test]
fn bounds() {
    let usual = Bounds::default();
    let line = |bytes: usize| format!("* OK {}\r\n", "x".repeat(bytes - 7));
    bound(Bounds { line_bytes: 100, ..usual }, &line(100), &line(101));
    let literal = |bytes: usize| format!("* LIST () NIL {{{bytes}}}\r\n{}\r\n", "x".repeat(bytes));
    bound(Bounds { literal_bytes: 100, ..usual }, &literal(100), &literal(101));
    let unknown = |bytes: usize| format!("* X {{{bytes}}}\r\n{}\r\n", "x".repeat(bytes));
    bound(Bounds { literal_bytes: 100, ..usual }, &unknown(100), &unknown(101));
    let exists = |count: usize| format!("* {count} EXISTS\r\n");
    bound(Bounds { messages: 100, ..usual }, &exists(100), &exists(101));
    let flags = |count: usize| format!("* 1 FETCH (FLAGS ({}))\r\n", "a ".repeat(count));
    bound(Bounds { flags: 10, ..usual }, &flags(10), &flags(11));
    let deep =
        |count: usize| format!("* 1 FETCH (BODYSTRUCTURE {}{})\r\n", "(".repeat(count), ")".repeat(count));
    bound(usual, &deep(usual.depth + 1), &deep(usual.depth + 2));
    let ranges = |count: u32| {
        let all: Vec<String> = (1..=count).map(|n| (n * 2).to_string()).collect();
        (format!("* SEARCH {}\r\n", all.join(" ")), format!("* VANISHED {}\r\n", all.join(",")))
    };
    let bounds = Bounds { spans: 100, line_bytes: 200, ..usual };
    bound(bounds, &ranges(100).0, &ranges(101).0);
    bound(bounds, &ranges(100).1, &ranges(101).1);
}

#[test]
fn a_message_past_the_limit_is_read_over_and_the_next_response_is_right() {
    let text = format!("* 1 FETCH (UID 7 BODY[] {{1001}}\r\n{})\r\n", "x".repeat(1_001));
    let Ok(Response::Untagged(Untagged::Fetch(found))) = parse(&text) else { panic!() };
    assert_eq!(found.uid, Some(7));
    assert!(found.body.unwrap().unwrap_err().contains("1000"));
    let text = text.replace("1001", "1000").replacen('x', "", 1);
    let Ok(Response::Untagged(Untagged::Fetch(found))) = parse(&text) else { panic!() };
    assert!(found.body.unwrap().is_ok());
}
