//! The `From ` line (From_): what separates the messages of an mbox, and the envelope line at the top of some EML files.
//!
//! Invariant: a line counts as a separator only with a readable date, so that prose that begins with "From " doesn't cut
//! a message. Says nothing of the sender: the line is kept as it stands in the message's prefix.

use storage::InternalDate;
use time::{Date, Month};

/// Longest From_ line that is looked at, bytes with its line end.
pub(crate) const MAX_LINE_BYTES: usize = 1_000;

/// The date that git writes into every patch's From_ line: a file type's mark, not a time.
const GIT_PATCH_DATE: i64 = 1_000_684_800;

/// The date of a From_ line (with or without its line end); `None` when the line is none or has no readable date.
///
/// asctime (`Fri Sep  4 14:55:26 2020`), with a zone before or after the year, without seconds, and RFC 5322's order
/// are read. Without a zone it is taken for UTC.
pub(crate) fn date(line: &[u8]) -> Option<InternalDate> {
    let rest = line.strip_prefix(b"From ")?;
    if line.len() > MAX_LINE_BYTES {
        return None;
    }
    let text = std::str::from_utf8(rest)
        .map(std::borrow::Cow::Borrowed)
        .unwrap_or_else(|_| String::from_utf8_lossy(rest));
    let tokens: Vec<&str> = text.split_ascii_whitespace().collect();
    // The sender may hold anything, a weekday's name too: the last place that reads as a date is the date.
    (0..tokens.len()).rev().find_map(|start| date_at(tokens.get(start..)?))
}

/// As [`date`], for INTERNALDATE: not the constant that git writes into patches.
pub(crate) fn internal_date(line: &[u8]) -> Option<InternalDate> {
    date(line).filter(|date| date.secs != GIT_PATCH_DATE)
}

