//! Other people's clients, started with a scratch home, an input and a bounded patience.
//!
//! Left to the tests: what the clients are asked and what they must have left behind.

use crate::program::PATIENCE;
use crate::tools;
use anyhow::{Context, ensure};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

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

/// The present step of a second factor's codes.
/// # Errors
/// The clock stands before 1970.
pub fn totp_step() -> crate::Result<u64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() / 30)
}

/// A second factor's code (RFC 6238) of a secret in base32 for a step, by another program; none without Python.
/// # Errors
/// It fails.
pub fn totp(secret: &str, step: u64) -> crate::Result<Option<String>> {
    const SCRIPT: &str = "import base64,hashlib,hmac,struct,sys\n\
        secret,step=sys.stdin.read().split()\n\
        mac=hmac.new(base64.b32decode(secret),struct.pack('>Q',int(step)),hashlib.sha1).digest()\n\
        at=mac[-1]&15\n\
        print('%06d'%((struct.unpack('>I',mac[at:at+4])[0]&0x7fffffff)%1000000))";
    let Some(python) = tools::need_tool("python3")? else { return Ok(None) };
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    writeln!(child.stdin.take().context("standard input")?, "{secret} {step}")?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "python3: {}", output.status);
    Ok(Some(String::from_utf8(output.stdout)?.trim().to_owned()))
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
