//! `audit.*`: who did what, as a list or as CSV files, and whether the log is what it was.

use super::{Act, Context, Failure, Kind, Needs, Outcome, Progress, Unit};
use crate::evidence::{Book, SignedAudit, audit_heads_of, hex, recorded_audit_heads};
use anyhow::Context as _;
use auth::{AuditEntry, AuditFilter, AuditHead, Privilege};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{DirBuilder, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The most entries that are shown at once.
pub(crate) const MOST: u32 = 100_000;
/// Files of an export that are written at once: the clock was set back and forth if there are more.
const MAX_OPEN: usize = 32;

/// The newest entries that are wanted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditLog {
    pub(crate) last: u32,
    #[serde(default)]
    pub(crate) filter: AuditFilter,
    /// The newest first.
    #[serde(default)]
    pub(crate) newest_first: bool,
}

/// Who reads the log.
fn readers() -> Needs {
    Needs::one_of(&[Privilege::Admin, Privilege::Auditor])
}

impl Act for AuditLog {
    fn needs(&self) -> Needs {
        readers()
    }
    fn audit(&self) -> String {
        format!("audit.list {}", self.last)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if self.last > MOST {
            return Err(Failure::usage(format!("at most {MOST} entries are shown at once")));
        }
        let auth = &cx.installation.auth;
        auth.audit_flush()?;
        let most = usize::try_from(self.last).unwrap_or(usize::MAX);
        let mut found: Vec<AuditEntry> = Vec::new();
        let mut from = u64::MAX;
        while found.len() < most {
            cx.cancel.check()?;
            let page = auth.audit_page(from, true)?;
            let Some((last, _)) = page.last() else { break };
            from = last.number.saturating_sub(1);
            let wanted = page.into_iter().map(|(entry, _)| entry).filter(|entry| self.filter.wants(entry));
            found.extend(wanted.take(most - found.len()));
            if from == 0 {
                break;
            }
        }
        if !self.newest_first {
            found.reverse();
        }
        for entry in found {
            let mut row = serde_json::to_value(&entry).map_err(anyhow::Error::from)?;
            // Scripts find the same keys in every line.
            if let Some(fields) = row.as_object_mut() {
                fields.entry("object").or_insert_with(|| "".into());
            }
            cx.row(&row)?;
        }
        Ok(Outcome::DONE)
    }
}

/// Entries as CSV (RFC 4180): all into one stream, or a file for each day (UTC).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditExport {
    pub(crate) filter: AuditFilter,
    /// Where the files go; none: the result's bytes are the one.
    pub(crate) dir: Option<PathBuf>,
}

const HEADING: &str = "number,time,who,from,kind,what,object,result,hash\r\n";

impl Act for AuditExport {
    fn needs(&self) -> Needs {
        readers().near(self.dir.is_some())
    }
    fn audit(&self) -> String {
        match &self.dir {
            Some(dir) => format!("audit.export {:?}", dir.display().to_string()),
            None => "audit.export".into(),
        }
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.installation.auth.audit_flush()?;
        let Some(dir) = &self.dir else {
            let mut out = cx.bytes();
            let gone = |error: std::io::Error| Failure::new(Kind::Cancelled, error.to_string());
            out.write_all(HEADING.as_bytes()).map_err(gone)?;
            self.each(cx, |line, _| out.write_all(line.as_bytes()).map_err(gone))?;
            out.flush().map_err(gone)?;
            return Ok(Outcome::DONE);
        };
        if !dir.is_absolute() {
            return Err(Failure::usage(format!("{}: the path must be absolute", dir.display())));
        }
        let mut days = Days::new(dir)?;
        self.each(cx, |line, entry| Ok(days.write(entry.when, &line)?))?;
        for (name, entries) in days.end()? {
            cx.row(&json!({ "file": name, "entries": entries }))?;
        }
        Ok(Outcome::DONE)
    }
}

impl AuditExport {
    /// Gives each wanted entry as a line, oldest first.
    fn each(
        &self,
        cx: &Context<'_>,
        mut give: impl FnMut(String, &AuditEntry) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut from = 1;
        loop {
            cx.cancel.check()?;
            let page = cx.installation.auth.audit_page(from, false)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = last.number.saturating_add(1);
            for (entry, hash) in page.iter().filter(|(entry, _)| self.filter.wants(entry)) {
                give(line(entry, hash), entry)?;
            }
        }
    }
}

