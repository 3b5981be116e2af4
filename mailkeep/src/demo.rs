//! `demo`: a throwaway installation with sample mail or the user's own, served until Ctrl-C, then removed.
//!
//! Invariant: all that it makes lies in one temporary directory, which goes with it, whatever the end.

use crate::cli::Demo;
use crate::command::{Archive, Command};
use crate::control::login::Request;
use crate::data::Data;
use crate::output::{Ended, Style, show, view};
use crate::serve::Service;
use crate::signals::Signals;
use crate::{door, init, password, settings};
use anyhow::{Context, Result, bail, ensure};
use imapd::Inherited;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::Notify;
use zeroize::Zeroizing;

/// The user's name.
const USER: &str = "demo";
/// How many ports above the wanted one are tried.
const PORTS: u16 = 100;

/// The sample mail: path and content of each file.
const SAMPLE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sample.rs"));

/// Makes, archives, serves, removes.
pub(crate) async fn run(demo: Demo, style: Style) -> Result<ExitCode> {
    let scratch =
        tempfile::Builder::new().prefix("mailkeep-demo-").tempdir().context("temporary directory")?;
    let ended = in_scratch(scratch.path(), demo, style).await;
    let path = scratch.path().to_owned();
    scratch.close().with_context(|| format!("{}: can't be removed", path.display()))?;
    ended
}

async fn in_scratch(scratch: &Path, demo: Demo, style: Style) -> Result<ExitCode> {
    let data = Data::new(scratch.join("data"), None);
    let password = password::random()?;
    let key = init::Key { key_from: Some(init::KeyFrom::File), ..init::Key::default() };
    init::make(&data, &key, USER, &password, false)?;
    let (path, into) = match &demo.path {
        Some(path) => (std::path::absolute(path)?, format!("{USER}/{}", folder_name(path))),
        None => (lay_out(&scratch.join("sample"))?, USER.to_owned()),
    };
    let cancel = Arc::new(Notify::new());
    let command = Command::Archive(Archive { path, into, format: None, deleted_too: false });
    let events = door::send(&data, Request::own(command), cancel.clone()).await?;
    let view = if demo.path.is_some() { view::RUN } else { view::RUN_SUMS };
    match show(events, view, Style { json: false, ..style }, cancel).await? {
        // Some items of people's own mail may fail: the account says so, and the rest is worth a look.
        Ended::Well | Ended::Partly => {}
        Ended::Stopped => return Ok(ExitCode::SUCCESS),
        ended @ Ended::Badly(_) => return Ok(ended.into()),
    }
    serve(&data, &demo, &password).await?;
    Ok(ExitCode::SUCCESS)
}

/// The sample mail as files.
fn lay_out(root: &Path) -> Result<PathBuf> {
    ensure!(!SAMPLE.is_empty(), "this program was built without sample mail; give a PATH");
    for (name, content) in SAMPLE {
        let path = root.join(name);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, content)
        };
        write().with_context(|| path.display().to_string())?;
    }
    Ok(root.to_owned())
}

/// The folder for people's own mail: named as their file or directory is.
fn folder_name(path: &Path) -> String {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().map(|c| if c.is_control() || c == '/' { '_' } else { c }).collect();
    if name.trim_matches('.').is_empty() { "Import".to_owned() } else { name }
}

/// Serves until a signal comes.
async fn serve(data: &Data, demo: &Demo, password: &Zeroizing<String>) -> Result<()> {
    let Some(lock) = data.try_lock()? else { bail!("{} is in use", data.root().display()) };
    let signals = Signals::new()?;
    let opened = {
        let (data, conf) = (data.clone(), data.conf()?);
        tokio::task::spawn_blocking(move || data.open(lock, conf)).await?
    };
    let installation = Arc::new(opened?);
    let mut settings = settings::imap(&installation.conf);
    settings.imap = vec![free(demo.imap, None)?];
    settings.imaps = vec![free(demo.imaps, settings.imap.first().copied())?];
    settings.plain_on_loopback = true;
    let service = Service::bind(installation, settings, Inherited::default()).await?;
    let (plain, secure) = service.addresses();
    let (Some(&plain), Some(&secure)) = (plain.first(), secure.first()) else { bail!("nothing was bound") };
    say(plain, secure, password, demo.path.is_none()).context("standard output")?;
    service.run(signals, None).await
}

/// Says `ready`, and what to type into a mail client; with the sample there is mail in INBOX to show.
fn say(plain: SocketAddr, secure: SocketAddr, password: &str, sample: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let host = plain.ip();
    let (port, tls_port) = (plain.port(), secure.port());
    write!(
        out,
        "ready\n\n  \
         host       {host}\n  \
         port       {port} without encryption, {tls_port} with SSL/TLS (the certificate is self-signed: confirm it)\n  \
         user       {USER}\n  \
         password   {password}\n\n\
         In Thunderbird: New Account, Manual Configuration, IMAP. The archive is read-only.\n\
         Ctrl-C ends it and removes everything it made. Or at once, in another terminal:\n\n  \
         curl -s --user '{USER}:{password}' imap://{plain}/\n"
    )?;
    if sample {
        writeln!(out, "  curl -s --user '{USER}:{password}' 'imap://{plain}/INBOX;MAILINDEX=1'")?;
    }
    out.flush()
}

/// The wanted address, or the same with the next free port.
fn free(wanted: SocketAddr, taken: Option<SocketAddr>) -> Result<SocketAddr> {
    for step in 0..=PORTS {
        let Some(port) = wanted.port().checked_add(step) else { break };
        let address = SocketAddr::new(wanted.ip(), port);
        if taken == Some(address) {
            continue;
        }
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener.local_addr()?),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(|| format!("can't listen on {address}")),
        }
    }
    bail!("no free port from {} to {} on {}", wanted.port(), wanted.port().saturating_add(PORTS), wanted.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_gives_the_next_free_one() {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = busy.local_addr().unwrap();
        let found = free(wanted, None).unwrap();
        assert!(found.port() > wanted.port());
        let other = free(wanted, Some(found)).unwrap();
        assert!(other.port() > found.port());
    }

    #[test]
    fn folders_are_named_as_the_path_is() {
        for (path, name) in [
            ("mail/export.mbox", "export"),
            ("mail/Local Folders", "Local Folders"),
            ("mail/Maildir/", "Maildir"),
            ("/", "Import"),
            ("a\u{7}b", "a_b"),
        ] {
            assert_eq!(folder_name(Path::new(path)), name, "{path}");
        }
    }

    #[test]
    fn the_sample_is_carried_and_laid_out_byte_for_byte() {
        assert!(SAMPLE.len() >= 10, "{}", SAMPLE.len());
        let dir = tempfile::tempdir().unwrap();
        lay_out(&dir.path().join("s")).unwrap();
        for (name, content) in SAMPLE {
            assert_eq!(fs::read(dir.path().join("s").join(name)).unwrap(), *content, "{name}");
        }
    }
}
