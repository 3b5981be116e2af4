//! The places where heads go: a file, a program, a mail relay.
//!
//! Invariant: each is bounded in time and in what is read from it; a program gets no shell and none of our environment but
//! what finds programs and names the language.

use super::book;
use crate::data::Data;
use crate::smtp;
use anyhow::{Context, Result, bail};
use conf::Evidence;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use storage::Cancel;

/// Bytes of a program's complaint that are kept.
const MAX_COMPLAINT_BYTES: u64 = 4 << 10;
/// How often a running program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a program gets of our environment: no secret may be in it.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ"];

/// Where heads go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    File(PathBuf),
    Program(Vec<String>),
    Mail(smtp::Mail),
}

impl Destination {
    /// Those of the settings.
    pub(super) fn all(settings: &Evidence, data: &Data) -> Vec<Destination> {
        let mut all = Vec::new();
        if !settings.to_file.as_os_str().is_empty() {
            all.push(Destination::File(data.resolve(&settings.to_file)));
        }
        if !settings.command.is_empty() {
            all.push(Destination::Program(settings.command.clone()));
        }
        if !settings.mail_to.is_empty() {
            all.push(Destination::Mail(smtp::Mail {
                relay: settings.smtp_relay.clone(),
                from: settings.mail_from.clone(),
                to: settings.mail_to.clone(),
            }));
        }
        all
    }

    /// What it is called in messages and in the record.
    pub(super) fn name(&self) -> String {
        match self {
            Destination::File(path) => format!("file {}", path.display()),
            Destination::Program(program) => format!("command {}", program.join(" ")),
            Destination::Mail(mail) => format!("mail to {}", mail.to.join(", ")),
        }
    }

    /// Sends the heads there.
    pub(super) fn send(&self, heads: &[String], timeout_secs: u64, cancel: &Cancel) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(timeout_secs);
        match self {
            Destination::File(path) => book::append(path, heads),
            Destination::Program(program) => run(program, &lines(heads), until, cancel),
            Destination::Mail(mail) => mail.send(&letter(heads), until, cancel),
        }
    }
}

/// The mail that heads are sent in.
fn letter(heads: &[String]) -> smtp::Letter {
    smtp::Letter {
        subject: format!("mailkeep evidence heads ({})", heads.len()),
        text: format!(
            "Signed heads of the archive's evidence logs and of its audit log, a line each. Keep this mail where nobody\n\
             who can write the archive can change it: proofs hold against these lines.\n\n{}",
            lines(heads)
        ),
    }
}

/// A line for each head.
fn lines(heads: &[String]) -> String {
    heads.iter().map(|head| head.clone() + "\n").collect()
}

/// Runs a program with `input` on standard input, to its end.
pub(crate) fn run(program: &[String], input: &str, until: Instant, cancel: &Cancel) -> Result<()> {
    let Some((name, arguments)) = program.split_first() else { bail!("no program is named") };
    // Files, not pipes: a program that neither reads nor stops talking blocks nothing.
    let mut stdin = tempfile::tempfile().context("temporary file")?;
    stdin.write_all(input.as_bytes()).context("temporary file")?;
    stdin.seek(SeekFrom::Start(0)).context("temporary file")?;
    let mut stderr = tempfile::tempfile().context("temporary file")?;
    let mut command = Command::new(name);
    command.args(arguments).env_clear();
    command.envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(stdin).stdout(Stdio::null()).stderr(stderr.try_clone().context("temporary file")?);
    let mut child = command.spawn().with_context(|| format!("{name} can't be started"))?;
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for the program")? {
            break status;
        }
        if cancel.is_set() || Instant::now() >= until {
            child.kill().context("ending the program")?;
            child.wait().context("waiting for the program")?;
            bail!("{name} did not end in time and was stopped");
        }
        std::thread::sleep(LOOK_EVERY);
    };
    if status.success() {
        return Ok(());
    }
    let mut said = Vec::new();
    stderr.seek(SeekFrom::Start(0)).context("temporary file")?;
    stderr.take(MAX_COMPLAINT_BYTES).read_to_end(&mut said).context("temporary file")?;
    let said = String::from_utf8_lossy(&said);
    bail!("{name} ended with {status}: {}", said.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_program_gets_the_lines_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = format!("cat > '{0}'; env >> '{0}'", out.display());
        run(&program(&script), "one\ntwo\n", soon(), &Cancel::default()).unwrap();
        let got = std::fs::read_to_string(&out).unwrap();
        assert!(got.starts_with("one\ntwo\n"), "{got}");
        // Cargo sets these for every test; nothing like them reaches the program.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !got.contains("CARGO_"), "{got}");
    }

    #[test]
    fn a_program_that_fails_or_hangs_is_told_of() {
        let failing = run(&program("echo broken >&2; exit 3"), "", soon(), &Cancel::default());
        let error = format!("{:#}", failing.unwrap_err());
        assert!(error.contains("broken") && error.contains('3'), "{error}");
        let loud = format!("head -c {} /dev/zero | tr '\\0' z >&2; exit 1", MAX_COMPLAINT_BYTES + 100);
        let error = run(&program(&loud), "", soon(), &Cancel::default()).unwrap_err().to_string();
        assert!(error.matches('z').count() as u64 == MAX_COMPLAINT_BYTES, "{}", error.len());
        let nothing = run(&["/no/such/program".to_owned()], "", soon(), &Cancel::default());
        assert!(format!("{:#}", nothing.unwrap_err()).contains("/no/such/program"));
        let late = run(&program("exec tail -f /dev/null"), "", Instant::now(), &Cancel::default());
        assert!(late.unwrap_err().to_string().contains("in time"));
        let cancel = Cancel::default();
        cancel.set();
        assert!(run(&program("exec tail -f /dev/null"), "", soon(), &cancel).is_err());
        // One that doesn't read its input has done no wrong.
        run(&program("exit 0"), &"x".repeat(1 << 20), soon(), &Cancel::default()).unwrap();
    }
}
