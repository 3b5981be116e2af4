//! Messages as servers write them and as senders forge them, and whom each reaches.

use super::*;

fn router(rules: &Multidrop) -> Router {
    let archives =
        [("alice@example.org", "alice"), ("a.lee@example.org", "alice"), ("bob@example.org", "bob")];
    let archives = archives.map(|(address, archive)| (address.to_owned(), archive.to_owned()));
    Router::new(rules, archives.into(), "Company mail")
}

fn to(rules: &Multidrop, header: &str) -> Vec<String> {
    match router(rules).folders(header.as_bytes()) {
        Ok(folders) => folders.iter().map(ToString::to_string).collect(),
        Err(why) => vec![format!("no: {why}")],
    }
}

const OURS: &str = "Received: from evil.example (evil [192.0.2.1]) by mx.example.org (Postfix) with ESMTP id 1\n\tfor <x>; now\n";

#[test]
fn what_the_own_server_wrote_decides() {
    let rules = Multidrop::default();
    let message = format!(
        "Return-Path: <s@evil.example>\nX-Original-To: Bob@Example.org\nDelivered-To: all@example.org\n{OURS}To: alice@example.org\n\n"
    );
    assert_eq!(to(&rules, &message), ["bob/Company mail"]);
    let both = format!(
        "Delivered-To: alice@example.org\nDelivered-To: bob@example.org\nDelivered-To: a.lee@example.org\n{OURS}\n"
    );
    assert_eq!(to(&rules, &both), ["alice/Company mail", "bob/Company mail"]);
    let skip = Multidrop { skip: 1, headers: vec!["Delivered-To".into()], ..rules };
    assert_eq!(to(&skip, &both.replace("a.lee", "nobody")), ["bob/Company mail"]);
}

#[test]
fn what_a_sender_wrote_does_not() {
    let rules = Multidrop { recipients: true, ..Multidrop::default() };
    let nobody = "no: for nobody's address that is known here";
    // Below the own server's line anyone may have written it.
    let forged = format!(
        "{OURS}X-Original-To: alice@example.org\nDelivered-To: bob@example.org\nTo: nobody@example.org\n\n"
    );
    assert_eq!(to(&rules, &forged), [nobody]);
    // An unknown address in the trusted field isn't overruled by To.
    let unknown = format!(
        "X-Original-To: carol@example.org\n{OURS}X-Original-To: alice@example.org\nTo: bob@example.org\n\n"
    );
    assert_eq!(to(&rules, &unknown), [nobody]);
    // Nothing that a server wrote: all of it may be forged.
    assert_eq!(
        to(&Multidrop::default(), "X-Original-To: alice@example.org\nTo: bob@example.org\n\n"),
        [nobody]
    );
    // A forged Received line below doesn't make more trusted when two own servers are configured with their names.
    let two = Multidrop { own_servers: 2, own_hosts: vec![".example.org".into()], ..Multidrop::default() };
    let past = format!("Received: from a by b.evil.example\nX-Original-To: alice@example.org\n{OURS}\n");
    assert_eq!(to(&two, &past), [nobody]);
}

#[test]
fn several_own_servers() {
    let two = Multidrop {
        own_servers: 2,
        own_hosts: vec!["store.example.org".into(), "mx.example.org".into()],
        ..Multidrop::default()
    };
    let inner = "Received: from mx.example.org (by the way) by store.example.org; now\n";
    let message = format!(
        "Return-Path: <>\n{inner}X-Original-To: alice@example.org\n{OURS}X-Original-To: bob@example.org\n\n"
    );
    assert_eq!(to(&two, &message), ["alice/Company mail"]);
    // It came past the second server: what looks like its work is a sender's.
    let past = format!(
        "Return-Path: <>\n{inner}X-Original-To: alice@example.org\nReceived: from x by y.example\n\n"
    );
    assert!(to(&two, &past)[0].starts_with("no: "));
    let none = Multidrop { own_servers: 0, ..Multidrop::default() };
    assert_eq!(
        to(&none, "X-Original-To: alice@example.org\n\n"),
        ["alice/Company mail"],
        "files of a local server"
    );
}

#[test]
fn senders_fields_only_when_asked() {
    let message = format!(
        "{OURS}From: Bob <bob@example.org>\nTo: alice@example.org, nobody@example.org\nCc: bob@example.org\n\n"
    );
    let with = |recipients, sender| Multidrop { recipients, sender, ..Multidrop::default() };
    assert_eq!(to(&with(false, false), &message).len(), 1);
    assert!(to(&with(false, false), &message)[0].starts_with("no: "));
    assert_eq!(to(&with(true, false), &message), ["alice/Company mail", "bob/Company mail"]);
    assert_eq!(to(&with(false, true), &message), ["bob/Company mail"]);
}

#[test]
fn what_is_nobodys_goes_to_the_catch_all() {
    let rules = Multidrop {
        catch_all: Some("postmaster".into()),
        folder: Some("In/Unknown".into()),
        ..Multidrop::default()
    };
    let message = format!("X-Original-To: carol@example.org\n{OURS}\n");
    assert_eq!(to(&rules, &message), ["postmaster/In/Unknown"]);
    assert_eq!(to(&rules, "\n"), ["postmaster/In/Unknown"]);
}

#[test]
fn bounds_of_the_rules() {
    let with = |headers: usize, servers| Multidrop {
        headers: vec!["X-A".into(); headers],
        own_servers: servers,
        ..Multidrop::default()
    };
    assert_eq!(with(20, 20).nonsense(), None);
    assert!(
        with(21, 1).nonsense().is_some()
            && with(1, 21).nonsense().is_some()
            && with(0, 1).nonsense().is_some()
    );
    let named = |name: &str| Multidrop { headers: vec![name.into()], ..Multidrop::default() };
    assert!(
        named("X A").nonsense().is_some()
            && named("X:").nonsense().is_some()
            && named(&"x".repeat(101)).nonsense().is_some()
    );
    assert!(named(&"x".repeat(100)).nonsense().is_none());
}

#[test]
fn the_host_of_a_received_line() {
    for (value, host) in [
        ("from a (by b) by MX.example.org (Postfix); date", Some("mx.example.org")),
        ("by x;", Some("x")),
        ("from by", None),
        ("from a", None),
        ("(by x", None),
    ] {
        assert_eq!(by(value).as_deref(), host, "{value}");
    }
}
