//! MDaemon's USERLIST.DAT: one account a line, in columns of fixed width.
//!
//! Domain 45 | mailbox 30 | full name 30 | mail directory 90 | password 20 | flags of one character each (decode, forward, access,
//! change by mail, keep, hide …). Invariant: reads nothing but what a user is; the passwords in it are for MDaemon alone, and are
//! not taken.

use super::person::{Found, Person, addresses};
use super::settings::Directory;
use crate::Error;
use encoding_rs::Encoding;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file, bytes.
pub(super) const MAX_FILE_BYTES: u64 = 64 << 20;
/// The columns that are always there, up to the flag of access.
const LEAST: usize = 45 + 30 + 30 + 90 + 20 + 3;
const FLAGS: usize = 45 + 30 + 30 + 90 + 20;

/// Reads the file.
/// # Errors
/// `Directory`: it can't be read, or is none.
pub(super) fn read(directory: &Directory, path: &Path) -> Result<Vec<Found>, Error> {
    let told = |what: String| Error::Directory(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| told(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| told(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(told(format!("more than {MAX_FILE_BYTES} bytes")));
    }
    parse(directory, &bytes).map_err(told)
}

fn parse(directory: &Directory, bytes: &[u8]) -> Result<Vec<Found>, String> {
    let charset = Encoding::for_label(directory.charset.as_bytes()).ok_or("the charset is unknown")?;
    let mut all = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // The file may end with DOS's end-of-file.
        if line.iter().all(|byte| matches!(byte, b' ' | 0x1a)) {
            continue;
        }
        if line.len() < LEAST {
            return Err(format!(
                "line {} has {} bytes: an account has at least {LEAST}; is that USERLIST.DAT?",
                number + 1,
                line.len()
            ));
        }
        let column = |begin: usize, width: usize| {
            let bytes = line.get(begin..begin + width).unwrap_or_default();
            charset.decode_without_bom_handling(bytes).0.trim().to_owned()
        };
        let (domain, mailbox, full_name) = (column(0, 45), column(45, 30), column(75, 30));
        let flag = |at: usize| line.get(FLAGS + at).copied().unwrap_or(b' ').to_ascii_uppercase();
        let address = format!("{mailbox}@{domain}").to_lowercase();
        let id = format!("mdaemon:{address}");
        if domain.is_empty() || mailbox.is_empty() {
            all.push(Found::Unusable {
                id,
                entry: format!("line {}", number + 1),
                why: "it has no mailbox or no domain".into(),
            });
            continue;
        }
        let by_address = directory.attributes.name.first().is_some_and(|name| name == "address");
        let name = if by_address { address.clone() } else { mailbox.to_lowercase() };
        if directory.skip_hidden && flag(5) == b'Y' {
            all.push(Found::LeftOut { id, name, why: "hidden" });
            continue;
        }
        all.push(Found::Person(Person {
            id,
            dn: None,
            name,
            full_name,
            addresses: addresses([address.as_str()].into_iter()),
            aliases: vec![mailbox],
            groups: BTreeSet::new(),
            disabled: flag(2) == b'C',
        }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(domain: &str, mailbox: &str, full_name: &[u8], flags: &str) -> Vec<u8> {
        let mut line = format!("{domain:<45}{mailbox:<30}").into_bytes();
        line.extend_from_slice(full_name);
        line.resize(105, b' ');
        line.extend_from_slice(
            format!("{:<90}{:<20}{flags:<10}{:>4}{:>6}\r\n", "C:\\MDaemon\\Users\\", "SeCrEt", 0, 0)
                .as_bytes(),
        );
        line
    }

    #[test]
    fn accounts_in_columns() {
        let mut bytes = line("Contoso.example", "BNovakova", b"Bo\x9eena Nov\xe1kov\xe1", "YNINNNNNNN");
        bytes.extend(line("contoso.example", "gone", b"Gone", "YNCNNNNNNN"));
        bytes.extend(line("contoso.example", "hidden", b"Hidden", "YNYNNYNNNN"));
        bytes.extend(line("contoso.example", "", b"Nobody", "YNYNNNNNNN"));
        bytes.push(0x1a);
        let hiding = Directory { skip_hidden: true, ..Directory::default() };
        let all = parse(&hiding, &bytes).unwrap();
        let [Found::Person(first), Found::Person(second), Found::LeftOut { .. }, Found::Unusable { .. }] =
            all.as_slice()
        else {
            panic!("{all:?}");
        };
        assert_eq!((first.name.as_str(), first.full_name.as_str()), ("bnovakova", "Božena Nováková"));
        assert_eq!(first.addresses, ["bnovakova@contoso.example"]);
        assert!(!first.disabled && second.disabled);
        let mut by_address = Directory::default();
        by_address.attributes.name = vec!["address".into()];
        let all = parse(&by_address, &bytes).unwrap();
        assert!(matches!(&all[0], Found::Person(Person { name, .. }) if name == "bnovakova@contoso.example"));
        assert!(!format!("{all:?}").contains("SeCrEt"));
    }

    #[test]
    fn what_is_no_such_file() {
        assert!(parse(&Directory::default(), b"<html>\r\n").unwrap_err().contains("line 1 has 6 bytes"));
        assert!(parse(&Directory::default(), b"").unwrap().is_empty());
        let whole = line("a.example", "b", b"B", "YNY");
        assert!(parse(&Directory::default(), &whole[..LEAST]).is_ok());
        assert!(parse(&Directory::default(), &whole[..LEAST - 1]).is_err());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("USERLIST.DAT");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(read(&Directory::default(), &path).unwrap_err().to_string().contains("more than"));
    }
}
