//! OpenDocument text, sheets and slides (ISO/IEC 26300): paragraphs and headings of the content, headers and footers.
//!
//! Cells and rows that a sheet says are repeated are taken once.

use crate::bounds::{Stop, Taker};
use crate::xml::Item;
use crate::zipped::Archive;

pub(crate) fn take(taker: &mut Taker, bytes: &[u8]) -> Result<(), Stop> {
    let mut archive = Archive::open(bytes)?;
    let mut locked = false;
    archive.walk(taker, "META-INF/manifest.xml", &mut |_, item| {
        locked |= matches!(item, Item::Start("encryption-data", _));
        Ok(())
    })?;
    if locked {
        return Err(Stop::Password);
    }
    let mut content = Content { always: true, ..Content::default() };
    if !archive.walk(taker, "content.xml", &mut |taker, item| content.item(taker, &item))? {
        return Err(Stop::Damaged("it has no content in it".into()));
    }
    taker.line()?;
    let mut margins = Content::default();
    archive.walk(taker, "styles.xml", &mut |taker, item| margins.item(taker, &item))?;
    Ok(())
}

#[derive(Debug, Default)]
struct Content {
    /// Everywhere, not only in headers and footers.
    always: bool,
    margin: u32,
    paragraph: u32,
    hidden: u32,
    /// Cells open, of tables in tables.
    cells: u32,
    /// What stands before the next paragraph.
    before: &'static str,
}

/// Most blanks that one `text:s` may stand for.
const MAX_BLANKS: usize = 100;

impl Content {
    fn item(&mut self, taker: &mut Taker, item: &Item<'_>) -> Result<(), Stop> {
        match item {
            Item::Start("tracked-changes", _) => self.hidden += 1,
            Item::End("tracked-changes") => self.hidden = self.hidden.saturating_sub(1),
            _ if self.hidden > 0 => {}
            Item::Start("header" | "footer" | "header-left" | "footer-left", _) => self.margin += 1,
            Item::End("header" | "footer" | "header-left" | "footer-left") => {
                self.margin = self.margin.saturating_sub(1);
            }
            _ if !self.always && self.margin == 0 => {}
            Item::Start("table-cell", _) => self.cells += 1,
            Item::End("table-cell") => {
                self.cells = self.cells.saturating_sub(1);
                self.before = "\t";
            }
            Item::End("table-row") => {
                self.before = "";
                taker.line()?;
            }
            Item::Start("p" | "h", _) => {
                taker.push(std::mem::take(&mut self.before))?;
                self.paragraph += 1;
            }
            Item::End("p" | "h") => {
                self.paragraph = self.paragraph.saturating_sub(1);
                match self.cells {
                    0 => taker.push("\n")?,
                    _ => self.before = "\n",
                }
            }
            Item::Start("s", attributes) if self.paragraph > 0 => {
                let count = attributes.value("c").and_then(|count| count.parse().ok()).unwrap_or(1_usize);
                taker.push(&" ".repeat(count.min(MAX_BLANKS)))?;
            }
            Item::Start("tab", _) if self.paragraph > 0 => taker.push("\t")?,
            Item::Start("line-break", _) if self.paragraph > 0 => taker.push("\n")?,
            Item::Text(text) if self.paragraph > 0 => taker.push(text)?,
            _ => {}
        }
        Ok(())
    }
}
