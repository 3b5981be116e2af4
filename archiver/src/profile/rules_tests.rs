//! Rules against tables of what they must say, and the wildcard against a plain recursive one.

use super::*;
use proptest::prelude::*;

fn folders(include: &[&str], exclude: &[&str]) -> FolderRules {
    let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
    FolderRules { include: owned(include), exclude: owned(exclude), ..FolderRules::default() }
}

fn flags(list: &[&str]) -> Vec<String> {
    list.iter().map(|flag| (*flag).to_owned()).collect()
}

/// What a reason begins with, and the filter that gives it.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Filters));

#[test]
fn trash_junk_and_drafts_are_left_out_unless_wanted() {
    let usual = FolderRules::default();
    for (name, special, wanted) in [
        ("INBOX", &[][..], true),
        ("Müll", &["\\Trash"], false),
        ("Müll", &["\\trash", "\\X"], false),
        ("Spam", &[], false),
        ("Spam/2019", &[], false),
        ("INBOX/Drafts", &[], false),
        ("Papierkorb", &[], false),
        ("Projects/Trash", &[], true),
        // The server says that it is something else.
        ("Trash", &["\\Archive"], true),
        ("Sent", &["\\Sent"], true),
    ] {
        assert_eq!(usual.wants(name, &flags(special)), wanted, "{name} {special:?}");
    }
    let all = FolderRules { trash: true, junk: true, drafts: true, ..FolderRules::default() };
    assert!(["Trash", "Spam", "Drafts"].iter().all(|name| all.wants(name, &[])));
    let only = FolderRules { junk: true, ..FolderRules::default() };
    assert!(only.wants("Junk", &[]) && !only.wants("Trash", &[]));
}

#[test]
fn include_and_exclude() {
    let rules = folders(&["INBOX", "Projects/*", "\\Sent"], &["Projects/Secret"]);
    for (name, special, wanted) in [
        ("inbox", &[][..], true),
        ("Inbox/Below", &[], true),
        ("Inboxes", &[], false),
        ("Projects", &[], false),
        ("Projects/A", &[], true),
        ("Projects/A/B", &[], true),
        ("Projects/Secret", &[], false),
        ("Projects/secret/Deep", &[], false),
        ("Projects/Secrets", &[], true),
        ("Gesendet", &["\\Sent"], true),
        ("Gesendet", &[], false),
    ] {
        assert_eq!(rules.wants(name, &flags(special)), wanted, "{name} {special:?}");
    }
    assert!(folders(&["Trash"], &[]).wants("Trash", &flags(&["\\Trash"])), "who names it wants it");
    assert!(!folders(&[], &["*"]).wants("INBOX", &[]));
    let trash = flags(&["namespace:shared"]);
    assert!(!folders(&[], &[]).wants("Trash", &trash), "whose it is tells nothing of what it is for");
    let level = folders(&["Lists/%"], &[]);
    assert!(level.wants("Lists/a", &[]) && !level.wants("Lists/a/b", &[]));
}

#[test]
fn bounds_of_lists() {
    let at = folders(&vec!["a"; MAX_LIST], &[&"x".repeat(MAX_PATTERN_BYTES)]);
    assert_eq!(at.nonsense(), None);
    assert!(folders(&vec!["a"; MAX_LIST + 1], &[]).nonsense().is_some());
    assert!(folders(&[&"x".repeat(MAX_PATTERN_BYTES + 1)], &[]).nonsense().is_some());
    assert!(folders(&[], &[""]).nonsense().is_some());
    let list = |count: usize, bytes: usize| Filters {
        subject: vec!["x".repeat(bytes); count],
        ..Filters::default()
    };
    assert_eq!(list(MAX_LIST, MAX_PATTERN_BYTES).nonsense(), None);
    assert!(
        list(MAX_LIST + 1, 1).nonsense().is_some() && list(1, MAX_PATTERN_BYTES + 1).nonsense().is_some()
    );
    assert!(Filters { from: vec!["nobody".into()], ..Filters::default() }.nonsense().is_some());
    let days = |young, old| Filters {
        younger_than_days: Some(young),
        older_than_days: Some(old),
        ..Filters::default()
    };
    assert!(days(3, 3).nonsense().is_some() && days(4, 3).nonsense().is_none());
    let sizes = |least, most| Filters { min_bytes: Some(least), max_bytes: Some(most), ..Filters::default() };
    assert!(sizes(3, 2).nonsense().is_some() && sizes(3, 3).nonsense().is_none());
}

#[test]
fn each_filter_says_why() {
    let now = 1_000 * DAY;
    let facts = MessageFacts {
        date: Some(now - 10 * DAY),
        size: Some(5_000),
        seen: Some(false),
        from: Some("Ann Lee <Ann@Mail.Example.org>"),
        subject: Some("Re: Angebot Nr. 7"),
    };
    let text = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    let with = |change: &dyn Fn(&mut Filters)| {
        let mut filters = Filters::default();
        change(&mut filters);
        assert!(filters.reason(&MessageFacts::default(), now).is_none(), "what isn't known passes");
        filters.reason(&facts, now)
    };
    let passes: [Case<'_>; 9] = [
        ("", &|_| ()),
        ("", &|f| f.younger_than_days = Some(11)),
        ("", &|f| f.older_than_days = Some(10)),
        ("", &|f| f.max_bytes = Some(5_000)),
        ("", &|f| f.min_bytes = Some(5_000)),
        ("", &|f| f.from = text(&["@example.org"])),
        ("", &|f| f.not_from = text(&["@ample.org", "lee@mail.example.org"])),
        ("", &|f| f.subject = text(&["angebot"])),
        ("", &|f| f.not_subject = text(&["angebot*", "*Nr. 8"])),
    ];
    for (number, (_, change)) in passes.iter().enumerate() {
        assert_eq!(with(change), None, "case {number}");
    }
    let left: [Case<'_>; 9] = [
        ("only-read", &|f| f.only_read = true),
        ("younger-than", &|f| f.younger_than_days = Some(10)),
        ("older-than", &|f| f.older_than_days = Some(11)),
        ("max-bytes", &|f| f.max_bytes = Some(4_999)),
        ("min-bytes", &|f| f.min_bytes = Some(5_001)),
        ("(from)", &|f| f.from = text(&["ann@example.org"])),
        ("not-from", &|f| f.not_from = text(&["ANN@mail.example.org"])),
        ("(subject)", &|f| f.subject = text(&["angebot*"])),
        ("not-subject", &|f| f.not_subject = text(&["re:*nr*7"])),
    ];
    for (words, change) in left {
        let reason = with(change).unwrap_or_default();
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

/// What a wildcard means, written down plainly.
fn plain(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| plain(rest, &text[at..])),
        Some((b'%', rest)) => {
            (0..=text.len()).any(|at| !text[..at].contains(&b'/') && plain(rest, &text[at..]))
        }
        Some((byte, rest)) => text.first() == Some(byte) && plain(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn wildcards_are_what_they_say(pattern in "[ab/*%]{0,7}", text in "[ab/]{0,9}") {
        prop_assert_eq!(wild(pattern.as_bytes(), text.as_bytes()), plain(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn so_are_those_of_subjects(pattern in "[ab]{0,2}\\*[ab]{0,2}(\\*[ab]{0,3})?", text in "[ab]{0,9}") {
        prop_assert_eq!(wild_text(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()), "{} {}", pattern, text);
    }
}
