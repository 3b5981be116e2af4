//! Bodies of generated mail: charsets, encodings, multiparts, attachments that come again and again.
//!
//! A [`Body`] is the header fields that describe it and its lines; it can stand in a message or in a part of another body.

use super::text::Vocabulary;
use super::{Dice, Person};
use base64::Engine;
use std::fmt::Write as _;

/// Attachments that several messages share; the first ones are in very many.
const SHARED: u64 = 2_000;

/// A body with its own MIME fields.
#[derive(Debug)]
pub(super) struct Body {
    fields: String,
    content: Vec<u8>,
}

impl Body {
    /// Fields, the empty line, and the content, which ends with an LF.
    pub(super) fn append_to(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.fields.as_bytes());
        to.push(b'\n');
        to.extend_from_slice(&self.content);
        if to.last() != Some(&b'\n') {
            to.push(b'\n');
        }
    }

    fn new(fields: impl Into<String>, content: impl Into<Vec<u8>>) -> Body {
        Body { fields: fields.into(), content: content.into() }
    }

    pub(super) fn empty() -> Body {
        Body::new("", "")
    }

    /// Text in ASCII, whatever it was.
    pub(super) fn ascii(text: &str) -> Body {
        let text: String = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
        Body::new(
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n",
            text,
        )
    }

    /// Text in one of the charsets and encodings that it fits.
    pub(super) fn text(text: &str, dice: &mut Dice) -> Body {
        let (charset, bytes) = match dice.below(100) {
            0..40 => return Body::ascii(text),
            40..80 => ("utf-8", text.as_bytes().to_vec()),
            80..88 => ("iso-8859-1", encoding_rs::WINDOWS_1252.encode(text).0.into_owned()),
            88..93 => ("windows-1252", encoding_rs::WINDOWS_1252.encode(text).0.into_owned()),
            93..95 => {
                ("koi8-r", encoding_rs::KOI8_R.encode(&format!("Здравствуйте!\n{text}")).0.into_owned())
            }
            95..98 => (
                "iso-2022-jp",
                encoding_rs::ISO_2022_JP.encode(&format!("お世話になっております。\n{text}")).0.into_owned(),
            ),
            _ => ("gb18030", encoding_rs::GB18030.encode(&format!("您好\n{text}")).0.into_owned()),
        };
        let kind = format!("MIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\n");
        match dice.below(100) {
            _ if charset == "iso-2022-jp" => {
                Body::new(format!("{kind}Content-Transfer-Encoding: 7bit\n"), bytes)
            }
            0..45 => Body::new(
                format!("{kind}Content-Transfer-Encoding: quoted-printable\n"),
                quoted_printable(&bytes),
            ),
            45..60 => Body::encoded(&kind, &bytes, 76),
            _ => Body::new(format!("{kind}Content-Transfer-Encoding: 8bit\n"), bytes),
        }
    }

    pub(super) fn html(html: &str) -> Body {
        Body::new(
            "MIME-Version: 1.0\nContent-Type: text/html; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n",
            quoted_printable(html.as_bytes()),
        )
    }

    fn encoded(kind: &str, bytes: &[u8], line: usize) -> Body {
        let mut content = String::with_capacity(bytes.len() * 7 / 5 + 8);
        base64_of(bytes, line, "\n", &mut content);
        content.push('\n');
        Body::new(format!("{kind}Content-Transfer-Encoding: base64\n"), content)
    }

    fn multipart(kind: &str, parts: &[Body], dice: &mut Dice) -> Body {
        let boundary = format!("----=_Part_{:016x}", dice.any());
        let mut content = Vec::new();
        if dice.permille(700) {
            content.extend_from_slice(b"This is a multi-part message in MIME format.\n");
        }
        for part in parts {
            content.extend_from_slice(format!("--{boundary}\n").as_bytes());
            part.append_to(&mut content);
            if dice.permille(500) {
                content.push(b'\n');
            }
        }
        content.extend_from_slice(format!("--{boundary}--\n").as_bytes());
        let fields =
            format!("MIME-Version: 1.0\nContent-Type: multipart/{kind};\n\tboundary=\"{boundary}\"\n");
        Body::new(fields, content)
    }

    pub(super) fn alternative(text: &str, html: &str, dice: &mut Dice) -> Body {
        let parts = [Body::text(text, dice), Body::html(html)];
        Body::multipart("alternative", &parts, dice)
    }

    pub(super) fn mixed(first: Body, mut others: Vec<Body>, dice: &mut Dice) -> Body {
        others.insert(0, first);
        Body::multipart("mixed", &others, dice)
    }

    pub(super) fn forward(text: Body, message: &[u8], dice: &mut Dice) -> Body {
        let inner = Body::new("Content-Type: message/rfc822\nContent-Disposition: inline\n", message);
        Body::multipart("mixed", &[text, inner], dice)
    }

    /// What a mail server says of a message that it could not deliver.
    pub(super) fn report(about: &str, author: &Person, dice: &mut Dice) -> Body {
        let told = Body::ascii(
            "This is the mail system at host mx.example.org.\n\nYour message could not be delivered.\n",
        );
        let status = format!(
            "Reporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; {}\nAction: failed\nStatus: 5.1.1\n",
            author.address
        );
        let status = Body::new("Content-Type: message/delivery-status\n", status);
        let head = Body::new(
            "Content-Type: text/rfc822-headers\n",
            format!("Message-ID: {about}\nSubject: returned\n"),
        );
        Body::multipart("report; report-type=delivery-status", &[told, status, head], dice)
    }

    pub(super) fn calendar(text: &str, author: &Person, dice: &mut Dice) -> Body {
        let uid = dice.any();
        let event = format!(
            "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:{uid:x}\nORGANIZER:mailto:{}\nEND:VEVENT\nEND:VCALENDAR\n",
            author.address
        );
        let event = Body::new("Content-Type: text/calendar; method=REQUEST; charset=utf-8\n", event);
        let parts = [Body::text(text, dice), event];
        Body::multipart("alternative", &parts, dice)
    }

    /// A type that nobody knows, and no version of MIME.
    pub(super) fn odd_type(text: &str) -> Body {
        Body::new("Content-Type: X-unknown\nContent-Transfer-Encoding: x-uuencode\n", text)
    }

    /// Bytes above 127 without a word of explanation.
    pub(super) fn raw_bytes(dice: &mut Dice) -> Body {
        let bytes = noise(dice, 600);
        let bytes = bytes.into_iter().map(|b| if b < 32 { b'\n' } else { b });
        Body::new("", bytes.collect::<Vec<u8>>())
    }
}

