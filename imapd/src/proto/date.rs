//! Calendar days and INTERNALDATE's text (RFC 3501 §9 `date`, `date-time`).
//!
//! Proleptic Gregorian calendar, years 1 to 9999; knows no time zone but the one that is given.

use storage::InternalDate;
use storage::search::Day;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;

/// The day of `d-mmm-yyyy`; `None` for what is no date (31-Feb too).
pub(crate) fn parse_day(text: &[u8]) -> Option<Day> {
    let mut parts = std::str::from_utf8(text).ok()?.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(1..=2).contains(&day.len()) || year.len() != 4 {
        return None;
    }
    if !day.bytes().chain(year.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))? as i64 + 1;
    let (day, year) = (day.parse().ok()?, year.parse().ok()?);
    let days = days_from(year, month, day);
    (civil(days) == (year, month, day)).then_some(Day(days))
}

/// INTERNALDATE's value with its quotes, `"17-Jul-1996 02:44:25 -0700"`; dates beyond four-digit years are clamped.
pub(crate) fn write_date_time(date: InternalDate, out: &mut Vec<u8>) {
    let zone = i64::from(date.zone).clamp(-1439, 1439);
    let local = date.secs.saturating_add(zone * 60);
    let local = local.clamp(days_from(1, 1, 1) * DAY, days_from(10_000, 1, 1) * DAY - 1);
    let (days, secs) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let month = usize::try_from(month - 1).ok().and_then(|m| MONTHS.get(m)).unwrap_or(&"Jan");
    let sign = if zone < 0 { '-' } else { '+' };
    let zone = zone.abs();
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    out.extend_from_slice(
        format!(
            "\"{day:02}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} {sign}{:02}{:02}\"",
            zone / 60,
            zone % 60
        )
        .as_bytes(),
    );
}

/// Days since 1970-01-01 of a date (Howard Hinnant's `days_from_civil`).
fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_their_edges() {
        for (text, day) in [
            ("1-Jan-1970", Some(0)),
            ("01-jan-1970", Some(0)),
            ("29-Feb-2024", Some(19_782)),
            ("29-Feb-2023", None),
            ("31-Apr-2023", None),
            ("0-Jan-2023", None),
            ("1-Foo-2023", None),
            ("1-Jan-23", None),
            ("+1-Jan-2023", None),
            ("1-Jan-2023-", None),
            ("", None),
        ] {
            assert_eq!(parse_day(text.as_bytes()), day.map(Day), "{text}");
        }
        let mut day = days_from(1, 1, 1);
        while day < days_from(10_000, 1, 1) {
            let (y, m, d) = civil(day);
            assert_eq!(days_from(y, m, d), day);
            day += 17;
        }
    }

    #[test]
    fn internal_dates() {
        for (secs, zone, text) in [
            (837_596_665, -420, "\"17-Jul-1996 02:44:25 -0700\""),
            (0, 0, "\"01-Jan-1970 00:00:00 +0000\""),
            (-1, 330, "\"01-Jan-1970 05:29:59 +0530\""),
            (i64::MAX, 0, "\"31-Dec-9999 23:59:59 +0000\""),
            (i64::MIN, i16::MIN, "\"01-Jan-0001 00:00:00 -2359\""),
        ] {
            let mut out = Vec::new();
            write_date_time(InternalDate { secs, zone }, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
