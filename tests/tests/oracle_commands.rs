//! Commands at the edges of the grammar, to us and to a Dovecot with the same mailboxes, answer by answer.
//!
//! tests/data/beside-dovecot.txt is the dialogue. `C: ` is sent to both; `B: ` is what both answer; where they differ, `O: ` is
//! ours and `D: ` Dovecot's, and the comment above says why ours is right. Compared is what a client acts on: words for
//! people, the order of LIST, flags that don't matter to a reader and numbers that nobody can foresee are taken out. With
//! UPDATE_DIALOGUES=1 the answers are written anew, to be read before they are committed.

use anyhow::{Context, ensure};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use tests::dovecot::{Dovecot, Letter};
use tests::imap::Fetched;
use tests::{Archive, Imap, Result};

/// 17 July 1996, noon, in UTC; each message a day later.
const FIRST: u64 = 837_604_800;

/// The message of that number in a mailbox.
fn letter(number: u64) -> Letter {
    let days = ["Wed, 17", "Thu, 18", "Fri, 19", "Sat, 20", "Sun, 21"];
    let day = days[number as usize % days.len()];
    let extra = ["", "Cc: carol@example.org\r\n", "X-Empty:\r\n", "Keywords: one\r\nKeywords: two\r\n", ""];
    let size = [10, 600, 90, 3_000, 0][number as usize % 5];
    let text = format!(
        "From: Sender {number} <sender{number}@example.org>\r\nTo: alice@example.org\r\nSubject: Number {number} of turnips\r\n\
         Date: {day} Jul 1996 {:02}:30:00 -0700\r\nMessage-ID: <{number}@example.org>\r\n{}\r\nBody {number} about boats.\r\n{}",
        23 - number % 3,
        extra[number as usize % 5],
        "filler \"quoted\\ text\"\r\n".repeat(size / 20)
    );
    Letter { bytes: text.into_bytes(), secs: FIRST + number * 86_400 }
}

/// Wire names, and how many messages each has.
const MAILBOXES: &[(&str, u64)] = &[
    ("INBOX", 5),
    ("Empty", 0),
    ("Entw&APw-rfe &- mehr", 1),
    ("Lists/linux/man", 3),
    ("Lists/linux-doc", 1),
    ("Lists/a%b", 1),
    ("Lists/star*", 1),
    ("Quote\"d \\ name", 1),
    ("brackets [x] {5}", 1),
];

/// The folder below alice's archive that shows as the mailbox of that wire name.
fn path(wire: &str) -> String {
    wire.replace("&APw-", "\u{fc}").replace("&-", "&")
}

/// What of a response a client acts on, in one spelling; none if nothing.
fn essence(response: &[u8], tag: &str) -> Result<Option<String>> {
    if let Some(fetched) = Fetched::parse(response)? {
        let mut items: Vec<String> = fetched
            .items
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value).replace(" \\Recent", "").replace("\\Recent", "");
                // Where the date comes from differs: a Maildir's file, or the message itself.
                let value =
                    if name == "INTERNALDATE" { "…".to_owned() } else { value.escape_debug().to_string() };
                format!("{} {value}", name.to_uppercase())
            })
            .collect();
        items.sort();
        return Ok(Some(format!("* {} FETCH ({})", fetched.number, items.join(" "))));
    }
    let text = String::from_utf8_lossy(response).into_owned();
    let text = text.replace(&format!("TAG \"{tag}\""), "TAG \"…\"");
    let mut words = text.trim_start_matches("* ").split(' ');
    let first = words.next().unwrap_or_default().to_uppercase();
    Ok(match first.as_str() {
        // Which flags there are differs by what the mail brought.
        "OK" | "FLAGS" | "BYE" | "CAPABILITY" | "NO" | "BAD" => None,
        "LIST" | "LSUB" => {
            let open = text.find('(').context("a list")?;
            let close = text.find(')').context("a list")?;
            let name = text[close + 1..].trim_start().split_once(' ').unwrap_or_default().1;
            let name = if name.starts_with('"') { name.to_owned() } else { format!("\"{name}\"") };
            let mut flags: Vec<&str> = text[open + 1..close].split_whitespace().collect();
            // RFC 5258 §3.4: \NonExistent implies \Noselect; Dovecot says the latter only.
            flags.retain(|flag| !["\\UnMarked", "\\Marked", "\\NonExistent"].contains(flag));
            flags.sort_unstable();
            // The mailbox of everything is ours alone.
            (name != "\"All Mail\"").then(|| format!("* {first} ({}) {name}", flags.join(" ")))
        }
        "STATUS" => {
            let open = text.rfind('(').context("a list")?;
            let values: Vec<&str> = text[open + 1..].trim_end_matches(')').split(' ').collect();
            let mut items: Vec<String> = values
                .chunks(2)
                .map(|pair| match pair {
                    [name @ ("UIDVALIDITY" | "HIGHESTMODSEQ"), _] => format!("{name} …"),
                    pair => pair.join(" "),
                })
                // Nothing is recent in an archive.
                .filter(|item| !item.starts_with("RECENT "))
                .collect();
            items.sort();
            let name = text["* STATUS ".len()..open].trim();
            let name = if name.starts_with('"') { name.to_owned() } else { format!("\"{name}\"") };
            let name = if name.eq_ignore_ascii_case("\"INBOX\"") { name.to_uppercase() } else { name };
            (name != "\"All Mail\"").then(|| format!("* STATUS {name} ({})", items.join(" ")))
        }
        "ESEARCH" => {
            // What is returned may come in any order.
            let close = text.find(')').context("the tag")?;
            let (head, rest) = text.split_at(close + 1);
            let rest = rest.trim_start();
            let (uid, rest) = rest.strip_prefix("UID").map_or(("", rest), |rest| (" UID", rest.trim_start()));
            let values: Vec<&str> = rest.split(' ').collect();
            let mut pairs: Vec<String> = values.chunks(2).map(|pair| pair.join(" ")).collect();
            pairs.sort();
            Some(format!("{head}{uid} {}", pairs.join(" ")).trim_end().to_owned())
        }
        _ if text.ends_with(" RECENT") => None,
        _ => Some(text.trim_end().to_owned()),
    })
}

