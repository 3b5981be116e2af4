//! A CSV file of users (RFC 4180). The header line is required and its words are free: each column's meaning is told by flags, else
//! by words that people use.
//!
//! Invariant: what is wrong is told with line and column, all at once where that can be; no password is in any of it.

use archiver::profile::csv::{records, separator};
use auth::{Edit, NewUser};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use zeroize::Zeroizing;

/// Most columns.
pub(crate) const MAX_COLUMNS: usize = 64;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Meaning {
    Name,
    FullName,
    Password,
    Address,
    Alias,
    Dn,
    Expires,
}

impl Meaning {
    const ALL: [(Meaning, &[&str]); 7] = [
        (
            Meaning::Name,
            &[
                "name",
                "user",
                "username",
                "user name",
                "login",
                "account",
                "benutzer",
                "benutzername",
                "anmeldename",
            ],
        ),
        (
            Meaning::FullName,
            &["full name", "fullname", "display name", "displayname", "vollständiger name", "anzeigename"],
        ),
        (Meaning::Password, &["password", "passwd", "kennwort", "passwort"]),
        (
            Meaning::Address,
            &[
                "address",
                "addresses",
                "email",
                "e-mail",
                "mail",
                "e-mail address",
                "e-mail addresses",
                "email address",
                "e-mail-adresse",
                "e-mail-adressen",
            ],
        ),
        (Meaning::Alias, &["alias", "aliases", "pop3", "pop3 name", "pop3-name"]),
        (Meaning::Dn, &["dn", "distinguished name", "distinguishedname"]),
        (Meaning::Expires, &["expires", "expiry", "until", "ablauf", "gültig bis"]),
    ];

    fn of(word: &str) -> Option<Meaning> {
        let word = word.trim().to_lowercase().replace('_', " ");
        Meaning::ALL.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(meaning, _)| *meaning)
    }
}

/// A user of the file.
pub(crate) struct Row {
    /// Line in the file, from 1.
    pub(crate) line: usize,
    pub(crate) user: NewUser,
}

/// The file's users.
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    /// The header's word of each meaning's first column.
    words: HashMap<Meaning, String>,
}

impl Table {
    /// Understands a file's text; `,`, `;` or a tab parts values, and in a cell of addresses or aliases blanks, `;` or `,` do.
    /// # Errors
    /// What is wrong, in which line and column.
    pub(crate) fn parse(text: &str, columns: &[(Meaning, String)]) -> Result<Table, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // A file of names alone has nothing that parts values.
        let sign = separator(text).unwrap_or(',');
        let mut lines = records(text, sign)?.into_iter();
        let Some((_, header)) = lines.next() else {
            return Err("it is empty; line 1 must be a header line such as: name,full name,e-mail".into());
        };
        if header.len() > MAX_COLUMNS {
            return Err(format!("line 1 has {} columns; at most {MAX_COLUMNS} are read", header.len()));
        }
        let meanings = meanings(&header, columns)?;
        let mut words = HashMap::new();
        for (meaning, word) in meanings.iter().zip(&header) {
            if let Some(meaning) = meaning {
                words.entry(*meaning).or_insert_with(|| word.trim().to_owned());
            }
        }
        let mut rows: Vec<Row> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (line, values) in lines {
            if values.iter().all(|value| value.trim().is_empty()) {
                continue;
            }
            if values.len() > header.len() {
                return Err(format!(
                    "line {line} has more values than the header line has columns; one with the separator in it stands in quotes"
                ));
            }
            let user = user(&meanings, &header, &values)
                .map_err(|(word, what)| format!("line {line}, column {word:?}: {what}"))?;
            if let Some(before) = seen.insert(user.name.to_lowercase(), line) {
                return Err(format!("line {line}: {:?} stands in line {before} already", user.name));
            }
            rows.push(Row { line, user });
        }
        match rows.is_empty() {
            true => Err("there is no user below the header line".into()),
            false => Ok(Table { rows, words }),
        }
    }

    /// Whether there is a column of passwords.
    pub(crate) fn has_passwords(&self) -> bool {
        self.words.contains_key(&Meaning::Password)
    }

    /// An error about a row, with its line and, where it is about one, its column.
    pub(crate) fn told(&self, row: &Row, error: &auth::Error) -> String {
        use auth::Error;
        let meaning = match error {
            Error::BadName { .. } | Error::Exists(_) | Error::Alike { .. } => Some(Meaning::Name),
            Error::BadPassword(_) => Some(Meaning::Password),
            Error::BadAddress { .. } | Error::AddressTaken { .. } => Some(Meaning::Address),
            Error::AliasTaken { .. } => Some(Meaning::Alias),
            Error::BadField { field: "full name", .. } => Some(Meaning::FullName),
            Error::BadField { field: "aliases", .. } => Some(Meaning::Alias),
            Error::BadField { field: "DN", .. } => Some(Meaning::Dn),
            Error::BadField { field: "expiry", .. } | Error::AuditorWithoutEnd(_) => Some(Meaning::Expires),
            _ => None,
        };
        match meaning.and_then(|meaning| self.words.get(&meaning)) {
            Some(word) => format!("line {}, column {word:?}: {error}", row.line),
            None => format!("line {}: {error}", row.line),
        }
    }
}

