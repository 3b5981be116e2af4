//! ZIP archives: office documents in disguise, and the files in real ones.
//!
//! Invariant: nothing is believed of what an entry says of its size; a file that can't be read leaves the others.

use crate::bounds::{Stop, Taker};
use crate::{Format, xml};
use std::io::{Cursor, ErrorKind, Read};
use zip::ZipArchive;
use zip::result::ZipError;

/// An archive in memory.
pub(crate) struct Archive<'a>(ZipArchive<Cursor<&'a [u8]>>);

impl<'a> Archive<'a> {
    /// Opens an archive.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Archive<'a>, Stop> {
        // OLE's own container: an office document that a password protects, or an old one under a new name.
        if bytes.starts_with(b"\xd0\xcf\x11\xe0") {
            return Err(Stop::Password);
        }
        Ok(Archive(ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?))
    }

    /// Names of its files, in the order of the archive.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Those of `folder` (`ppt/slides/`) that begin with `stem` and end in `.xml`, by the number in their name.
    pub(crate) fn parts(&self, folder: &str, stem: &str) -> Vec<String> {
        let mut found: Vec<(u64, String)> = Vec::new();
        for name in self.names() {
            let Some(rest) = name.strip_prefix(folder).and_then(|rest| rest.strip_prefix(stem)) else {
                continue;
            };
            let Some(rest) = rest.strip_suffix(".xml") else { continue };
            if !rest.contains('/') {
                found.push((rest.parse().unwrap_or(0), name));
            }
        }
        found.sort();
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// Walks through the XML of a file; false when there is none of this name.
    pub(crate) fn walk(
        &mut self,
        taker: &mut Taker,
        name: &str,
        each: &mut dyn FnMut(&mut Taker, xml::Item<'_>) -> Result<(), Stop>,
    ) -> Result<bool, Stop> {
        let file = match self.0.by_name(name) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Ok(false),
            Err(error) => return Err(damaged(&error)),
        };
        taker.entry()?;
        let mut meter = taker.meter();
        let walked = xml::walk(meter.count(file), &mut |item| each(taker, item));
        taker.metered(&meter);
        meter.check()?;
        walked.map(|()| true)
    }

    /// A file, whole.
    fn read(&mut self, taker: &Taker, index: usize) -> Result<Vec<u8>, Stop> {
        let most = taker.bounds().entry_bytes;
        let file = self.0.by_index(index).map_err(|error| damaged(&error))?;
        let mut meter = taker.meter();
        let mut bytes = Vec::new();
        let read = meter.count(file.take(most + 1)).read_to_end(&mut bytes);
        taker.metered(&meter);
        meter.check()?;
        read.map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => Stop::Memory,
            _ => Stop::Damaged(format!("a file in it can't be read: {error}")),
        })?;
        if bytes.len() as u64 > most {
            return Err(Stop::Entry(most));
        }
        Ok(bytes)
    }
}

fn damaged(error: &ZipError) -> Stop {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => Stop::Password,
        other => Stop::Damaged(format!("its ZIP archive can't be read: {other}")),
    }
}

/// The office document that an archive is.
fn office(archive: &Archive<'_>) -> Option<Format> {
    let names = archive.names();
    let has = |folder: &str| names.iter().any(|name| name.starts_with(folder));
    if has("[Content_Types].xml") {
        return match () {
            () if has("word/") => Some(Format::Docx),
            () if has("xl/") => Some(Format::Xlsx),
            () if has("ppt/") => Some(Format::Pptx),
            () => None,
        };
    }
    // All three are read alike.
    (names.first().is_some_and(|name| name == "mimetype") && has("content.xml")).then_some(Format::Odt)
}

/// Takes the names of the files in an archive, and the text of those that have one.
pub(crate) fn take(taker: &mut Taker, bytes: &[u8]) -> Result<(), Stop> {
    let mut archive = Archive::open(bytes)?;
    if let Some(format) = office(&archive) {
        return crate::take(taker, format, bytes);
    }
    taker.deeper(|taker| {
        for (index, name) in archive.names().into_iter().enumerate() {
            taker.entry()?;
            if name.ends_with('/') {
                continue;
            }
            taker.line()?;
            taker.push(&name)?;
            taker.line()?;
            if !Format::may_be("", &name) {
                continue;
            }
            let one = archive.read(taker, index).and_then(|file| match Format::of("", &name, &file) {
                Some(format) => crate::take(taker, format, &file),
                None => Ok(()),
            });
            match one {
                Err(stop) if stop.ends_all() => return Err(stop),
                Err(stop) => {
                    let name: String = name.chars().take(200).collect();
                    taker.note(&Stop::Damaged(format!("{name}: {stop}")));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    })
}
