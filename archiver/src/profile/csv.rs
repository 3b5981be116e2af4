//! Mailboxes from a CSV file (RFC 4180): IMAP user, password, and if wanted e-mail address and archive user.
//!
//! Invariant: a line that makes no sense is an error with its number; nothing of the file's passwords is in any error. The
//! header line is required and its words are free: without it the first mailbox would be taken for it and missed.

use crate::remote::access::Secret;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Largest file, bytes.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// Most mailboxes.
pub const MAX_ROWS: usize = 100_000;
/// Longest value, bytes.
pub const MAX_FIELD_BYTES: usize = 1_024;

/// One mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Line in the file, from 1.
    pub(crate) line: usize,
    /// Login name at the server.
    pub(crate) user: String,
    /// Its password.
    pub(crate) secret: Secret,
    /// The user's e-mail address.
    pub(crate) address: Option<String>,
    /// The archive user.
    pub(crate) archive: Option<String>,
}

/// Reads a file, which only its owner may read: it holds passwords.
/// # Errors
/// What is wrong, and in which line.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(told)?;
    let there = file.metadata().map_err(told)?;
    if there.mode() & 0o077 != 0 {
        return Err(format!("{0} holds passwords and others can read it: chmod 600 {0}", path.display()));
    }
    if there.len() > MAX_FILE_BYTES {
        return Err(format!("{}: {} bytes, more than {MAX_FILE_BYTES}", path.display(), there.len()));
    }
    let room = usize::try_from(there.len()).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(room + 1));
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(told)?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Understands the text; `,`, `;` or a tab parts values, whichever the header line has.
/// # Errors
/// What is wrong, and in which line.
pub(crate) fn parse(text: &str) -> Result<Vec<Row>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(sign) = separator(text) else {
        return Err("line 1 must be a header line such as: user,password,address,archive".into());
    };
    let mut rows = Vec::new();
    for (number, (line, values)) in records(text, sign)?.into_iter().enumerate() {
        if number == 0 {
            if !(2..=4).contains(&values.len()) {
                return Err(format!(
                    "line 1 has {} columns; there are two to four: user, password, address, archive",
                    values.len()
                ));
            }
            continue;
        }
        if values.len() == 1 && values.first().is_some_and(|value| value.is_empty()) {
            continue;
        }
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or_default();
        let (user, password, address, archive) = (next(), next(), next(), next());
        if values.next().is_some() {
            return Err(format!(
                "line {line} has more than four values; one with the separator in it stands in quotes"
            ));
        }
        if user.trim().is_empty() || password.is_empty() {
            return Err(format!("line {line} has no user or no password"));
        }
        let filled = |value: Zeroizing<String>| {
            let value = value.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let address = filled(address).map(|address| auth::check_address(&address)).transpose();
        let address = address.map_err(|error| format!("line {line}: {error}"))?;
        let archive = filled(archive).map(|name| auth::check_name(&name)).transpose();
        let archive = archive.map_err(|error| format!("line {line}: {error}"))?;
        if rows.len() >= MAX_ROWS {
            return Err(format!("more than {MAX_ROWS} mailboxes"));
        }
        rows.push(Row {
            line,
            user: user.trim().to_owned(),
            secret: Secret::new(password.to_string()),
            address,
            archive,
        });
    }
    if rows.is_empty() {
        return Err("there is no mailbox below the header line".into());
    }
    Ok(rows)
}

/// A line's number, from 1, and its values.
pub type Record = (usize, Vec<Zeroizing<String>>);

/// What parts values: the first of `,`, `;` and a tab that the first line has.
#[must_use]
pub fn separator(text: &str) -> Option<char> {
    let first = text.lines().next().unwrap_or_default();
    [',', ';', '\t'].into_iter().find(|sign| first.contains(*sign))
}

