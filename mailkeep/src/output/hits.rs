//! What a search found, for people: aligned columns cut to the terminal, and below each the text around the hit.
//!
//! Invariant: what came from mail is cleaned before it is measured, cut or marked; the only control sequences are the marks
//! made here, and only on a terminal. Long results are laid out in pages.

use super::clean;
use console::{Term, measure_text_width, truncate_str};
use serde_json::Value;
use std::io::{self, Write};

/// Rows that are laid out together.
const PAGE: usize = 100;
/// Widest a column gets where nothing says how wide the terminal is.
const MAX_CELL: usize = 72;
/// Widest senders and folders on a terminal.
const MAX_FROM: usize = 28;
const MAX_FOLDER: usize = 32;
/// Narrowest subject.
const MIN_SUBJECT: usize = 16;

/// Hits being collected.
pub(super) struct Hits {
    page: Vec<Hit>,
    any: bool,
    /// The terminal's width; none where it is no terminal.
    width: Option<usize>,
    /// Hits are marked.
    marks: bool,
}

struct Hit {
    cells: [String; 5],
    snippet: Option<[String; 3]>,
}

impl Hits {
    pub(super) fn new(is_terminal: bool) -> Hits {
        let size = Term::stdout().size_checked().filter(|_| is_terminal);
        let plain = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let marks = is_terminal && !plain && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Hits { page: Vec::new(), any: false, width: size.map(|(_, columns)| usize::from(columns)), marks }
    }

    /// Adds a hit; writes the page when it is full.
    pub(super) fn row(&mut self, row: &Value, out: &mut impl Write) -> io::Result<()> {
        let text =
            |pointer: &str| row.pointer(pointer).and_then(Value::as_str).map(clean).unwrap_or_default();
        let uid = row.get("uid").and_then(Value::as_u64).unwrap_or_default().to_string();
        // 2019-05-17T10:00:00+02:00: the day and the minutes, in its own zone.
        let date = text("/date").replacen('T', " ", 1).chars().take(16).collect();
        let snippet = row
            .get("snippet")
            .map(|_| [text("/snippet/before"), text("/snippet/hit"), text("/snippet/after")]);
        self.page.push(Hit { cells: [date, text("/from"), text("/subject"), text("/folder"), uid], snippet });
        if self.page.len() < PAGE { Ok(()) } else { self.write(out) }
    }

    /// Writes what is left.
    pub(super) fn end(&mut self, well: bool, out: &mut impl Write) -> io::Result<()> {
        match self.page.is_empty() {
            true if !self.any && well => writeln!(out, "Nothing was found."),
            true => Ok(()),
            false => self.write(out),
        }
    }

    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        let heads = ["DATE", "FROM", "SUBJECT", "FOLDER", "UID"];
        let mut widths = heads.map(measure_text_width);
        for hit in &self.page {
            for (width, cell) in widths.iter_mut().zip(&hit.cells) {
                *width = measure_text_width(cell).max(*width);
            }
        }
        let [date, from, subject, folder, uid] = widths;
        let (from, subject, folder) = match self.width {
            None => (from.min(MAX_CELL), subject.min(MAX_CELL), folder.min(MAX_CELL)),
            Some(all) => {
                let (from, folder) = (from.min(MAX_FROM), folder.min(MAX_FOLDER));
                let left = all.saturating_sub(date + from + folder + uid + 8);
                (from, subject.min(left.max(MIN_SUBJECT)), folder)
            }
        };
        let widths = [date, from, subject, folder, uid];
        if !self.any {
            self.line(&heads.map(str::to_owned), widths, out)?;
        }
        self.any = true;
        for hit in std::mem::take(&mut self.page) {
            self.line(&hit.cells, widths, out)?;
            if let Some([before, found, after]) = &hit.snippet {
                self.snippet(before, found, after, out)?;
            }
        }
        Ok(())
    }

    fn line(&self, cells: &[String; 5], widths: [usize; 5], out: &mut impl Write) -> io::Result<()> {
        let mut line = String::new();
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let cut = truncate_str(cell, width, "…");
            let pad = " ".repeat(width.saturating_sub(measure_text_width(&cut)));
            let is_number = at + 1 == widths.len();
            line.push_str(if at > 0 { "  " } else { "" });
            line.push_str(&if is_number { format!("{pad}{cut}") } else { format!("{cut}{pad}") });
        }
        writeln!(out, "{}", line.trim_end())
    }

    /// The hit in the middle of its line, marked.
    fn snippet(&self, before: &str, found: &str, after: &str, out: &mut impl Write) -> io::Result<()> {
        let room = self.width.map_or(usize::MAX, |width| width.saturating_sub(4).max(20));
        let found = truncate_str(found, room, "…");
        let left = room.saturating_sub(measure_text_width(&found));
        let front = last(before, left / 2);
        let behind = truncate_str(after, left.saturating_sub(measure_text_width(&front)), "…");
        match self.marks && !found.is_empty() {
            true => writeln!(out, "    {front}\u{1b}[1m{found}\u{1b}[22m{behind}"),
            false => writeln!(out, "    {front}{found}{behind}"),
        }
    }
}

