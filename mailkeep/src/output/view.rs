//! How each command's rows look to people.

pub(crate) use super::people::{ACCESS, GROUPS, IMPORTED_USERS, USER, USERS};

use super::clean;
use super::table::{Column, Form, moment, size};
use crate::command::{BackupReport, ChangeReport, KeyReport};
use archiver::{Run, Sums};
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

/// How a command's result is shown when it isn't JSON.
#[derive(Clone)]
pub(crate) enum View {
    /// Rows as a table; the words for none.
    Table(&'static [Column], &'static str),
    /// What was found, with text around it.
    Hits,
    /// A row as text.
    Text(fn(&Value) -> io::Result<String>),
    /// Damages as they come, then the account of all; one object when it is JSON.
    Report,
    /// Bytes as they come.
    Bytes,
    /// Bytes as they come, into a file.
    Into(PathBuf),
    /// Only the words at the end.
    Done(&'static str),
}

impl View {
    /// The table's columns.
    pub(crate) fn columns(&self) -> &'static [Column] {
        match self {
            View::Table(columns, _) => columns,
            View::Hits | View::Text(_) | View::Report | View::Bytes | View::Into(_) | View::Done(_) => &[],
        }
    }
}

/// The directory's settings.
pub(crate) const DIRECTORY: View = View::Text(|row| {
    let text = row.get("toml").and_then(Value::as_str).unwrap_or_default();
    let text: Vec<String> = text.lines().map(clean).collect();
    let has = row.get("hasPassword").and_then(Value::as_bool).unwrap_or_default();
    let password = if has { "# the bind DN's password is kept\n" } else { "" };
    Ok(format!("{}\n{password}", text.join("\n")))
});

pub(crate) const DIRECTORY_TEST: View = View::Table(
    &[
        Column("SERVER", "/server", Form::Text),
        Column("STEP", "/step", Form::Text),
        Column("OK", "/ok", Form::Text),
        Column("RESULT", "/what", Form::Text),
    ],
    "There is no server to try.",
);

pub(crate) const DIRECTORY_SYNC: View = View::Table(
    &[
        Column("ACTION", "/action", Form::Text),
        Column("USER", "/name", Form::Text),
        Column("WHAT", "/what", Form::Text),
        Column("ENTRY", "/entry", Form::Text),
    ],
    "All users are as the directory says.",
);

pub(crate) const FOLDERS: View = View::Table(
    &[
        Column("FOLDER", "/folder", Form::Text),
        Column("MESSAGES", "/messages", Form::Count),
        Column("SIZE", "/bytes", Form::Size),
        Column("UIDVALIDITY", "/uidValidity", Form::Count),
        Column("UIDNEXT", "/uidNext", Form::Count),
    ],
    "There are no folders; mailkeep archive PATH --into USER/FOLDER",
);

pub(crate) const HITS: View = View::Table(
    &[
        Column("FOLDER", "/folder", Form::Text),
        Column("UID", "/uid", Form::Count),
        Column("DATE", "/date", Form::Text),
        Column("FROM", "/from", Form::Text),
        Column("SUBJECT", "/subject", Form::Text),
    ],
    "Nothing was found.",
);

/// How many were found.
pub(crate) const COUNT: View =
    View::Text(|row| Ok(format!("{}\n", row.get("count").and_then(Value::as_u64).unwrap_or_default())));

/// A certificate that is in use now.
pub(crate) const CERTIFICATE: View = View::Text(|row| {
    let expires = row.get("expires").and_then(Value::as_i64).unwrap_or_default();
    Ok(format!("The certificate is in use; it expires {}.\n", moment(expires)))
});

