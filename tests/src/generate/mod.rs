//! Mail by the number: message `n` of a seed is always the same bytes, and looks like what people's archives hold.
//!
//! Invariant: a message depends on seed and number alone, so that any part of a corpus can be made anew, in any order,
//! by any number of threads, and compared. Lines end with LF, no line begins with `From `, so that every mailbox
//! format gives the same bytes back. About 10 KB on average: half of all mail under 4 KB, the bytes in attachments and newsletters.
//! Left to others: files (`write`), words (`text`), MIME (`parts`).

mod parts;
mod text;
mod write;

pub use write::{write_eml, write_maildir, write_mbox};

use parts::Body;
use std::fmt::Write as _;
use text::{Vocabulary, encoded_word};

/// How many messages back a duplicate's original may lie.
const DUPLICATES_REACH: u64 = 5_000;
/// How many messages back what is replied to may lie.
const REPLIES_REACH: u64 = 400;
/// Message-IDs in `References`, at most.
const MOST_REFERENCES: usize = 12;
/// 1 January 2004; mail comes every few minutes from then on.
const FIRST_SECOND: i64 = 1_072_915_200;

/// SplitMix64: quick, and good enough to choose by.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same numbers.
    #[must_use]
    pub fn new(numbers: &[u64]) -> Dice {
        let mut dice = Dice(0x6d61_696c_6b65_6570);
        for number in numbers {
            dice.0 ^= number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            dice.0 = dice.any();
        }
        dice
    }
    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `among`, which is not 0.
    pub fn below(&mut self, among: u64) -> u64 {
        self.any() % among
    }
    /// From 0 up to, but not, 1.
    pub fn part(&mut self) -> f64 {
        (self.any() >> 11) as f64 / (1_u64 << 53) as f64
    }
    /// True so many times in a thousand.
    pub fn permille(&mut self, times: u64) -> bool {
        self.below(1_000) < times
    }
    /// One of them; the first is the most frequent.
    pub fn favour<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        let at = ((among.len() + 1) as f64).powf(self.part()) as usize - 1;
        &among[at.min(among.len() - 1)]
    }
    /// From `low` to `high`, small ones as often as large ones of the same magnitude.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        (low as f64 * (high as f64 / low as f64).powf(self.part())) as u64
    }
}

/// What a message is, apart from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Patch,
    Alternative,
    Newsletter,
    Attachments,
    Forward,
    Report,
    Odd,
}

/// A message with what a mailbox format needs beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The bytes; lines end with LF, the last one too.
    pub bytes: Vec<u8>,
    /// The envelope's sender.
    pub sender: String,
    /// When it came, seconds since 1970.
    pub secs: i64,
    /// The folder that its owner would keep it in.
    pub folder: String,
}

/// Makes the messages of one seed.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    words: Vocabulary,
}

/// Someone who writes mail.
struct Person {
    name: String,
    address: String,
}

