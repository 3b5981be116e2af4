//! Names that people would take for one another: letters of different alphabets that look alike (Unicode Technical Standard 39).
//!
//! Invariant: a word of a name is of one script, or of Latin beside Chinese, Japanese or Korean, as UTS 39 §5.2 calls highly
//! restrictive; so `alice` with a Cyrillic а can't be made. What is of one script and looks like another name, the book of users
//! refuses by [`like`]. Knows no users.

use unicode_security::confusable_detection::skeleton;
use unicode_security::mixed_script::AugmentedScriptSet;

/// What a name looks like, whatever its case: two names that give the same can be mistaken for one another.
pub(crate) fn like(name: &str) -> String {
    // Once more in lower case, since the table of confusables gives some signs a capital letter.
    skeleton(&name.to_lowercase()).collect::<String>().to_lowercase()
}

/// Whether some word of the name mixes scripts that look alike.
pub(crate) fn is_mixed(name: &str) -> bool {
    name.split(|c: char| !c.is_alphanumeric() && !is_mark(c)).any(|word| {
        let one = |text: &str| !AugmentedScriptSet::for_str(text).is_empty();
        let without_latin: String = word.chars().filter(|c| !is_latin(*c)).collect();
        !one(word) && (!one(&without_latin) || !is_east_asian(&without_latin))
    })
}

/// Marks stand on the letter before them, also where no letter is composed of both.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

fn is_latin(c: char) -> bool {
    AugmentedScriptSet::for_char(c) == AugmentedScriptSet::for_char('a')
}

fn is_east_asian(text: &str) -> bool {
    let set = AugmentedScriptSet::for_str(text);
    set.jpan || set.kore || set.hanb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_of_one_script() {
        for fine in [
            "alice",
            "müller@example.org",
            "o'neil-2",
            "Иван Петров",
            "Ivan Иванов",
            "田中さん",
            "Tanaka田中",
            "김철수",
            "Ω",
            "משה",
            "e\u{301}a\u{323}",
            "2024",
            "",
        ] {
            assert!(!is_mixed(fine), "{fine}");
        }
        for bad in
            ["\u{430}lice", "ali\u{441}e", "pay\u{3c1}al", "Bob \u{412}ob", "田中\u{430}a", "m\u{43e}d"]
        {
            assert!(is_mixed(bad), "{bad}");
        }
    }

    #[test]
    fn what_looks_alike_is_alike() {
        assert_eq!(like("\u{441}\u{43e}\u{441}\u{43e}"), like("coco"));
        assert_eq!(like("\u{421}\u{41e}\u{421}\u{41e}"), like("coco"), "capitals too");
        assert_eq!(like("a\u{131}"), like("ai"), "dotless i");
        assert_ne!(like("alice"), like("bob"));
        assert_ne!(like("müller"), like("muller"));
    }
}
