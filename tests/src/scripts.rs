//! Other people's clients, started with a scratch home, an input and a bounded patience.
//!
//! Left to the tests: what the clients are asked and what they must have left behind.

use crate::program::PATIENCE;
use crate::tools;
use anyhow::{Context, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Python script of `tests/scripts`, with the modules that `tests/run` put into the target directory.
/// # Errors
/// No Python.
pub fn python(script: &str) -> crate::Result<Option<Command>> {
    let Some(python) = tools::need_tool("python3")? else { return Ok(None) };
    let mut command = Command::new(python);
    command.arg(tools::repository()?.join("tests/scripts").join(script));
    command
        .env("PYTHONPATH", python_modules()?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONIOENCODING", "utf-8");
    Ok(Some(command))
}

/// Where `tests/run` puts Python's modules that Debian has no package for.
/// # Errors
/// The test's own path is unknown.
pub fn python_modules() -> crate::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MAILKEEP_PYTHON") {
        return Ok(PathBuf::from(path));
    }
    Ok(tools::target()?.parent().context("the target directory")?.join("python"))
}

/// Whether Python has `module`; says so if not.
/// # Errors
/// A missing module with `CI=true`.
pub fn need_module(module: &str) -> crate::Result<bool> {
    let Some(python) = tools::need_tool("python3")? else { return Ok(false) };
    let mut command = Command::new(python);
    command.arg("-c").arg(format!("import {module}")).env("PYTHONPATH", python_modules()?);
    let found = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success();
    if !found {
        tools::skip(&format!("everything that runs Python's {module}"), &format!("python3 has no {module}"))?;
    }
    Ok(found)
}

/// Runs a client to its end in `home`; gives its standard output. What it printed is in the error if it fails.
/// # Errors
/// It fails, or runs longer than anything should.
pub fn run(command: Command, home: &Path) -> crate::Result<Vec<u8>> {
    run_with(command, home, b"")
}

/// The same with this standard input.
/// # Errors
/// As with `run`.
pub fn run_with(mut command: Command, home: &Path, input: &[u8]) -> crate::Result<Vec<u8>> {
    // Files, not pipes: a client that prints a lot, or reads late, must not wait for anybody.
    let (given, out, err) = (home.join("client.in"), home.join("client.out"), home.join("client.err"));
    std::fs::write(&given, input)?;
    command.env("HOME", home).current_dir(home).stdin(File::open(&given)?);
    command.stdout(File::create(&out)?).stderr(File::create(&err)?);
    let name = format!("{:?}", command.get_program());
    let mut child = command.spawn().with_context(|| name.clone())?;
    let status = crate::program::wait(&mut child);
    if status.is_err() {
        child.kill().ok();
        child.wait().ok();
    }
    let status = status.with_context(|| format!("{name}, patience {PATIENCE:?}"))?;
    let printed = std::fs::read(&out)?;
    ensure!(
        status.success(),
        "{name}: {status}\n{}\n{}",
        String::from_utf8_lossy(&printed),
        String::from_utf8_lossy(&std::fs::read(&err)?)
    );
    Ok(printed)
}