impl Generator {
    /// The corpus of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Generator {
        Generator { seed, words: Vocabulary::new(seed) }
    }

    fn dice(&self, what: u64, number: u64) -> Dice {
        Dice::new(&[self.seed, what, number])
    }

    /// The number whose bytes this message has: its own, but for one in fifty, which comes a second time.
    #[must_use]
    pub fn original(&self, number: u64) -> u64 {
        let mut number = number;
        loop {
            let mut dice = self.dice(1, number);
            if number == 0 || !dice.permille(20) {
                return number;
            }
            number -= 1 + dice.below(number.min(DUPLICATES_REACH));
        }
    }

    /// The message that this one answers.
    fn parent(&self, number: u64) -> Option<u64> {
        let mut dice = self.dice(2, number);
        if number == 0 || !dice.permille(620) {
            return None;
        }
        let back = dice.magnitude(1, REPLIES_REACH).clamp(1, number);
        let parent = self.original(number - back);
        matches!(self.kind(parent), Kind::Plain | Kind::Patch | Kind::Attachments).then_some(parent)
    }

    fn kind(&self, number: u64) -> Kind {
        match self.dice(3, number).below(1_000) {
            0..580 => Kind::Plain,
            580..720 => Kind::Patch,
            720..810 => Kind::Alternative,
            810..880 => Kind::Newsletter,
            880..930 => Kind::Attachments,
            930..955 => Kind::Forward,
            955..975 => Kind::Report,
            _ => Kind::Odd,
        }
    }

    /// The conversation's first message.
    fn root(&self, number: u64) -> u64 {
        let mut number = number;
        while let Some(parent) = self.parent(number) {
            number = parent;
        }
        number
    }

    fn message_id(&self, number: u64) -> String {
        let mut dice = self.dice(4, number);
        let host = dice.favour(&text::HOSTS);
        format!("<{:016x}.{number}@{host}>", dice.any())
    }

    fn secs(&self, number: u64) -> i64 {
        FIRST_SECOND + (number * 1_100 + self.dice(5, number).below(3_000)) as i64
    }

    fn author(&self, number: u64) -> Person {
        let person = self.dice(6, number).magnitude(1, 3_000);
        let mut dice = self.dice(7, person);
        let first = dice.favour(&text::FIRST_NAMES);
        let last = text::capital(self.words.rare(&mut dice));
        let host = dice.favour(&text::HOSTS);
        let address =
            format!("{}.{}@{host}", text::ascii(first).to_lowercase(), text::ascii(&last).to_lowercase());
        Person { name: format!("{first} {last}"), address }
    }

    /// The list that a conversation stands on, if on any.
    fn list(&self, root: u64) -> Option<&'static str> {
        let mut dice = self.dice(8, root);
        dice.permille(550).then(|| *dice.favour(&text::LISTS))
    }

    fn subject(&self, root: u64) -> String {
        let mut dice = self.dice(9, root);
        let mut subject = String::new();
        if self.kind(root) == Kind::Patch {
            write!(subject, "[PATCH v{} {}/{}] ", 1 + dice.below(4), 1 + dice.below(9), 9 + dice.below(9))
                .ok();
        } else if let Some(list) = self.list(root).filter(|_| dice.permille(300)) {
            write!(subject, "[{list}] ").ok();
        }
        let words = 2 + dice.below(8);
        subject.push_str(&self.words.sentence(&mut dice, words as usize));
        if dice.permille(60) {
            write!(subject, " (Nr. {})", dice.below(100_000)).ok();
        }
        subject
    }

    /// What the author wrote, without quotations: the paragraphs of a message's text.
    fn own_text(&self, number: u64) -> Vec<String> {
        let mut dice = self.dice(10, number);
        let words = dice.magnitude(12, 1_000);
        self.words.paragraphs(&mut dice, words as usize)
    }

    /// The whole text: quotations of what is answered, and the author's paragraphs between and below them.
    fn text(&self, number: u64, author: &Person) -> String {
        let mut text = String::new();
        let mut own = self.own_text(number).into_iter();
        let mut dice = self.dice(11, number);
        if let Some(parent) = self.parent(number) {
            let (who, when) = (self.author(parent), text::date(self.secs(parent), 0));
            writeln!(text, "On {when}, {} wrote:", who.name).ok();
            if let Some(before) = self.parent(parent) {
                for line in self.own_text(before).iter().take(2).flat_map(|p| p.lines()) {
                    writeln!(text, "> > {line}").ok();
                }
                text.push_str("> \n");
            }
            for paragraph in self.own_text(parent) {
                for line in paragraph.lines() {
                    writeln!(text, "> {line}").ok();
                }
                text.push_str("> \n");
                if dice.permille(350)
                    && let Some(answer) = own.next()
                {
                    write!(text, "\n{answer}\n").ok();
                }
            }
            text.push('\n');
        }
        for paragraph in own {
            text.push_str(&paragraph);
            text.push('\n');
        }
        if self.dice(12, number).permille(600) {
            writeln!(text, "-- \n{}\n{}", author.name, author.address).ok();
            let mut dice = self.dice(13, author.address.len() as u64);
            writeln!(text, "{}", self.words.sentence(&mut dice, 9)).ok();
        }
        text
    }

    /// Message `number` of the corpus.
    #[must_use]
    pub fn message(&self, number: u64) -> Mail {
        let number = self.original(number);
        let root = self.root(number);
        let author = self.author(number);
        let secs = self.secs(number);
        let kind = self.kind(number);
        let list = self.list(root);
        let folder = match list {
            Some(list) => format!("Lists/{list}"),
            None if kind == Kind::Newsletter => "Newsletters".to_owned(),
            None => (*self.dice(14, root).favour(&text::FOLDERS)).to_owned(),
        };
        let mut head = String::with_capacity(1_500);
        let body = self.body(number, kind, &author);
        self.head(&mut head, number, root, &author, list, kind);
        let mut bytes = head.into_bytes();
        body.append_to(&mut bytes);
        Mail { bytes, sender: author.address, secs, folder }
    }

    fn body(&self, number: u64, kind: Kind, author: &Person) -> Body {
        let mut dice = self.dice(15, number);
        let dice = &mut dice;
        match kind {
            Kind::Plain => Body::text(&self.text(number, author), dice),
            Kind::Patch => {
                let mut text = self.text(number, author);
                self.words.patch(dice, &mut text);
                Body::ascii(&text)
            }
            Kind::Alternative => {
                let text = self.text(number, author);
                Body::alternative(&text, &text::html(&text, dice), dice)
            }
            Kind::Newsletter => {
                let html = self.words.newsletter(dice);
                let text = self.text(number, author);
                if dice.permille(250) { Body::html(&html) } else { Body::alternative(&text, &html, dice) }
            }
            Kind::Attachments => {
                let text = Body::text(&self.text(number, author), dice);
                let count = dice.magnitude(1, 3);
                let attachments =
                    (0..count).map(|_| parts::attachment(self.seed, dice, &self.words)).collect();
                Body::mixed(text, attachments, dice)
            }
            Kind::Forward => {
                let inner = self.message(dice.below(number.max(1)).min(number.saturating_sub(1)));
                let text = Body::text(&self.text(number, author), dice);
                // A forwarded message may itself forward one: as deep as chance has it, but no endless bytes.
                if number == 0 || inner.bytes.len() > 200_000 {
                    text
                } else {
                    Body::forward(text, &inner.bytes, dice)
                }
            }
            Kind::Report => Body::report(&self.message_id(dice.below(number.max(1))), author, dice),
            Kind::Odd => match dice.below(5) {
                0 => Body::empty(),
                1 => Body::ascii(&"x".repeat(dice.magnitude(1, 3_000) as usize)),
                2 => Body::odd_type(&self.text(number, author)),
                3 => Body::raw_bytes(dice),
                _ => Body::calendar(&self.text(number, author), author, dice),
            },
        }
    }

    fn head(
        &self,
        head: &mut String,
        number: u64,
        root: u64,
        author: &Person,
        list: Option<&str>,
        kind: Kind,
    ) {
        let mut dice = self.dice(16, number);
        let secs = self.secs(number);
        let hops = if kind == Kind::Odd { 0 } else { 1 + dice.below(4) };
        for hop in 0..hops {
            let (from, by) = (dice.favour(&text::HOSTS), dice.favour(&text::HOSTS));
            let (id, when) = (dice.any(), text::date(secs + (hops - hop) as i64, 0));
            write!(head, "Received: from mx{}.{from} (mx.{from} [192.0.2.{}])\n\tby {by} (Postfix) with ESMTPS id {id:012X}\n\t", hop + 1, dice.below(255)).ok();
            writeln!(head, "for <alice@example.org>; {when}").ok();
        }
        if dice.permille(350) {
            let domain = author.address.split_once('@').map_or("", |(_, host)| host);
            write!(head, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s=sel{};\n\th=from:to:subject:date:message-id;\n\tb=", dice.below(9)).ok();
            parts::base64_of(&parts::noise(&mut dice, 256), 64, "\n\t ", head);
            head.push('\n');
        }
        let answered = self.parent(number);
        let mut lines = vec![("From", format!("{} <{}>", encoded_word(&author.name), author.address))];
        lines.push(("To", self.recipients(number, answered, list, &mut dice)));
        if dice.permille(250) {
            let who = self.author(number.wrapping_add(77));
            lines.push(("Cc", format!("{} <{}>", encoded_word(&who.name), who.address)));
        }
        let subject = self.subject(root);
        let prefix = ["Re: ", "RE: ", "AW: ", "Re: Re: "];
        let subject = if answered.is_some() { format!("{}{subject}", dice.favour(&prefix)) } else { subject };
        lines.push(("Subject", text::fold(&encoded_word(&subject))));
        if kind != Kind::Odd || dice.permille(700) {
            let zone = *dice.favour(&[0, 60, 120, -300, -480, 330, 540]);
            lines.push(("Date", text::date(secs, zone)));
        }
        lines.push(("Message-ID", self.message_id(number)));
        if let Some(parent) = answered {
            lines.push(("In-Reply-To", self.message_id(parent)));
            let mut references = vec![self.message_id(parent)];
            let mut above = self.parent(parent);
            while let Some(number) = above.filter(|_| references.len() < MOST_REFERENCES) {
                references.push(self.message_id(number));
                above = self.parent(number);
            }
            references.reverse();
            lines.push(("References", references.join("\n\t")));
        }
        if let Some(list) = list {
            lines.push(("List-Id", format!("{list} discussion <{list}.lists.example.org>")));
            lines.push((
                "List-Unsubscribe",
                format!("<https://lists.example.org/{list}>,\n\t<mailto:{list}-leave@lists.example.org>"),
            ));
            lines.push(("Precedence", "list".to_owned()));
            lines.push(("Sender", format!("{list}-bounces@lists.example.org")));
        }
        if kind == Kind::Newsletter {
            lines.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
            lines.push((
                "X-Campaign",
                format!("{:032x}", u128::from(dice.any()) << 64 | u128::from(dice.any())),
            ));
        }
        if dice.permille(500) {
            lines.push(("User-Agent", (*dice.favour(&text::AGENTS)).to_owned()));
        }
        if kind == Kind::Odd && dice.permille(200) {
            lines.push(("X-Long", self.words.sentence(&mut dice, 900)));
        }
        for (name, value) in lines {
            writeln!(head, "{name}: {value}").ok();
        }
    }

    fn recipients(&self, number: u64, answered: Option<u64>, list: Option<&str>, dice: &mut Dice) -> String {
        let mut all = Vec::new();
        if let Some(parent) = answered {
            let who = self.author(parent);
            all.push(format!("{} <{}>", encoded_word(&who.name), who.address));
        }
        match list {
            Some(list) => all.push(format!("{list}@lists.example.org")),
            None => all.push("Alice Example <alice@example.org>".to_owned()),
        }
        if dice.permille(8) {
            for other in 0..dice.magnitude(10, 600) {
                let who = self.author(number.wrapping_add(1_000 + other));
                all.push(format!("{} <{}>", encoded_word(&who.name), who.address));
            }
        }
        all.join(",\n\t")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SOME: u64 = 3_000;

    #[test]
    fn a_number_is_always_the_same_message_and_fits_every_format() {
        let (one, other) = (Generator::new(7), Generator::new(8));
        let again = Generator::new(7);
        for number in [0, 1, 17, 2_999, 499_999] {
            assert_eq!(one.message(number), again.message(number));
            assert_ne!(one.message(number).bytes, other.message(number).bytes);
        }
        for number in 0..SOME {
            let bytes = one.message(number).bytes;
            assert!(bytes.ends_with(b"\n") && !bytes.contains(&b'\r'), "message {number}");
            let quoted = bytes.split(|b| *b == b'\n').any(|line| {
                let bare = line.iter().position(|b| *b != b'>').map_or(line, |at| &line[at..]);
                bare.starts_with(b"From ")
            });
            assert!(!quoted, "message {number} has a line that an mbox must quote");
        }
    }

    #[test]
    fn the_corpus_is_as_varied_as_mail_is() {
        let generator = Generator::new(1);
        let mut sizes: Vec<usize> = Vec::new();
        let mut distinct = BTreeSet::new();
        let mut found = [0; 9];
        let marks = [
            "multipart/alternative",
            "multipart/mixed",
            "message/rfc822",
            "Content-Transfer-Encoding: base64",
            "quoted-printable",
            "charset=iso-2022-jp",
            "References: ",
            "\n> > ",
            "List-Id: ",
        ];
        for number in 0..SOME {
            let mail = generator.message(number);
            let text = String::from_utf8_lossy(&mail.bytes);
            for (mark, count) in marks.iter().zip(&mut found) {
                *count += usize::from(text.contains(mark));
            }
            sizes.push(mail.bytes.len());
            distinct.insert(mail.bytes);
        }
        for (mark, count) in marks.iter().zip(found) {
            assert!(count > 10, "{mark} in {count} of {SOME} messages");
        }
        let repeated = SOME as usize - distinct.len();
        assert!((SOME as usize / 100..SOME as usize / 25).contains(&repeated), "{repeated} come twice");
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        sizes.sort_unstable();
        let (median, largest) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
        assert!((7_000..14_000).contains(&mean), "mean {mean}");
        assert!((2_000..6_000).contains(&median) && largest > 200_000, "median {median}, largest {largest}");
    }
}