pub(crate) const STORES: View = View::Table(
    &[
        Column("STORE", "/number", Form::Text),
        Column("NAME", "/name", Form::Text),
        Column("STATE", "/state", Form::Text),
        Column("MESSAGES", "/messages", Form::Count),
        Column("PLACEMENTS", "/placements", Form::Count),
        Column("MAIL", "/messageBytes", Form::Size),
        Column("PACKS", "/packBytes", Form::Size),
        Column("DATABASE", "/databaseBytes", Form::Size),
        Column("INDEX", "/indexBytes", Form::Size),
        Column("NOT INDEXED", "/indexTail", Form::Count),
        Column("PATH", "/path", Form::Text),
        Column("TROUBLE", "/trouble", Form::Text),
    ],
    "There are no stores.",
);

/// Where a detached store lies.
pub(crate) const DETACHED: View = View::Text(|row| {
    let text = |field: &str| row.get(field).and_then(Value::as_str).map(clean).unwrap_or_default();
    Ok(format!(
        "Store {} is detached; it lies in {} and can be carried away.\n",
        text("number"),
        text("path")
    ))
});

pub(crate) const STORE_STATS: View = View::Text(|row| {
    let text = |field: &str| row.get(field).and_then(Value::as_str).map(clean).unwrap_or_default();
    let count = |field: &str| row.get(field).and_then(Value::as_u64).unwrap_or_default();
    let part = |bytes: u64| {
        let mail = count("messageBytes");
        if mail == 0 { String::new() } else { format!(" ({:.3} of the mail)", bytes as f64 / mail as f64) }
    };
    let mut out = String::new();
    let mut write = || -> std::fmt::Result {
        writeln!(out, "Store {} {:?}, {}: {}", text("number"), text("name"), text("state"), text("path"))?;
        if let Some(trouble) = row.get("trouble").and_then(Value::as_str) {
            writeln!(out, "  can't be read: {}", clean(trouble))?;
        }
        if let Some(created) = row.get("created").and_then(Value::as_i64) {
            writeln!(out, "  made      {}", moment(created))?;
        }
        writeln!(
            out,
            "  holds     {} messages ({}) in {} placements, {} folders",
            count("messages"),
            size(count("messageBytes")),
            count("placements"),
            count("folders")
        )?;
        for (what, field) in [("packs", "packBytes"), ("database", "databaseBytes"), ("index", "indexBytes")]
        {
            writeln!(out, "  {what:<9} {}{}", size(count(field)), part(count(field)))?;
        }
        writeln!(out, "  files     {} packs; {} messages not indexed yet", count("packs"), count("indexTail"))
    };
    write().map_err(io::Error::other)?;
    Ok(out)
});

pub(crate) const COMPACTED: View = View::Table(
    &[
        Column("STORE", "/store", Form::Text),
        Column("ERASED", "/messages", Form::Count),
        Column("MAIL", "/messageBytes", Form::Size),
        Column("BEFORE", "/before", Form::Size),
        Column("AFTER", "/after", Form::Size),
    ],
    "No store can be written.",
);

pub(crate) const COMPACTABLE: View = View::Table(
    &[
        Column("STORE", "/store", Form::Text),
        Column("TO ERASE", "/messages", Form::Count),
        Column("MAIL", "/messageBytes", Form::Size),
        Column("SIZE NOW", "/before", Form::Size),
    ],
    "No store can be written.",
);

pub(crate) const INDEXES: View = View::Table(
    &[
        Column("STORE", "/store", Form::Text),
        Column("DOCUMENTS", "/documents", Form::Count),
        Column("UP TO", "/watermark", Form::Count),
        Column("NOT INDEXED", "/tail", Form::Count),
        Column("SEGMENTS", "/segments", Form::Count),
        Column("SIZE", "/bytes", Form::Size),
        Column("ATTACHMENTS", "/attachments/text", Form::Count),
        Column("WITHOUT TEXT", "/attachments/none", Form::Count),
        Column("FAILED", "/attachments/failed", Form::Count),
        Column("NOT READ", "/attachments/off", Form::Count),
        Column("TROUBLE", "/trouble", Form::Text),
        Column("VERSIONS", "/versions", Form::Text),
    ],
    "There are no stores.",
);

