//! Recovery sheets and new keys: written where only their owner reads them, and read back.
//!
//! Invariant: a key goes to a terminal, to a new file with mode 0600, or to where `--stdout` says; never where it was not asked
//! to go, and never over a file that is there.

use super::Source;
use crate::command::{Command, Event, KeyExport};
use crate::control::login::Request;
use crate::data::Data;
use crate::door;
use anyhow::{Context, Result, bail};
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::MasterKey;
use storage::keys::sheet;
use tokio::sync::Notify;
use zeroize::Zeroizing;

/// Where a secret goes.
#[derive(Debug, Clone, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Given {
    /// Write it to this new file, which only you can read
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Write it to standard output even if that is no terminal
    #[arg(long)]
    pub(crate) stdout: bool,
}

impl Given {
    /// Refuses to put a secret into a pipe or file by accident.
    pub(crate) fn check(&self) -> Result<()> {
        if self.output.is_none() && !self.stdout && !io::stdout().is_terminal() {
            bail!(
                "standard output is no terminal, and the key would end up there: use -o FILE (mode 0600), or --stdout \
                 if that is what you want"
            );
        }
        Ok(())
    }

    /// Writes the secret.
    pub(crate) fn write(&self, text: &str) -> Result<()> {
        match &self.output {
            Some(path) => crate::tls::write_new(path, 0o600, text.as_bytes()),
            None => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                Ok(out.flush()?)
            }
        }
    }
}

/// `key export`: has the sheet made where the key is, and writes it.
pub(crate) async fn export(data: &Data, to: &Given, json: bool) -> Result<()> {
    to.check()?;
    if let Some(path) = to.output.as_deref().filter(|path| path.exists()) {
        bail!("{} is there already; a sheet is never written over a file", path.display());
    }
    let command = Command::KeyExport(KeyExport {});
    let mut events = door::send(data, Request::own(command), Arc::new(Notify::new())).await?;
    let mut made = None;
    while let Some(event) = events.recv().await {
        match event {
            Event::Row(row) => made = Some(row),
            Event::Failure(failure) => bail!("{}", failure.message),
            Event::End(_) | Event::Progress(_) | Event::Warning(_) | Event::Bytes(_) => {}
        }
    }
    let made = made.context("the server ended before the command did")?;
    let text = if json {
        format!("{made}\n")
    } else {
        made.get("sheet").and_then(|sheet| sheet.as_str()).context("no sheet")?.to_owned()
    };
    to.write(&Zeroizing::new(text))
}

/// `key new`: a new key's text, for a vault or a credential.
pub(crate) fn new(to: &Given) -> Result<()> {
    to.check()?;
    let key = MasterKey::generate()?;
    if let Some(path) = &to.output {
        return Ok(key.save(path)?);
    }
    to.write(&key.text())
}

/// `key import`: puts the key of a sheet or of a key file's text where the installation wants it.
pub(crate) fn import(data: &Data, from: &Path) -> Result<()> {
    let root = data.root();
    if !root.join("stores").is_dir() {
        bail!(
            "{0} holds no archive that could miss its key; for a new one: mailkeep --data {0} init --from-sheet FILE",
            root.display()
        );
    }
    let conf = data.conf()?;
    let Source::File(path) = Source::find(data, &conf.keys)? else {
        bail!(
            "the master key of this installation comes from elsewhere ([keys] in mailkeep.toml): put it there"
        );
    };
    if path.exists() {
        bail!("{} is there already; it is never replaced", path.display());
    }
    let key = read_sheet(from)?;
    let opens = storage::Storage::try_key(root, &key)?;
    if opens.opened == 0
        && let Some((store, why)) = opens.others.first()
    {
        bail!(
            "this key (id {}) does not open the archive: store {store}: {why}; nothing was touched",
            key.id()
        );
    }
    if let Some(dir) = path.parent() {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| dir.display().to_string());
            }
            _ => {}
        }
    }
    key.save(&path)?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "The key with id {} is in {} and opens {} stores.",
        key.id(),
        path.display(),
        opens.opened
    )?;
    for (store, why) in opens.others {
        writeln!(out, "Store {store}: {}", crate::output::clean(&why))?;
    }
    Ok(out.flush()?)
}

/// The key of a recovery sheet, or of a key file's text; `-` is standard input.
pub(crate) fn read_sheet(from: &Path) -> Result<MasterKey> {
    let most = sheet::MAX_SHEET_BYTES + 1;
    // Reserved whole, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(most + 1));
    let shown = || from.display().to_string();
    if from.as_os_str() == "-" {
        io::stdin().lock().take(most as u64).read_to_end(&mut text).context("standard input")?;
    } else {
        let file = File::open(from).with_context(shown)?;
        file.take(most as u64).read_to_end(&mut text).with_context(shown)?;
    }
    if let Some(key) = MasterKey::parse(&text) {
        return Ok(key);
    }
    let text = std::str::from_utf8(&text).ok().with_context(|| format!("{}: not UTF-8", shown()))?;
    sheet::read(text).with_context(shown)
}
