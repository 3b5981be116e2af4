//! The text of attachments: what is in a file (bytes in, text out), and the process apart in which that is found out.
//!
//! Invariant: whatever the bytes, [`extract`] ends within its [`Bounds`] on what it gives and inflates; time and memory are bounded by
//! the process that it runs in ([`worker`]), which can neither open files nor start programs. The one that asks ([`Pool`]) outlives all of that.
//! Knows nothing of mail, stores or settings files: which part of a message is worth asking for is others' work.

mod bounds;
mod format;
mod html;
mod mail;
mod odf;
mod ooxml;
mod pdf;
mod plain;
mod pool;
mod rtf;
mod sandbox;
mod wire;
pub mod worker;
mod xml;
mod zipped;

pub use bounds::{Bounds, Found};
pub use format::Format;
pub use pool::{Pool, Settings};
pub use sandbox::{Confined, confine};

use bounds::{Stop, Taker};

/// The text of `bytes`, which are taken for `format`.
/// Never fails as a whole: what could not be read is said in [`Found::trouble`], beside the text that was found until then.
#[must_use]
pub fn extract(format: Format, bytes: &[u8], bounds: &Bounds) -> Found {
    let mut taker = Taker::new(bounds);
    if let Err(stop) = take(&mut taker, format, bytes) {
        taker.note(&stop);
    }
    taker.finish()
}

/// Adds the text of `bytes`; also for files inside of files.
fn take(taker: &mut Taker, format: Format, bytes: &[u8]) -> Result<(), Stop> {
    match format {
        Format::Pdf => pdf::take(taker, bytes),
        Format::Docx | Format::Xlsx | Format::Pptx => ooxml::take(taker, format, bytes),
        Format::Odt | Format::Ods | Format::Odp => odf::take(taker, bytes),
        Format::Rtf => rtf::take(taker, bytes),
        Format::Html => taker.push(&html::visible(&plain::decode(bytes))),
        Format::Plain | Format::Csv | Format::Ics | Format::Vcf => taker.push(&plain::decode(bytes)),
        Format::Mail => mail::take(taker, bytes),
        Format::Zip => zipped::take(taker, bytes),
    }
}

#[cfg(test)]
mod tests;
