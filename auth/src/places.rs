//! Where in the order of paths something readable may stand: so that whoever walks sorted folders jumps over what may not be read
//! instead of looking at all of it.
//!
//! Paths are ordered by their bytes: between a folder `a` and what lies below it (`a/…`) there may be others (`a b`, `a-b/c`).

use crate::rights::{Level, Sight};

impl Sight {
    /// Whether a folder may be read, by its path.
    #[must_use]
    pub fn reads(&self, folder: &str) -> bool {
        self.level(folder) >= Level::Read
    }

    /// Behind a folder that may not be read: the next place in the order of paths from which on one may be; none if all behind it
    /// may not. Any text may be a place. It rises, and a walk that follows it makes at most three steps for each rule.
    #[must_use]
    pub fn next_place(&self, folder: &str) -> Option<String> {
        let given =
            self.places.range::<str, _>((std::ops::Bound::Excluded(folder), std::ops::Bound::Unbounded));
        let given = given.map(String::as_str).next().map(str::to_owned);
        let behind = match self.rule_of(folder) {
            None => return given,
            // Below it nothing may be read, but what stands before that has another rule.
            Some(rule) if rule == folder => format!("{folder}\0"),
            // `0` follows `/`.
            Some(rule) => format!("{rule}0"),
        };
        Some(given.map_or(behind.clone(), |given| given.min(behind)))
    }

    /// The folder whose rule decides on this one.
    fn rule_of<'a>(&self, folder: &'a str) -> Option<&'a str> {
        let mut at = Some(folder);
        while let Some(path) = at {
            if self.rules.contains_key(path) {
                return Some(path);
            }
            at = path.rsplit_once('/').map(|(above, _)| above);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Right;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::ops::Bound;

    fn level() -> impl Strategy<Value = Level> {
        prop_oneof![Just(Level::None), Just(Level::Read), Just(Level::Delete)]
    }

    /// Names that stand close to each other in the order of bytes.
    fn path() -> impl Strategy<Value = String> {
        prop::collection::vec("a|b|a b|a-b|a0|a\\.", 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        /// A walk that jumps finds what a look at each folder finds, in few steps.
        #[test]
        fn jumping_misses_nothing(
            rules in prop::collection::vec((path(), level()), 0..12),
            folders in prop::collection::btree_set(path(), 0..60),
        ) {
            let rules: Vec<Right> = rules.into_iter().map(|(folder, level)| Right { folder, level }).collect();
            let sight = Sight::new(&[], &rules);
            let plain: Vec<&String> = folders.iter().filter(|folder| sight.reads(folder)).collect();
            let (mut found, mut jumps) = (Vec::new(), 0);
            let mut from = String::new();
            'jumps: loop {
                jumps += 1;
                for folder in folders.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded)) {
                    if sight.reads(folder) {
                        found.push(folder);
                        continue;
                    }
                    let Some(next) = sight.next_place(folder) else { break 'jumps };
                    prop_assert!(next.as_str() > folder.as_str());
                    from = next;
                    continue 'jumps;
                }
                break;
            }
            prop_assert_eq!(found, plain);
            prop_assert!(jumps <= 3 * rules.len() + 2, "{} jumps for {} rules", jumps, rules.len());
        }
    }

    #[test]
    fn what_lies_between_a_folder_and_its_children_is_not_passed_over() {
        let right = |folder: &str, level| Right { folder: folder.into(), level };
        let sight = Sight::new(&[right("a", Level::Read), right("a/x", Level::None)], &[]);
        assert_eq!(sight.next_place("a/x").as_deref(), Some("a/x\0"));
        assert!(sight.reads("a/x-y"));
        assert_eq!(sight.next_place("a/x/y").as_deref(), Some("a/x0"));
        assert_eq!(sight.next_place("b"), None);
        assert_eq!(sight.next_place("0").as_deref(), Some("a"));
        let all: BTreeSet<&str> = ["a", "a/"].into();
        assert_eq!(sight.places.iter().map(String::as_str).collect::<BTreeSet<_>>(), all);
    }
}