/// What each column means; one without a meaning is left out.
fn meanings(
    header: &[Zeroizing<String>],
    told: &[(Meaning, String)],
) -> Result<Vec<Option<Meaning>>, String> {
    let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
    let shown = || header.iter().map(|word| format!("{:?}", word.trim())).collect::<Vec<_>>().join(", ");
    for (_, word) in told {
        if !header.iter().any(|column| same(column, word)) {
            return Err(format!("there is no column {word:?} in line 1; there are {}", shown()));
        }
    }
    let mut meanings: Vec<Option<Meaning>> = Vec::new();
    for column in header {
        let given = told.iter().find(|(_, word)| same(column, word)).map(|(meaning, _)| *meaning);
        // What flags name is not also looked for by words.
        let found = given.or_else(|| {
            Meaning::of(column).filter(|found| !told.iter().any(|(meaning, _)| meaning == found))
        });
        let many = found.is_none_or(|found| matches!(found, Meaning::Address | Meaning::Alias));
        if !many && meanings.contains(&found) {
            return Err(format!("line 1: column {:?} is the second of its kind", column.trim()));
        }
        meanings.push(found);
    }
    if !meanings.contains(&Some(Meaning::Name)) {
        return Err(format!(
            "no column of line 1 is known for the login names; --name-column WORD says which ({})",
            shown()
        ));
    }
    Ok(meanings)
}

type Told<'a> = (&'a str, String);

fn user<'a>(
    meanings: &[Option<Meaning>],
    header: &'a [Zeroizing<String>],
    values: &[Zeroizing<String>],
) -> Result<NewUser, Told<'a>> {
    let mut new = NewUser::default();
    let mut edit = Edit::default();
    for ((meaning, value), word) in meanings.iter().zip(values).zip(header) {
        let text = value.trim();
        // What a cell doesn't say stays as it is.
        let (Some(meaning), false) = (meaning, text.is_empty()) else { continue };
        let all = || text.split([' ', ';', ',', '\n', '\t']).filter(|one| !one.is_empty()).map(str::to_owned);
        match meaning {
            Meaning::Name => text.clone_into(&mut new.name),
            Meaning::FullName => edit.full_name = Some(text.to_owned()),
            // Blanks of a password count.
            Meaning::Password => new.password = Some(value.clone()),
            Meaning::Address => edit.addresses.get_or_insert_default().extend(all()),
            Meaning::Alias => edit.aliases.get_or_insert_default().extend(all()),
            Meaning::Dn => edit.dn = Some(text.to_owned()),
            Meaning::Expires => edit.expires = Some(day(text).map_err(|what| (word.trim(), what))?),
        }
    }
    if new.name.is_empty() {
        let column = meanings.iter().position(|meaning| *meaning == Some(Meaning::Name));
        let word = column.and_then(|column| header.get(column)).map_or("", |word| word.trim());
        return Err((word, "it is empty".into()));
    }
    new.edit = edit;
    Ok(new)
}

