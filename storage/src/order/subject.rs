//! Base subjects (RFC 5256 §2.1): a subject without what replying, forwarding and mailing lists put around it.
//!
//! Takes a decoded subject. Linear in its length whatever it is: blobs are looked through once, where the RFC's steps taken
//! one by one would look through them again and again.

/// A subject's base, and whether it was one of a reply or a forwarded message (RFC 5256 §5, REFERENCES step 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base<'a> {
    pub(crate) text: &'a str,
    pub(crate) reply: bool,
}

/// Step 1 of the extraction: every run of white space is one blank.
pub(crate) fn squeezed(decoded: &str) -> String {
    let mut out = String::with_capacity(decoded.len());
    for c in decoded.chars() {
        let c = if matches!(c, '\t' | '\r' | '\n') { ' ' } else { c };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}

/// Steps 2 to 6 of a subject that is [`squeezed`].
pub(crate) fn base(squeezed: &str) -> Base<'_> {
    let mut rest = squeezed;
    let mut reply = false;
    loop {
        // Step 2.
        loop {
            rest = rest.trim_end_matches(' ');
            let Some(cut) = without_end(rest, "(fwd)") else { break };
            rest = cut;
            reply = true;
        }
        // Steps 3 to 5.
        loop {
            rest = rest.trim_start_matches(' ');
            let behind = behind_blobs(rest);
            if let Some(after) = behind_refwd(behind) {
                rest = after;
                reply = true;
                continue;
            }
            rest = without_blobs(rest);
            break;
        }
        // Step 6.
        match without_start(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => {
                rest = inner;
                reply = true;
            }
            None => return Base { text: rest, reply },
        }
    }
}

fn without_start<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let found = text.get(..start.len())?;
    if found.eq_ignore_ascii_case(start) { text.get(start.len()..) } else { None }
}

fn without_end<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(end.len())?;
    if text.get(at..)?.eq_ignore_ascii_case(end) { text.get(..at) } else { None }
}

/// `subj-blob`: `[…]` with no bracket inside, and the blanks behind it.
fn behind_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    inner.get(end..)?.strip_prefix(']').map(|rest| rest.trim_start_matches(' '))
}

fn behind_blobs(mut text: &str) -> &str {
    while let Some(rest) = behind_blob(text) {
        text = rest;
    }
    text
}

/// Step 4, as often as it can be taken: the last blob stays when nothing else is there.
fn without_blobs(mut text: &str) -> &str {
    while let Some(rest) = behind_blob(text).filter(|rest| !rest.is_empty()) {
        text = rest;
    }
    text
}

/// `subj-refwd`: `re`, `fw` or `fwd`, blanks, perhaps a blob, a colon.
fn behind_refwd(text: &str) -> Option<&str> {
    let word = ["fwd", "fw", "re"].iter().find_map(|word| without_start(text, word).filter(is_refwd_end))?;
    let word = word.trim_start_matches(' ');
    behind_blob(word).unwrap_or(word).strip_prefix(':')
}

