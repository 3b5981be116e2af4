//! SORT's criteria and THREAD's algorithm (RFC 5256 §5, RFC 5957).

use super::{Cursor, Wrong};
use storage::order::{By, Criterion, Threading};

/// Most criteria of one SORT: each means the same only once.
pub(crate) const MAX_CRITERIA: usize = 64;

/// Parses SORT's list of criteria.
pub(crate) fn criteria(c: &mut Cursor<'_>) -> Result<Vec<Criterion>, Wrong> {
    c.byte(b'(', "SORT has a list of criteria")?;
    let mut all = Vec::new();
    loop {
        let mut reverse = false;
        let mut name = c.atom()?;
        if name.eq_ignore_ascii_case(b"REVERSE") {
            reverse = true;
            c.sp()?;
            name = c.atom()?;
        }
        let by = match name.to_ascii_uppercase().as_slice() {
            b"ARRIVAL" => By::Arrival,
            b"CC" => By::Cc,
            b"DATE" => By::Date,
            b"FROM" => By::From,
            b"SIZE" => By::Size,
            b"SUBJECT" => By::Subject,
            b"TO" => By::To,
            b"DISPLAYFROM" => By::DisplayFrom,
            b"DISPLAYTO" => By::DisplayTo,
            b"RELEVANCY" => By::Relevancy,
            _ => return Err(Wrong("unknown sort criterion")),
        };
        all.push(Criterion { by, reverse });
        if all.len() > MAX_CRITERIA {
            return Err(Wrong("too many sort criteria"));
        }
        if c.eat(b')') {
            return Ok(all);
        }
        c.sp()?;
    }
}

/// Parses THREAD's algorithm.
pub(crate) fn threading(c: &mut Cursor<'_>) -> Result<Threading, Wrong> {
    match c.atom()?.to_ascii_uppercase().as_slice() {
        b"REFERENCES" => Ok(Threading::References),
        b"ORDEREDSUBJECT" => Ok(Threading::OrderedSubject),
        _ => Err(Wrong("unknown threading algorithm")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let of = |text: &str| criteria(&mut Cursor::new(text.as_bytes()));
        let one = |by, reverse| Criterion { by, reverse };
        assert_eq!(of("(date)"), Ok(vec![one(By::Date, false)]));
        assert_eq!(
            of("(SUBJECT REVERSE DATE reverse DisplayFrom)"),
            Ok(vec![one(By::Subject, false), one(By::Date, true), one(By::DisplayFrom, true)])
        );
        for bad in
            ["", "DATE", "()", "(DATE", "(DATE )", "(REVERSE)", "(REVERSE REVERSE DATE)", "(X)", "( DATE)"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
        let many = |n: usize| of(&format!("({})", vec!["SIZE"; n].join(" ")));
        assert_eq!(many(MAX_CRITERIA).map(|all| all.len()), Ok(MAX_CRITERIA));
        assert!(many(MAX_CRITERIA + 1).is_err());
        assert_eq!(threading(&mut Cursor::new(b"references ")), Ok(Threading::References));
        assert!(threading(&mut Cursor::new(b"REFS")).is_err());
    }
}