/// A day, from whose beginning (UTC) on something is over, or a moment; `never` is 0.
pub(crate) fn day(text: &str) -> Result<i64, String> {
    if text.eq_ignore_ascii_case("never") {
        return Ok(0);
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let at = day.map(|day| day.midnight().assume_utc()).or_else(|_| OffsetDateTime::parse(text, &Rfc3339));
    match at.map(OffsetDateTime::unix_timestamp) {
        Ok(at) if at > 0 => Ok(at),
        _ => Err(format!(
            "{text:?} is no day such as 2026-12-31, no moment such as 2026-12-31T18:00:00Z, and not `never`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archiver::profile::csv::{MAX_FIELD_BYTES, MAX_ROWS};

    fn error(text: &str) -> String {
        Table::parse(text, &[]).err().unwrap_or_default()
    }

    #[test]
    fn files_as_people_write_them() {
        let text = "\u{feff}Benutzername;Anzeigename;E-Mail;POP3;Kennwort;Raum;gültig bis\r\n\
                    ann;\"Ann; Lee\";ann@x.example a.lee@x.example;pop-1;correct horse ;7;2030-01-02\r\n\
                    \r\n\
                    bob;;;;;;\r\n";
        let table = Table::parse(text, &[]).unwrap();
        assert!(table.has_passwords());
        let [ann, bob] = table.rows.as_slice() else { panic!("{}", table.rows.len()) };
        assert_eq!((ann.line, ann.user.name.as_str()), (2, "ann"));
        assert_eq!(ann.user.password.as_ref().map(|p| p.as_str()), Some("correct horse "));
        assert_eq!(
            ann.user.edit,
            Edit {
                full_name: Some("Ann; Lee".into()),
                addresses: Some(vec!["ann@x.example".into(), "a.lee@x.example".into()]),
                aliases: Some(vec!["pop-1".into()]),
                expires: Some(1_893_542_400),
                ..Edit::default()
            }
        );
        assert_eq!((bob.line, bob.user.name.as_str(), &bob.user.edit), (4, "bob", &Edit::default()));
        assert!(bob.user.password.is_none());
        assert_eq!(Table::parse("user\nann\nbob\n", &[]).unwrap().rows.len(), 2);
        let two = Table::parse("user,mail,e-mail\nann,a@x,b@x\n", &[]).unwrap();
        assert_eq!(two.rows[0].user.edit.addresses, Some(vec!["a@x".into(), "b@x".into()]));
    }

    #[test]
    fn flags_say_what_words_do_not() {
        let text = "Kürzel,Name,Geheim\nann,Ann Lee,correct horse\n";
        let told = |all: &[(Meaning, &str)]| {
            let all: Vec<_> = all.iter().map(|(meaning, word)| (*meaning, (*word).to_owned())).collect();
            Table::parse(text, &all)
        };
        let table = told(&[(Meaning::Name, "kürzel"), (Meaning::FullName, "Name")]).unwrap();
        assert_eq!((table.rows[0].user.name.as_str(), table.has_passwords()), ("ann", false));
        assert_eq!(table.rows[0].user.edit.full_name.as_deref(), Some("Ann Lee"));
        let table = told(&[(Meaning::Name, "Kürzel"), (Meaning::Password, "Geheim")]).unwrap();
        assert_eq!(table.rows[0].user.edit, Edit::default(), "its own `Name` is not taken for login names");
        assert!(table.has_passwords());
        assert!(told(&[(Meaning::Name, "nothing")]).err().unwrap().contains("Kürzel"));
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_column_and_without_passwords() {
        for (text, words) in [
            ("", "header line"),
            ("a,b\nx,y\n", "login names"),
            ("user\n", "no user"),
            ("user,login\na,b\n", "second of its kind"),
            ("user,password\nann,hunter2hunter2\n,hunter2hunter2\n", "line 3, column \"user\""),
            ("user,password\nann,hunter2hunter2,x\n", "line 2 has more values"),
            ("user,password\nann,\"hunter2\n", "line 2"),
            ("user,password\nann,hunter2hunter2\nANN,hunter2hunter2\n", "line 3: \"ANN\" stands in line 2"),
            ("user,expires\nann,soon\n", "line 2, column \"expires\""),
        ] {
            let error = error(text);
            assert!(error.contains(words) && !error.contains("hunter2"), "{text:?}: {error}");
        }
        let table = Table::parse("Login,E-Mail\nann,nobody\n", &[]).unwrap();
        let bad = auth::check_address("nobody").unwrap_err();
        assert!(table.told(&table.rows[0], &bad).starts_with("line 2, column \"E-Mail\": "));
    }

    #[test]
    fn bounds() {
        let field = |bytes: usize| format!("user,full name\nann,{}\n", "x".repeat(bytes));
        assert!(error(&field(MAX_FIELD_BYTES)).is_empty());
        assert!(error(&field(MAX_FIELD_BYTES + 1)).contains("line 2"));
        let columns = |count: usize| format!("user{}\nann\n", ",x".repeat(count - 1));
        assert!(error(&columns(MAX_COLUMNS)).is_empty());
        assert!(error(&columns(MAX_COLUMNS + 1)).contains("columns"));
        let many = |count: usize| {
            let mut text = String::from("user\n");
            (0..count).for_each(|n| text.push_str(&format!("u{n}\n")));
            text
        };
        assert!(error(&many(MAX_ROWS)).is_empty());
        assert!(error(&many(MAX_ROWS + 1)).contains("more than"));
    }

    #[test]
    fn days() {
        assert_eq!(day("1970-01-02"), Ok(86_400));
        assert_eq!(day("2026-12-31T18:00:00+01:00"), Ok(1_798_736_400));
        assert_eq!(day("Never"), Ok(0));
        for bad in ["", "0", "1970-01-01", "2026-13-01", "2026-02-30", "31.12.2026", "-1"] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }
}
