//! Documents, sheets and slides of Office Open XML (ECMA-376).
//!
//! Taken is what a reader can see: paragraphs, cells as they are stored (a date is a number there), headers, footers, notes and comments; not what
//! was deleted under revision, field codes, or the copy that older programs are given of a drawing.

use crate::Format;
use crate::bounds::{Stop, Taker};
use crate::xml::Item;
use crate::zipped::Archive;

pub(crate) fn take(taker: &mut Taker, format: Format, bytes: &[u8]) -> Result<(), Stop> {
    let mut archive = Archive::open(bytes)?;
    match format {
        Format::Docx => document(taker, &mut archive),
        Format::Xlsx => workbook(taker, &mut archive),
        _ => slides(taker, &mut archive),
    }
}

/// A list of parts, each with its text; one that is damaged leaves the others.
fn all(taker: &mut Taker, archive: &mut Archive<'_>, names: Vec<String>) -> Result<(), Stop> {
    for name in names {
        let mut prose = Prose::default();
        let walked = archive.walk(taker, &name, &mut |taker, item| prose.item(taker, &item));
        match walked {
            Err(stop) if stop.ends_all() => return Err(stop),
            Err(stop) => taker.note(&stop),
            Ok(_) => {}
        }
        taker.line()?;
    }
    Ok(())
}

fn document(taker: &mut Taker, archive: &mut Archive<'_>) -> Result<(), Stop> {
    let main = archive.parts("word/", "document");
    if main.is_empty() {
        return Err(Stop::Damaged("it has no text document in it".into()));
    }
    let mut names = main;
    for stem in ["header", "footer", "footnotes", "endnotes", "comments"] {
        names.extend(archive.parts("word/", stem).into_iter().filter(|name| is_numbered(name, stem)));
    }
    all(taker, archive, names)
}

/// `word/comments.xml`, not `word/commentsExtended.xml`.
fn is_numbered(name: &str, stem: &str) -> bool {
    let rest = name.trim_start_matches("word/").trim_start_matches(stem).trim_end_matches(".xml");
    rest.bytes().all(|byte| byte.is_ascii_digit())
}

fn slides(taker: &mut Taker, archive: &mut Archive<'_>) -> Result<(), Stop> {
    let mut names = archive.parts("ppt/slides/", "slide");
    if names.is_empty() {
        return Err(Stop::Damaged("it has no slides in it".into()));
    }
    names.extend(archive.parts("ppt/notesSlides/", "notesSlide"));
    names.extend(archive.parts("ppt/comments/", ""));
    all(taker, archive, names)
}

/// Running text: `w:t`, `a:t`, `m:t` in paragraphs.
#[derive(Debug, Default)]
struct Prose {
    /// Elements open that hold text.
    text: u32,
    /// Elements open whose content isn't shown.
    hidden: u32,
}

impl Prose {
    fn item(&mut self, taker: &mut Taker, item: &Item<'_>) -> Result<(), Stop> {
        match item {
            Item::Start("Fallback" | "del" | "moveFrom", _) => self.hidden += 1,
            Item::End("Fallback" | "del" | "moveFrom") => self.hidden = self.hidden.saturating_sub(1),
            _ if self.hidden > 0 => {}
            // `p:text` is a comment's.
            Item::Start("t" | "text", _) => self.text += 1,
            Item::End("t") => self.text = self.text.saturating_sub(1),
            Item::End("text") => {
                self.text = self.text.saturating_sub(1);
                taker.line()?;
            }
            Item::Start("tab" | "ptab", attributes) if attributes.value("pos").is_none() => {
                taker.push("\t")?
            }
            Item::Start("br" | "cr", _) => taker.push("\n")?,
            Item::Start("noBreakHyphen", _) => taker.push("-")?,
            Item::End("p") => taker.line()?,
            Item::Text(text) if self.text > 0 => taker.push(text)?,
            _ => {}
        }
        Ok(())
    }
}