pub(crate) const FAILED_ATTACHMENTS: View = View::Table(
    &[
        Column("FOLDER", "/folder", Form::Text),
        Column("UID", "/uid", Form::Count),
        Column("FILE", "/fileName", Form::Text),
        Column("TYPE", "/format", Form::Text),
        Column("REASON", "/reason", Form::Text),
    ],
    "All attachments that are to be read could be read.",
);

pub(crate) const RUNS: View = View::Table(
    &[
        Column("RUN", "/id", Form::Count),
        Column("STARTED", "/started", Form::Time),
        Column("STATE", "/state", Form::Text),
        Column("SEEN", "/sums/seen", Form::Count),
        Column("ARCHIVED", "/sums/archived", Form::Count),
        Column("THERE", "/sums/already", Form::Count),
        Column("MOVED", "/sums/moved", Form::Count),
        Column("FILTERED", "/sums/filtered", Form::Count),
        Column("FAILED", "/sums/failed", Form::Count),
        Column("INTO", "/into", Form::Text),
        Column("SOURCE", "/source", Form::Text),
    ],
    "Nothing was archived yet; mailkeep archive PATH --into USER/FOLDER",
);

pub(crate) const ITEMS: View = View::Table(
    &[Column("PLACE", "/place", Form::Words), Column("REASON", "/reason", Form::Words)],
    "There are none.",
);

pub(crate) const AUDIT: View = View::Table(
    &[
        Column("NO", "/number", Form::Count),
        Column("WHEN", "/when", Form::Time),
        Column("WHO", "/who", Form::Text),
        Column("FROM", "/from", Form::Text),
        Column("KIND", "/kind", Form::Text),
        Column("WHAT", "/what", Form::Text),
        Column("RESULT", "/result", Form::Text),
    ],
    "The audit log is empty.",
);

pub(crate) const EXPORTED: View = View::Table(
    &[Column("FILE", "/file", Form::Text), Column("ENTRIES", "/entries", Form::Count)],
    "No entry is wanted; nothing was written.",
);

/// What verifying the audit log found.
pub(crate) const AUDITED: View = View::Text(|row| {
    let number = |name: &str| row.get(name).and_then(Value::as_u64);
    let text = |name: &str| clean(row.get(name).and_then(Value::as_str).unwrap_or_default());
    let entries = number("entries").unwrap_or_default();
    let (heads, agreed) = (number("heads").unwrap_or_default(), number("headsAgreed").unwrap_or_default());
    let Some(first) = number("first") else {
        let compared = match heads {
            0 => "No head was there to compare with: whoever can write the files can have made all hashes anew.".to_owned(),
            _ => format!("{agreed} signed heads agree with it."),
        };
        return Ok(format!("The audit log is good: {entries} entries.\n{compared}\n"));
    };
    let last = number("last").unwrap_or(first);
    let which = if last == first { format!("entry {first}") } else { format!("entries {first} to {last}") };
    Ok(format!(
        "The audit log is NOT good: {which}: {}\nUp to entry {entries} it is, and {agreed} of {heads} signed heads agree.\n",
        text("what")
    ))
});

pub(crate) const PROFILES: View = View::Table(
    &[
        Column("PROFILE", "/name", Form::Text),
        Column("KIND", "/kind", Form::Text),
        Column("SOURCE", "/source", Form::Text),
        Column("INTO", "/into", Form::Text),
        Column("SCHEDULE", "/schedule", Form::Text),
        Column("LAST RUN", "/lastRun", Form::Count),
        Column("STARTED", "/lastStarted", Form::Time),
        Column("STATE", "/lastState", Form::Text),
    ],
    "There are no profiles; mailkeep profile create NAME --kind imap ...",
);

/// A profile as a file would have it.
pub(crate) const PROFILE: View = View::Text(|row| {
    let toml = row.get("toml").and_then(Value::as_str).unwrap_or_default();
    let mut text: String = toml.lines().map(|line| clean(line) + "\n").collect();
    if row.get("hasPassword").and_then(Value::as_bool) == Some(true) {
        text.push_str("# Its password is kept sealed.\n");
    }
    Ok(text)
});

