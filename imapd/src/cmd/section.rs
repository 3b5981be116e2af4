//! Where a part section's bytes lie in a message (RFC 3501 §6.4.5), and the filter of HEADER.FIELDS.
//!
//! Works on the card's table of parts; reads nothing. What isn't there is `None`, shown as NIL.

use crate::proto::parse::fetch::Portion;
use std::ops::Range;
use storage::card::Part;
use storage::mime::Kind;

/// Header bytes that HEADER.FIELDS looks through; what stands beyond is shown by HEADER only.
pub(crate) const MAX_FIELDS_BYTES: u64 = 256 << 10;

/// The bytes of a section; for HEADER.FIELDS those of the header to filter.
pub(crate) fn locate(path: &[u32], text: &Portion, parts: &[Part]) -> Option<Range<u64>> {
    let root = parts.first()?;
    if path.is_empty() {
        return Some(match text {
            Portion::All => root.header.start..root.body.end,
            Portion::Header | Portion::Fields { .. } => root.header.clone(),
            Portion::Text => root.body.clone(),
            Portion::Mime => return None,
        });
    }
    let part = part(path, parts)?;
    match text {
        Portion::All => Some(part.body.clone()),
        Portion::Mime => Some(part.header.clone()),
        // RFC 3501 §6.4.5: these refer to a part of type MESSAGE/RFC822 only.
        Portion::Header | Portion::Fields { .. } | Portion::Text if part.kind == Kind::Message => {
            let inner = child(part, 1, parts)?;
            Some(if *text == Portion::Text { inner.body.clone() } else { inner.header.clone() })
        }
        Portion::Header | Portion::Fields { .. } | Portion::Text => None,
    }
}

/// The part with these numbers.
pub(crate) fn part<'a>(path: &[u32], parts: &'a [Part]) -> Option<&'a Part> {
    let (first, deeper) = path.split_first()?;
    let mut part = part_of_message(parts.first()?, *first, parts)?;
    for n in deeper {
        part = match part.kind {
            Kind::Multipart => child(part, *n, parts)?,
            Kind::Message => part_of_message(child(part, 1, parts)?, *n, parts)?,
            Kind::Leaf => return None,
        };
    }
    Some(part)
}

/// Part `n` of a message: of its multipart, or, if it is none, the message's body is part 1.
fn part_of_message<'a>(message: &'a Part, n: u32, parts: &'a [Part]) -> Option<&'a Part> {
    match message.kind {
        Kind::Multipart => child(message, n, parts),
        Kind::Leaf | Kind::Message => (n == 1).then_some(message),
    }
}

fn child<'a>(part: &Part, n: u32, parts: &'a [Part]) -> Option<&'a Part> {
    let at = usize::try_from(n).ok()?.checked_sub(1)?;
    parts.get(*part.children.get(at)?)
}

