//! Which folders of a source are archived, and which messages of them: pure functions of what the source says.
//!
//! Invariant: what a rule leaves out is left out with a reason that names the rule; nothing here deletes anything.
//!
//! A pattern names folders as people see them, levels parted by `/`, without regard to case. `*` stands for any characters, `%` for
//! any but `/`. A pattern without either names the folder and all that is below it. `\Sent` and the like name special uses (RFC 6154).

use serde::{Deserialize, Serialize};

/// Most patterns, addresses or words of one list.
pub(crate) const MAX_LIST: usize = 1_000;
/// Longest pattern or word, bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 1_000;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Folders that are archived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct FolderRules {
    /// Only these; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Not these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// The trash too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trash: bool,
    /// Junk too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub junk: bool,
    /// Drafts too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drafts: bool,
}

/// Names of trash, junk and drafts where the server doesn't say which folder that is (RFC 6154 is absent): what usual mail
/// programs call them. Compared in lower case with a folder's whole path, and with what is below INBOX.
const USUAL: [(&str, &[&str]); 3] = [
    (
        "\\Trash",
        &[
            "trash",
            "deleted items",
            "deleted messages",
            "bin",
            "papierkorb",
            "gelöschte elemente",
            "gelöschte objekte",
            "corbeille",
            "papelera",
            "cestino",
        ],
    ),
    ("\\Junk", &["junk", "junk e-mail", "junk email", "spam", "bulk mail", "junk-e-mail", "spamverdacht"]),
    ("\\Drafts", &["drafts", "draft", "entwürfe", "brouillons", "borradores", "bozze", "unsent messages"]),
];

impl FolderRules {
    /// Whether a folder is archived. `name`: decoded, levels by `/`; `special_use`: what the server says of it, as `\Trash`.
    #[must_use]
    pub fn wants(&self, name: &str, special_use: &[String]) -> bool {
        let lower = name.to_lowercase();
        let named = |patterns: &[String]| {
            patterns.iter().any(|pattern| match pattern.strip_prefix('\\') {
                Some(usage) => is(usage, &lower, special_use),
                None => matches(&pattern.to_lowercase(), &lower),
            })
        };
        if named(&self.exclude) {
            return false;
        }
        if !self.include.is_empty() {
            // Who names the trash wants it.
            return named(&self.include);
        }
        let left_out = [("Trash", self.trash), ("Junk", self.junk), ("Drafts", self.drafts)];
        !left_out.into_iter().any(|(usage, wanted)| !wanted && is(usage, &lower, special_use))
    }

    /// What makes no sense in them.
    #[must_use]
    pub fn nonsense(&self) -> Option<String> {
        for (key, list) in [("folders.include", &self.include), ("folders.exclude", &self.exclude)] {
            if list.len() > MAX_LIST {
                return Some(format!("{key} has more than {MAX_LIST} items"));
            }
            if list.iter().any(|pattern| pattern.is_empty() || pattern.len() > MAX_PATTERN_BYTES) {
                return Some(format!("{key}: a pattern has 1 to {MAX_PATTERN_BYTES} bytes"));
            }
        }
        None
    }
}

/// Whether the folder, or one above it, has this special use.
fn is(usage: &str, lower: &str, special_use: &[String]) -> bool {
    let wanted = format!("\\{usage}");
    if special_use.iter().any(|flag| flag.eq_ignore_ascii_case(&wanted)) {
        return true;
    }
    // A server that tells special uses is believed about all its folders that have one.
    if special_use.iter().any(|flag| flag.starts_with('\\')) {
        return false;
    }
    let names = USUAL.iter().find(|(flag, _)| flag.eq_ignore_ascii_case(&wanted)).map(|(_, names)| *names);
    let path = lower.strip_prefix("inbox/").unwrap_or(lower);
    let top = path.split('/').next().unwrap_or(path);
    names.is_some_and(|names| names.contains(&top))
}

/// Whether a pattern names a folder; both in lower case.
fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '%']) {
        return name.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    wild(pattern.as_bytes(), name.as_bytes())
}

