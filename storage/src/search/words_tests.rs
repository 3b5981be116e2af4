//! Units and lookups against the plain meaning: a text contains a needle, or it doesn't.

use super::words::{Cutter, ENTRY, Like, Lookup, NAME, Phrase, goes_on, name_unit};
use proptest::prelude::*;

fn units(entries: &[&str]) -> Vec<Vec<u8>> {
    let (mut cutter, mut out) = (Cutter::default(), Vec::new());
    for entry in entries {
        cutter.entry(entry, |unit| out.push(unit.to_vec()));
    }
    cutter.end(|unit| out.push(unit.to_vec()));
    out
}

fn is(unit: &[u8], like: &Like) -> bool {
    match like {
        Like::Is(text) => unit == text,
        Like::Begins(text) => unit.starts_with(text),
        Like::Ends(text) => unit.ends_with(text),
        Like::Has(text) => unit.windows(text.len()).any(|window| window == text),
    }
}

/// Whether the units have it for sure, and whether they may.
fn holds(units: &[Vec<u8>], lookup: &Lookup) -> (bool, bool) {
    let any = |like: &Like| units.iter().any(|unit| is(unit, like));
    match lookup {
        Lookup::Nothing => (false, true),
        Lookup::One(like) => (any(like), any(like)),
        Lookup::Long { whole, start } => {
            let sure = whole.as_ref().is_some_and(any);
            (sure, sure || units.iter().any(|unit| is(unit, start) && goes_on(unit)))
        }
        Lookup::Phrase(Phrase { units: wanted, lead, trail, exact }) => {
            let starts_entry = |unit: &[u8]| unit == [ENTRY] || unit.first() == Some(&NAME);
            let found = units.windows(wanted.len()).enumerate().any(|(at, window)| {
                window.iter().zip(wanted).all(|(unit, like)| is(unit, like))
                    && (!lead || (at > 0 && units[at - 1] != [ENTRY]))
                    && (!trail || !starts_entry(&units[at + wanted.len()]))
            });
            (found && *exact, found)
        }
    }
}

fn text(units: &[Vec<u8>]) -> Vec<String> {
    units.iter().map(|unit| unit.escape_ascii().to_string()).collect()
}

#[test]
fn text_is_cut_at_blanks_and_between_scripts() {
    let cut = |entries: &[&str]| text(&units(entries)).join(" ");
    assert_eq!(cut(&[""]), r"\xfa \xfa");
    assert_eq!(cut(&["c++ [patch"]), r"\xfa c++ [patch \xfa \xfd");
    assert_eq!(cut(&["a", " b "]), r"\xfa a \xfa \xfc b \xfc \xfa \xfd");
    assert_eq!(cut(&["x日本語"]).matches(r"\xfe").count(), 2);
    let long = "x".repeat(97);
    let pieces = units(&[&long]);
    assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [1, 97, 34, 1]);
    assert!(goes_on(&pieces[1]) && !goes_on(&pieces[2]));
    assert_eq!(units(&[&"x".repeat(96)]).len(), 3);
    assert_eq!(units(&[&"ä".repeat(97)])[1].len(), 193);
    assert!(units(&[&"日".repeat(500)]).iter().all(|unit| unit.len() <= 8));
}

#[test]
fn a_field_begins_with_its_name() {
    let cut = |name: &str, line: &str| {
        let (mut cutter, mut out) = (Cutter::default(), Vec::new());
        cutter.field(&name_unit(name).unwrap(), line, |unit| out.push(unit.to_vec()));
        text(&out).join(" ")
    };
    assert_eq!(cut("Subject", "subject: re: x"), r"\xfbsubject: re: x");
    assert_eq!(cut("Subject", "subject: "), r"\xfbsubject: \xfc");
    let longest = "n".repeat(76);
    assert!(name_unit(&longest).is_some());
    for odd in ["", "a b", "a:b", "ä", "a\n", &(longest + "n")] {
        assert_eq!(name_unit(odd), None, "{odd}");
    }
}