/// The fields with these names (or all others), as they stand in the header: order, folding and repetitions kept; the
/// blank line ends it always.
pub(crate) fn filter(header: &[u8], names: &[Vec<u8>], not: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len().min(USUAL_FIELDS_BYTES));
    // Stretches of lines are copied at once.
    let mut keep_from = None;
    let mut at = 0;
    while let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) {
        let end = memchr::memchr(b'\n', rest).map_or(header.len(), |e| at + e + 1);
        if matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
            break;
        }
        if !matches!(rest, [b' ' | b'\t', ..]) {
            let field = name_of(rest.get(..end - at).unwrap_or(rest));
            let asked = field.is_some_and(|field| names.iter().any(|name| name.eq_ignore_ascii_case(field)));
            match keep_from {
                None if asked != not => keep_from = Some(at),
                Some(from) if asked == not => {
                    out.extend_from_slice(header.get(from..at).unwrap_or_default());
                    keep_from = None;
                }
                _ => {}
            }
        }
        at = end;
    }
    if let Some(from) = keep_from {
        out.extend_from_slice(header.get(from..at).unwrap_or_default());
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What HEADER.FIELDS usually gives is shorter.
const USUAL_FIELDS_BYTES: usize = 1 << 10;

/// The name of the field that a line begins; blanks before the colon are passed over.
fn name_of(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    line.get(..colon).map(<[u8]>::trim_ascii_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(parent: Option<usize>, children: &[usize], at: u64, kind: Kind) -> Part {
        Part { parent, children: children.to_vec(), header: at..at + 1, body: at + 1..at + 2, kind }
    }

    /// RFC 3501 §6.4.5's own example: text, octets, a message with two parts, a multipart with a gif and a message.
    fn rfc_example() -> Vec<Part> {
        vec![
            made(None, &[1, 2, 3, 7], 0, Kind::Multipart),
            made(Some(0), &[], 10, Kind::Leaf),
            made(Some(0), &[], 20, Kind::Leaf),
            made(Some(0), &[4], 30, Kind::Message),
            made(Some(3), &[5, 6], 40, Kind::Multipart),
            made(Some(4), &[], 50, Kind::Leaf),
            made(Some(4), &[], 60, Kind::Leaf),
            made(Some(0), &[8, 9], 70, Kind::Multipart),
            made(Some(7), &[], 80, Kind::Leaf),
            made(Some(7), &[10], 90, Kind::Message),
            made(Some(9), &[11, 12], 100, Kind::Multipart),
            made(Some(10), &[], 110, Kind::Leaf),
            made(Some(10), &[13, 14], 120, Kind::Multipart),
            made(Some(12), &[], 130, Kind::Leaf),
            made(Some(12), &[], 140, Kind::Leaf),
        ]
    }

    #[test]
    fn the_rfcs_example() {
        let parts = rfc_example();
        let fields = Portion::Fields { names: vec![b"x".to_vec()], not: false };
        for (path, text, start) in [
            (vec![], Portion::All, Some(0)),
            (vec![], Portion::Header, Some(0)),
            (vec![], Portion::Text, Some(1)),
            (vec![1], Portion::All, Some(11)),
            (vec![1], Portion::Mime, Some(10)),
            (vec![1], Portion::Header, None),
            (vec![1, 1], Portion::All, None),
            (vec![3], Portion::All, Some(31)),
            (vec![3], Portion::Mime, Some(30)),
            (vec![3], Portion::Header, Some(40)),
            (vec![3], fields, Some(40)),
            (vec![3], Portion::Text, Some(41)),
            (vec![3, 1], Portion::All, Some(51)),
            (vec![3, 2], Portion::Mime, Some(60)),
            (vec![3, 3], Portion::All, None),
            (vec![4], Portion::Text, None),
            (vec![4, 1], Portion::Mime, Some(80)),
            (vec![4, 2], Portion::Header, Some(100)),
            (vec![4, 2, 1], Portion::All, Some(111)),
            (vec![4, 2, 2], Portion::Mime, Some(120)),
            (vec![4, 2, 2, 2], Portion::All, Some(141)),
            (vec![5], Portion::All, None),
            (vec![u32::MAX], Portion::All, None),
        ] {
            assert_eq!(locate(&path, &text, &parts).map(|r| r.start), start, "{path:?} {text:?}");
        }
    }

    #[test]
    fn a_message_without_parts_is_its_part_1() {
        let leaf = [made(None, &[], 0, Kind::Leaf)];
        assert_eq!(locate(&[1], &Portion::All, &leaf), Some(1..2));
        assert_eq!(locate(&[1], &Portion::Mime, &leaf), Some(0..1));
        assert_eq!(locate(&[2], &Portion::All, &leaf), None);
        let nested = [made(None, &[1], 0, Kind::Message), made(Some(0), &[], 10, Kind::Leaf)];
        assert_eq!(locate(&[1, 1], &Portion::All, &nested), Some(11..12));
        assert_eq!(locate(&[1], &Portion::Header, &nested), Some(10..11));
        assert_eq!(locate(&[], &Portion::All, &[]), None);
    }

    #[test]
    fn fields_keep_folding_order_and_repetition() {
        let header = b"B: 1\r\nA: x\r\n\ty\r\nC: 2\r\na : 3\r\nno field\r\n\r\nA: body\r\n";
        let of = |names: &[&str], not| {
            let names: Vec<_> = names.iter().map(|n| n.as_bytes().to_vec()).collect();
            String::from_utf8(filter(header, &names, not)).unwrap()
        };
        assert_eq!(of(&["c", "a"], false), "A: x\r\n\ty\r\nC: 2\r\na : 3\r\n\r\n");
        assert_eq!(of(&["A"], true), "B: 1\r\nC: 2\r\nno field\r\n\r\n");
        assert_eq!(of(&["Z"], false), "\r\n");
        assert_eq!(filter(b"A: cut", &[b"a".to_vec()], false), b"A: cut\r\n\r\n");
        assert_eq!(filter(b"", &[b"a".to_vec()], true), b"\r\n");
    }
}