/// What may follow the word.
fn is_refwd_end(rest: &&str) -> bool {
    rest.starts_with([' ', '[', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bases() {
        for (subject, text, reply) in [
            ("", "", false),
            ("Hello", "Hello", false),
            ("  Hello \t there  ", "Hello there", false),
            ("Re: Hello", "Hello", true),
            ("RE : re:Fwd:fw: Hello", "Hello", true),
            ("Re[2]: Hello", "Hello", true),
            ("Re [2]  : Hello", "Hello", true),
            ("Re[2][3]: Hello", "Re[2][3]: Hello", false),
            ("[list] Hello", "Hello", false),
            ("[list] Re: Hello", "Hello", true),
            ("[a] [b] Re: [c] Hello", "Hello", true),
            ("[list]", "[list]", false),
            ("[a][b]", "[b]", false),
            ("Re: [list]", "[list]", true),
            ("[list] Re:", "", true),
            ("Hello (fwd)", "Hello", true),
            ("Hello (FWD) (fwd)  ", "Hello", true),
            ("(fwd)", "", true),
            ("[fwd: Hello]", "Hello", true),
            ("[Fwd: Re: [Fwd: [x] Hello (fwd)]]", "Hello", true),
            ("[fwd: Hello] there", "there", false),
            ("[fwd: Hello", "[fwd: Hello", false),
            ("[fwd:]", "", true),
            ("Refund", "Refund", false),
            ("Re", "Re", false),
            ("Fwdx: a", "Fwdx: a", false),
            ("[a[b] c", "[a[b] c", false),
            ("\u{dc}: Re: x", "\u{dc}: Re: x", false),
            ("Re:\u{a0}x", "\u{a0}x", true),
            ("[PATCH v2 3/7] mm: fix it", "mm: fix it", false),
        ] {
            let line = squeezed(subject);
            assert_eq!(base(&line), Base { text, reply }, "{subject}");
        }
    }

    #[test]
    fn long_ones_cost_one_pass() {
        for piece in ["[a]", "re:", "[fwd:", "(fwd)", "[", "]", " ", "[a] re:", "re[", "[fwd:[a]"] {
            let line = squeezed(&piece.repeat(200_000));
            assert!(base(&line).text.len() <= line.len());
            let line = squeezed(&format!("{}x{}", piece.repeat(100_000), "]".repeat(100_000)));
            assert!(base(&line).text.len() <= line.len());
        }
    }

    /// The RFC's steps one by one, as they are written.
    fn by_steps(subject: &str) -> (String, bool) {
        let mut reply = false;
        let mut rest = squeezed(subject);
        let blob = |s: &str| -> Option<String> {
            let end = s.strip_prefix('[')?.find(['[', ']'])? + 1;
            (s.as_bytes()[end] == b']').then(|| s[end + 1..].trim_start_matches(' ').to_owned())
        };
        loop {
            loop {
                if let Some(cut) = rest.strip_suffix(' ') {
                    rest = cut.to_owned();
                } else if rest.to_ascii_lowercase().ends_with("(fwd)") {
                    rest.truncate(rest.len() - 5);
                    reply = true;
                } else {
                    break;
                }
            }
            loop {
                let before = rest.clone();
                // Step 3: one leader.
                if let Some(cut) = rest.strip_prefix(' ') {
                    rest = cut.to_owned();
                } else {
                    let mut after = rest.clone();
                    while let Some(next) = blob(&after) {
                        after = next;
                    }
                    let lower = after.to_ascii_lowercase();
                    let word = ["fwd", "re", "fw"].iter().find(|w| {
                        lower.strip_prefix(**w).is_some_and(|r| {
                            let r = r.trim_start_matches(' ');
                            r.starts_with(':') || blob(r).is_some_and(|r| r.starts_with(':'))
                        })
                    });
                    if let Some(word) = word {
                        let r = after[word.len()..].trim_start_matches(' ').to_owned();
                        let r = if r.starts_with(':') { r } else { blob(&r).unwrap() };
                        rest = r[1..].to_owned();
                        reply = true;
                    } else if let Some(next) = blob(&rest).filter(|next| !next.is_empty()) {
                        // Step 4.
                        rest = next;
                    }
                }
                if rest == before {
                    break;
                }
            }
            let lower = rest.to_ascii_lowercase();
            if lower.starts_with("[fwd:") && lower.ends_with(']') {
                rest = rest[5..rest.len() - 1].to_owned();
                reply = true;
            } else {
                return (rest, reply);
            }
        }
    }

    proptest! {
        #[test]
        fn the_same_as_the_steps(subject in "(\\[|\\]|re|FW|fwd|:| |\\(fwd\\)|\\[fwd:|a|\u{e9}){0,14}") {
            let line = squeezed(&subject);
            let found = base(&line);
            let (text, reply) = by_steps(&subject);
            prop_assert_eq!((found.text, found.reply), (&*text, reply));
        }
    }
}
