//! Rows as columns that align. Long results are laid out in pages, so that memory doesn't grow with them.

use super::clean;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment};
use serde_json::Value;
use std::io::{self, Write};
use time::OffsetDateTime;
use time::macros::format_description;

/// Rows that are laid out together.
const PAGE: usize = 1_000;
/// Longest text of a cell, characters.
const MAX_CELL: usize = 72;

/// What a column shows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// Text as it is, a list with commas.
    Text,
    /// A number.
    Count,
    /// A size in KiB, MiB …
    Size,
    /// Seconds since 1970, as date and time (UTC).
    Time,
    /// Made of the value; the maker cleans it.
    Made(fn(&Value) -> String),
}

/// A column: heading, JSON pointer into the row, form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column(pub(crate) &'static str, pub(crate) &'static str, pub(crate) Form);

/// A table being filled.
pub(crate) struct Table {
    columns: &'static [Column],
    page: Vec<Vec<String>>,
    any: bool,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &'static [Column]) -> Table {
        Table { columns, page: Vec::new(), any: false }
    }

    /// Adds a row; writes the page when it is full.
    pub(crate) fn row(&mut self, row: &Value, out: &mut impl Write) -> io::Result<()> {
        self.page.push(self.columns.iter().map(|column| cell(row, column)).collect());
        if self.page.len() < PAGE { Ok(()) } else { self.write(out) }
    }

    /// Writes what is left; without any row, the words for that.
    pub(crate) fn end(&mut self, empty: Option<&str>, out: &mut impl Write) -> io::Result<()> {
        match empty {
            Some(words) if !self.any && self.page.is_empty() => writeln!(out, "{words}"),
            _ if self.page.is_empty() => Ok(()),
            _ => self.write(out),
        }
    }

    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING);
        if !self.any {
            table.set_header(self.columns.iter().map(|Column(head, ..)| Cell::new(head)));
        }
        for row in self.page.drain(..) {
            table.add_row(row.into_iter().zip(self.columns).map(|(text, Column(_, _, form))| {
                let side = match form {
                    Form::Count | Form::Size => CellAlignment::Right,
                    Form::Text | Form::Time | Form::Made(_) => CellAlignment::Left,
                };
                Cell::new(text).set_alignment(side)
            }));
        }
        self.any = true;
        for line in table.lines() {
            // The style pads each side with a blank.
            writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(&line).trim_end())?;
        }
        Ok(())
    }
}

fn cell(row: &Value, Column(_, pointer, form): &Column) -> String {
    let Some(value) = row.pointer(pointer).filter(|value| !value.is_null()) else { return "-".into() };
    let text = match (form, value) {
        (Form::Size, Value::Number(n)) => n.as_u64().map_or_else(|| n.to_string(), size),
        (Form::Time, Value::Number(n)) => n.as_i64().map_or_else(|| n.to_string(), moment),
        (Form::Made(make), value) => make(value),
        (_, Value::String(text)) => clean(text),
        (_, Value::Array(items)) => {
            let texts = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), clean));
            texts.collect::<Vec<_>>().join(", ")
        }
        (_, other) => other.to_string(),
    };
    match text.char_indices().nth(MAX_CELL) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A moment for people, UTC.
pub(crate) fn moment(secs: i64) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let shown = OffsetDateTime::from_unix_timestamp(secs).ok().and_then(|at| at.format(form).ok());
    shown.unwrap_or_else(|| secs.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[Column] = &[
        Column("NAME", "/name", Form::Text),
        Column("SIZE", "/size", Form::Size),
        Column("SEEN", "/sums/seen", Form::Count),
        Column("AT", "/at", Form::Time),
    ];

    #[test]
    fn columns_align_and_nothing_harmful_passes() {
        let (mut table, mut out) = (Table::new(COLUMNS), Vec::new());
        table
            .row(&json!({"name": "a\u{1b}\n", "size": 2048, "sums": {"seen": 7}, "at": 0}), &mut out)
            .unwrap();
        table.row(&json!({"name": ["x", "y"], "size": 5, "at": null}), &mut out).unwrap();
        table.end(Some("nothing"), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["NAME", "SIZE", "SEEN", "AT"]);
        assert_eq!(lines[1], [r"a\u{1b}\u{a}", "2.00", "KiB", "7", "1970-01-01", "00:00:00Z"]);
        assert_eq!(lines[2], ["x,", "y", "5", "B", "-", "-"]);
    }

    #[test]
    fn an_empty_table_says_so() {
        let (mut table, mut out) = (Table::new(COLUMNS), Vec::new());
        table.end(Some("nothing"), &mut out).unwrap();
        assert_eq!(out, b"nothing\n");
    }

    #[test]
    fn long_results_come_in_pages_under_one_heading() {
        let (mut table, mut out) = (Table::new(COLUMNS), Vec::new());
        for i in 0..=PAGE {
            table.row(&json!({ "name": i.to_string() }), &mut out).unwrap();
        }
        assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), PAGE + 1);
        table.end(Some("nothing"), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), PAGE + 2);
        assert_eq!(text.matches("NAME").count(), 1);
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = "ü".repeat(MAX_CELL);
        assert_eq!(cell(&json!({ "name": text }), &COLUMNS[0]), text);
        let cut = cell(&json!({ "name": format!("{text}ü") }), &COLUMNS[0]);
        assert_eq!(cut, format!("{text}…"));
    }
}