pub(crate) const TESTED: View = View::Table(
    &[
        Column("SOURCE", "/source", Form::Text),
        Column("INTO", "/into", Form::Text),
        Column("FOLDER", "/folder", Form::Text),
        Column("MESSAGES", "/messages", Form::Count),
        Column("ARCHIVED", "/wanted", Form::Text),
        Column("NOTE", "/note", Form::Words),
        Column("TROUBLE", "/trouble", Form::Words),
    ],
    "There is no mailbox.",
);

pub(crate) const IMPORTED: View = View::Table(
    &[
        Column("PROFILE", "/name", Form::Text),
        Column("KIND", "/kind", Form::Text),
        Column("NEEDS A PASSWORD", "/needsPassword", Form::Text),
    ],
    "There is no profile in it.",
);

pub(crate) const OPEN: View = View::Table(
    &[
        Column("SOURCE", "/source", Form::Text),
        Column("FIRST RUN", "/firstRun", Form::Count),
        Column("LAST RUN", "/lastRun", Form::Count),
        Column("TRIES", "/tries", Form::Count),
        Column("PLACE", "/place", Form::Words),
        Column("REASON", "/reason", Form::Words),
    ],
    "Nothing failed that is not solved.",
);

pub(crate) const LOG: View = View::Table(
    &[Column("WHEN", "/when", Form::Time), Column("WHAT", "/text", Form::Words)],
    "Nothing was written down.",
);

pub(crate) const SCHEDULE: View = View::Table(
    &[
        Column("JOB", "/name", Form::Text),
        Column("DOES", "/task", Form::Text),
        Column("WHEN", "/when", Form::Text),
        Column("LAST", "/last", Form::Time),
        Column("NEXT", "/next", Form::Time),
        Column("RUNS", "/running", Form::Text),
    ],
    "Nothing runs by itself; mailkeep schedule add, mailkeep profile edit NAME --every 15",
);

pub(crate) const JOBS: View = View::Table(
    &[
        Column("JOB", "/id", Form::Count),
        Column("WHAT", "/name", Form::Text),
        Column("WHO", "/who", Form::Text),
        Column("STARTED", "/started", Form::Time),
        Column("SEEN", "/seen", Form::Count),
        Column("ARCHIVED", "/archived", Form::Count),
        Column("FAILED", "/failed", Form::Count),
        Column("PER SECOND", "/rate", Form::Count),
        Column("AT", "/at", Form::Text),
    ],
    "Nothing runs.",
);

/// A run's account.
pub(crate) const RUN: View = View::Text(|row| {
    let run: Run = serde::Deserialize::deserialize(row).map_err(io::Error::other)?;
    let mut text = String::new();
    account(&run, &mut text).map_err(io::Error::other)?;
    Ok(text)
});

/// A run's sums in one line.
pub(crate) const RUN_SUMS: View = View::Text(|row| {
    let run: Run = serde::Deserialize::deserialize(row).map_err(io::Error::other)?;
    let Sums { archived, bytes, .. } = run.sums;
    Ok(format!("Archived {archived} messages ({}) in {} folders.\n", size(bytes), run.folders.len()))
});

