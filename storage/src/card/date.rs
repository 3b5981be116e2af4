//! Dates of header fields (RFC 5322 §3.3 and §4.3), read as tolerantly as they are written.
//!
//! Gives the moment and the zone as written; what has no day, month, year and time is no date.

use super::Zoned;
use time::{Date, Month, Time};

/// Reads a Date field's value, or what follows the last semicolon of a Received field.
#[must_use]
pub fn parse(value: &[u8]) -> Option<Zoned> {
    let text = without_comments(value);
    let mut read = Reading::default();
    for word in
        text.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|word| !word.is_empty()).take(32)
    {
        read.word(word);
    }
    read.finish()
}

/// The first 256 bytes outside comments; no date is longer.
fn without_comments(value: &[u8]) -> String {
    let mut depth = 0_usize;
    let mut text = String::new();
    for &byte in value {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => {
                depth -= 1;
                text.push(' ');
            }
            _ if depth > 0 => {}
            other => text.push(if other < 0x80 { char::from(other) } else { '?' }),
        }
        if text.len() >= 256 {
            break;
        }
    }
    text
}

#[derive(Default)]
struct Reading {
    day: Option<u8>,
    month: Option<u8>,
    year: Option<i32>,
    time: Option<Time>,
    afternoon: Option<bool>,
    zone: Option<i16>,
}

impl Reading {
    fn word(&mut self, word: &str) {
        let first = word.as_bytes().first().copied().unwrap_or_default();
        if matches!(first, b'+' | b'-') {
            if let Some(zone) = numeric_zone(word) {
                self.zone.get_or_insert(zone);
            }
        } else if first.is_ascii_digit() {
            self.number(word);
        } else {
            self.name(word);
        }
    }

    /// A word that begins with a digit: a day, a year, a time, `5-Nov-2023`, or ISO 8601.
    fn number(&mut self, word: &str) {
        if let Some((date, time)) = word.split_once('T').filter(|(date, _)| date.contains('-')) {
            self.number(date);
            let at = time.find(['+', '-', 'Z', 'z']).unwrap_or(time.len());
            let (time, zone) = time.split_at(at);
            self.number(time);
            if !zone.is_empty() {
                self.word(zone);
            }
        } else if word.contains(':') {
            let at = word.find(['+', '-']).filter(|at| *at >= 4).unwrap_or(word.len());
            let (time, zone) = word.split_at(at);
            if self.time.is_none() {
                self.time = clock(time);
            }
            if !zone.is_empty() {
                self.word(zone);
            }
        } else if let [one, two, three] = *word.splitn(3, ['-', '/']).collect::<Vec<_>>()
            && self.day.is_none()
        {
            if one.len() == 4 {
                self.year = self.year.or(year(one));
                self.month = two.parse().ok().filter(|month| (1..=12).contains(month));
                self.day = three.parse().ok();
            } else {
                self.day = one.parse().ok();
                self.month = month(two);
                self.year = self.year.or(year(three));
            }
        } else if self.day.is_none() && word.len() <= 2 {
            self.day = word.parse().ok();
        } else if self.year.is_none() {
            self.year = year(word);
        }
    }

    fn name(&mut self, word: &str) {
        if self.month.is_none()
            && let Some(found) = month(word)
        {
            self.month = Some(found);
        } else if word.eq_ignore_ascii_case("AM") {
            self.afternoon = Some(false);
        } else if word.eq_ignore_ascii_case("PM") {
            self.afternoon = Some(true);
        } else if self.time.is_some() && self.zone.is_none() {
            self.zone = named_zone(word);
        }
    }

    fn finish(self) -> Option<Zoned> {
        let month = Month::try_from(self.month?).ok()?;
        let date = Date::from_calendar_date(self.year?, month, self.day?).ok()?;
        let mut hour = self.time?.hour();
        match self.afternoon {
            Some(true) if hour < 12 => hour += 12,
            Some(false) if hour == 12 => hour = 0,
            _ => {}
        }
        let time = self.time?.replace_hour(hour).ok()?;
        let zone = self.zone.unwrap_or(0);
        let secs = date.with_time(time).assume_utc().unix_timestamp() - i64::from(zone) * 60;
        Some(Zoned { secs, zone })
    }
}

fn month(word: &str) -> Option<u8> {
    const NAMES: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = word.get(..3)?;
    (1..).zip(NAMES).find(|(_, name)| start.eq_ignore_ascii_case(name)).map(|(number, _)| number)
}

