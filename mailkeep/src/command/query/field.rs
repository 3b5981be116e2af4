//! What a search line's fields mean: names, dates, sizes, flags.

use super::{Query, Why};
use storage::search::{Day, Flag, Key};
use time::{Date, Month};

/// 1970-01-01 as a Julian day.
const EPOCH: i64 = 2_440_588;

/// A field that a line may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    From,
    To,
    Cc,
    Bcc,
    Subject,
    Body,
    Header,
    Before,
    After,
    On,
    SentBefore,
    SentAfter,
    SentOn,
    Larger,
    Smaller,
    Is,
    Has,
    FileName,
    In,
}

/// Each name with its colon, and what stands behind it for example.
const FIELDS: [(&str, Field, &str); 23] = [
    ("from:", Field::From, "anna"),
    ("to:", Field::To, "anna"),
    ("cc:", Field::Cc, "anna"),
    ("bcc:", Field::Bcc, "anna"),
    ("subject:", Field::Subject, "\"annual report\""),
    ("body:", Field::Body, "invoice"),
    ("header:", Field::Header, "List-Id:announce"),
    ("before:", Field::Before, "2019-12-31"),
    ("after:", Field::After, "2019-12-31"),
    ("since:", Field::After, "2019-12-31"),
    ("on:", Field::On, "2019-12"),
    ("sent-before:", Field::SentBefore, "2019-12-31"),
    ("sent-after:", Field::SentAfter, "2019-12-31"),
    ("sent-since:", Field::SentAfter, "2019-12-31"),
    ("sent-on:", Field::SentOn, "2019-12-31"),
    ("larger:", Field::Larger, "10M"),
    ("smaller:", Field::Smaller, "500k"),
    ("is:", Field::Is, "flagged"),
    ("has:", Field::Has, "attachment"),
    ("filename:", Field::FileName, ".pdf"),
    ("file:", Field::FileName, ".pdf"),
    ("in:", Field::In, "Projects/Bridge"),
    ("folder:", Field::In, "Projects/Bridge"),
];

/// All names, for people.
pub(super) fn names() -> String {
    FIELDS.map(|(name, ..)| name).join(" ")
}

impl Field {
    /// The field of this name (without its colon), in any case.
    pub(super) fn named(name: &str) -> Option<Field> {
        let same =
            |known: &str| known.strip_suffix(':').is_some_and(|known| known.eq_ignore_ascii_case(name));
        FIELDS.iter().find(|(known, ..)| same(known)).map(|(_, field, _)| *field)
    }

    fn name(self) -> (&'static str, &'static str) {
        let found = FIELDS.iter().find(|(_, field, _)| *field == self);
        found.map_or(("", ""), |(name, _, example)| (*name, *example))
    }

    /// What it means with this value.
    pub(super) fn meaning(self, value: &str) -> Result<Query, Why> {
        let (name, example) = self.name();
        if value.is_empty() {
            return Err(Why::Empty(name, example));
        }
        let header = |name: &str| Key::Header(name.to_owned(), value.to_owned());
        let days = || days(value).ok_or_else(|| Why::Date(name, value.to_owned()));
        let size = || size(value).ok_or_else(|| Why::Size(name, value.to_owned()));
        Ok(Query::Key(match self {
            Field::From => header("From"),
            Field::To => Key::Or(vec![header("To"), header("Cc")]),
            Field::Cc => header("Cc"),
            Field::Bcc => header("Bcc"),
            Field::Subject => header("Subject"),
            Field::Body => Key::Body(value.to_owned()),
            Field::Header => {
                let (name, text) = value.split_once(':').unwrap_or((value, ""));
                let right = |c: char| c.is_ascii_graphic();
                if name.is_empty() || !name.chars().all(right) {
                    return Err(Why::Header);
                }
                Key::Header(name.to_owned(), text.to_owned())
            }
            Field::Before => Key::Before(days()?.0),
            Field::After => Key::Since(days()?.0),
            Field::On => match days()? {
                (day, next) if next.0 == day.0 + 1 => Key::On(day),
                (first, next) => Key::And(vec![Key::Since(first), Key::Before(next)]),
            },
            Field::SentBefore => Key::SentBefore(days()?.0),
            Field::SentAfter => Key::SentSince(days()?.0),
            Field::SentOn => match days()? {
                (day, next) if next.0 == day.0 + 1 => Key::SentOn(day),
                (first, next) => Key::And(vec![Key::SentSince(first), Key::SentBefore(next)]),
            },
            Field::Larger => Key::Larger(size()?),
            Field::Smaller => Key::Smaller(size()?),
            Field::Is => match value.to_ascii_lowercase().as_str() {
                "answered" => Key::Flag(Flag::Answered),
                "flagged" => Key::Flag(Flag::Flagged),
                "forwarded" => Key::Flag(Flag::Forwarded),
                _ => return Err(Why::Flag(value.to_owned())),
            },
            Field::Has => match value.to_ascii_lowercase().as_str() {
                "attachment" | "attachments" => Key::HasAttachment,
                _ => return Err(Why::Has(value.to_owned())),
            },
            Field::FileName => Key::FileName(value.to_owned()),
            Field::In => return Ok(Query::In(value.to_owned())),
        }))
    }
}

fn day_of(date: Date) -> Day {
    Day(i64::from(date.to_julian_day()) - EPOCH)
}

/// The first day of `2019`, `2019-12` or `2019-12-31`, and the day after the last one.
fn days(value: &str) -> Option<(Day, Day)> {
    let mut parts = value.split('-');
    let mut number = |digits: usize| -> Option<Option<u16>> {
        let Some(text) = parts.next() else { return Some(None) };
        let right = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        right.then(|| text.parse().ok().map(Some)).flatten()
    };
    let (year, month, day) = (number(4)??, number(2)?, number(2)?);
    if value.split('-').count() > 3 {
        return None;
    }
    let year = i32::from(year);
    let month_of = |number: u16| Month::try_from(u8::try_from(number).ok()?).ok();
    let (first, next) = match (month, day) {
        (None, _) => {
            let first = Date::from_calendar_date(year, Month::January, 1).ok()?;
            (first, Date::from_calendar_date(year, Month::December, 31).ok()?)
        }
        (Some(month), None) => {
            let month = month_of(month)?;
            let last = month.length(year);
            (
                Date::from_calendar_date(year, month, 1).ok()?,
                Date::from_calendar_date(year, month, last).ok()?,
            )
        }
        (Some(month), Some(day)) => {
            let date = Date::from_calendar_date(year, month_of(month)?, u8::try_from(day).ok()?).ok()?;
            (date, date)
        }
    };
    let Day(last) = day_of(next);
    Some((day_of(first), Day(last + 1)))
}

fn size(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match value.get(digits.len()..).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