/// The heads of the evidence logs, and what became of them.
pub(crate) const HEADS: View = View::Text(|row| {
    let text = |field: &str| row.pointer(field).and_then(Value::as_str).map(clean).unwrap_or_default();
    let number = |field: &str| row.pointer(field).and_then(Value::as_u64);
    let mut out = String::new();
    let mut write = || -> std::fmt::Result {
        if row.get("destination").is_some() {
            let last = row.get("lastTried").and_then(Value::as_i64).unwrap_or_default();
            let good = row.get("lastGood").and_then(Value::as_i64);
            let good = good.map_or_else(|| "never".to_owned(), moment);
            return match row.get("error").and_then(Value::as_str) {
                None => writeln!(out, "Last {}: {}", text("/destination"), good),
                Some(error) => writeln!(
                    out,
                    "FAILED {} at {}: {} (last good: {good})",
                    text("/destination"),
                    moment(last),
                    clean(error)
                ),
            };
        }
        if let Some(error) = row.get("error").and_then(Value::as_str) {
            return writeln!(out, "Store {}: {}", text("/store"), clean(error));
        }
        let millis = |at: Option<u64>| {
            at.map_or_else(String::new, |at| moment(i64::try_from(at / 1_000).unwrap_or(i64::MAX)))
        };
        writeln!(out, "Store {}: {} leaves", text("/store"), number("/head/size").unwrap_or_default())?;
        writeln!(out, "  id    {}", text("/head/store"))?;
        writeln!(out, "  root  {}", text("/head/root"))?;
        writeln!(out, "  time  {}", millis(number("/head/time")))?;
        writeln!(out, "  key   {}", text("/head/key"))?;
        match (row.get("alarm").and_then(Value::as_str), number("/recordedLeaves")) {
            (Some(alarm), _) => writeln!(out, "  ALARM {}", clean(alarm)),
            (None, Some(leaves)) => {
                let at = millis(number("/recordedTime"));
                writeln!(out, "  It extends the head of {leaves} leaves that was recorded at {at}.")
            }
            (None, None) => writeln!(out, "  No head was recorded before."),
        }
    };
    write().map_err(io::Error::other)?;
    Ok(out)
});

pub(crate) const GROWN: View = View::Table(
    &[
        Column("STORE", "/store", Form::Text),
        Column("OLD LEAVES", "/oldLeaves", Form::Count),
        Column("OLD TIME", "/oldTime", Form::Time),
        Column("LEAVES", "/newLeaves", Form::Count),
        Column("TIME", "/newTime", Form::Time),
        Column("RESULT", "/result", Form::Text),
    ],
    "There are no heads.",
);

pub(crate) const SENT: View = View::Table(
    &[
        Column("TO", "/to", Form::Text),
        Column("HEADS", "/heads", Form::Count),
        Column("RESULT", "/result", Form::Text),
    ],
    "The heads were recorded; the configuration names nobody to send them to ([evidence] in mailkeep.toml).",
);

/// A row of `verify`: a damage, or the account at the end.
pub(crate) fn report(row: &Value) -> io::Result<String> {
    let mut text = String::new();
    if let Some(damage) = row.get("damage") {
        let damage: storage::Damage = serde::Deserialize::deserialize(damage).map_err(io::Error::other)?;
        writeln!(text, "DAMAGED  {}", clean(&damage.to_string())).map_err(io::Error::other)?;
        return Ok(text);
    }
    let report: storage::VerifyReport = serde::Deserialize::deserialize(row).map_err(io::Error::other)?;
    let end = match report.damaged {
        0 => "no damage".to_owned(),
        count if report.untold > 0 => format!("{count} damaged, {} of them not told", report.untold),
        count => format!("{count} damaged"),
    };
    let slice = report.slice.map(|(part, of)| format!(", slice {part} of {of}")).unwrap_or_default();
    let secs = report.ended.saturating_sub(report.started);
    writeln!(
        text,
        "{}: {} records and {} messages read in {secs} s{slice}: {end}",
        moment(report.started),
        report.records,
        report.messages
    )
    .map_err(io::Error::other)?;
    Ok(text)
}

/// What became of a store that was rebuilt.
pub(crate) const REBUILT: View = View::Text(|row| {
    if let Some(note) = row.get("note").and_then(Value::as_str) {
        return Ok(format!("{}\n", clean(note)));
    }
    let store: storage::StoreRebuilt = serde::Deserialize::deserialize(row).map_err(io::Error::other)?;
    let mut text = String::new();
    for lost in &store.lost {
        text.push_str(&format!("LOST  {}\n", clean(lost)));
    }
    if store.untold > 0 {
        text.push_str(&format!("LOST  and {} more\n", store.untold));
    }
    let name = clean(&store.store);
    if store.raised {
        text.push_str(&format!(
            "Store {name}: the end of its packs is missing; UIDs and mod-sequences were raised.\n"
        ));
    }
    match &store.kept {
        Some(why) => text.push_str(&format!("Store {name} was left as it is: {}\n", clean(why))),
        None => text.push_str(&format!(
            "Store {name}: {} messages, {} placements in {} folders, from {} batches.\n",
            store.messages, store.placements, store.folders, store.batches
        )),
    }
    Ok(text)
});

