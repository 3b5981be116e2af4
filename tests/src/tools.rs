//! What a test needs from outside (a client, the corpus), and the one way to do without it.
//!
//! Promise: a missing tool or corpus is named, in the test's output and in the file that `MAILKEEP_SKIPS` names; with
//! `CI=true` it is a failure, so that no green run hides an untested part.

use anyhow::{Context, bail};
use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Whether a missing tool is an error.
#[must_use]
pub fn ci() -> bool {
    env::var("CI").is_ok_and(|v| v == "true" || v == "1")
}

/// Whether the long tests are asked for (`tests/run --long`).
#[must_use]
pub fn long() -> bool {
    env::var_os("MAILKEEP_LONG").is_some_and(|v| v == "1")
}

/// Tells why something isn't tested here.
/// # Errors
/// Always with `CI=true`.
pub fn skip(what: &str, why: &str) -> crate::Result {
    if ci() {
        bail!("{what}: {why}; with CI=true nothing may be skipped");
    }
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    {
        eprintln!("skipped: {what}: {why}");
    }
    if let Some(list) = env::var_os("MAILKEEP_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(&list)?;
        writeln!(file, "{what}: {why}")?;
    }
    Ok(())
}

/// The program `name` on the PATH (and in the places where Debian puts daemons).
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The tool `name`, or none after saying which test is skipped for want of it.
/// # Errors
/// A missing tool with `CI=true`.
pub fn need_tool(name: &str) -> crate::Result<Option<PathBuf>> {
    let found = find(name);
    if found.is_none() {
        skip(&format!("everything that runs {name}"), &format!("{name} is not installed"))?;
    }
    Ok(found)
}

/// The folder `part` of the corpus of real mail, or none after saying which test is skipped for want of it.
/// # Errors
/// `MAILKEEP_CORPUS` not set with `CI=true`; set, but without that folder.
pub fn need_corpus(part: &str) -> crate::Result<Option<PathBuf>> {
    let Some(root) = env::var_os("MAILKEEP_CORPUS") else {
        skip(&format!("corpus {part}"), "MAILKEEP_CORPUS does not name a folder of real mail")?;
        return Ok(None);
    };
    let folder = Path::new(&root).join(part);
    if !folder.exists() {
        bail!("MAILKEEP_CORPUS is set, but {} is not there", folder.display());
    }
    Ok(Some(folder))
}

/// The repository that this crate stands in.
/// # Errors
/// The crate was moved.
pub fn repository() -> crate::Result<PathBuf> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(crate_dir.parent().context("the crate `tests` stands in a workspace")?.to_path_buf())
}

/// The directory of build products that this test runs from.
/// # Errors
/// The test's own path is unknown.
pub fn target() -> crate::Result<PathBuf> {
    let exe = env::current_exe()?;
    // TARGET/PROFILE/deps/test-hash
    let profile = exe.parent().and_then(Path::parent).context("the test binary's profile directory")?;
    Ok(profile.to_path_buf())
}
