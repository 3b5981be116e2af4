//! A profile directory of Thunderbird or SeaMonkey: accounts by `prefs.js`, their mail below the directories named there.
//!
//! An account is a level of the archive's tree, with the name that its user sees; its folders stand below, `X.sbd` as X's. Messages
//! that are deleted but not compacted away (X-Mozilla-Status 0x0008) are left out and counted, by `mbox`. Feeds and newsgroups are
//! no mail and not read. Invariant: `prefs.js` is read line by line and bounded; whatever it holds, at most
//! `MAX_SERVERS` directories are read, each once.

use crate::names;
use crate::walk::{self, Sink, Stop};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Largest `prefs.js` that is read, bytes.
pub(crate) const MAX_PREFS_BYTES: u64 = 16 << 20;
/// Most accounts.
pub(crate) const MAX_SERVERS: usize = 1_000;

/// An account's mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// As its user sees it.
    pub(crate) name: String,
    /// Where its mail lies.
    pub(crate) dir: PathBuf,
}

/// The accounts of a profile directory that have mail in it or elsewhere.
/// # Errors
/// Why it is no profile directory.
pub(crate) fn accounts(profile: &Path) -> Result<Vec<Account>, String> {
    let path = profile.join("prefs.js");
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(if profile.join("profiles.ini").exists() {
                "it holds several profiles: name one of the directories in it, such as abcd1234.default"
                    .to_owned()
            } else {
                "it is no profile of Thunderbird or SeaMonkey: there is no prefs.js in it".to_owned()
            });
        }
        opened => opened.map_err(told)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_PREFS_BYTES + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > MAX_PREFS_BYTES {
        return Err(format!("{}: more than {MAX_PREFS_BYTES} bytes", path.display()));
    }
    let mut found = from_prefs(&String::from_utf8_lossy(&bytes), profile);
    found.retain(|account| account.dir.is_dir());
    if found.is_empty() {
        return Err("none of its accounts has mail on this machine".into());
    }
    Ok(found)
}

/// The accounts that a `prefs.js` names, in the order of its servers' numbers.
fn from_prefs(prefs: &str, profile: &Path) -> Vec<Account> {
    let mut servers: BTreeMap<u64, BTreeMap<&str, String>> = BTreeMap::new();
    for (name, value) in prefs.lines().filter_map(pref) {
        let Some(rest) = name.strip_prefix("mail.server.server") else { continue };
        let Some((number, key)) = rest.split_once('.') else { continue };
        let Ok(number) = number.parse() else { continue };
        if servers.len() < MAX_SERVERS || servers.contains_key(&number) {
            servers.entry(number).or_default().insert(key, value);
        }
    }
    let mut accounts: Vec<Account> = Vec::new();
    for server in servers.values() {
        let get = |key: &str| server.get(key).filter(|value| !value.is_empty());
        if matches!(get("type").map(String::as_str), Some("rss" | "nntp")) {
            continue;
        }
        let relative = get("directory-rel").and_then(|text| text.strip_prefix("[ProfD]"));
        let dir = relative.map(|rest| profile.join(rest)).filter(|dir| dir.is_dir());
        let Some(dir) = dir.or_else(|| get("directory").map(PathBuf::from)) else { continue };
        if accounts.iter().any(|known| known.dir == dir) {
            continue;
        }
        let login = || match (get("userName"), get("hostname")) {
            (Some(user), _) if user.contains('@') => Some(user.clone()),
            (Some(user), Some(host)) => Some(format!("{user}@{host}")),
            (_, host) => host.cloned(),
        };
        let of_dir = || dir.file_name().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
        let name = get("name").cloned().or_else(login).or_else(of_dir).unwrap_or_default();
        let mut level = names::level(name.as_bytes());
        let taken = |level: &str| accounts.iter().any(|known| known.name == level);
        if taken(&level) {
            // Two accounts of one name would become one.
            let own = names::level(dir.file_name().unwrap_or_default().as_bytes());
            level = format!("{level} ({own})");
        }
        accounts.push(Account { name: level, dir });
    }
    accounts
}

/// A line `user_pref("name", "value");` whose value is a text.
fn pref(line: &str) -> Option<(&str, String)> {
    let rest = line.trim().strip_prefix("user_pref(\"")?;
    let (name, rest) = rest.split_once('"')?;
    let rest = rest.trim_start().strip_prefix(',')?.trim_start().strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some((name, value)),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                'u' => {
                    let hex: String = chars.by_ref().take(4).collect();
                    value.push(
                        u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}'),
                    );
                }
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

