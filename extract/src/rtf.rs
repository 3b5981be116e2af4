//! Rich Text Format (1.9.1): the document's text, without the destinations that hold none.
//!
//! Bytes (`\'hh` and raw ones) are decoded by the font's character set, else the document's code page; `\u` wins over its stand-ins.

use crate::bounds::{Stop, Taker};
use encoding_rs::Encoding;
use std::collections::HashMap;

/// Groups open at once.
const MAX_GROUPS: usize = 10_000;

/// Destinations without text for a reader.
const SILENT: [&str; 34] = [
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "objdata",
    "themedata",
    "colorschememapping",
    "datastore",
    "latentstyles",
    "listtable",
    "listoverridetable",
    "rsidtbl",
    "generator",
    "xmlnstbl",
    "filetbl",
    "revtbl",
    "fldinst",
    "bkmkstart",
    "bkmkend",
    "nonshppict",
    "sp",
    "sn",
    "sv",
    "ftnsep",
    "ftnsepc",
    "ftncn",
    "aftnsep",
    "aftnsepc",
    "aftncn",
    "pgdsctbl",
    "template",
    "xe",
    "tc",
];
/// Destinations marked as ignorable that hold text all the same.
const SPOKEN: [&str; 4] = ["shpinst", "annotation", "do", "shptxt"];

#[derive(Debug, Clone, Copy)]
struct Group {
    silent: bool,
    fonts: bool,
    /// Bytes that stand in for one `\u`.
    stand_ins: usize,
    charset: &'static Encoding,
}

struct Reader<'a, 'b> {
    taker: &'a mut Taker,
    rest: &'b [u8],
    groups: Vec<Group>,
    now: Group,
    /// Bytes not yet decoded, and their character set.
    bytes: Vec<u8>,
    /// Half of a UTF-16 pair.
    high: Option<u16>,
    /// Stand-ins still to pass over.
    passing: usize,
    fonts: HashMap<i32, &'static Encoding>,
    /// The font that the font table describes.
    font: i32,
    page: &'static Encoding,
    /// After `\*`.
    starred: bool,
}

pub(crate) fn take(taker: &mut Taker, bytes: &[u8]) -> Result<(), Stop> {
    if !bytes.starts_with(b"{\\rtf") {
        return Err(Stop::Damaged("it is no RTF".into()));
    }
    let page = encoding_rs::WINDOWS_1252;
    let now = Group { silent: false, fonts: false, stand_ins: 1, charset: page };
    let reader = Reader {
        taker,
        rest: bytes,
        groups: Vec::new(),
        now,
        bytes: Vec::new(),
        high: None,
        passing: 0,
        fonts: HashMap::new(),
        font: 0,
        page,
        starred: false,
    };
    reader.run()
}