/// What a change of folders or messages came to.
pub(crate) const CHANGED: View = View::Text(|row| {
    let ChangeReport { did, folders, messages } =
        serde::Deserialize::deserialize(row).map_err(io::Error::other)?;
    let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let (messages, folders) =
        ((messages > 0).then(|| count(messages, "message")), (folders > 0).then(|| count(folders, "folder")));
    Ok(match (did.as_str(), messages, folders) {
        ("renamed", _, folders) => {
            format!("{} renamed; messages kept their UIDs.\n", folders.unwrap_or_default())
        }
        (_, None, None) => "Nothing was there to change.\n".to_owned(),
        ("deleted", messages, folders) => {
            let all: Vec<String> = messages.into_iter().chain(folders).collect();
            format!("{} deleted.\n", all.join(" and "))
        }
        (_, Some(messages), None) => format!("{messages} moved.\n"),
        (_, Some(messages), Some(folders)) => {
            format!("{messages} moved; {folders} removed, being empty then.\n")
        }
        (_, None, Some(folders)) => format!("{folders} removed, being empty.\n"),
    })
});

/// What is said of a folder, and whether that is new.
pub(crate) const COMMENT: View = View::Text(|row| {
    let comment = row.get("comment").and_then(Value::as_str);
    let changed = row.get("changed").and_then(Value::as_bool).unwrap_or_default();
    Ok(match (comment, changed) {
        // Its line ends and tabs are its own; all else that moves a terminal's cursor can't be in it.
        (Some(comment), false) => comment.lines().map(|line| clean(line) + "\n").collect(),
        (None, false) => "Nothing is said of this folder.\n".to_owned(),
        (Some(_), true) => "Clients see the new comment at once.\n".to_owned(),
        (None, true) => "Nothing is said of this folder any more.\n".to_owned(),
    })
});

/// A backup's account.
pub(crate) const BACKUP: View = View::Text(backup);

/// A backup in words.
pub(crate) fn backup(row: &Value) -> io::Result<String> {
    let report: BackupReport = serde::Deserialize::deserialize(row).map_err(io::Error::other)?;
    let mut text = String::new();
    backup_words(&report, &mut text).map_err(io::Error::other)?;
    Ok(text)
}

fn backup_words(report: &BackupReport, text: &mut String) -> std::fmt::Result {
    let BackupReport { dir, number, made, with_key, key_id, files, bytes, written, .. } = report;
    writeln!(text, "Backup {number} in {}, made {}", clean(dir), moment(*made))?;
    let new = if *written > 0 { format!(", {} of it written now", size(*written)) } else { String::new() };
    writeln!(text, "  {files} files, {}{new}", size(*bytes))?;
    for store in &report.stores {
        let name =
            if store.name == store.store { String::new() } else { format!(" ({})", clean(&store.name)) };
        let (number, messages) = (clean(&store.store), store.messages);
        writeln!(text, "  store {number}{name}: {messages} messages, copied {}", moment(store.copied))?;
        if let Some(why) = &store.trouble {
            writeln!(text, "    could not be read this time: {}", clean(why))?;
        }
    }
    match with_key {
        true => writeln!(text, "  with the keys: whoever has this directory reads the mail")?,
        false => writeln!(text, "  without the keys: the master key with id {} opens it", clean(key_id))?,
    }
    for file in &report.mended {
        writeln!(text, "MENDED   {} was damaged and has been copied again", clean(file))?;
    }
    for what in &report.damage {
        writeln!(text, "DAMAGED  {}", clean(what))?;
    }
    Ok(())
}