fn workbook(taker: &mut Taker, archive: &mut Archive<'_>) -> Result<(), Stop> {
    let sheets = archive.parts("xl/worksheets/", "sheet");
    if sheets.is_empty() {
        return Err(Stop::Damaged("it has no sheets in it".into()));
    }
    archive.walk(taker, "xl/workbook.xml", &mut |taker, item| {
        if let Item::Start("sheet", attributes) = item {
            taker.push(&attributes.value("name").unwrap_or_default())?;
            taker.line()?;
        }
        Ok(())
    })?;
    let shared = Shared::read(taker, archive)?;
    for name in sheets {
        let mut cells = Cells {
            shared: &shared,
            kind: Kind::Value,
            taking: false,
            phonetic: 0,
            index: String::new(),
            in_row: false,
        };
        match archive.walk(taker, &name, &mut |taker, item| cells.item(taker, &item)) {
            Err(stop) if stop.ends_all() => return Err(stop),
            Err(stop) => taker.note(&stop),
            Ok(_) => {}
        }
        taker.line()?;
    }
    let mut names = archive.parts("xl/", "comments");
    names.extend(archive.parts("xl/threadedComments/", ""));
    names.extend(archive.parts("xl/drawings/", "drawing"));
    all(taker, archive, names)
}

/// The strings that cells share, as many of them as the text may be long.
#[derive(Debug, Default)]
struct Shared {
    text: String,
    ends: Vec<usize>,
}

impl Shared {
    fn read(taker: &mut Taker, archive: &mut Archive<'_>) -> Result<Shared, Stop> {
        let most = taker.bounds().output_bytes;
        let (mut shared, mut text, mut phonetic) = (Shared::default(), false, 0_u32);
        let walked = archive.walk(taker, "xl/sharedStrings.xml", &mut |_, item| {
            match item {
                Item::Start("rPh", _) => phonetic += 1,
                Item::End("rPh") => phonetic = phonetic.saturating_sub(1),
                Item::Start("t", _) => text = phonetic == 0,
                Item::End("t") => text = false,
                Item::End("si") => shared.ends.push(shared.text.len()),
                Item::Text(some) if text => shared.text.push_str(some),
                _ => {}
            }
            let bytes = shared.text.len() + shared.ends.len() * size_of::<usize>();
            if bytes > 2 * most { Err(Stop::Full(most)) } else { Ok(()) }
        });
        match walked {
            // The sheets show what they can of it.
            Err(stop @ Stop::Full(_)) => taker.note(&stop),
            other => {
                other?;
            }
        }
        Ok(shared)
    }

    fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        self.text.get(start..end)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    Shared,
    /// Truth values and errors: no text.
    None,
}

/// The cells of a sheet: a row a line, tabs between.
struct Cells<'a> {
    shared: &'a Shared,
    kind: Kind,
    taking: bool,
    phonetic: u32,
    index: String,
    in_row: bool,
}

impl Cells<'_> {
    fn item(&mut self, taker: &mut Taker, item: &Item<'_>) -> Result<(), Stop> {
        match item {
            Item::Start("c", attributes) => {
                self.kind = match attributes.value("t").as_deref() {
                    Some("s") => Kind::Shared,
                    Some("b" | "e") => Kind::None,
                    _ => Kind::Value,
                };
            }
            Item::Start("rPh", _) => self.phonetic += 1,
            Item::End("rPh") => self.phonetic = self.phonetic.saturating_sub(1),
            Item::Start("v" | "t", _) => {
                self.taking = self.phonetic == 0;
                self.index.clear();
                if self.in_row && self.taking && self.kind == Kind::Value {
                    taker.push("\t")?;
                    self.in_row = false;
                }
            }
            Item::End(name @ ("v" | "t")) => {
                self.taking = false;
                let found = self.index.trim().parse().ok().and_then(|index| self.shared.get(index));
                if let (Kind::Shared, Some(text), "v") = (self.kind, found, *name) {
                    if self.in_row {
                        taker.push("\t")?;
                    }
                    taker.push(text)?;
                }
            }
            Item::End("c") => self.in_row = self.kind != Kind::None || self.in_row,
            Item::End("row") => {
                self.in_row = false;
                taker.line()?;
            }
            Item::Text(text) if self.taking => match self.kind {
                Kind::Value => taker.push(text)?,
                // A number of more digits than that is none.
                Kind::Shared if self.index.len() + text.len() < 32 => self.index.push_str(text),
                Kind::Shared | Kind::None => {}
            },
            _ => {}
        }
        Ok(())
    }
}