/// Matches `*` (anything) and `%` (anything but `/`). Linear in memory, at most quadratic in time: rows of reachable places.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    // `reach[i]`: the pattern so far can have matched the first i bytes.
    let mut reach = vec![false; text.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for &sign in pattern {
        let mut next = vec![false; text.len() + 1];
        let mut open = false;
        for (at, place) in next.iter_mut().enumerate() {
            let here = reach.get(at).copied().unwrap_or(false);
            let before = at.checked_sub(1).and_then(|before| text.get(before));
            match sign {
                b'*' => {
                    open |= here;
                    *place = open;
                }
                b'%' => {
                    open = here || (open && before.is_none_or(|&byte| byte != b'/'));
                    *place = open;
                }
                byte => {
                    let reached =
                        at.checked_sub(1).and_then(|before| reach.get(before)).copied().unwrap_or(false);
                    *place = reached && before == Some(&byte);
                }
            }
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

/// Messages that are archived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Filters {
    /// Only what has been read at the source.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_read: bool,
    /// Only what is younger than so many days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub younger_than_days: Option<u32>,
    /// Only what is at least so many days old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_days: Option<u32>,
    /// Only messages of at most so many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Only messages of at least so many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u64>,
    /// Only from these: addresses, or domains with what is below them, as `@example.org`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// Not from these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_from: Vec<String>,
    /// Only with a subject like one of these; `*` stands for anything, and a pattern without it for a part of the subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject: Vec<String>,
    /// Not with a subject like one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_subject: Vec<String>,
}

/// What is known of a message; a filter on what isn't known lets it pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageFacts<'a> {
    /// When it came, seconds since 1970.
    pub date: Option<i64>,
    /// Bytes.
    pub size: Option<u64>,
    /// Whether it was read.
    pub seen: Option<bool>,
    /// The value of From, decoded.
    pub from: Option<&'a str>,
    /// The value of Subject, decoded.
    pub subject: Option<&'a str>,
}

impl Filters {
    /// Whether every message passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Filters::default()
    }

    /// Why a message is left out at the time `now` (seconds since 1970); none: it is archived.
    #[must_use]
    pub fn reason(&self, facts: &MessageFacts<'_>, now: i64) -> Option<String> {
        let days = |count: u32| i64::from(count).saturating_mul(DAY);
        if self.only_read && facts.seen == Some(false) {
            return Some("not read at the source (only-read)".into());
        }
        if let (Some(limit), Some(date)) = (self.younger_than_days, facts.date)
            && now.saturating_sub(date) >= days(limit)
        {
            return Some(format!("{limit} days old or older (younger-than-days)"));
        }
        if let (Some(limit), Some(date)) = (self.older_than_days, facts.date)
            && now.saturating_sub(date) < days(limit)
        {
            return Some(format!("younger than {limit} days (older-than-days)"));
        }
        if let (Some(limit), Some(size)) = (self.max_bytes, facts.size)
            && size > limit
        {
            return Some(format!("{size} bytes, more than {limit} (max-bytes)"));
        }
        if let (Some(limit), Some(size)) = (self.min_bytes, facts.size)
            && size < limit
        {
            return Some(format!("{size} bytes, less than {limit} (min-bytes)"));
        }
        if let Some(from) = facts.from {
            let addresses = super::header::addresses(from);
            let is_from =
                |list: &[String]| list.iter().any(|who| addresses.iter().any(|address| is_of(who, address)));
            if !self.from.is_empty() && !is_from(&self.from) {
                return Some("from none of the senders that are archived (from)".into());
            }
            if is_from(&self.not_from) {
                return Some("from a sender that is left out (not-from)".into());
            }
        }
        if let Some(subject) = facts.subject {
            let lower = subject.to_lowercase();
            let is_like = |list: &[String]| list.iter().any(|pattern| like(&pattern.to_lowercase(), &lower));
            if !self.subject.is_empty() && !is_like(&self.subject) {
                return Some("its subject is none of those that are archived (subject)".into());
            }
            if is_like(&self.not_subject) {
                return Some("its subject is left out (not-subject)".into());
            }
        }
        None
    }

    /// Whether a header is needed to decide.
    #[must_use]
    pub fn needs_header(&self) -> bool {
        !(self.from.is_empty()
            && self.not_from.is_empty()
            && self.subject.is_empty()
            && self.not_subject.is_empty())
    }

    /// What makes no sense in them.
    #[must_use]
    pub fn nonsense(&self) -> Option<String> {
        let lists = [
            ("filters.from", &self.from),
            ("filters.not-from", &self.not_from),
            ("filters.subject", &self.subject),
            ("filters.not-subject", &self.not_subject),
        ];
        for (key, list) in lists {
            if list.len() > MAX_LIST {
                return Some(format!("{key} has more than {MAX_LIST} items"));
            }
            if list.iter().any(|item| item.is_empty() || item.len() > MAX_PATTERN_BYTES) {
                return Some(format!("{key}: an item has 1 to {MAX_PATTERN_BYTES} bytes"));
            }
        }
        for (key, list) in [("filters.from", &self.from), ("filters.not-from", &self.not_from)] {
            if let Some(bad) = list.iter().find(|who| !who.contains('@')) {
                return Some(format!(
                    "{key}: {bad:?} is neither an address nor a domain such as @example.org"
                ));
            }
        }
        if let (Some(young), Some(old)) = (self.younger_than_days, self.older_than_days)
            && young <= old
        {
            return Some(format!("no message is younger than {young} and {old} days old (filters)"));
        }
        if let (Some(least), Some(most)) = (self.min_bytes, self.max_bytes)
            && least > most
        {
            return Some(format!("no message has at least {least} and at most {most} bytes (filters)"));
        }
        None
    }
}

/// Whether an address is this one, or of this domain or one below it (`@example.org`).
fn is_of(who: &str, address: &str) -> bool {
    let who = who.to_lowercase();
    match who.strip_prefix('@') {
        None => who == address,
        Some(domain) => address.rsplit_once('@').is_some_and(|(_, of)| {
            of == domain || of.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        }),
    }
}

fn like(pattern: &str, subject: &str) -> bool {
    if pattern.contains('*') { wild_text(pattern, subject) } else { subject.contains(pattern) }
}

/// As [`wild`], with `*` alone; a subject is cut where no one reads it any more.
fn wild_text(pattern: &str, subject: &str) -> bool {
    const MOST: usize = 4_096;
    let bytes = subject.as_bytes();
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) =
        bytes.get(..bytes.len().min(MOST)).and_then(|text| text.strip_prefix(first.as_bytes()))
    else {
        return false;
    };
    let mut last: &[u8] = b"";
    for piece in pieces {
        // Each piece but the last at its first place: that leaves most for the others.
        match memchr::memmem::find(rest, piece.as_bytes()) {
            Some(at) => {
                last = rest;
                rest = rest.get(at + piece.len()..).unwrap_or_default();
            }
            None => return false,
        }
    }
    let tail = pattern.rsplit('*').next().unwrap_or_default();
    tail.is_empty() || last.ends_with(tail.as_bytes())
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