/// Which key is in use.
pub(crate) const KEY: View = View::Table(
    &[Column("KEY ID", "/keyId", Form::Text), Column("COMES FROM", "/place", Form::Text)],
    "There is no key.",
);

/// What a new key came to.
pub(crate) const ROTATED: View = View::Text(|row| {
    let report: KeyReport = serde::Deserialize::deserialize(row).map_err(io::Error::other)?;
    let mut text = String::new();
    rotated(&report, &mut text).map_err(io::Error::other)?;
    Ok(text)
});

fn rotated(report: &KeyReport, text: &mut String) -> std::fmt::Result {
    let KeyReport { key_id, before, stores, listed, missing, kept, to_place } = report;
    writeln!(text, "The new master key has the id {}; it opens {} stores.", clean(key_id), stores + listed)?;
    for store in missing {
        let (number, why) = (clean(&store.store), clean(&store.why));
        writeln!(text, "NOT YET  store {number} could not be read: {why}")?;
    }
    if let Some(path) = to_place {
        writeln!(text, "It is in {}: take it to its source before mailkeep starts again.", clean(path))?;
    }
    match kept {
        Some(path) if missing.is_empty() => writeln!(
            text,
            "The key before ({}) is kept in {} for backups\nmade until now; remove it when none of them is left.",
            clean(before),
            clean(path)
        )?,
        Some(path) => {
            writeln!(
                text,
                "The key before stays in {} until they are back and mailkeep starts.",
                clean(path)
            )?;
        }
        None => {}
    }
    writeln!(text, "Make a new recovery sheet now: mailkeep key export")
}

fn account(run: &Run, text: &mut String) -> std::fmt::Result {
    let state = match run.state {
        archiver::State::Running => "runs",
        archiver::State::Succeeded => "succeeded",
        archiver::State::CompletedWithErrors => "ended with failures",
        archiver::State::Failed => "failed",
        archiver::State::Cancelled => "was cancelled",
    };
    writeln!(text, "Run {} {state}: {} into {}", run.id, clean(&run.source), clean(&run.into))?;
    writeln!(text, "  started {}{}", moment(run.started), run.ended.map(ended).unwrap_or_default())?;
    if let Some(error) = &run.error {
        writeln!(text, "  {}", clean(error))?;
    }
    for folder in &run.folders {
        let mut format = format!("{:?}", folder.format).to_lowercase();
        if !matches!(folder.format, archiver::Format::Imap | archiver::Format::Pop3) {
            format.push_str(if folder.given { ", given" } else { ", detected" });
        }
        // What failed as a whole came to no folder.
        let name = if folder.folder.is_empty() { &folder.source } else { &folder.folder };
        writeln!(text, "  {} ({format}): {}", clean(name), equation(&folder.sums))?;
    }
    writeln!(text, "  in all: {}; {} new", equation(&run.sums), size(run.sums.bytes))?;
    if run.sums.seen > 0 && run.sums.already == run.sums.seen {
        writeln!(text, "  Everything was there already; nothing was archived.")?;
    }
    if run.sums.failed > 0 {
        writeln!(text, "  What failed, and why: mailkeep runs failed {}", run.id)?;
    }
    if run.sums.filtered > 0 {
        writeln!(text, "  What was left out: mailkeep runs filtered {}", run.id)?;
    }
    Ok(())
}

fn ended(at: i64) -> String {
    format!(", ended {}", moment(at))
}

fn equation(sums: &Sums) -> String {
    let Sums { seen, archived, already, moved, filtered, failed, deleted, .. } = sums;
    let moved = if *moved > 0 { format!(" + moved {moved}") } else { String::new() };
    let deleted = if *deleted > 0 { format!("; deleted at the source {deleted}") } else { String::new() };
    format!(
        "seen {seen} = archived {archived} + already there {already}{moved} + filtered {filtered} + failed {failed}{deleted}"
    )
}
