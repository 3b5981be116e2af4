//! The program: from the command line to a command's work, and back to an exit status.
//!
//! Exit status: 0 all was done, 1 something failed, 2 the command line makes no sense.

mod attachments;
mod backup;
mod cli;
mod command;
mod control;
mod data;
mod demo;
mod door;
mod evidence;
mod init;
mod jobs;
mod keys;
mod local;
mod metrics;
mod notify;
mod output;
mod pages;
mod password;
mod progress;
mod request;
mod schedule;
mod sealed;
mod serve;
mod serving;
mod settings;
mod signals;
mod smtp;
mod systemd;
mod tls;
mod upkeep;
mod who;

use anyhow::{Context, Result};
use clap::Parser;
use cli::{BackupVerb, BackupWhat, By, Cli, KeyVerb, Verb};
use command::Event;
use conf::LogFormat;
use control::login::Request;
use data::Data;
use output::{Ended, Style};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == extract::worker::ARGUMENT) {
        // One of our own, started to read attachments and nothing else.
        return extract::worker::run(arguments);
    }
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            output::complain(&output::chain(&error)).ok();
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(cli: Cli) -> Result<ExitCode> {
    let Cli { data, config, json, quiet, log, by, verb } = cli;
    let style = Style { json, quiet };
    let verb = match verb {
        Verb::Completions { shell } => return pages::completions(shell),
        Verb::Man { dir } => return pages::man(dir.as_deref()),
        Verb::Unit { which } => return pages::unit(which),
        Verb::Evidence(asked) if asked.is_offline() => return request::offline(asked, json),
        other => other,
    };
    // What else mailkeep makes holds mail: nobody else's business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let verb = match verb {
        Verb::Key(KeyVerb::New(to)) => {
            keys::new(&to)?;
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Backup(BackupVerb { what: Some(what), .. }) => {
            start_log(log.as_deref(), "warn")?;
            return match what {
                BackupWhat::Show { dir } => local::show(dir, style),
                BackupWhat::Verify { dir } => runtime()?.block_on(local::verify(dir, style)),
            };
        }
        other => other,
    };
    if let Verb::Demo(demo) = verb {
        start_log(log.as_deref(), "warn")?;
        return runtime()?.block_on(demo::run(demo, style));
    }
    if let Some(socket) = &by.socket {
        start_log(log.as_deref(), "warn")?;
        return give(verb, &by, style, async |request, cancel| door::send_to(socket, &request, cancel).await);
    }
    let Some(root) = data else {
        output::complain("which archive? --data DIR (or MAILKEEP_DATA) names its data directory")?;
        return Ok(ExitCode::from(2));
    };
    let root = std::path::absolute(&root).with_context(|| root.display().to_string())?;
    let data = Data::new(root, config);
    match verb {
        Verb::Init(key) => {
            start_log(log.as_deref(), "warn")?;
            init::run(&data, &key, json)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Restore(wanted) => {
            start_log(log.as_deref(), "warn")?;
            runtime()?.block_on(local::restore(data, wanted, style))
        }
        Verb::Key(KeyVerb::Export(to)) => {
            start_log(log.as_deref(), "warn")?;
            runtime()?.block_on(keys::export(&data, &to, json))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Key(KeyVerb::Import { file }) => {
            start_log(log.as_deref(), "warn")?;
            keys::import(&data, &file)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Serve(listen) => {
            data.owner()?;
            let conf = data.conf()?;
            start_log_as(log.as_deref(), &conf.log.filter, conf.log.format)?;
            raise_descriptors();
            runtime()?.block_on(serve::run(&data, conf, listen))?;
            Ok(ExitCode::SUCCESS)
        }
        other => {
            start_log(log.as_deref(), "warn")?;
            give(other, &by, style, async |request, cancel| door::send(&data, request, cancel).await)
        }
    }
}

/// Gives a command and shows what comes of it.
fn give(
    verb: Verb,
    by: &By,
    style: Style,
    send: impl AsyncFnOnce(Request, Arc<Notify>) -> Result<Receiver<Event>>,
) -> Result<ExitCode> {
    let asked = request::login(by).and_then(|login| request::command(verb, by).map(|asked| (login, asked)));
    let (login, (command, view)) = match asked {
        Ok(asked) => asked,
        Err(failure) => {
            output::complain(&failure.message)?;
            return Ok(Ended::Badly(failure.kind).into());
        }
    };
    runtime()?.block_on(async {
        let cancel = Arc::new(Notify::new());
        let events = send(Request { login, command }, cancel.clone()).await?;
        Ok(output::show(events, view, style, cancel).await?.into())
    })
}

/// As many files and sockets as the system allows: each connection is one. What is usual (1,024) is meant for programs that use
/// select(2).
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // The kernel's own bound, where no other is set.
    const MOST: u64 = 1 << 20;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(MOST).min(MOST);
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    tracing::debug!(limit = ?getrlimit(Resource::Nofile).current, "files and sockets that may be open");
}

fn runtime() -> Result<Runtime> {
    Runtime::new().context("threads")
}

fn start_log(given: Option<&str>, usual: &str) -> Result<()> {
    start_log_as(given, usual, LogFormat::Text)
}

/// The log goes to standard error: `--log`, else RUST_LOG, else `usual`.
fn start_log_as(given: Option<&str>, usual: &str, format: LogFormat) -> Result<()> {
    let filter = match (given, std::env::var("RUST_LOG")) {
        (Some(given), _) => EnvFilter::try_new(given).with_context(|| format!("--log {given}"))?,
        (None, Ok(set)) if !set.is_empty() => {
            EnvFilter::try_new(&set).with_context(|| format!("RUST_LOG={set}"))?
        }
        _ => EnvFilter::try_new(usual).with_context(|| format!("log filter {usual:?}"))?,
    };
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    let begun = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => {
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
    };
    begun.map_err(|error| anyhow::anyhow!("log: {error}"))
}