impl Reader<'_, '_> {
    fn run(mut self) -> Result<(), Stop> {
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'{' => {
                    self.flush()?;
                    if self.groups.len() >= MAX_GROUPS {
                        return Err(Stop::Damaged(format!(
                            "more than {MAX_GROUPS} groups inside of each other"
                        )));
                    }
                    self.groups.push(self.now);
                    self.passing = 0;
                }
                b'}' => {
                    self.flush()?;
                    self.passing = 0;
                    match self.groups.pop() {
                        Some(before) => self.now = before,
                        None => break,
                    }
                    if self.groups.is_empty() {
                        break;
                    }
                }
                b'\\' => self.control()?,
                b'\r' | b'\n' => {}
                other => self.byte(other),
            }
        }
        self.flush()
    }

    fn byte(&mut self, byte: u8) {
        self.starred = false;
        if self.passing > 0 {
            self.passing -= 1;
        } else if !self.now.silent {
            self.bytes.push(byte);
        }
    }

    /// Decodes what has come together.
    fn flush(&mut self) -> Result<(), Stop> {
        if self.high.take().is_some() && !self.now.silent {
            self.taker.push("\u{fffd}")?;
        }
        if !self.bytes.is_empty() {
            let (text, _) = self.now.charset.decode_without_bom_handling(&self.bytes);
            self.taker.push(&text)?;
            self.bytes.clear();
        }
        Ok(())
    }

    fn put(&mut self, text: &str) -> Result<(), Stop> {
        if self.passing > 0 {
            self.passing -= 1;
            return Ok(());
        }
        self.flush()?;
        if self.now.silent { Ok(()) } else { self.taker.push(text) }
    }

    /// What follows a backslash.
    fn control(&mut self) -> Result<(), Stop> {
        let Some((&first, rest)) = self.rest.split_first() else { return Ok(()) };
        if !first.is_ascii_alphabetic() {
            self.rest = rest;
            return match first {
                b'\'' => {
                    let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
                    if let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                        self.rest = &rest[2..];
                        self.byte(byte);
                    }
                    Ok(())
                }
                b'*' => {
                    self.starred = true;
                    Ok(())
                }
                b'~' => self.put("\u{a0}"),
                b'_' => self.put("\u{2011}"),
                b'\r' | b'\n' => self.put("\n"),
                b'\\' | b'{' | b'}' => {
                    self.byte(first);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        let letters = self.rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count().min(32);
        let (word, rest) = self.rest.split_at(letters);
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count().min(10);
        let (number, rest) = rest.split_at(if digits > 0 { sign + digits } else { 0 });
        self.rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse::<i32>().ok());
        let word = String::from_utf8_lossy(word).into_owned();
        self.word(&word, number)
    }

    fn word(&mut self, word: &str, number: Option<i32>) -> Result<(), Stop> {
        let starred = std::mem::take(&mut self.starred);
        match word {
            "u" => return self.unicode(number.unwrap_or(0)),
            "uc" => self.now.stand_ins = usize::try_from(number.unwrap_or(1)).unwrap_or(0).min(16),
            "bin" => {
                let skip = usize::try_from(number.unwrap_or(0)).unwrap_or(0).min(self.rest.len());
                self.rest = &self.rest[skip..];
            }
            "par" | "line" | "row" | "sect" | "page" | "column" => return self.put("\n"),
            "tab" | "cell" | "nestcell" => return self.put("\t"),
            "emdash" => return self.put("\u{2014}"),
            "endash" => return self.put("\u{2013}"),
            "lquote" => return self.put("\u{2018}"),
            "rquote" => return self.put("\u{2019}"),
            "ldblquote" => return self.put("\u{201c}"),
            "rdblquote" => return self.put("\u{201d}"),
            "bullet" => return self.put("\u{2022}"),
            "emspace" | "enspace" => return self.put(" "),
            "ansicpg" => {
                self.flush()?;
                self.page = number.and_then(code_page).unwrap_or(self.page);
                self.now.charset = self.page;
            }
            "f" if self.now.fonts => self.font = number.unwrap_or(0),
            "fcharset" if self.now.fonts => {
                let charset = number.and_then(font_charset);
                if let Some(charset) = charset {
                    self.fonts.insert(self.font, charset);
                }
            }
            "f" | "plain" => {
                self.flush()?;
                let font = if word == "f" { number } else { None };
                let known = font.and_then(|font| self.fonts.get(&font).copied());
                self.now.charset = known.unwrap_or(self.page);
            }
            "fonttbl" => (self.now.silent, self.now.fonts) = (true, true),
            silent if SILENT.contains(&silent) => self.now.silent = true,
            // A destination that a reader who doesn't know it is to leave out.
            other if starred && !SPOKEN.contains(&other) => self.now.silent = true,
            _ => {}
        }
        Ok(())
    }

    /// `\uN`: a unit of UTF-16, signed.
    fn unicode(&mut self, number: i32) -> Result<(), Stop> {
        let high = self.high.take();
        self.flush()?;
        self.passing = self.now.stand_ins;
        // Negative numbers are those above 32767.
        let unit = (number & 0xffff) as u16;
        if self.now.silent {
            return Ok(());
        }
        match (high, unit) {
            (None, 0xd800..=0xdbff) => {
                self.high = Some(unit);
                Ok(())
            }
            (high, unit) => {
                let units: Vec<u16> = high.into_iter().chain([unit]).collect();
                self.taker.push(&String::from_utf16_lossy(&units))
            }
        }
    }
}

fn code_page(number: i32) -> Option<&'static Encoding> {
    let label = match number {
        437 | 850 | 0 => return None,
        866 => "ibm866",
        874 => "windows-874",
        932 => "shift_jis",
        936 => "gbk",
        949 => "euc-kr",
        950 => "big5",
        10000 => "macintosh",
        65001 => "utf-8",
        1250..=1258 => return Encoding::for_label(format!("windows-{number}").as_bytes()),
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

/// The character set of a font; 0, 1 and 2 say nothing.
fn font_charset(number: i32) -> Option<&'static Encoding> {
    let page = match number {
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    };
    code_page(page)
}
