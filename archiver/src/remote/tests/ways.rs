//! Ways in beside those of IMAP with passwords: POP3 in the clear, by STLS and over TLS, with each mechanism; access tokens, at a Dovecot
//! that asks whose they are.

use super::dovecot::{Dovecot, every_mechanism, every_trust, report};
use super::*;
use crate::remote::fault::Fault;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

/// Knows one token, and that it is alice's.
struct Tokens {
    port: u16,
    closed: Arc<AtomicBool>,
}

const TOKEN: &str = "ya29.good";

impl Drop for Tokens {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Tokens {
    fn start() -> Tokens {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&closed);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // Dovecot keeps its connection for the next question.
                std::thread::spawn(move || answer(&stream.unwrap()));
            }
        });
        Tokens { port, closed }
    }
}

/// Answers until the other side goes.
fn answer(mut stream: &TcpStream) -> Option<()> {
    let mut input = BufReader::new(stream.try_clone().ok()?);
    let mut known = false;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        known |= line.to_ascii_lowercase().starts_with("authorization:") && line.trim().ends_with(TOKEN);
        if line == "\r\n" {
            let body = if known { r#"{"active":true,"username":"alice"}"# } else { r#"{"active":false}"# };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + body).as_bytes()).ok()?;
            known = false;
        }
    }
}

#[test]
fn access_tokens() {
    let tokens = Tokens::start();
    let Some(dovecot) = Dovecot::start_with("", Some(tokens.port)) else { return };
    dovecot.fill("INBOX", &[&mail(1)]);
    let mut account = dovecot.account();
    account.access.mechanism = Mechanism::Xoauth2;
    for (protocol, port) in [(Protocol::Imap, dovecot.port), (Protocol::Pop3, dovecot.pop3_port)] {
        (account.protocol, account.access.port) = (protocol, port);
        account.login.secret = Secret::new(TOKEN.into());
        let found =
            report(&account).unwrap_or_else(|fault| panic!("{protocol:?}: {fault}\n{}", dovecot.log()));
        assert_eq!(found.folders[0].messages, Some(1), "{protocol:?}");
        account.login.secret = Secret::new("ya29.expired".into());
        let fault = report(&account).unwrap_err();
        assert!(matches!(fault, Fault::Login { .. }), "{protocol:?}: {fault}");
        assert!(!fault.to_string().contains("ya29"), "the token isn't told: {fault}");
        assert!(fault.to_string().contains("token"), "what to do: {fault}");
    }
}

#[test]
fn every_way_in_by_pop3() {
    let Some(dovecot) = Dovecot::start("") else { return };
    dovecot.fill("INBOX", &[&mail(1), &mail(2)]);
    let mut account = dovecot.account();
    (account.protocol, account.access.port) = (Protocol::Pop3, dovecot.pop3_port);
    every_mechanism(&dovecot, &mut account, 2);
    account.access.host = "localhost".into();
    for (tls, port) in [(Tls::Starttls, dovecot.pop3_port), (Tls::Implicit, dovecot.pop3_tls_port)] {
        account.access = Access { tls, port, trust: Trust::Ca(dovecot.ca.clone()), ..account.access };
        assert_eq!(report(&account).unwrap().folders[0].messages, Some(2), "{tls:?}");
        every_trust(&dovecot, &mut account);
    }
    // The wrong kind of TLS at a port is told as what it is.
    account.access = Access { tls: Tls::Implicit, port: dovecot.pop3_port, ..account.access };
    let fault = report(&account).unwrap_err();
    assert!(fault.to_string().contains("--tls starttls"), "{fault}");
    // The privileged user.
    account.access = Access { tls: Tls::Starttls, port: dovecot.pop3_port, ..account.access };
    account.login =
        Login { user: "master".into(), authzid: Some("alice".into()), secret: Secret::new("mpw".into()) };
    assert_eq!(report(&account).unwrap().folders[0].messages, Some(2));
}

#[test]
fn a_mailbox_by_pop3_and_tls_is_archived() {
    let Some(dovecot) = Dovecot::start("") else { return };
    let mails: Vec<Vec<u8>> = (0..20).map(mail).collect();
    dovecot.fill("INBOX", &mails.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let (house, mut account, rules) = (House::new(), dovecot.account(), Plain::default());
    account.protocol = Protocol::Pop3;
    let (tls, trust, port) =
        (Tls::Starttls, Trust::Fingerprint(dovecot.fingerprint.clone()), dovecot.pop3_port);
    account.access = Access { tls, trust, port, ..account.access };
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (20, 0, 0, 0, 0)), "{:?}", house.reasons(&run));
    assert_eq!(house.folders()["alice/mail/Inbox"], sorted(&mails));
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 20, 0, 0, 0)));
}
