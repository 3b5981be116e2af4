//! What a file is: by its media type, its name, and its first bytes.
//!
//! Invariant: the same three give the same format; bytes that say clearly what they are win over a name.

/// A kind of file whose text can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Format {
    Pdf = 1,
    Docx = 2,
    Xlsx = 3,
    Pptx = 4,
    Odt = 5,
    Ods = 6,
    Odp = 7,
    Rtf = 8,
    Html = 9,
    Plain = 10,
    Csv = 11,
    Ics = 12,
    Vcf = 13,
    Mail = 14,
    Zip = 15,
}

/// Format, name of the setting, media types, name endings.
type Row = (Format, &'static str, &'static [&'static str], &'static [&'static str]);

const TABLE: [Row; 15] = [
    (Format::Pdf, "pdf", &["application/pdf", "application/x-pdf"], &["pdf"]),
    (
        Format::Docx,
        "docx",
        &[
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
            "application/vnd.ms-word.document.macroenabled.12",
        ],
        &["docx", "docm", "dotx", "dotm"],
    ),
    (
        Format::Xlsx,
        "xlsx",
        &[
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.template",
            "application/vnd.ms-excel.sheet.macroenabled.12",
        ],
        &["xlsx", "xlsm", "xltx", "xltm"],
    ),
    (
        Format::Pptx,
        "pptx",
        &[
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
            "application/vnd.openxmlformats-officedocument.presentationml.template",
            "application/vnd.ms-powerpoint.presentation.macroenabled.12",
        ],
        &["pptx", "pptm", "ppsx", "ppsm", "potx"],
    ),
    (
        Format::Odt,
        "odt",
        &["application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text-template"],
        &["odt", "ott"],
    ),
    (
        Format::Ods,
        "ods",
        &[
            "application/vnd.oasis.opendocument.spreadsheet",
            "application/vnd.oasis.opendocument.spreadsheet-template",
        ],
        &["ods", "ots"],
    ),
    (
        Format::Odp,
        "odp",
        &[
            "application/vnd.oasis.opendocument.presentation",
            "application/vnd.oasis.opendocument.presentation-template",
        ],
        &["odp", "otp"],
    ),
    (Format::Rtf, "rtf", &["application/rtf", "application/x-rtf"], &["rtf"]),
    (Format::Html, "html", &["application/xhtml+xml"], &["html", "htm", "xhtml"]),
    (
        Format::Plain,
        "plain",
        &["application/x-patch", "application/x-diff", "application/xml", "application/json"],
        &["txt", "text", "log", "md", "patch", "diff", "xml", "json"],
    ),
    (Format::Csv, "csv", &["application/csv"], &["csv", "tsv"]),
    (Format::Ics, "ics", &[], &["ics", "ical"]),
    (Format::Vcf, "vcf", &["application/vcard"], &["vcf", "vcard"]),
    (Format::Mail, "mail", &[], &["eml"]),
    (Format::Zip, "zip", &["application/zip", "application/x-zip", "application/x-zip-compressed"], &["zip"]),
];

/// Media types that say nothing, or often another thing than the file is.
const GENERIC: [&str; 8] = [
    "application/octet-stream",
    "application/octetstream",
    "application/binary",
    "application/download",
    "application/force-download",
    "application/x-download",
    "application/unknown",
    "application/msword",
];

/// Bytes of a file's front that [`Format::of`] looks at.
const HEAD_BYTES: usize = 1_024;

impl Format {
    /// All formats.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|row| row.0)
    }

    /// The name that settings use.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Format> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The number that stands for it in files and between processes.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The format of this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Format> {
        Format::all().find(|format| format.code() == code)
    }

    /// Whether a file with this media type (lower case, `application/pdf`) and name may be one whose text can be had: only then
    /// its bytes are worth reading.
    #[must_use]
    pub fn may_be(media_type: &str, file_name: &str) -> bool {
        Format::by_type(media_type).is_some()
            || Format::by_name(file_name).is_some()
            || (GENERIC.contains(&media_type)
                && matches!(ending(file_name).as_str(), "" | "doc" | "dat" | "bin"))
    }

    /// What the file is; `None` for what no text can be had of.
    #[must_use]
    pub fn of(media_type: &str, file_name: &str, bytes: &[u8]) -> Option<Format> {
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        let said = Format::by_type(media_type).or_else(|| Format::by_name(file_name));
        if head.starts_with(b"{\\rtf") {
            return Some(Format::Rtf);
        }
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            // What kind of archive it is, its content tells; these are right in what they say.
            return match said {
                Some(format) if format.is_zipped() => Some(format),
                _ => Some(Format::Zip),
            };
        }
        // Some put rubbish in front of a PDF (PDF 1.7, appendix H.3, note 13).
        if head.windows(5).any(|window| window == b"%PDF-")
            && !matches!(said, Some(Format::Mail | Format::Plain))
        {
            return Some(Format::Pdf);
        }
        said
    }

    fn is_zipped(self) -> bool {
        use Format::{Docx, Odp, Ods, Odt, Pptx, Xlsx, Zip};
        matches!(self, Docx | Xlsx | Pptx | Odt | Ods | Odp | Zip)
    }

    fn by_type(media_type: &str) -> Option<Format> {
        TABLE.iter().find(|row| row.2.contains(&media_type)).map(|row| row.0)
    }

    fn by_name(file_name: &str) -> Option<Format> {
        let ending = ending(file_name);
        TABLE.iter().find(|row| row.3.contains(&ending.as_str())).map(|row| row.0)
    }
}