/// The records of a text (RFC 4180) with the lines that they begin in, at most [`MAX_ROWS`] and a header line.
/// # Errors
/// The line with a value of more than [`MAX_FIELD_BYTES`] bytes or a quote that isn't closed; too many records. No value is in it.
pub fn records(text: &str, sign: char) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut value = Zeroizing::new(String::with_capacity(MAX_FIELD_BYTES + 4));
    let (mut line, mut begun) = (1, 1);
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    let fresh = || Zeroizing::new(String::with_capacity(MAX_FIELD_BYTES + 4));
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                value.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if value.is_empty() => quoted = true,
            '\n' if !quoted => {
                record.push(std::mem::replace(&mut value, fresh()));
                records.push((begun, std::mem::take(&mut record)));
                line += 1;
                begun = line;
            }
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            c if c == sign && !quoted => record.push(std::mem::replace(&mut value, fresh())),
            c => {
                line += usize::from(c == '\n');
                value.push(c);
            }
        }
        if value.len() > MAX_FIELD_BYTES {
            return Err(format!("line {line}: a value is longer than {MAX_FIELD_BYTES} bytes"));
        }
        if records.len() > MAX_ROWS + 1 {
            return Err(format!("more than {MAX_ROWS} lines below the header"));
        }
    }
    if quoted {
        return Err(format!("line {begun}: a quote is not closed"));
    }
    if !record.is_empty() || !value.is_empty() {
        record.push(value);
        records.push((begun, record));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn rows(text: &str) -> Vec<(String, String, Option<String>, Option<String>)> {
        let rows = parse(text).unwrap();
        rows.into_iter()
            .map(|row| (row.user, row.secret.reveal().to_owned(), row.address, row.archive))
            .collect()
    }

    #[test]
    fn files_as_people_write_them() {
        let some = |text: &str| Some(text.to_owned());
        let plain = rows("IMAP user,Kennwort\r\nann,secret\r\n\r\nbob,\"a,\"\"b\"\"\n c\"\n");
        assert_eq!(plain[0], ("ann".into(), "secret".into(), None, None));
        assert_eq!(plain[1].1, "a,\"b\"\n c", "quotes as RFC 4180 has them");
        let full = rows("\u{feff}u;p;e;a\nann; pass ;Ann@Example.org;alice\nbob;x;;\ncarl;y");
        assert_eq!(
            full[0],
            ("ann".into(), " pass ".into(), some("ann@example.org"), some("alice")),
            "blanks of a password count"
        );
        assert_eq!(full[1], ("bob".into(), "x".into(), None, None));
        assert_eq!(full[2].0, "carl");
        assert_eq!(parse("u\tp\na\tb\n").unwrap()[0].line, 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_passwords() {
        for (text, words) in [
            ("", "header line"),
            ("ann secret\n", "header line"),
            ("a,b,c,d,e\n", "5 columns"),
            ("u,p\n", "no mailbox"),
            ("u,p\nann,hunter2,,,x\n", "line 2"),
            ("u,p\nann,hunter2\n,hunter2\n", "line 3"),
            ("u,p\nann,\n", "line 2"),
            ("u,p,e\nann,hunter2,nobody\n", "line 2"),
            ("u,p,e,a\nann,hunter2,,a/b\n", "line 2"),
            ("u,p\nann,\"hunter2\n", "line 2"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("hunter2"), "{text:?}: {error}");
        }
    }

    #[test]
    fn bounds() {
        let value = |bytes: usize| format!("u,p\nann,{}\n", "x".repeat(bytes));
        assert_eq!(rows(&value(MAX_FIELD_BYTES))[0].1.len(), MAX_FIELD_BYTES);
        assert!(parse(&value(MAX_FIELD_BYTES + 1)).is_err());
        let many = |count: usize| format!("u,p\n{}", "a,b\n".repeat(count));
        assert_eq!(parse(&many(MAX_ROWS)).unwrap().len(), MAX_ROWS);
        assert!(parse(&many(MAX_ROWS + 1)).is_err());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mailboxes.csv");
        fs::write(&path, "u,p\nann,x\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(read(&path).unwrap_err().contains("more than"));
    }
}
