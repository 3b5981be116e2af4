//! Where in the order of paths something readable may stand: so that whoever walks sorted folders jumps over what may not be read
//! instead of looking at all of it.
//!
//! Paths are ordered by their bytes: between a folder `a` and what lies below it (`a/…`) there may be others (`a b`, `a-b/c`).

use crate::rights::{Level, Sight};
use std::borrow::Cow;

impl Sight {
    /// Whether a folder may be read, by its path.
    #[must_use]
    pub fn reads(&self, folder: &str) -> bool {
        self.level(folder) >= Level::Read
    }

    /// The first place in the order of paths, from this one on, where rules let a folder be read; none if there is no such. Any text
    /// may be a place. A walk that begins anew there at each folder that it may not read makes at most three steps for each rule.
    #[must_use]
    pub fn place_from<'p>(&self, place: &'p str) -> Option<Cow<'p, str>> {
        let mut place = Cow::Borrowed(place);
        while !self.reads(&place) {
            place = Cow::Owned(self.behind(&place)?);
        }
        Some(place)
    }

    /// A place behind one where nothing may be read; between the two nothing may either.
    fn behind(&self, folder: &str) -> Option<String> {
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
            start in "|a|a/|b/a.?|[ab/ 0.-]{0,6}",
        ) {
            let rules: Vec<Right> = rules.into_iter().map(|(folder, level)| Right { folder, level }).collect();
            let sight = Sight::new(&[], &rules);
            let plain: Vec<&String> =
                folders.iter().filter(|folder| **folder >= start && sight.reads(folder)).collect();
            let (mut found, mut jumps) = (Vec::new(), 0);
            let mut from = start.clone();
            'jumps: while let Some(place) = sight.place_from(&from).map(Cow::into_owned) {
                jumps += 1;
                prop_assert!(place >= from && sight.reads(&place));
                for folder in folders.range::<str, _>((Bound::Included(place.as_str()), Bound::Unbounded)) {
                    if !sight.reads(folder) {
                        from = folder.clone();
                        continue 'jumps;
                    }
                    found.push(folder);
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
        assert_eq!(sight.behind("a/x").as_deref(), Some("a/x\0"));
        assert!(sight.reads("a/x-y"));
        assert_eq!(sight.behind("a/x/y").as_deref(), Some("a/x0"));
        assert_eq!(sight.place_from("b"), None);
        assert_eq!(sight.place_from("0").as_deref(), Some("a"));
        assert_eq!(sight.place_from("a/x").as_deref(), Some("a/x\0"));
        let all: BTreeSet<&str> = ["a", "a/"].into();
        assert_eq!(sight.places.iter().map(String::as_str).collect::<BTreeSet<_>>(), all);
    }
}