#[test]
fn needles_ask_for_as_much_as_is_known_of_them() {
    let one = |like| Lookup::One(like);
    let has = |text: &str| Like::Has(text.as_bytes().to_vec());
    assert_eq!(Lookup::new(""), Lookup::Nothing);
    assert_eq!(Lookup::new("[patch"), one(has("[patch")));
    assert_eq!(Lookup::new("日本"), one(has("日本")));
    assert_eq!(Lookup::new("日"), one(has("日")));
    let at_bound = "a".repeat(33);
    assert_eq!(Lookup::new(&at_bound), one(has(&at_bound)));
    let beyond = "a".repeat(34);
    assert_eq!(Lookup::new(&beyond), Lookup::Long { whole: Some(has(&beyond)), start: has(&at_bound) });
    let Lookup::Long { whole: Some(_), .. } = Lookup::new(&"a".repeat(96)) else { panic!("fits a unit") };
    let Lookup::Long { whole: None, .. } = Lookup::new(&"a".repeat(97)) else { panic!("fits none") };
    let bytes = |text: &str| text.as_bytes().to_vec();
    let phrase = |units, lead, trail| Lookup::Phrase(Phrase { units, lead, trail, exact: true });
    assert_eq!(
        Lookup::new("out of mem"),
        phrase(
            vec![Like::Ends(bytes("out")), Like::Is(bytes("of")), Like::Begins(bytes("mem"))],
            false,
            false
        )
    );
    assert_eq!(Lookup::new(" x "), phrase(vec![Like::Is(bytes("x"))], true, true));
    let Lookup::Phrase(long) = Lookup::new(&"w ".repeat(40_000)) else { panic!("a phrase") };
    assert!(long.units.len() == 32 && !long.exact);
    let Lookup::Phrase(long) = Lookup::new(&"日本語".repeat(20_000)) else { panic!("a phrase") };
    assert!(long.units.len() == 32 && !long.exact);
    let Lookup::Phrase(open) = Lookup::new(&format!("{beyond} b")) else { panic!("a phrase") };
    assert!(!open.exact, "how a long word is cut depends on what stands before it");
    let Lookup::Phrase(closed) = Lookup::new(&format!("b {}", "a".repeat(300))) else { panic!("a phrase") };
    assert!(closed.exact && closed.units.len() > 3);
}

/// Texts of few characters, so that needles meet often: letters, blanks, punctuation, marks, Han, Thai, long stretches.
fn texts() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "ä", "e\u{301}", "1", "د", "ส", "\u{e49}", "\0"]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![" ", "-", "@", "."]).prop_map(str::to_owned),
        2 => prop::sample::select(vec!["日", "本", "ー", "が"]).prop_map(str::to_owned),
        1 => (10usize..300).prop_map(|n| "xya".chars().cycle().take(n).collect()),
        1 => (2usize..9).prop_map(|n| "日本".chars().cycle().take(n).collect()),
    ];
    // As folding leaves it: no two blanks together.
    prop::collection::vec(atom, 0..30).prop_map(|atoms| {
        let mut text = atoms.concat();
        while text.contains("  ") {
            text = text.replace("  ", " ");
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn a_lookup_never_misses_and_is_exact_where_it_says_so(
        entries in prop::collection::vec(texts(), 1..3),
        other in texts(),
        from in 0usize..900,
        chars in 1usize..160,
    ) {
        let text = &entries[0];
        let taken: String = text.chars().skip(from % text.chars().count().max(1)).take(chars).collect();
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let units = units(&entries);
        for needle in [taken.as_str(), other.as_str(), " ", "日 ", " a", "a 日"] {
            let truth = entries.iter().any(|entry| entry.contains(needle));
            let (sure, maybe) = holds(&units, &Lookup::new(needle));
            prop_assert!(!sure || truth, "{needle:?} in {:?}", super::words_tests::text(&units));
            prop_assert!(!truth || maybe, "{needle:?} in {:?}", super::words_tests::text(&units));
            let exact = !matches!(Lookup::new(needle), Lookup::Nothing | Lookup::Long { .. } | Lookup::Phrase(Phrase { exact: false, .. }));
            prop_assert!(!exact || sure == truth, "{needle:?} in {:?}", super::words_tests::text(&units));
        }
    }
}