/// Two digits below 50 are of this century, else of the last; three are counted from 1900 (RFC 5322 §4.3).
fn year(word: &str) -> Option<i32> {
    let number: i32 = word.parse().ok().filter(|number| (0..=9_999).contains(number))?;
    Some(match word.len() {
        ..=2 if number < 50 => 2_000 + number,
        ..=3 => 1_900 + number,
        _ => number,
    })
}

/// `10:20`, `10:20:30`, a fraction after it, a leap second.
fn clock(word: &str) -> Option<Time> {
    let word = word.split(['.', 'Z', 'z']).next().unwrap_or(word);
    let mut parts = word.split(':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let second: u8 = parts.next().map_or(Some(0), |part| part.parse().ok())?;
    Time::from_hms(hour, minute, if second == 60 { 59 } else { second }).ok()
}

/// `+0130`, `-05:00`; at most a day.
fn numeric_zone(word: &str) -> Option<i16> {
    let (sign, rest) = word.split_at_checked(1)?;
    let digits: String = rest.chars().filter(|&c| c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i16 = match digits.len() {
        1..=2 => digits.parse::<i16>().ok()?.checked_mul(100)?,
        3..=4 => digits.parse().ok()?,
        _ => return None,
    };
    let minutes = number / 100 * 60 + number % 100;
    if minutes >= 24 * 60 {
        return None;
    }
    Some(if sign == "-" { -minutes } else { minutes })
}

/// Zones by name (RFC 5322 §4.3), and some that the RFC doesn't know but mail does. Military letters say nothing: -0000.
fn named_zone(word: &str) -> Option<i16> {
    let end = word.find(['+', '-']).unwrap_or(word.len());
    let (name, offset) = word.split_at(end);
    if !offset.is_empty() {
        return numeric_zone(offset);
    }
    let hours = match name.to_ascii_uppercase().as_str() {
        "UT" | "UTC" | "GMT" | "Z" | "WET" => 0,
        "EST" | "CDT" => -5,
        "EDT" => -4,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        "BST" | "CET" | "MET" | "WEST" => 1,
        "CEST" | "MEST" | "EET" => 2,
        "EEST" | "MSK" => 3,
        "JST" => 9,
        _ => return None,
    };
    Some(hours * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_they_are_written() {
        for (text, expected) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", Some((880_127_706, -360))),
            ("21 Nov 97 09:55:06 GMT", Some((880_106_106, 0))),
            ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", None),
            ("Fri, 21 Nov 1997 09:55:06 -0600 (CST (really))", Some((880_127_706, -360))),
            ("Mon, 1 Jan 2024 00:00 +0100", Some((1_704_063_600, 60))),
            ("1 Jan 24 0:00:00 +0100", Some((1_704_063_600, 60))),
            ("1 Jan 124 00:00:00 +0100", Some((1_704_063_600, 60))),
            ("Mon Jan  1 00:00:00 2024", Some((1_704_067_200, 0))),
            ("1-Jan-2024 12:00:00 AM Z", Some((1_704_067_200, 0))),
            ("2024-01-01T01:00:00.5+01:00", Some((1_704_067_200, 60))),
            ("Sun, 31 Dec 2023 19:00:00 EST", Some((1_704_067_200, -300))),
            ("Sun, 31 Dec 2023 23:59:60 +0000", Some((1_704_067_199, 0))),
            ("Mon, 1 Jan 2024 02:00:00 GMT+0200", Some((1_704_067_200, 120))),
            ("Mon, 1 Jan 2024 00:00:00 A", Some((1_704_067_200, 0))),
            ("30 Feb 2024 00:00:00 +0000", None),
            ("1 Jan 2024", None),
            ("1 Jan 2024 25:00:00 +0000", None),
            ("", None),
            ("nonsense (", None),
        ] {
            let found = parse(text.as_bytes()).map(|date| (date.secs, date.zone));
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let zone = parse(&bytes).map_or(0, |date| date.zone);
            proptest::prop_assert!(zone.abs() < 24 * 60);
        }

        #[test]
        fn any_words(text in "([0-9]{1,5}|[+-][0-9:]{1,5}|Jan|[:/T-]| ){0,12}") {
            let zone = parse(text.as_bytes()).map_or(0, |date| date.zone);
            proptest::prop_assert!(zone.abs() < 24 * 60);
        }
    }
}
