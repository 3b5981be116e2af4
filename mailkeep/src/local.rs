//! What works on a backup alone, or makes a data directory from one: no installation is open, and no server asked.
//!
//! Invariant: Ctrl-C and SIGTERM ask the work to stop, which leaves nothing half; a second one gives up waiting.

use crate::backup::{self, Progress, Restore, Restored};
use crate::command::{self, BackupReport, Unit};
use crate::data::Data;
use crate::output::{Style, clean, line, moment, view};
use crate::progress::Meter;
use crate::signals::Signals;
use anyhow::Result;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use storage::Cancel;

/// `backup show DIR`.
pub(crate) fn show(dir: PathBuf, style: Style) -> Result<ExitCode> {
    let list = backup::open(&dir)?;
    say(&BackupReport::of(dir.display().to_string(), &list, 0), style)?;
    Ok(ExitCode::SUCCESS)
}

/// `backup verify DIR`.
pub(crate) async fn verify(dir: PathBuf, style: Style) -> Result<ExitCode> {
    let list = backup::open(&dir)?;
    let (found, list) = work(style, move |cancel, progress| {
        Ok((
            backup::verify(&dir, &list, cancel, progress)?,
            BackupReport::of(dir.display().to_string(), &list, 0),
        ))
    })
    .await?;
    let failed = !found.is_empty();
    say(&BackupReport { damage: found, ..list }, style)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `restore DIR`.
pub(crate) async fn restore(data: Data, wanted: Restore, style: Style) -> Result<ExitCode> {
    let restored =
        work(style, move |cancel, progress| backup::restore(&data, &wanted, cancel, progress)).await?;
    let failed = !restored.trouble.is_empty();
    let mut out = io::stdout().lock();
    if style.json {
        writeln!(out, "{}", line(&serde_json::to_value(&restored)?))?;
    } else {
        out.write_all(account(&restored)?.as_bytes())?;
    }
    out.flush()?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn say(report: &BackupReport, style: Style) -> Result<()> {
    let row = serde_json::to_value(report)?;
    let text = if style.json { line(&row) + "\n" } else { view::backup(&row)? };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn account(restored: &Restored) -> Result<String, std::fmt::Error> {
    let Restored { data, made, users, folders, messages, placements, raised, trouble } = restored;
    let mut text = String::new();
    writeln!(text, "Restored {} as it was on {}.", clean(data), moment(*made))?;
    writeln!(text, "  {messages} messages in {placements} places, {folders} folders, {users} users")?;
    writeln!(
        text,
        "  with UIDs, dates and flags; users, privileges, runs, audit log, configuration, certificate"
    )?;
    if *raised {
        writeln!(
            text,
            "  New mail gets UIDs that are a million higher: mail clients never meet a UID twice."
        )?;
    }
    writeln!(
        text,
        "Not restored: what came after that moment. Archive the sources again; what is there is known."
    )?;
    for what in trouble {
        writeln!(text, "TROUBLE  {}", clean(what))?;
    }
    Ok(text)
}

/// Does blocking work with progress, until it is done or asked to stop.
async fn work<T: Send + 'static>(
    style: Style,
    work: impl FnOnce(&Cancel, &mut Progress<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let mut signals = Signals::new()?;
    let cancel = Cancel::default();
    let asked = cancel.clone();
    let mut working = tokio::task::spawn_blocking(move || {
        let mut meter = Meter::new(style.quiet, style.json);
        let done = work(&asked, &mut |done, total, file| {
            let text = file.to_owned();
            meter.show(&command::Progress { done, total: Some(total), unit: Unit::Bytes, text });
        });
        meter.clear();
        done
    });
    loop {
        tokio::select! {
            done = &mut working => return done?,
            () = signals.next() => {
                if cancel.is_set() {
                    std::process::exit(1);
                }
                tracing::warn!("stopping; what was begun is removed");
                cancel.set();
            }
        }
    }
}
