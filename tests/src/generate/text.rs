//! Words, sentences, patches and HTML of generated mail, and the fields that hold them.
//!
//! Words come as they come in languages: few often, many seldom. No sentence begins with "From".

use super::Dice;
use base64::Engine;
use std::fmt::Write as _;
use time::{OffsetDateTime, UtcOffset};

/// Different words.
const WORDS: u64 = 60_000;
/// Where lines of text are broken.
const LINE_CHARS: usize = 72;

pub(super) const HOSTS: [&str; 8] = [
    "example.org",
    "example.com",
    "mail.example.net",
    "kernel.example",
    "firma.example.de",
    "post.example.ch",
    "lists.example.org",
    "univ.example.edu",
];
pub(super) const FIRST_NAMES: [&str; 20] = [
    "Anna",
    "Peter",
    "Jürgen",
    "Мария",
    "Li",
    "Søren",
    "François",
    "Grace",
    "Ada",
    "Łukasz",
    "Tom",
    "Inês",
    "山田",
    "Bjørn",
    "Chloé",
    "Ahmed",
    "Zoë",
    "Karl",
    "Maria",
    "John",
];
pub(super) const LISTS: [&str; 12] = [
    "devel",
    "linux-net",
    "users",
    "announce",
    "verein",
    "bugs",
    "cvs-commits",
    "board",
    "physics",
    "music",
    "gardening",
    "test",
];
pub(super) const FOLDERS: [&str; 10] = [
    "Inbox",
    "Work",
    "Archive/2009",
    "Rechnungen",
    "Family",
    "Archive/2014",
    "Projects/Bridge",
    "Projects/Ärger",
    "Travel",
    "Sent",
];
pub(super) const AGENTS: [&str; 6] = [
    "Mozilla Thunderbird",
    "Mutt/1.5.21 (2010-09-15)",
    "git-send-email 2.34.1",
    "Microsoft Outlook 16.0",
    "Apple Mail (2.3445.104.11)",
    "Evolution 3.38.3-1",
];
const COMMON: [&str; 90] = [
    "the", "of", "and", "to", "a", "in", "is", "that", "it", "for", "was", "on", "with", "as", "be", "this",
    "are", "by", "at", "not", "we", "have", "an", "or", "which", "you", "but", "can", "if", "will", "there",
    "has", "would", "all", "they", "their", "one", "so", "what", "when", "patch", "please", "should", "file",
    "code", "use", "time", "work", "die", "der", "und", "das", "nicht", "ist", "ein", "für", "auf", "mit",
    "über", "Rechnung", "Grüße", "bitte", "Termin", "können", "Straße", "kernel", "driver", "thanks",
    "review", "change", "error", "version", "server", "meeting", "invoice", "attached", "project",
    "question", "number", "system", "list", "test", "build", "line", "need", "make", "see", "know", "new",
    "first",
];
const SYLLABLES: [&str; 48] = [
    "ba", "be", "con", "da", "de", "di", "dor", "en", "er", "fa", "ge", "gra", "ha", "in", "ka", "ker", "la",
    "le", "lin", "lo", "ma", "men", "mi", "mo", "na", "ne", "nor", "pa", "per", "po", "ra", "re", "ri", "ro",
    "sa", "se", "si", "sta", "ta", "te", "ti", "tor", "tra", "un", "ver", "vi", "wa", "zen",
];

/// The words of a corpus, the most frequent first.
#[derive(Debug)]
pub(super) struct Vocabulary(Vec<String>);

impl Vocabulary {
    pub(super) fn new(seed: u64) -> Vocabulary {
        let mut words: Vec<String> = COMMON.iter().map(|&word| word.to_owned()).collect();
        let mut dice = Dice::new(&[seed, 0]);
        while (words.len() as u64) < WORDS {
            let syllables = 2 + dice.below(3);
            words.push((0..syllables).map(|_| SYLLABLES[dice.below(48) as usize]).collect());
        }
        Vocabulary(words)
    }

    fn word(&self, dice: &mut Dice) -> &str {
        let word: &String = dice.favour(&self.0);
        word
    }

    /// A word that is not among the common ones.
    pub(super) fn rare(&self, dice: &mut Dice) -> &str {
        &self.0[COMMON.len() + dice.below(WORDS - COMMON.len() as u64) as usize]
    }

    /// So many words in one line.
    pub(super) fn sentence(&self, dice: &mut Dice, words: usize) -> String {
        let mut line = capital(self.word(dice));
        for _ in 1..words {
            line.push(' ');
            line.push_str(self.word(dice));
        }
        line
    }

    /// About so many words in paragraphs of broken lines, each with an LF; what people write between words too.
    pub(super) fn paragraphs(&self, dice: &mut Dice, words: usize) -> Vec<String> {
        let mut all = Vec::new();
        let mut left = words;
        while left > 0 {
            let count = (10 + dice.below(90) as usize).min(left);
            left -= count;
            let mut text = String::with_capacity(count * 7);
            let (mut column, mut begin) = (0, true);
            for at in 0..count {
                let word = match dice.below(1_000) {
                    0..8 => format!("{}", dice.magnitude(1, 1_000_000)),
                    8..11 => format!("https://{}/{}/{:x}", dice.favour(&HOSTS), self.rare(dice), dice.any()),
                    11..14 => format!("{}_{}()", self.word(dice), self.rare(dice)),
                    _ if begin => capital(self.word(dice)),
                    _ => self.word(dice).to_owned(),
                };
                if column > 0 {
                    let wraps = column + word.len() >= LINE_CHARS;
                    text.push(if wraps { '\n' } else { ' ' });
                    column = if wraps { 0 } else { column + 1 };
                }
                column += word.len();
                text.push_str(&word);
                begin = at + 1 == count || dice.below(11) == 0;
                if begin {
                    text.push(*dice.favour(&['.', '.', ',', '?', '!', ':']));
                }
            }
            text.push('\n');
            all.push(text);
        }
        all
    }

