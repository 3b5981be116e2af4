//! ENVELOPE (RFC 9051 §7.5.2) of a header block, and the dates in it.
//!
//! Encoded words stay encoded. An absent field is NIL, an empty one `""`; Sender and Reply-To that are absent or hold no
//! address are From. RFC 5322 §3.6 allows each field once: of several texts the last counts, addresses are joined.

use super::{Dates, address, date, string};
use crate::mime::field::Fields;
use std::borrow::Cow;

/// Appends the envelope of `header`.
pub(super) fn write(header: &[u8], out: &mut Vec<u8>) {
    const TEXTS: [&str; 4] = ["Date", "Subject", "In-Reply-To", "Message-ID"];
    const LISTS: [&str; 6] = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];
    let mut texts: [Option<Cow<'_, [u8]>>; 4] = [const { None }; 4];
    let mut lists: [Vec<u8>; 6] = [const { Vec::new() }; 6];
    for field in Fields::new(header) {
        if let Some((_, text)) = TEXTS.iter().zip(&mut texts).find(|(name, _)| field.is(name)) {
            *text = Some(field.unfolded());
        } else if let Some((_, list)) = LISTS.iter().zip(&mut lists).find(|(name, _)| field.is(name)) {
            address::write(&field.unfolded(), list);
        }
    }
    let [date, subject, in_reply_to, message_id] = &texts;
    let [from, sender, reply_to, to, cc, bcc] = &lists;
    let or_from = |list: &Vec<u8>| if list.is_empty() { from.clone() } else { list.clone() };
    out.push(b'(');
    string::put_or_nil(date.as_deref(), out);
    out.push(b' ');
    string::put_or_nil(subject.as_deref(), out);
    for list in [from, &or_from(sender), &or_from(reply_to), to, cc, bcc] {
        out.push(b' ');
        if list.is_empty() {
            out.extend_from_slice(b"NIL");
        } else {
            out.push(b'(');
            out.extend_from_slice(list);
            out.push(b')');
        }
    }
    out.push(b' ');
    string::put_or_nil(in_reply_to.as_deref(), out);
    out.push(b' ');
    string::put_or_nil(message_id.as_deref(), out);
    out.push(b')');
}

/// The dates of `header`: the topmost Received field's, and Date's.
pub(super) fn dates(header: &[u8]) -> Dates {
    let mut received = None;
    let mut sent = None;
    for field in Fields::new(header) {
        if field.is("Date") {
            sent = Some(field);
        } else if received.is_none() && field.is("Received") {
            received = Some(field);
        }
    }
    let received = received.and_then(|field| {
        let at = memchr::memrchr(b';', field.value)?;
        date::parse(&field.value[at + 1..])
    });
    Dates { received, sent: sent.and_then(|field| date::parse(field.value)) }
}
