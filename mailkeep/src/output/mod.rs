//! What a command's events look like: rows as JSON lines or for people, bytes as they are, progress on standard error.
//!
//! Invariant: text that came from mail or from users never reaches a terminal with control characters in it, and a
//! reader that closes the pipe ends the command quietly.

mod clean;
pub(crate) mod credentials;
mod hits;
mod people;
mod qr;
mod table;
pub(crate) mod view;

pub(crate) use clean::{chain, clean, line};
pub(crate) use table::moment;
pub(crate) use view::View;

use crate::command::{Event, Kind};
use crate::progress::Meter;
use anyhow::Result;
use clean::Terminal;
use hits::Hits;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use table::Table;
use tokio::sync::{Notify, mpsc};

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// JSON lines.
    pub(crate) json: bool,
    /// No progress.
    pub(crate) quiet: bool,
}

/// How a command ended, for the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All was done.
    Well,
    /// It was done, and something in it failed.
    Partly,
    /// It could not be done.
    Badly(Kind),
    /// Its user stopped it.
    Stopped,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> ExitCode {
        match ended {
            Ended::Well => ExitCode::SUCCESS,
            Ended::Badly(Kind::Usage) => ExitCode::from(2),
            Ended::Partly | Ended::Badly(_) | Ended::Stopped => ExitCode::FAILURE,
        }
    }
}

/// Shows a command's events to its end; Ctrl-C and SIGTERM ask it to stop, a second one gives up waiting.
pub(crate) async fn show(
    mut events: mpsc::Receiver<Event>,
    view: View,
    style: Style,
    cancel: Arc<Notify>,
) -> Result<Ended> {
    let mut signals = crate::signals::Signals::new()?;
    let mut screen = Screen::new(view, style);
    let mut asked = false;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = signals.next() => {
                if asked {
                    // Batches are whole or not there: leaving at once loses nothing that was acknowledged.
                    std::process::exit(1);
                }
                asked = true;
                cancel.notify_one();
                continue;
            }
        };
        let shown = match event {
            Some(Event::Progress(progress)) => {
                screen.meter.show(&progress);
                Ok(())
            }
            Some(Event::Warning(words)) => {
                screen.meter.clear();
                complain(&words)
            }
            Some(Event::Row(row)) => screen.row(&row),
            Some(Event::Bytes(bytes)) => screen.bytes(&bytes),
            Some(Event::End(outcome)) => {
                let ended = if outcome.failed { Ended::Partly } else { Ended::Well };
                let ended = if asked && outcome.failed { Ended::Stopped } else { ended };
                return quietly(screen.end(!outcome.failed), ended);
            }
            Some(Event::Failure(failure)) => {
                let shown = screen.end(false);
                if screen.broken {
                    return Ok(Ended::Well);
                }
                complain(&failure.message)?;
                return quietly(shown, if asked { Ended::Stopped } else { Ended::Badly(failure.kind) });
            }
            None => anyhow::bail!("the server ended before the command did"),
        };
        match shown {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                screen.broken = true;
                cancel.notify_one();
            }
            other => other?,
        }
    }
}

/// The end, once all was shown; a reader that left early is no failure.
fn quietly(shown: io::Result<()>, ended: Ended) -> Result<Ended> {
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ended),
    }
}

/// An error in words, on standard error.
pub(crate) fn complain(message: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "mailkeep: {}", clean(message))
}

/// A line on standard output.
pub(crate) fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Most bytes that are collected for a file.
const MAX_FILE_BYTES: usize = 64 << 20;

/// What is shown, and where it stands.
struct Screen {
    view: View,
    style: Style,
    out: io::BufWriter<io::Stdout>,
    table: Table,
    hits: Hits,
    terminal: Option<Terminal>,
    meter: Meter,
    /// Damages that wait for their account.
    gathered: Vec<serde_json::Value>,
    /// The reader of standard output is gone.
    broken: bool,
    /// What goes into a file at the end.
    held: Vec<u8>,
}

impl Screen {
    fn new(view: View, style: Style) -> Screen {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal().then(Terminal::default);
        let columns = view.columns();
        let out = io::BufWriter::new(stdout);
        let meter = Meter::new(style.quiet, style.json);
        Screen {
            view,
            style,
            out,
            table: Table::new(columns),
            hits: Hits::new(terminal.is_some()),
            terminal,
            meter,
            gathered: Vec::new(),
            broken: false,
            held: Vec::new(),
        }
    }

    fn row(&mut self, row: &serde_json::Value) -> io::Result<()> {
        if self.broken {
            return Ok(());
        }
        self.meter.clear();
        if self.style.json {
            if matches!(self.view, View::Report) {
                return self.gather(row);
            }
            return writeln!(self.out, "{}", line(row));
        }
        match &self.view {
            View::Table(..) => self.table.row(row, &mut self.out),
            View::Hits => self.hits.row(row, &mut self.out),
            View::Text(text) => self.out.write_all(text(row)?.as_bytes()),
            View::Report => self.out.write_all(view::report(row)?.as_bytes()),
            View::Done(_) | View::Bytes | View::Into(_) => Ok(()),
        }
    }

    /// Keeps damages until the account comes, which they become part of; there are at most 10,000.
    fn gather(&mut self, row: &serde_json::Value) -> io::Result<()> {
        if let Some(damage) = row.get("damage") {
            self.gathered.push(damage.clone());
            return Ok(());
        }
        let mut row = row.clone();
        if let Some(account) = row.as_object_mut() {
            account.insert("damage".to_owned(), std::mem::take(&mut self.gathered).into());
        }
        writeln!(self.out, "{}", line(&row))
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.terminal {
            _ if self.broken => Ok(()),
            _ if matches!(self.view, View::Into(_)) => {
                if self.held.len() + bytes.len() > MAX_FILE_BYTES {
                    return Err(io::Error::other("the result is too long for a file"));
                }
                self.held.extend_from_slice(bytes);
                Ok(())
            }
            Some(terminal) => terminal.write(bytes, &mut self.out),
            // Whoever watches a trace wants to see it now.
            None => self.out.write_all(bytes).and_then(|()| self.out.flush()),
        }
    }

    fn end(&mut self, well: bool) -> io::Result<()> {
        self.meter.clear();
        if self.broken {
            return Ok(());
        }
        match &self.view {
            View::Table(_, empty) if !self.style.json => {
                self.table.end(well.then_some(empty), &mut self.out)?
            }
            View::Hits if !self.style.json => self.hits.end(well, &mut self.out)?,
            View::Done(words) if !self.style.json && well => writeln!(self.out, "{words}")?,
            View::Into(path) if well => {
                let told =
                    |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                std::fs::write(path, &self.held).map_err(told)?;
                if !self.style.quiet && !self.style.json {
                    writeln!(self.out, "Wrote {}.", clean(&path.display().to_string()))?;
                }
            }
            _ => {}
        }
        self.out.flush()
    }
}