    /// A change as version control prints it.
    pub(super) fn patch(&self, dice: &mut Dice, to: &mut String) {
        for _ in 0..dice.magnitude(1, 8) {
            let path = format!("{}/{}.c", self.word(dice), self.rare(dice));
            let (old, new) = (dice.any() >> 36, dice.any() >> 36);
            let line = dice.below(4_000);
            write!(to, "diff --git a/{path} b/{path}\nindex {old:07x}..{new:07x} 100644\n--- a/{path}\n+++ b/{path}\n").ok();
            writeln!(to, "@@ -{line},7 +{line},9 @@ static int {}(void)", self.rare(dice)).ok();
            for _ in 0..dice.magnitude(4, 60) {
                let mark = *dice.favour(&[' ', '+', '-']);
                let (what, with) = (self.word(dice), self.rare(dice));
                writeln!(to, "{mark}\tif ({what}->{with} != {})", dice.below(64)).ok();
            }
        }
    }

    /// A newsletter's HTML: much of it the same from one to the next.
    pub(super) fn newsletter(&self, dice: &mut Dice) -> String {
        let mut html = String::from("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><style>\n");
        for class in 0..30 {
            writeln!(
                html,
                ".c{class} {{ font-family: Helvetica, Arial, sans-serif; padding: {class}px 12px; }}"
            )
            .ok();
        }
        html.push_str(
            "</style></head><body><table width=\"600\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\">\n",
        );
        for _ in 0..dice.magnitude(6, 60) {
            let (class, words) = (dice.below(30), dice.magnitude(5, 80) as usize);
            writeln!(
                html,
                "<tr><td class=\"c{class}\" align=\"left\" valign=\"top\"><h2>{}</h2>",
                self.sentence(dice, 5)
            )
            .ok();
            for paragraph in self.paragraphs(dice, words) {
                writeln!(html, "<p style=\"margin:0;line-height:24px\">{}</p>", paragraph.trim_end()).ok();
            }
            writeln!(
                html,
                "<a href=\"https://click.example.com/t/{:016x}{:016x}\">&raquo; weiter</a></td></tr>",
                dice.any(),
                dice.any()
            )
            .ok();
        }
        html.push_str("</table></body></html>\n");
        html
    }
}

/// The text as the HTML that mail programs make of it.
pub(super) fn html(text: &str, dice: &mut Dice) -> String {
    let mut html = String::from("<html><head></head><body>\n");
    for line in text.lines() {
        let line = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        if dice.permille(500) {
            writeln!(html, "<div>{line}</div>").ok();
        } else {
            writeln!(html, "<span style=\"font-size:10pt\">{line}</span><br>").ok();
        }
    }
    html.push_str("</body></html>\n");
    html
}

/// With a capital, but for the one word that would look like an mbox's first line.
pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// What of it is ASCII; `x` when nothing is.
pub(super) fn ascii(text: &str) -> String {
    let kept: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    if kept.is_empty() { "x".to_owned() } else { kept }
}

/// As a header holds it: encoded words (RFC 2047) where there is more than ASCII.
pub(super) fn encoded_word(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let words = chars.chunks(12).map(|part| {
        let part: String = part.iter().collect();
        format!("=?UTF-8?B?{}?=", base64::engine::general_purpose::STANDARD.encode(part))
    });
    words.collect::<Vec<_>>().join("\n ")
}

/// Broken at blanks, so that no line is much longer than 76 characters.
pub(super) fn fold(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    let mut column = 10;
    for word in value.split(' ') {
        if column > 10 {
            let wraps = column + word.len() > 76;
            out.push_str(if wraps { "\n " } else { " " });
            column = if wraps { 11 } else { column + 1 };
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

fn moment(secs: i64, zone: i32) -> OffsetDateTime {
    let offset = UtcOffset::from_whole_seconds(zone * 60).unwrap_or(UtcOffset::UTC);
    OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH).to_offset(offset)
}

/// A Date field's value, `zone` in minutes.
pub(super) fn date(secs: i64, zone: i32) -> String {
    let t = moment(secs, zone);
    let (day, month) = (&t.weekday().to_string()[..3], &t.month().to_string()[..3]);
    let (sign, zone) = (if zone < 0 { '-' } else { '+' }, zone.abs());
    let (h, m, s) = t.to_hms();
    format!(
        "{day}, {} {month} {} {h:02}:{m:02}:{s:02} {sign}{:02}{:02}",
        t.day(),
        t.year(),
        zone / 60,
        zone % 60
    )
}

/// The date of an mbox's `From ` line.
pub(super) fn asctime(secs: i64) -> String {
    let t = moment(secs, 0);
    let (day, month) = (&t.weekday().to_string()[..3], &t.month().to_string()[..3]);
    let (h, m, s) = t.to_hms();
    format!("{day} {month} {:2} {h:02}:{m:02}:{s:02} {}", t.day(), t.year())
}