/// Bytes that don't compress.
pub(super) fn noise(dice: &mut Dice, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&dice.any().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// An attachment, as a part: one of those that many have, or one of its own. 1 KB to some MB.
pub(super) fn attachment(seed: u64, dice: &mut Dice, words: &Vocabulary) -> Body {
    let which = if dice.permille(450) { dice.magnitude(1, SHARED) } else { SHARED + dice.any() };
    let line = *dice.favour(&[76, 76, 76, 72, 60]);
    let mut of = Dice::new(&[seed, 99, which]);
    let of = &mut of;
    let len = match of.below(100) {
        0..70 => of.magnitude(1_000, 60_000),
        70..99 => of.magnitude(10_000, 400_000),
        _ => of.magnitude(400_000, 4_000_000),
    } as usize;
    let name = words.rare(of).to_owned();
    let (kind, ending, bytes) = match of.below(10) {
        0..3 => ("image/jpeg", "jpg", noise(of, len)),
        3..6 => ("application/pdf", "pdf", {
            let mut bytes = b"%PDF-1.4\n".to_vec();
            while bytes.len() < len {
                bytes.extend_from_slice(b"obj << /Length 4096 /Filter /FlateDecode >>\nstream\n");
                bytes.extend(noise(of, 4_096));
                bytes.extend_from_slice(b"\nendstream endobj\n");
            }
            bytes
        }),
        6 => ("text/csv", "csv", {
            let mut text = String::new();
            while text.len() < len.min(300_000) {
                writeln!(text, "{};{};{}", of.below(1_000_000), words.rare(of), of.below(100)).ok();
            }
            text.into_bytes()
        }),
        _ => ("application/octet-stream", "doc", {
            let mut bytes = noise(of, len);
            bytes.iter_mut().skip(1).step_by(2).for_each(|b| *b = 0);
            bytes
        }),
    };
    let mut fields = String::new();
    write!(fields, "Content-Type: {kind}; name=\"{name}.{ending}\"\nContent-Disposition: attachment; filename=\"{name}.{ending}\"\n").ok();
    Body::encoded(&fields, &bytes, line)
}

/// Base64 in lines of so many characters, with `between` between them.
pub(super) fn base64_of(bytes: &[u8], line: usize, between: &str, to: &mut String) {
    for (at, part) in bytes.chunks(line / 4 * 3).enumerate() {
        if at > 0 {
            to.push_str(between);
        }
        base64::engine::general_purpose::STANDARD.encode_string(part, to);
    }
}

/// Quoted-printable (RFC 2045 §6.7), lines of at most 76 characters.
fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(bytes.len() * 5 / 4);
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let (line, ended) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
        let mut column = 0;
        for (at, &byte) in line.iter().enumerate() {
            let last = at + 1 == line.len();
            let plain = matches!(byte, 33..=60 | 62..=126) || matches!(byte, b' ' | b'\t') && !last;
            if column + if plain { 1 } else { 3 } > 75 {
                out.extend_from_slice(b"=\n");
                column = 0;
            }
            if plain {
                out.push(byte);
                column += 1;
            } else {
                out.extend_from_slice(&[
                    b'=',
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]);
                column += 3;
            }
        }
        if ended {
            out.push(b'\n');
        }
    }
    out
}
