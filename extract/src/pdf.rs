//! PDF, through a library: page by page, so that one bad page leaves the others.
//!
//! A page that makes the library panic counts as unreadable. What a page takes of time and memory is bounded by the process only.

use crate::bounds::{Stop, Taker};
use pdf_oxide::document::PdfDocument;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) fn take(taker: &mut Taker, bytes: &[u8]) -> Result<(), Stop> {
    let damaged = |what: &dyn std::fmt::Display| Stop::Damaged(format!("its PDF can't be read: {what}"));
    let guarded = |work: &mut dyn FnMut() -> Result<(), Stop>| {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged(&"the reader failed on it")))
    };
    let mut opened = None;
    guarded(&mut || {
        let document = PdfDocument::from_bytes(bytes.to_vec()).map_err(|error| damaged(&error))?;
        if document.is_encrypted() && !document.is_authenticated() {
            return Err(Stop::Password);
        }
        let pages = document.page_count().map_err(|error| damaged(&error))?;
        opened = Some((document, pages));
        Ok(())
    })?;
    let Some((document, pages)) = opened else { return Ok(()) };
    for page in 0..pages {
        let mut text = String::new();
        let read = guarded(&mut || {
            let found = document.extract_text(page);
            text = found.map_err(|error| Stop::Damaged(format!("page {}: {error}", page + 1)))?;
            Ok(())
        });
        if let Err(stop) = read {
            taker.note(&stop);
        }
        taker.push(text.trim_end())?;
        taker.line()?;
    }
    Ok(())
}
