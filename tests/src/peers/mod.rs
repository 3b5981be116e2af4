//! Other people's IMAP servers, for archiving from them. Debian lets none be installed beside Dovecot, so `tests/unpack` lays
//! them out below the build directory, and they run from there.
//!
//! Promise: each listens on a free port of loopback, keeps all that it writes in a scratch directory, and ends on drop.

mod courier;
mod cyrus;

pub use courier::Courier;
pub use cyrus::{Cyrus, Layout};

use crate::tools::{skip, target};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// An unpacked server.
#[derive(Debug, Clone)]
struct Unpacked(PathBuf);

impl Unpacked {
    /// None after saying what is skipped without it.
    fn find(what: &str, name: &str) -> crate::Result<Option<Unpacked>> {
        let given = env::var_os("MAILKEEP_PEERS").map(PathBuf::from);
        let root = match given {
            Some(root) => root,
            None => target()?.parent().unwrap_or(Path::new("")).join("peers"),
        };
        let root = root.join(name);
        if !root.join(".unpacked").is_file() {
            skip(what, &format!("{name} is not unpacked (tests/unpack target/peers)"))?;
            return Ok(None);
        }
        Ok(Some(Unpacked(root.canonicalize()?)))
    }

    /// A file of it.
    fn file(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Where its libraries lie, for `LD_LIBRARY_PATH`.
    fn libraries(&self) -> crate::Result<OsString> {
        let mut all = vec![self.file("usr/lib"), self.file("usr/lib/courier-authlib")];
        for parent in ["usr/lib", "lib"] {
            all.extend(below(&self.file(parent), "linux-gnu")?);
        }
        Ok(env::join_paths(all)?)
    }

    /// Where SASL's mechanisms lie: some are unpacked, some installed.
    fn mechanisms(&self) -> crate::Result<OsString> {
        let mut all = below(&self.file("usr/lib"), "linux-gnu")?;
        all.extend(below(Path::new("/usr/lib"), "linux-gnu")?);
        Ok(env::join_paths(all.into_iter().map(|dir| dir.join("sasl2")).filter(|dir| dir.is_dir()))?)
    }
}

/// The directories in `parent` whose names end so; none where there is no such parent.
fn below(parent: &Path, end: &str) -> crate::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if parent.is_dir() {
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(end) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}