/// The essence of a command's whole answer.
fn answer(untagged: &[Vec<u8>], tagged: &str, tag: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for response in untagged {
        lines.extend(essence(response, tag)?);
    }
    if lines.iter().any(|line| line.starts_with("* LIST") || line.starts_with("* LSUB")) {
        lines.sort();
    }
    lines.push(tagged.split(' ').next().unwrap_or_default().to_owned());
    Ok(lines)
}

#[test]
fn commands_agree_with_dovecots() -> Result {
    let letters = |count: u64| (0..count).map(letter).collect::<Vec<_>>();
    let mailboxes: Vec<(&str, Vec<Letter>)> =
        MAILBOXES.iter().map(|(name, count)| (*name, letters(*count))).collect();
    let Some(mut dovecot) = Dovecot::over("commands beside Dovecot's", &mailboxes)? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    // More commands are refused here than a server takes of one client.
    let conf = archive.data().join("mailkeep.toml");
    let text = fs::read_to_string(&conf)?;
    fs::write(&conf, text.replace("[imap]\n", "[imap]\nmax_bad = 1000\n"))?;
    for (number, (name, letters)) in mailboxes.iter().enumerate() {
        let folder = archive.scratch().join(format!("source{number}"));
        fs::create_dir(&folder)?;
        for (number, letter) in letters.iter().enumerate() {
            let file = folder.join(format!("{number:03}.eml"));
            fs::write(&file, &letter.bytes)?;
            let date = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(letter.secs);
            fs::File::options().write(true).open(&file)?.set_modified(date)?;
        }
        let into = format!("alice/{}", path(name));
        if letters.is_empty() {
            // A folder is made with its first message, and stays when that goes.
            fs::write(folder.join("x.eml"), "Subject: goes\r\n\r\n")?;
            archive.archive(&folder, &into)?;
            archive.run(["message", "delete", &into, "1", "--yes"])?.ok()?;
        } else {
            archive.archive(&folder, &into)?;
        }
    }
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    // Tags are part of some answers: both begin with the same.
    imap.ok("NOOP")?;

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/beside-dovecot.txt");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let (mut anew, mut commands, mut reason) = (String::new(), 0, false);
    for line in text.lines() {
        let Some(command) = line.strip_prefix("C: ") else {
            if !["B: ", "O: ", "D: "].iter().any(|start| line.starts_with(start)) {
                writeln!(anew, "{line}")?;
                reason = line.starts_with('#');
            }
            continue;
        };
        commands += 1;
        writeln!(anew, "{line}")?;
        let tag = imap.begin(command)?;
        let (untagged, tagged) = imap.finish(&tag).with_context(|| command.to_owned())?;
        let ours = answer(&untagged, &tagged, &tag)?;
        let their_tag = dovecot.begin(command)?;
        let (untagged, tagged) = dovecot.finish(&their_tag).with_context(|| command.to_owned())?;
        let theirs = answer(&untagged, &tagged, &their_tag)?;
        if ours == theirs {
            ours.iter().try_for_each(|line| writeln!(anew, "B: {line}"))?;
        } else {
            ensure!(
                reason || std::env::var_os("UPDATE_DIALOGUES").is_some(),
                "{command}: {ours:#?} is not Dovecot's {theirs:#?}, and no comment says why"
            );
            ours.iter().try_for_each(|line| writeln!(anew, "O: {line}"))?;
            theirs.iter().try_for_each(|line| writeln!(anew, "D: {line}"))?;
        }
        reason = false;
    }
    if std::env::var_os("UPDATE_DIALOGUES").is_some() {
        fs::write(&file, &anew)?;
    }
    for (number, (expected, found)) in text.lines().zip(anew.lines()).enumerate() {
        ensure!(
            expected == found || std::env::var_os("UPDATE_DIALOGUES").is_some(),
            "{}:{}\nexpected {expected}\nfound    {found}",
            file.display(),
            number + 1
        );
    }
    ensure!(
        text == anew || std::env::var_os("UPDATE_DIALOGUES").is_some(),
        "answers at the end have changed"
    );
    ensure!(commands > 80, "{commands} commands");
    Ok(())
}