/// Goes through all accounts.
pub(crate) fn read(accounts: &[Account], sink: &mut dyn Sink) -> Result<(), Stop> {
    for account in accounts {
        walk::walk_tree(&account.dir, vec![account.name.clone()], sink)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;
    use std::fs;

    #[test]
    fn lines_of_prefs() {
        for (line, wanted) in [
            ("user_pref(\"a.b\", \"c\");", Some(("a.b", "c"))),
            ("  user_pref(\"a\",\"\\\"x\\\\y\\u00fc\\n\");", Some(("a", "\"x\\yü\n"))),
            ("user_pref(\"a\", true);", None),
            ("user_pref(\"a\", \"unclosed", None),
            ("// user_pref(\"a\", \"b\");", None),
        ] {
            assert_eq!(pref(line), wanted.map(|(name, value)| (name, value.to_owned())), "{line}");
        }
    }

    #[test]
    fn a_profile_with_two_accounts_and_ghosts() {
        let dir = tempfile::tempdir().unwrap();
        let local = dir.path().join("Mail/Local Folders");
        fs::create_dir_all(local.join("Inbox.sbd")).unwrap();
        let imap = dir.path().join("elsewhere/imap.example.org");
        fs::create_dir_all(&imap).unwrap();
        fs::create_dir_all(dir.path().join("Mail/Feeds")).unwrap();
        let mail = |n: u32, status: &str| {
            format!(
                "From - Fri Sep  4 14:55:26 2020\nX-Mozilla-Status: {status}\nX-Mozilla-Status2: 00000000\nSubject: {n}\n\nbody {n}\n\n"
            )
        };
        fs::write(local.join("Inbox"), mail(1, "0001") + &mail(2, "0009") + &mail(3, "0000")).unwrap();
        fs::write(local.join("Inbox.msf"), "index").unwrap();
        fs::write(local.join("Inbox.sbd/Sub"), mail(4, "0001")).unwrap();
        fs::write(imap.join("INBOX"), mail(5, "0001")).unwrap();
        fs::write(dir.path().join("Mail/Feeds/news"), mail(6, "0001")).unwrap();
        let prefs = format!(
            "// Mozilla User Preferences\nuser_pref(\"mail.server.server1.directory-rel\", \"[ProfD]Mail/Local Folders\");\n\
             user_pref(\"mail.server.server1.directory\", \"/gone\");\nuser_pref(\"mail.server.server1.name\", \"Local Folders\");\n\
             user_pref(\"mail.server.server1.type\", \"none\");\n\
             user_pref(\"mail.server.server2.directory\", \"{}\");\nuser_pref(\"mail.server.server2.userName\", \"ann\");\n\
             user_pref(\"mail.server.server2.hostname\", \"imap.example.org\");\nuser_pref(\"mail.server.server2.type\", \"imap\");\n\
             user_pref(\"mail.server.server3.directory-rel\", \"[ProfD]Mail/Feeds\");\nuser_pref(\"mail.server.server3.type\", \"rss\");\n",
            imap.display()
        );
        fs::write(dir.path().join("prefs.js"), prefs).unwrap();
        let accounts = accounts(dir.path()).unwrap();
        let mut memory = Memory::default();
        read(&accounts, &mut memory).unwrap();
        let found: Vec<_> = memory
            .messages
            .iter()
            .map(|message| (memory.folder(message), String::from_utf8_lossy(&message.bytes).into_owned()))
            .collect();
        let wanted = [
            ("Local Folders/Inbox", 1),
            ("Local Folders/Inbox", 3),
            ("Local Folders/Inbox/Sub", 4),
            ("ann@imap.example.org/INBOX", 5),
        ]
        .map(|(folder, n)| (folder.to_owned(), format!("Subject: {n}\n\nbody {n}\n")));
        assert_eq!(found, wanted);
        assert_eq!(memory.skipped.len(), 1, "{:?}", memory.skipped);
        assert!(memory.skipped[0].reason.contains("deleted in Thunderbird") && !memory.skipped[0].failed);
    }

    #[test]
    fn accounts_of_one_name_stay_two_and_one_directory_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let line = |n: u32, sub: &str| {
            format!(
                "user_pref(\"mail.server.server{n}.directory-rel\", \"[ProfD]{sub}\");\nuser_pref(\"mail.server.server{n}.name\", \"Work/Mail\");\n"
            )
        };
        let prefs = line(1, "a") + &line(2, "b") + &line(3, "a");
        let names: Vec<_> = from_prefs(&prefs, dir.path()).into_iter().map(|account| account.name).collect();
        assert_eq!(names, ["Work%2FMail", "Work%2FMail (b)"]);
    }

    #[test]
    fn bounds_and_what_is_no_profile() {
        let dir = tempfile::tempdir().unwrap();
        assert!(accounts(dir.path()).unwrap_err().contains("no prefs.js"));
        fs::write(dir.path().join("profiles.ini"), "").unwrap();
        assert!(accounts(dir.path()).unwrap_err().contains("several profiles"));
        let path = dir.path().join("prefs.js");
        fs::write(&path, "").unwrap();
        assert!(accounts(dir.path()).unwrap_err().contains("none of its accounts"));
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(MAX_PREFS_BYTES).unwrap();
        assert!(accounts(dir.path()).unwrap_err().contains("none of its accounts"));
        file.set_len(MAX_PREFS_BYTES + 1).unwrap();
        assert!(accounts(dir.path()).unwrap_err().contains("more than"));
        let many = |count: usize| -> String {
            (0..count)
                .map(|n| format!("user_pref(\"mail.server.server{n}.directory\", \"/d{n}\");\n"))
                .collect()
        };
        assert_eq!(from_prefs(&many(MAX_SERVERS), dir.path()).len(), MAX_SERVERS);
        assert_eq!(from_prefs(&many(MAX_SERVERS + 1), dir.path()).len(), MAX_SERVERS);
    }
}