/// A file for each day, complete or not there.
struct Days<'a> {
    dir: &'a Path,
    open: Vec<Day>,
    done: Vec<(String, u64)>,
}

struct Day {
    name: String,
    file: BufWriter<tempfile::NamedTempFile>,
    entries: u64,
}

impl<'a> Days<'a> {
    fn new(dir: &'a Path) -> Result<Days<'a>, Failure> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(anyhow::Error::from(error).context(dir.display().to_string()).into())
            }
            _ => Ok(Days { dir, open: Vec::new(), done: Vec::new() }),
        }
    }

    fn write(&mut self, when: i64, line: &str) -> anyhow::Result<()> {
        let date = OffsetDateTime::from_unix_timestamp(when).unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
        let name = format!("audit-{date}.csv");
        let shown = || self.dir.join(&name).display().to_string();
        let place = match self.open.iter().position(|day| day.name == name) {
            Some(place) => place,
            None => {
                anyhow::ensure!(
                    !self.done.iter().any(|(done, _)| *done == name) && self.open.len() < MAX_OPEN,
                    "{}: the times of the entries go back and forth too far for a file a day: use --csv",
                    shown()
                );
                let mut file = BufWriter::new(tempfile::NamedTempFile::new_in(self.dir).with_context(shown)?);
                file.write_all(HEADING.as_bytes()).with_context(shown)?;
                self.open.push(Day { name: name.clone(), file, entries: 0 });
                self.open.len() - 1
            }
        };
        if let Some(day) = self.open.get_mut(place) {
            day.file.write_all(line.as_bytes()).with_context(shown)?;
            day.entries += 1;
        }
        // A clock that is set back a little finds its day still open.
        if self.open.len() > MAX_OPEN / 2 {
            let day = self.open.remove(0);
            self.close(day)?;
        }
        Ok(())
    }

    fn close(&mut self, day: Day) -> anyhow::Result<()> {
        let path = self.dir.join(&day.name);
        let shown = || path.display().to_string();
        let file = day.file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(shown)?;
        file.as_file().sync_all().with_context(shown)?;
        file.persist(&path).with_context(shown)?;
        self.done.push((day.name, day.entries));
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Vec<(String, u64)>> {
        for day in std::mem::take(&mut self.open) {
            self.close(day)?;
        }
        File::open(self.dir)
            .and_then(|dir| dir.sync_all())
            .with_context(|| self.dir.display().to_string())?;
        Ok(self.done)
    }
}

/// A cell of CSV. What a spreadsheet would take for a formula gets an apostrophe in front, and so does an apostrophe: then one
/// that stands first is always ours.
fn cell(text: &str, line: &mut String) {
    let guarded = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']);
    let quoted = text.contains([',', '"', '\r', '\n']);
    if quoted {
        line.push('"');
    }
    if guarded {
        line.push('\'');
    }
    for char in text.chars() {
        if char == '"' {
            line.push('"');
        }
        line.push(char);
    }
    if quoted {
        line.push('"');
    }
}

fn line(entry: &AuditEntry, hash: &[u8; 32]) -> String {
    let AuditEntry { number, when, who, from, kind, what, object, result } = entry;
    let time = OffsetDateTime::from_unix_timestamp(*when).ok().and_then(|time| time.format(&Rfc3339).ok());
    let kind = serde_json::to_value(kind).ok();
    let kind = kind.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut line = number.to_string();
    let time = time.unwrap_or_else(|| when.to_string());
    for text in [&time, who, from, kind, what, object, result, &hex(hash)] {
        line.push(',');
        cell(text, &mut line);
    }
    line.push_str("\r\n");
    line
}

/// Whether the log is what it was.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditVerify {
    /// A file of heads that were kept elsewhere; those that were recorded here are compared too.
    pub(crate) head: Option<PathBuf>,
}

