//! Lines and their meaning, errors and their places, and that what is printed reads back as it was.

use super::*;
use proptest::prelude::*;
use storage::search::{Day, Flag};

fn key(line: &str) -> Key {
    parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).key("")
}
fn text(word: &str) -> Key {
    Key::Text(word.into())
}
fn header(name: &str, value: &str) -> Key {
    Key::Header(name.into(), value.into())
}
fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

#[test]
fn lines_and_their_keys() {
    for (line, expected) in [
        ("", Key::All),
        ("  \t ", Key::All),
        ("rechnung", text("rechnung")),
        ("-rechnung", not(text("rechnung"))),
        ("NOT rechnung", not(text("rechnung"))),
        ("--x", not(not(text("x")))),
        ("- x", Key::And(vec![text("-"), text("x")])),
        ("a-b", text("a-b")),
        ("a  b", Key::And(vec![text("a"), text("b")])),
        ("a AND b", Key::And(vec![text("a"), text("b")])),
        ("or and not", Key::And(vec![text("or"), text("and"), text("not")])),
        ("a OR b", Key::Or(vec![text("a"), text("b")])),
        ("a b OR c", Key::Or(vec![Key::And(vec![text("a"), text("b")]), text("c")])),
        ("a (b OR c)", Key::And(vec![text("a"), Key::Or(vec![text("b"), text("c")])])),
        ("-(a b)", not(Key::And(vec![text("a"), text("b")]))),
        ("(((a)))", text("a")),
        ("\"two words\"", text("two words")),
        ("\"OR\"", text("OR")),
        (r#""say \"hi\" \\ \n""#, text(r#"say "hi" \ \n"#)),
        ("\"(\"", text("(")),
        ("-\"two  words\" x", Key::And(vec![not(text("two  words")), text("x")])),
        ("from:anna", header("From", "anna")),
        ("FROM:\"Anna Smith\"", header("From", "Anna Smith")),
        ("-subject:spam", not(header("Subject", "spam"))),
        ("to:bob", Key::Or(vec![header("To", "bob"), header("Cc", "bob")])),
        ("cc:bob bcc:eve", Key::And(vec![header("Cc", "bob"), header("Bcc", "eve")])),
        ("body:x", Key::Body("x".into())),
        ("header:List-Id:announce", header("List-Id", "announce")),
        ("header:X-Mailer", header("X-Mailer", "")),
        ("header:X-Mailer:\"pigeon 2:1\"", header("X-Mailer", "pigeon 2:1")),
        ("header:\"X-Mailer:pigeon 2\"", header("X-Mailer", "pigeon 2")),
        ("before:1970-01-02", Key::Before(Day(1))),
        ("after:1969-12-31", Key::Since(Day(-1))),
        ("since:1970", Key::Since(Day(0))),
        ("before:1970-02", Key::Before(Day(31))),
        ("on:2000-02-29", Key::On(Day(11_016))),
        ("on:1970", Key::And(vec![Key::Since(Day(0)), Key::Before(Day(365))])),
        ("on:2000-02", Key::And(vec![Key::Since(Day(10_988)), Key::Before(Day(11_017))])),
        ("sent-before:1970-01-02", Key::SentBefore(Day(1))),
        ("sent-since:1970 sent-on:1970-01-03", Key::And(vec![Key::SentSince(Day(0)), Key::SentOn(Day(2))])),
        ("larger:10k", Key::Larger(10_240)),
        ("smaller:2MB", Key::Smaller(2 << 20)),
        ("larger:1", Key::Larger(1)),
        ("is:Flagged", Key::Flag(Flag::Flagged)),
        ("has:attachment", Key::HasAttachment),
        ("filename:.pdf", Key::FileName(".pdf".into())),
        ("Re: x", Key::And(vec![text("Re:"), text("x")])),
        ("https://example.org/a:b", text("https://example.org/a:b")),
        ("12:30", text("12:30")),
        ("user@example.org", text("user@example.org")),
        ("größe:", text("größe:")),
    ] {
        assert_eq!(key(line), expected, "{line}");
    }
}

#[test]
fn errors_say_where_and_what_to_do() {
    for (line, at, words) in [
        ("a \"b", 3, "not closed"),
        ("from:", 1, "from:anna"),
        ("from:\"\"", 1, "from:anna"),
        ("x subject: y", 3, "subject:\"annual report\""),
        ("form:bob", 1, "there is no field form:"),
        ("x before:soon", 3, "before:2019-12-31"),
        ("before:2019-13", 1, "before:2019-12-31"),
        ("before:2019-02-30", 1, "2019"),
        ("before:19-02-30", 1, "2019"),
        ("before:2019-02-03-04", 1, "2019"),
        ("before:+019", 1, "2019"),
        ("larger:big", 1, "larger:500k"),
        ("larger:99999999999G", 1, "larger:500k"),
        ("is:green", 1, "is:answered"),
        ("has:it", 1, "has:attachment"),
        ("header::x", 1, "header:List-Id"),
        ("header:\"a b:c\"", 1, "header:List-Id"),
        ("(a", 1, "not closed"),
        ("(", 1, "not closed"),
        ("a (b", 3, "not closed"),
        ("a)", 2, "no parenthesis"),
        (")", 1, "no parenthesis"),
        ("()", 2, "nothing stands"),
        ("a OR", 3, "OR needs"),
        ("OR a", 1, "OR needs"),
        ("a OR OR b", 3, "OR needs"),
        ("(a OR)", 4, "OR needs"),
        ("NOT", 1, "NOT needs"),
        ("a NOT OR b", 3, "NOT needs"),
        ("AND a", 1, "AND needs"),
        ("a AND", 3, "AND needs"),
        ("ü (", 3, "not closed"),
    ] {
        let error = parse(line).unwrap_err();
        let told = error.to_string();
        assert!(error.at == at && told.contains(words), "{line}: {told}");
        assert!(told.starts_with(&format!("character {at} of the query: ")), "{told}");
    }
}

#[test]
fn bounds_at_them_and_one_past() {
    assert!(parse(&"x ".repeat(MAX_TERMS)).is_ok());
    assert!(parse(&"x ".repeat(MAX_TERMS + 1)).unwrap_err().to_string().contains("1024 terms"));
    assert!(parse(&"y".repeat(MAX_BYTES)).is_ok());
    assert!(parse(&"y".repeat(MAX_BYTES + 1)).unwrap_err().to_string().contains("longer"));
    let nested = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(key(&nested(MAX_DEPTH)), text("a"));
    assert!(parse(&nested(MAX_DEPTH + 1)).unwrap_err().to_string().contains("deeper"));
    assert!(parse(&format!("{}a", "-".repeat(MAX_DEPTH))).is_ok());
    assert!(parse(&format!("{}a", "-".repeat(MAX_DEPTH + 1))).unwrap_err().to_string().contains("deeper"));
    // Hostile ones end soon, and no stack does.
    assert!(parse(&"(".repeat(10_000)).is_err());
    assert!(parse(&")".repeat(10_000)).is_err());
    assert!(parse(&nested(10_000)).is_err());
    assert!(parse(&"-".repeat(20_000)).is_err());
    assert!(parse(&"a OR ".repeat(5_000)).is_err());
    assert!(parse(&"(".repeat(64 << 10)).is_err());
}

#[test]
fn folders_are_named_with_all_below_them() {
    for (folder, named, inside) in [
        ("Projects/Bridge", "Projects", true),
        ("Projects/Bridge", "projects/bridge", true),
        ("Projects/Bridge", "/Projects/", true),
        ("Projects", "Projects/Bridge", false),
        ("Projects2", "Projects", false),
        ("Größe", "GRÖSSE", false),
        ("Größe", "größe", true),
    ] {
        assert_eq!(is_in(folder, named), inside, "{folder} {named}");
    }
    let query = parse("in:A (x OR in:B) -in:A/secret").unwrap();
    assert!(query.asks_for_folders());
    assert_eq!(query.folders(), ["A", "B", "A/secret"]);
    assert_eq!(query.key("A"), text("x"));
    assert_eq!(query.key("A/secret"), Key::Nothing);
    assert_eq!(query.key("B"), Key::Nothing);
    assert_eq!(parse("in:A OR in:B").unwrap().key("B/c"), Key::All);
    assert!(parse_key("in:A x").is_err() && parse_key("x -y").is_ok());
}

#[test]
fn a_snippet_shows_what_must_be_there() {
    assert_eq!(parse("a (b OR body:c) -d from:e").unwrap().needles(), ["a", "b", "c"]);
}

/// The line that means a query.
fn print(query: &Query) -> String {
    fn value(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
    fn date(Day(day): Day) -> String {
        time::Date::from_julian_day(i32::try_from(day + 2_440_588).unwrap()).unwrap().to_string()
    }
    match query {
        Query::In(folder) => format!("in:{}", value(folder)),
        Query::And(all) => format!("({})", all.iter().map(print).collect::<Vec<_>>().join(" ")),
        Query::Or(all) => format!("({})", all.iter().map(print).collect::<Vec<_>>().join(" OR ")),
        Query::Not(inner) => format!("NOT {}", print(inner)),
        Query::Key(key) => match key {
            Key::Text(text) => value(text),
            Key::Body(text) => format!("body:{}", value(text)),
            Key::Header(name, text) => format!("header:{name}:{}", value(text)),
            Key::FileName(text) => format!("filename:{}", value(text)),
            Key::HasAttachment => "has:attachment".into(),
            Key::Before(day) => format!("before:{}", date(*day)),
            Key::On(day) => format!("on:{}", date(*day)),
            Key::Since(day) => format!("since:{}", date(*day)),
            Key::SentBefore(day) => format!("sent-before:{}", date(*day)),
            Key::SentOn(day) => format!("sent-on:{}", date(*day)),
            Key::SentSince(day) => format!("sent-since:{}", date(*day)),
            Key::Larger(size) => format!("larger:{size}"),
            Key::Smaller(size) => format!("smaller:{size}"),
            Key::Flag(Flag::Answered) => "is:answered".into(),
            Key::Flag(Flag::Flagged) => "is:flagged".into(),
            Key::Flag(Flag::Forwarded) => "is:forwarded".into(),
            other => panic!("{other:?} has no words"),
        },
    }
}

fn leaf() -> impl Strategy<Value = Query> {
    let text = "\\PC{1,12}|[ \"\\\\():-]{1,4}|OR|NOT";
    let day = (-20_000i64..40_000).prop_map(Day);
    let keys = prop_oneof![
        text.prop_map(Key::Text),
        text.prop_map(Key::Body),
        ("[!-9;-~]{1,9}", "\\PC{0,9}")
            .prop_filter("a name has no quotes or parentheses", |(name, _)| !name.contains(['"', '(', ')']))
            .prop_map(|(name, text)| Key::Header(name, text)),
        text.prop_map(Key::FileName),
        Just(Key::HasAttachment),
        (day, 0..6).prop_map(|(day, which)| match which {
            0 => Key::Before(day),
            1 => Key::On(day),
            2 => Key::Since(day),
            3 => Key::SentBefore(day),
            4 => Key::SentOn(day),
            _ => Key::SentSince(day),
        }),
        any::<u64>().prop_map(Key::Larger),
        any::<u64>().prop_map(Key::Smaller),
        Just(Key::Flag(Flag::Answered)),
        Just(Key::Flag(Flag::Forwarded)),
    ];
    prop_oneof![8 => keys.prop_map(Query::Key), 1 => "[a-zA-Z /ü]{1,9}".prop_map(Query::In)]
}

fn tree() -> impl Strategy<Value = Query> {
    leaf().prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::Or),
            inner.prop_map(|query| Query::Not(Box::new(query))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(query in tree()) {
        prop_assert_eq!(parse(&print(&query)), Ok(query));
    }

    #[test]
    fn any_line_has_one_meaning_or_an_error(line in "([-()\"\\\\: a-zä\u{0}\u{1b}]|OR|NOT|AND|from:|in:|on:|20){0,40}") {
        match parse(&line) {
            Ok(query) => prop_assert!(query.needles().len() <= MAX_TERMS),
            Err(error) => prop_assert!((1..=line.chars().count().max(1)).contains(&error.at), "{}", error),
        }
    }
}