fn date_at(tokens: &[&str]) -> Option<InternalDate> {
    let weekday = tokens.first()?.trim_end_matches(',');
    if !["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].iter().any(|day| day.eq_ignore_ascii_case(weekday))
    {
        return None;
    }
    let (second, third) = (tokens.get(1)?, tokens.get(2)?);
    if let Some(month) = month(second) {
        let day = number(third.trim_end_matches(','), 2)?;
        let time = clock(tokens.get(3)?)?;
        let rest = tokens.get(4..)?.get(..2.min(tokens.len() - 4))?;
        let (year, zone) = match rest {
            [year, zone] if is_year(year) => (year, zone_minutes(zone)),
            [year] if is_year(year) => (year, None),
            [zone, year] if is_year(year) => (year, zone_minutes(zone)),
            _ => return None,
        };
        return zoned(year_number(year)?, month, day, time, zone);
    }
    let (day, month, year) = (number(second, 2)?, month(third)?, tokens.get(3)?);
    if !is_year(year) {
        return None;
    }
    let time = clock(tokens.get(4)?)?;
    zoned(year_number(year)?, month, day, time, tokens.get(5).and_then(|zone| zone_minutes(zone)))
}

fn number(text: &str, digits: usize) -> Option<u32> {
    if text.is_empty() || text.len() > digits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn is_year(text: &str) -> bool {
    matches!(text.len(), 2 | 4) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 5322 §4.3: two digits mean 2000–2049 or 1950–1999.
fn year_number(text: &str) -> Option<i32> {
    let year = number(text, 4)?;
    let year = match (text.len(), year) {
        (2, 0..=49) => 2_000 + year,
        (2, _) => 1_900 + year,
        _ => year,
    };
    i32::try_from(year).ok()
}

fn month(text: &str) -> Option<Month> {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let index = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    Month::try_from(u8::try_from(index + 1).ok()?).ok()
}

fn clock(text: &str) -> Option<(u8, u8, u8)> {
    let mut fields = text.split(':');
    let hour = number(fields.next()?, 2)?;
    let minute = number(fields.next()?, 2)?;
    let second = fields.next().map_or(Some(0), |text| number(text, 2))?;
    if fields.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // A leap second has no place in seconds since 1970.
    Some((u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, u8::try_from(second.min(59)).ok()?))
}

fn zone_minutes(text: &str) -> Option<i16> {
    if let Some((sign, digits)) =
        text.strip_prefix('+').map(|d| (1, d)).or_else(|| text.strip_prefix('-').map(|d| (-1, d)))
    {
        if digits.len() != 4 {
            return None;
        }
        let value = i16::try_from(number(digits, 4)?).ok()?;
        let minutes = value / 100 * 60 + value % 100;
        return (value % 100 < 60 && minutes <= 14 * 60).then_some(sign * minutes);
    }
    // RFC 5322 §4.3 and the two that European systems write.
    let hours = match text.to_ascii_uppercase().as_str() {
        "UT" | "UTC" | "GMT" | "Z" => 0,
        "CET" => 1,
        "CEST" => 2,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return None,
    };
    Some(hours * 60)
}

fn zoned(year: i32, month: Month, day: u32, time: (u8, u8, u8), zone: Option<i16>) -> Option<InternalDate> {
    let date = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
    let local = date.with_hms(time.0, time.1, time.2).ok()?.assume_utc().unix_timestamp();
    let zone = zone.unwrap_or(0);
    Some(InternalDate { secs: local - i64::from(zone) * 60, zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_from_lines() {
        let cases: [(&str, Option<(i64, i16)>); 19] = [
            ("From a@b Fri Sep  4 14:55:26 2020", Some((1_599_231_326, 0))),
            ("From a@b Fri Sep  4 14:55:26 2020\r\n", Some((1_599_231_326, 0))),
            ("From - Fri Sep 04 14:55:26 2020", Some((1_599_231_326, 0))),
            ("From 160@xxx Fri Sep 04 14:55:26 +0000 2020", Some((1_599_231_326, 0))),
            ("From a@b Fri Sep  4 16:55:26 2020 +0200", Some((1_599_231_326, 120))),
            ("From a@b Fri Sep  4 10:55:26 EDT 2020", Some((1_599_231_326, -240))),
            ("From a@b Fri Sep  4 14:55:26 XYZ 2020", Some((1_599_231_326, 0))),
            ("From a@b Fri Sep  4 14:55 2020", Some((1_599_231_300, 0))),
            ("From a@b Fri, 04 Sep 2020 16:55:26 +0200", Some((1_599_231_326, 120))),
            ("From a at b.org  Fri Sep  4 14:55:26 2020", Some((1_599_231_326, 0))),
            ("From uunet!x Fri Sep  4 14:55:26 2020 remote from y", Some((1_599_231_326, 0))),
            ("From Mon Fri Sep  4 14:55:26 2020", Some((1_599_231_326, 0))),
            ("From Fri Sep  4 14:55:26 20", Some((1_599_231_326, 0))),
            ("From the docs: Fri Sep is near", None),
            ("From a@b", None),
            ("From a@b Fri Feb 30 14:55:26 2020", None),
            ("From a@b Fri Sep  4 24:00:00 2020", None),
            ("from a@b Fri Sep  4 14:55:26 2020", None),
            (">From a@b Fri Sep  4 14:55:26 2020", None),
        ];
        for (line, wanted) in cases {
            let got = date(line.as_bytes()).map(|date| (date.secs, date.zone));
            assert_eq!(got, wanted, "{line}");
        }
    }

    #[test]
    fn the_mark_of_git_is_no_time() {
        let line = b"From bf1a7799161fe1f08570c4f25d87a0f4e0b51ef1 Mon Sep 17 00:00:00 2001\n";
        assert!(date(line).is_some());
        assert_eq!(internal_date(line), None);
    }

    #[test]
    fn bound_of_a_line() {
        let tail = " Fri Sep  4 14:55:26 2020\n";
        let sender = MAX_LINE_BYTES - tail.len() - "From ".len();
        assert!(date(format!("From {}{tail}", "a".repeat(sender)).as_bytes()).is_some());
        assert!(date(format!("From {}{tail}", "a".repeat(sender + 1)).as_bytes()).is_none());
    }
}