/// The end of a text, cut to a width.
fn last(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let text = text.trim_start_matches('…');
    let fits = |at: &usize| text.get(*at..).is_some_and(|end| measure_text_width(end) < width.max(1));
    let start = text.char_indices().map(|(at, _)| at).find(fits).unwrap_or(text.len());
    format!("…{}", text.get(start..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(hits: &mut Hits, rows: &[Value]) -> String {
        let mut out = Vec::new();
        rows.iter().for_each(|row| hits.row(row, &mut out).unwrap());
        hits.end(true, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn row(subject: &str) -> Value {
        json!({
            "date": "2019-05-17T10:00:00+02:00", "from": "Bob <bob@example.org>", "subject": subject, "folder": "alice/F", "uid": 7,
            "snippet": { "before": "…some words before the ", "hit": "needle", "after": " and some words behind it…" },
        })
    }

    #[test]
    fn columns_align_and_nothing_harmful_passes() {
        let mut hits = Hits { page: Vec::new(), any: false, width: None, marks: false };
        let text = shown(&mut hits, &[row("a\u{1b}[2Jb"), row("日本語")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "DATE              FROM                   SUBJECT      FOLDER   UID");
        assert_eq!(lines[1], r"2019-05-17 10:00  Bob <bob@example.org>  a\u{1b}[2Jb  alice/F    7");
        assert_eq!(lines[2], "    …some words before the needle and some words behind it…");
        assert_eq!(lines[3], "2019-05-17 10:00  Bob <bob@example.org>  日本語       alice/F    7");
        let mut none = Hits { page: Vec::new(), any: false, width: None, marks: false };
        assert_eq!(shown(&mut none, &[]), "Nothing was found.\n");
    }

    #[test]
    fn a_terminal_gets_lines_that_fit_and_marks() {
        for width in [60, 80, 120] {
            let mut hits = Hits { page: Vec::new(), any: false, width: Some(width), marks: true };
            let text = shown(&mut hits, &[row(&"long 日本 ".repeat(40))]);
            assert!(text.contains("\u{1b}[1mneedle\u{1b}[22m"), "{text}");
            for line in text.lines() {
                assert!(measure_text_width(line) <= width.max(71), "{width}: {line}");
            }
        }
    }

    #[test]
    fn long_results_come_in_pages_under_one_heading() {
        let mut hits = Hits { page: Vec::new(), any: false, width: Some(100), marks: false };
        let rows: Vec<Value> = (0..=PAGE).map(|n| row(&n.to_string())).collect();
        let text = shown(&mut hits, &rows);
        assert_eq!((text.matches("SUBJECT").count(), text.lines().count()), (1, 2 * (PAGE + 1) + 1));
    }
}