impl Act for AuditVerify {
    fn needs(&self) -> Needs {
        readers().near(self.head.is_some())
    }
    fn audit(&self) -> String {
        "audit.verify".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let installation = cx.installation;
        let mut heads = recorded_audit_heads(&Book::open(&installation.data.evidence_dir())?)?;
        if let Some(path) = &self.head {
            heads.extend(audit_heads_of(path)?);
        }
        for head in &heads {
            // What it says is compared all the same.
            if let Err(error) = head.ours(installation) {
                cx.warn(&error.to_string());
            }
        }
        let heads: Vec<AuditHead> = heads.iter().map(SignedAudit::head).collect::<anyhow::Result<_>>()?;
        let mut going = |done| {
            cx.progress(Progress { done, total: None, unit: Unit::Entries, text: String::new() });
            !cx.cancel.is_set()
        };
        let verdict = match installation.auth.audit_verify(&heads, &mut going) {
            Err(auth::Error::Stopped) => return Err(Failure::new(Kind::Cancelled, "cancelled")),
            other => other?,
        };
        let wrong = verdict.wrong.as_ref();
        cx.row(&json!({
            "good": wrong.is_none(),
            "entries": verdict.head.size,
            "hash": hex(&verdict.head.hash),
            "log": hex(&verdict.head.log),
            "heads": heads.len(),
            "headsAgreed": verdict.heads,
            "first": wrong.map(|wrong| wrong.first),
            "last": wrong.map(|wrong| wrong.last),
            "what": wrong.map(|wrong| wrong.what.as_str()),
        }))?;
        if let Some(wrong) = wrong {
            cx.note(format!("entry {}: {}", wrong.first, wrong.what));
        }
        Ok(Outcome { failed: wrong.is_some() })
    }
}

/// The log's signed head.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditHeadNow {}

impl Act for AuditHeadNow {
    fn needs(&self) -> Needs {
        readers()
    }
    fn audit(&self) -> String {
        "audit.head".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let head = SignedAudit::make(cx.installation)?;
        let mut out = cx.bytes();
        writeln!(out, "{}", head.to_json())
            .and_then(|()| out.flush())
            .map_err(|error| Failure::new(Kind::Cancelled, error.to_string()))?;
        Ok(Outcome::DONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::AuditKind;

    #[test]
    fn csv_is_quoted_and_guarded() {
        let of = |text: &str| {
            let mut line = String::new();
            cell(text, &mut line);
            line
        };
        assert_eq!(of("plain text"), "plain text");
        assert_eq!(of("a,b"), "\"a,b\"");
        assert_eq!(of("a \"b\""), "\"a \"\"b\"\"\"");
        assert_eq!(of("a\r\nb"), "\"a\r\nb\"");
        assert_eq!(of("=1+1"), "'=1+1");
        assert_eq!(of("@SUM(A1,A2)"), "\"'@SUM(A1,A2)\"");
        assert_eq!(
            (of("+1"), of("-1"), of("\t=1"), of("'x")),
            ("'+1".into(), "'-1".into(), "'\t=1".into(), "''x".into())
        );
        assert_eq!(of("\r=1"), "\"'\r=1\"");
        let entry = AuditEntry {
            number: 7,
            when: 0,
            who: "local:root".into(),
            from: "socket".into(),
            kind: AuditKind::ArchiveAccess,
            what: "access.unblock \"why, \"".into(),
            object: String::new(),
            result: "=ok".into(),
        };
        assert_eq!(
            line(&entry, &[0xab; 32]),
            format!(
                "7,1970-01-01T00:00:00Z,local:root,socket,archiveAccess,\"access.unblock \"\"why, \"\"\",,'=ok,{}\r\n",
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn a_file_a_day_even_when_the_clock_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let mut days = Days::new(&out).unwrap();
        let day = 86_400;
        for (when, line) in [(0, "a\r\n"), (day, "b\r\n"), (day - 1, "c\r\n"), (60 * day, "d\r\n")] {
            days.write(when, line).unwrap();
        }
        let mut names = days.end().unwrap();
        names.sort();
        let name = |name: &str, entries| (name.to_owned(), entries);
        assert_eq!(
            names,
            [
                name("audit-1970-01-01.csv", 2),
                name("audit-1970-01-02.csv", 1),
                name("audit-1970-03-02.csv", 1)
            ]
        );
        assert_eq!(
            std::fs::read_to_string(out.join("audit-1970-01-01.csv")).unwrap(),
            format!("{HEADING}a\r\nc\r\n")
        );
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3);
        let mut days = Days::new(&out).unwrap();
        for back in 0..100 {
            days.write((200 - back) * day, "x\r\n").unwrap();
        }
        assert!(days.write(200 * day, "x\r\n").unwrap_err().to_string().contains("--csv"));
    }
}
