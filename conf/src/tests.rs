//! The file as people write it: defaults, mistakes and their places, every range at its ends.

use super::*;

fn parse(text: &str) -> Result<Conf, Error> {
    Conf::parse(text, Path::new("m.toml"))
}

#[test]
fn an_empty_file_and_the_template_are_the_defaults() {
    assert_eq!(parse("").unwrap(), Conf::default());
    assert_eq!(parse(TEMPLATE).unwrap(), Conf::default());
}

/// The template with its commented keys live: `#key`, not `# words`.
fn template_in_force() -> String {
    let live = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => rest.to_owned(),
        _ => line.to_owned(),
    };
    TEMPLATE.lines().map(live).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_template_names_every_key_with_its_default() {
    let text = template_in_force();
    assert_eq!(parse(&text).unwrap(), Conf::default());
    let shown: toml::Table = text.parse().unwrap();
    let all: toml::Table = toml::to_string(&Conf::default()).unwrap().parse().unwrap();
    assert_eq!(shown, all);
}

#[test]
fn values_are_taken() {
    let conf = parse(
        "[imap]\nlisten = []\nlisten_tls = [\"0.0.0.0:993\", \"[::]:993\"]\n[limits]\nmax_mime_depth = 7\n\
         [tls]\nkey = \"/etc/key.pem\"\n",
    )
    .unwrap();
    assert!(conf.imap.listen.is_empty());
    assert_eq!(conf.imap.listen_tls.len(), 2);
    assert_eq!(conf.limits.max_mime_depth, 7);
    assert_eq!(conf.tls.key, PathBuf::from("/etc/key.pem"));
    assert_eq!(conf.tls.certificate, Tls::default().certificate);
}

#[test]
fn mistakes_name_their_place() {
    for (text, line, column, word) in [
        ("[imap]\nlisten = []\nlissten = []\n", 3, 1, "lissten"),
        ("[imapp]\n", 1, 2, "imapp"),
        ("\n[limits]\n  max_mime_depth = \"much\"\n", 3, 20, "string"),
        ("[limits]\nmax_mime_depth = -1\n", 2, 18, "-1"),
        ("[imap]\nlisten = [\"localhost\"]\n", 2, 11, "socket address"),
        ("[imap\n", 1, 6, ""),
    ] {
        match parse(text).unwrap_err() {
            Error::Syntax { line: l, column: c, what, .. } => {
                assert_eq!((l, c), (line, column), "{text:?}: {what}");
                assert!(what.contains(word), "{what}");
            }
            other => panic!("{text:?}: {other}"),
        }
    }
}

#[test]
fn every_number_has_a_range_that_holds_at_its_ends() {
    let numbers = Conf::default().numbers();
    let all: toml::Table = toml::to_string(&Conf::default()).unwrap().parse().unwrap();
    fn integers(table: &toml::Table) -> usize {
        table.values().map(|v| v.as_table().map_or(usize::from(v.is_integer()), integers)).sum()
    }
    assert_eq!(integers(&all), numbers.len(), "a number without a range");
    for (key, _, least, most) in numbers {
        let (section, name) = key.split_once('.').unwrap();
        let with = |value: u64| parse(&format!("[{section}]\n{name} = {value}\n"));
        assert!(with(least).is_ok() && with(most).is_ok(), "{key}");
        for outside in least.checked_sub(1).into_iter().chain([most + 1]) {
            match with(outside).unwrap_err() {
                Error::Range { key: k, found, .. } => assert_eq!((k, found), (key, outside)),
                other => panic!("{key} = {outside}: {other}"),
            }
        }
    }
}

#[test]
fn what_heads_are_sent_by_must_make_sense() {
    let with = |text: &str| parse(&format!("[evidence]\n{text}\n"));
    let mail = "mail_from = \"archive@example.org\"\nsmtp_relay = \"mail.example.org:25\"\n";
    assert!(with(&format!("{mail}mail_to = [\"a@example.org\", \"b+c@example.org\"]")).is_ok());
    assert!(with(&format!("{}mail_to = [\"a@b\"]", mail.replace("mail.example.org", "[::1]"))).is_ok());
    let hundred = |item: &str| vec![format!("{item:?}"); 100].join(",");
    assert!(with(&format!("{mail}mail_to = [{}]", hundred("a@b"))).is_ok());
    assert!(with(&format!("command = [{}]", hundred("x"))).is_ok());
    let long = format!("{}@b", "a".repeat(252));
    assert!(with(&format!("{mail}mail_to = [{long:?}]")).is_ok());
    for (text, key) in [
        ("mail_to = [\"a@b\"]".to_owned(), "mail_from"),
        (format!("{mail}mail_to = [\"a b@c\"]"), "mail_to"),
        (format!("{mail}mail_to = [\"a@b\\r\\nDATA\"]"), "mail_to"),
        (format!("{mail}mail_to = [\"a\"]"), "mail_to"),
        (format!("{mail}mail_to = [\"@b\"]"), "mail_to"),
        (format!("{mail}mail_to = [\"a@b@c\"]"), "mail_to"),
        (format!("{mail}mail_to = [\"a{long}\"]"), "mail_to"),
        (format!("{mail}mail_to = [{},\"a@b\"]", hundred("a@b")), "mail_to"),
        (format!("{}mail_to = [\"a@b\"]", mail.replace(":25", "")), "smtp_relay"),
        (format!("{}mail_to = [\"a@b\"]", mail.replace(":25", ":0")), "smtp_relay"),
        (format!("{}mail_to = [\"a@b\"]", mail.replace(":25", ":65536")), "smtp_relay"),
        (format!("{}mail_to = [\"a@b\"]", mail.replace("archive", "ärchive")), "mail_from"),
        ("command = [\"\"]".to_owned(), "command"),
        (format!("command = [{},\"x\"]", hundred("x")), "command"),
    ] {
        match with(&text).unwrap_err() {
            Error::Value { key: k, what, .. } => {
                assert_eq!(k, format!("evidence.{key}"), "{text}: {what}");
            }
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn a_message_limit_is_none_or_a_thousand_at_least() {
    for (limit, ok) in [(0, true), (1, false), (999, false), (1_000, true)] {
        match parse(&format!("[imap]\nmessage_limit = {limit}\n")) {
            Ok(conf) => assert!(ok && conf.imap.message_limit == limit, "{limit}"),
            Err(Error::Value { key, .. }) => assert!(!ok && key == "imap.message_limit", "{limit}"),
            Err(other) => panic!("{limit}: {other}"),
        }
    }
}

#[test]
fn a_file_is_read_up_to_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mailkeep.toml");
    assert!(matches!(Conf::load(&path), Err(Error::Read { .. })));
    let bound = usize::try_from(MAX_FILE_BYTES).unwrap();
    std::fs::write(&path, "#".repeat(bound)).unwrap();
    assert_eq!(Conf::load(&path).unwrap(), Conf::default());
    std::fs::write(&path, "#".repeat(bound + 1)).unwrap();
    assert!(matches!(Conf::load(&path), Err(Error::Large { .. })));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]a-z_=\"0-9#\n. \u{e9}-]{0,200}") {
        if let Err(error) = parse(&text) {
            proptest::prop_assert!(!error.to_string().is_empty());
        }
    }
}
