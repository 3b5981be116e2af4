//! SEARCH and UID SEARCH (RFC 3501 §6.4.4, RETURN of RFC 4731). Storage decides what matches; the answer is written in
//! chunks.

use crate::proto::encode;
use crate::proto::parse::Cursor;
use crate::proto::parse::search::{Returns, search};
use crate::proto::set::Runs;
use crate::reply::Refusal;
use crate::session::{CHUNK, Call, Done, Session, Work};
use storage::Cancel;

/// SEARCH
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let mailbox = s.selected()?;
    let asked = search(c, mailbox.uids())?;
    c.end()?;
    let found = match mailbox.view() {
        // Only what the snapshot has: a store that came back shows the rest with the next SELECT.
        Some(view) => s.world.storage.search(view, &asked.key, call.cancel)?.intersect(mailbox.uids()),
        None => storage::UidRanges::new(),
    };
    let runs = Runs::new(&found, mailbox.uids(), call.uid);
    let Some(returns) = asked.returns else {
        call.out.extend_from_slice(b"* SEARCH");
        return Ok(Done::Work(Box::new(Numbers { runs, rest: None }), "SEARCH done"));
    };
    let ends = found.first().zip(found.last()).and_then(|(first, last)| {
        let number = |uid: storage::Uid| {
            if call.uid { Some(u64::from(uid.0)) } else { mailbox.uids().seq_of(uid) }
        };
        Some((number(first)?, number(last)?))
    });
    begin_extended(call, &returns, ends, found.len());
    if returns.all && ends.is_some() {
        call.out.extend_from_slice(b" ALL ");
        return Ok(Done::Work(Box::new(Set { runs, first: true }), "SEARCH done"));
    }
    call.out.extend_from_slice(b"\r\n");
    Ok(Done::Ok("SEARCH done"))
}

/// The tag is quoted always: the new Outlook needs it so.
fn begin_extended(call: &mut Call<'_>, returns: &Returns, ends: Option<(u64, u64)>, count: u64) {
    let out = &mut *call.out;
    out.extend_from_slice(b"* ESEARCH (TAG ");
    encode::string(call.tag, out);
    out.extend_from_slice(if call.uid { b") UID" } else { b")" });
    let mut item = |asked: bool, word: &[u8], value: Option<u64>| {
        if let Some(value) = value.filter(|_| asked) {
            out.extend_from_slice(word);
            encode::number(value, out);
        }
    };
    item(returns.min, b" MIN ", ends.map(|e| e.0));
    item(returns.max, b" MAX ", ends.map(|e| e.1));
    item(returns.count, b" COUNT ", Some(count));
}

/// The numbers of a plain answer.
struct Numbers {
    runs: Runs,
    rest: Option<(u64, u64)>,
}

impl Work for Numbers {
    fn step(&mut self, out: &mut Vec<u8>, _: &Cancel) -> Result<bool, Refusal> {
        while let Some((first, last)) = self.rest.take().or_else(|| self.runs.next()) {
            if out.len() >= CHUNK {
                self.rest = Some((first, last));
                return Ok(false);
            }
            out.push(b' ');
            encode::number(first, out);
            if first < last {
                self.rest = Some((first + 1, last));
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(true)
    }
    fn is_inside_line(&self) -> bool {
        true
    }
}

/// The set of an extended answer.
struct Set {
    runs: Runs,
    first: bool,
}

impl Work for Set {
    fn step(&mut self, out: &mut Vec<u8>, _: &Cancel) -> Result<bool, Refusal> {
        while out.len() < CHUNK {
            let Some((first, last)) = self.runs.next() else {
                out.extend_from_slice(b"\r\n");
                return Ok(true);
            };
            if !self.first {
                out.push(b',');
            }
            self.first = false;
            encode::number(first, out);
            if first < last {
                out.push(b':');
                encode::number(last, out);
            }
        }
        Ok(false)
    }
    fn is_inside_line(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::UidRanges;

    /// Every other UID of 40,000: an answer of several chunks, none larger than a chunk and a number.
    #[test]
    fn a_long_answer_comes_in_chunks_and_is_whole() {
        let found = UidRanges::from_spans((1..=20_000).map(|n| (2 * n, 2 * n)));
        let runs = || Runs::new(&found, &found, true);
        let numbers: Vec<String> = found.iter().map(|uid| uid.to_string()).collect();
        let works: [(Box<dyn Work>, String); 2] = [
            (Box::new(Numbers { runs: runs(), rest: None }), format!(" {}\r\n", numbers.join(" "))),
            (Box::new(Set { runs: runs(), first: true }), format!("{}\r\n", numbers.join(","))),
        ];
        for (mut work, expected) in works {
            let (mut all, mut chunks) = (Vec::new(), 0);
            loop {
                let mut out = Vec::new();
                let done = work.step(&mut out, &Cancel::default()).unwrap();
                assert!(out.len() <= CHUNK + 22);
                all.extend(out);
                chunks += 1;
                if done {
                    break;
                }
            }
            assert_eq!(String::from_utf8(all).unwrap(), expected);
            assert!(chunks > 1);
        }
        let by_number = Runs::new(&found, &found, false);
        assert_eq!(by_number.collect::<Vec<_>>(), [(1, 20_000)]);
    }
}
