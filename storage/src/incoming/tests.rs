//! Messages read whole: canonical, hashed, and given back bit for bit.

use super::*;
use proptest::prelude::*;
use std::io::BufRead;

/// Gives its pieces one read at a time, then what `end` says.
struct Pieces {
    pieces: Vec<Vec<u8>>,
    reads: usize,
    end: Option<io::ErrorKind>,
}

fn pieces(all: &[u8], cuts: &[usize]) -> Pieces {
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (all.len() + 1)).chain([0, all.len()]).collect();
    cuts.sort_unstable();
    let parts = cuts.windows(2).map(|w| all[w[0]..w[1]].to_vec());
    Pieces { pieces: parts.filter(|p| !p.is_empty()).collect(), reads: 0, end: None }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.pieces.is_empty() {
            return self.end.map_or(Ok(0), |kind| Err(kind.into()));
        }
        let piece = self.pieces.remove(0);
        into[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// The plainest canonicalisation: the oracle.
fn canonical(source: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, &byte) in source.iter().enumerate() {
        if byte == b'\n' && (at == 0 || source[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

fn restore(line_ends: &LineEnds, canonical: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut restorer = line_ends.restorer();
    pieces(canonical, cuts).pieces.iter().for_each(|piece| restorer.push(piece, &mut out));
    restorer.finish(&mut out);
    out
}

fn limits(max_message_bytes: u64, spool_above_bytes: usize) -> Limits {
    Limits { max_message_bytes, spool_above_bytes, ..Limits::default() }
}

fn bytes_of(content: &Content) -> Vec<u8> {
    content.read(0..u64::MAX).unwrap().to_vec()
}

proptest! {
    #[test]
    fn the_source_comes_back(
        source in prop::collection::vec(prop::sample::select(&b"\r\n\r\nab\0"[..]), 0..60),
        cuts in prop::collection::vec(any::<usize>(), 0..8), back in prop::collection::vec(any::<usize>(), 0..8),
        spool in 0usize..80,
    ) {
        let got = Incoming::read(pieces(&source, &cuts), Vec::new(), &limits(1_000, spool)).unwrap();
        let want = canonical(&source);
        prop_assert_eq!(bytes_of(&got.content), &want[..]);
        prop_assert_eq!(got.hash.0, <[u8; 32]>::from(Sha256::digest(&want)));
        prop_assert_eq!(matches!(got.content, Content::File(..)), want.len() > spool);
        prop_assert_eq!(restore(&got.line_ends, &want, &back), source);
        // What is canonical stays, with an empty map.
        let again = Incoming::read(&want[..], Vec::new(), &limits(1_000, spool)).unwrap();
        prop_assert_eq!(bytes_of(&again.content), want);
        prop_assert_eq!(again.line_ends, LineEnds::default());
    }

    #[test]
    fn any_part_of_content_is_that_part(len in 0usize..50, range in any::<(u8, u8)>(), spool in any::<bool>()) {
        let source: Vec<u8> = (0..len as u8).map(|n| n + 100).collect();
        let limits = limits(100, if spool { 0 } else { 100 });
        let content = Incoming::read(&source[..], Vec::new(), &limits).unwrap().content;
        let (start, end) = (usize::from(range.0) % 60, usize::from(range.1) % 60);
        let want = source.get(start..end.min(len)).unwrap_or_default();
        prop_assert_eq!(content.read(start as u64..end as u64).unwrap(), want);
        prop_assert_eq!(content.len(), len as u64);
        prop_assert_eq!(content.is_empty(), len == 0);
        let mut all = Vec::new();
        content.reader().read_to_end(&mut all).unwrap();
        prop_assert_eq!(all, source);
    }
}

#[test]
fn line_ends_of_every_kind() {
    for (source, want, runs) in [
        (&b""[..], &b""[..], &[][..]),
        (b"a", b"a", &[]),
        (b"a\r\nb\r\n", b"a\r\nb\r\n", &[]),
        (b"a\nb\n", b"a\r\nb\r\n", &[0, 2]),
        (b"\n", b"\r\n", &[0, 1]),
        (b"\r", b"\r", &[]),
        (b"a\rb\r", b"a\rb\r", &[]),
        (b"a\r\r\nb", b"a\r\r\nb", &[]),
        (b"a\n\r", b"a\r\n\r", &[0, 1]),
        (b"\r\n\n\n\r\n", b"\r\n\r\n\r\n\r\n", &[1, 2, 1]),
    ] {
        let got = Incoming::read(source, b"From x\n".to_vec(), &Limits::default()).unwrap();
        assert_eq!(bytes_of(&got.content), want, "{source:?}");
        assert_eq!(got.line_ends.runs, runs, "{source:?}");
        assert_eq!(got.prefix, b"From x\n");
        assert_eq!(restore(&got.line_ends, want, &[]), source);
    }
}

#[test]
fn a_message_at_the_bound_and_one_past_it() {
    let at =
        |source: &[u8], max| Incoming::read(source, Vec::new(), &limits(max, 4)).map(|i| i.content.len());
    assert_eq!(at(b"12345678", 8).unwrap(), 8);
    assert!(matches!(at(b"123456789", 8), Err(Error::Limit { found: 9, limit: 8, .. })));
    assert_eq!(at(b"123456\n", 8).unwrap(), 8, "canonical bytes are counted");
    assert!(matches!(at(b"1234567\n", 8), Err(Error::Limit { .. })));
    let mut endless = pieces(&[b'x'; 100], &(0..100).collect::<Vec<_>>());
    assert!(Incoming::read(&mut endless, Vec::new(), &limits(8, 4)).is_err());
    assert_eq!(endless.reads, 9, "the source is read no further");
}

#[test]
fn content_at_the_spool_bound_and_one_past_it() {
    let at = |source: &[u8]| Incoming::read(source, Vec::new(), &limits(100, 8)).unwrap().content;
    assert!(matches!(at(b"12345678"), Content::Memory(_)));
    assert!(matches!(at(b"123456789"), Content::File(_, 9)));
}

#[test]
fn changes_of_line_ends_at_the_bound_and_one_past_it() {
    let run = |max_runs, source: &[u8]| {
        let mut canonicalizer = Canonicalizer::new(max_runs);
        canonicalizer.push(source, &mut Vec::new()).map(|()| canonicalizer.finish().runs)
    };
    assert_eq!(
        run(3, b"\n\r\n\n").unwrap_err().to_string(),
        run(3, b"\n\r\n\n\r\n").unwrap_err().to_string()
    );
    assert_eq!(run(3, b"\n\r\n\r\n").unwrap(), [0, 1, 2]);
    assert!(matches!(run(3, b"\n\r\n\n"), Err(Error::Limit { found: 4, limit: 3, .. })));
}

#[test]
fn a_source_that_fails_is_an_error_and_one_that_is_interrupted_is_not() {
    struct Hiccup(Pieces, bool);
    impl Read for Hiccup {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(into) }
        }
    }
    let got =
        Incoming::read(Hiccup(pieces(b"a\nb", &[1, 2]), false), Vec::new(), &Limits::default()).unwrap();
    assert_eq!(bytes_of(&got.content), b"a\r\nb");
    let broken = Pieces { end: Some(io::ErrorKind::TimedOut), ..pieces(b"a\nb", &[]) };
    assert!(matches!(Incoming::read(broken, Vec::new(), &Limits::default()), Err(Error::Io { .. })));
}

#[test]
fn a_large_message_is_the_same_spooled() {
    let line = b"a line of a large message, which goes to a file\n";
    let source = line.repeat(50_000);
    let got = Incoming::read(&source[..], Vec::new(), &Limits::default()).unwrap();
    assert!(matches!(got.content, Content::File(..)));
    let lines = got.content.reader().split(b'\n').map(Result::unwrap);
    assert_eq!(lines.filter(|l| l[..] == [&line[..line.len() - 1], b"\r"].concat()).count(), 50_000);
    assert_eq!(got.line_ends.runs, [0, 50_000]);
    assert_eq!(restore(&got.line_ends, &bytes_of(&got.content), &[]), source);
}
