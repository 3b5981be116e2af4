//! What no honest server does. A Dovecot is asked in `tests/tests/directories.rs`.

use super::*;
use crate::trust::Trust;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// Plays a server that greets and then answers each line as `answer` says; gives the login's end and what was sent.
fn play(
    greeting: &str,
    who: Option<(&str, &str)>,
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (Result<bool, Fault>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let greeting = greeting.to_owned();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = Vec::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        if stream.write_all(greeting.as_bytes()).is_err() {
            return lines;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            let told = line.trim_end().to_owned();
            let say = answer(&told);
            lines.push(told);
            line.clear();
            if stream.write_all(say.as_bytes()).is_err() {
                break;
            }
        }
        lines
    });
    let server = Server {
        host: "127.0.0.1".into(),
        port,
        shield: Shield::Plain,
        anywhere: false,
        trust: Trust::System,
    };
    let end = login(&server, who, Instant::now() + PATIENCE);
    (end, thread.join().unwrap())
}

/// A server with or without AUTHENTICATE PLAIN that ends the login so.
fn usual(plain: bool, end: &'static str) -> impl Fn(&str) -> String {
    move |line| match line.split(' ').nth(1) {
        Some("CAPABILITY") => {
            format!("* CAPABILITY IMAP4rev1{}\r\nk1 OK done\r\n", if plain { " AUTH=PLAIN" } else { "" })
        }
        Some("AUTHENTICATE" | "LOGIN") => "+ go on\r\n".into(),
        Some("LOGOUT") => "* BYE\r\nk2 OK\r\n".into(),
        Some(word) if word.starts_with('{') => "+ \r\n".into(),
        _ => format!("k2 {end}\r\n"),
    }
}

#[test]
fn yes_and_no_in_both_ways() {
    for plain in [true, false] {
        let (end, lines) = play("* OK hello\r\n", Some(("ann\"", "p\\\"s s*")), usual(plain, "OK welcome"));
        assert_eq!(end, Ok(true), "{lines:?}");
        let expected: &[&str] = if plain {
            &["k1 CAPABILITY", "k2 AUTHENTICATE PLAIN", "AGFubiIAcFwicyBzKg=="]
        } else {
            &["k1 CAPABILITY", "k2 LOGIN {4}", "ann\" {7}", "p\\\"s s*"]
        };
        assert_eq!(lines, expected);
        let (end, _) =
            play("* OK hello\r\n", Some(("ann", "secret")), usual(plain, "NO [AUTHENTICATIONFAILED] no"));
        assert_eq!(end, Ok(false));
        let (end, _) =
            play("* OK hello\r\n", Some(("ann", "secret")), usual(plain, "NO [UNAVAILABLE] later"));
        assert!(matches!(end, Err(Fault::Refused { passing: true, .. })));
    }
    let (end, lines) = play("* OK hello\r\n", None, usual(true, "OK welcome"));
    assert_eq!((end, lines.last().map(String::as_str)), (Ok(false), Some("k2 LOGOUT")));
}

#[test]
fn what_is_no_imap_server() {
    let who = Some(("ann", "secret"));
    for greeting in ["* BYE full\r\n", "220 smtp\r\n", "\r\n"] {
        assert!(matches!(play(greeting, who, usual(true, "OK")).0, Err(Fault::Refused { .. })), "{greeting}");
    }
    let (end, lines) = play(&"x".repeat(MAX_LINE_BYTES * 3), who, usual(true, "OK"));
    assert!(matches!(end, Err(Fault::Protocol { .. })) && lines.is_empty());
}

#[test]
fn bounds_of_lines() {
    let long = |bytes: usize| format!("* OK {}\n", "x".repeat(bytes - 5));
    assert_eq!(play(&long(MAX_LINE_BYTES), None, usual(true, "OK")).0, Ok(false));
    assert!(matches!(
        play(&long(MAX_LINE_BYTES + 1), None, usual(true, "OK")).0,
        Err(Fault::Protocol { .. })
    ));
    let chatty = |lines: usize| {
        move |line: &str| match line.split(' ').nth(1) {
            Some("CAPABILITY") => format!("{}k1 OK\r\n", "* hello\r\n".repeat(lines)),
            _ => "k2 OK\r\n".into(),
        }
    };
    assert_eq!(play("* OK\r\n", None, chatty(MAX_LINES - 1)).0, Ok(false));
    assert!(matches!(play("* OK\r\n", None, chatty(MAX_LINES)).0, Err(Fault::Protocol { .. })));
}