/// The name's ending in lower case, without its dot.
fn ending(file_name: &str) -> String {
    match file_name.trim().rsplit_once('.') {
        Some((_, ending)) => ending.to_ascii_lowercase(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_come_back() {
        for format in Format::all() {
            assert_eq!(Format::from_code(format.code()), Some(format));
            assert_eq!(Format::named(format.name()), Some(format));
        }
        assert_eq!(Format::from_code(0), None);
        assert_eq!(Format::from_code(16), None);
    }

    #[test]
    fn a_file_is_what_its_bytes_say_then_its_type_then_its_name() {
        let octets = "application/octet-stream";
        for (media_type, name, bytes, expected) in [
            ("application/pdf", "", &b"%PDF-1.4"[..], Some(Format::Pdf)),
            (octets, "Report.PDF", b"%PDF-1.4", Some(Format::Pdf)),
            (octets, "", b"junk\n%PDF-1.4", Some(Format::Pdf)),
            (octets, "report.pdf", b"not one", Some(Format::Pdf)),
            ("application/msword", "letter.doc", b"{\\rtf1 x}", Some(Format::Rtf)),
            ("application/msword", "letter.doc", b"\xd0\xcf\x11\xe0", None),
            (octets, "a.docx", b"PK\x03\x04", Some(Format::Docx)),
            (octets, "a.dat", b"PK\x03\x04", Some(Format::Zip)),
            ("application/pdf", "a.pdf", b"PK\x03\x04", Some(Format::Zip)),
            (octets, "notes.txt", b"hello", Some(Format::Plain)),
            (octets, "x.eml", b"Subject: %PDF-", Some(Format::Mail)),
            (octets, "a.exe", b"MZ", None),
        ] {
            assert_eq!(Format::of(media_type, name, bytes), expected, "{media_type} {name}");
        }
    }

    #[test]
    fn what_no_text_can_come_of_is_not_even_read() {
        assert!(Format::may_be("application/pdf", "x"));
        assert!(Format::may_be("x-unknown/x", "report.xlsx"));
        assert!(Format::may_be("application/octet-stream", ""));
        assert!(!Format::may_be("application/octet-stream", "setup.exe"));
        assert!(!Format::may_be("application/pgp-signature", "signature.asc"));
        assert!(!Format::may_be("application/gzip", ""));
    }
}
