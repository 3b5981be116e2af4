//! A program that prints the key: started without a shell, its output and its time bounded.
//!
//! Invariant: when this returns, the program has ended or its process group was killed; what it printed to standard output is
//! in no error.

use super::{MAX_TEXT_BYTES, VARIABLE};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Bytes of standard error that are shown.
const MAX_ERROR_BYTES: u64 = 2_048;
/// How often a program that runs is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What the program prints.
/// # Errors
/// It can't be started, fails (with what it says), prints too much, or takes too long.
pub(super) fn output(program: &[String], time: Duration) -> Result<Zeroizing<Vec<u8>>> {
    let Some((name, arguments)) = program.split_first() else { bail!("no program is named") };
    let mut command = Command::new(name);
    command.args(arguments).env_remove(VARIABLE).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{name} can't be started"))?;
    let stdout = child.stdout.take().map(|from| drain(from, MAX_TEXT_BYTES));
    let stderr = child.stderr.take().map(|from| drain(from, MAX_ERROR_BYTES));
    let deadline = Instant::now() + time;
    let ended = wait(&mut child, deadline);
    if !matches!(ended, Ok(Some(_))) {
        kill(&mut child)?;
    }
    // Whoever it left behind may hold its output open.
    let rest = deadline.saturating_duration_since(Instant::now()).max(LOOK_AGAIN);
    let said =
        |from: Option<Receiver<Zeroizing<Vec<u8>>>>| from.and_then(|from| from.recv_timeout(rest).ok());
    let text = said(stdout);
    if text.is_none() {
        kill(&mut child)?;
    }
    let error = said(stderr).unwrap_or_default();
    let error = String::from_utf8_lossy(&error).trim().to_owned();
    let told = if error.is_empty() { String::new() } else { format!("; it says: {error}") };
    match ended? {
        Some(status) if status.success() => {}
        Some(status) => bail!("it failed ({status}){told}"),
        None => bail!("it did not end within {} s{told}", time.as_secs()),
    }
    match text {
        Some(text) if text.len() as u64 <= MAX_TEXT_BYTES => Ok(text),
        Some(_) => bail!("it prints more than {MAX_TEXT_BYTES} bytes"),
        None => bail!("it left another program behind that holds its output open"),
    }
}

/// Reads on a thread of its own, so that a full pipe stops nobody; a byte past the bound tells of more.
fn drain(mut from: impl Read + Send + 'static, most: u64) -> Receiver<Zeroizing<Vec<u8>>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::with_capacity(4_097));
        let read = from.by_ref().take(most + 1).read_to_end(&mut text);
        // The rest is read and dropped: a program that prints on is not stopped by it before its time.
        let rest = read.and_then(|_| std::io::copy(&mut from, &mut std::io::sink()));
        if let Err(error) = rest {
            tracing::debug!(%error, "the key program's output");
        }
        // Nobody waits any more when the time was up.
        send.send(text).ok();
    });
    receive
}

/// The status, or none when the time is up.
fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn kill(child: &mut Child) -> Result<()> {
    match kill_process_group(Pid::from_child(child), Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, secs: u64) -> Result<Zeroizing<Vec<u8>>> {
        output(&["sh".into(), "-c".into(), script.into()], Duration::from_secs(secs))
    }

    #[test]
    fn what_it_prints_comes_back_and_failures_say_why() {
        assert_eq!(&sh("printf key", 60).unwrap()[..], b"key");
        assert_eq!(&sh(&format!("printf %s \"${VARIABLE}\""), 60).unwrap()[..], b"");
        let told = |script, secs| format!("{:#}", sh(script, secs).unwrap_err());
        let failed = told("echo secret; echo the vault is sealed >&2; exit 3", 60);
        assert!(failed.contains("sealed") && failed.contains('3') && !failed.contains("secret"), "{failed}");
        assert!(told("exec sleep 600", 1).contains("within 1 s"));
        assert!(told("sleep 600 & echo key", 1).contains("left another program"));
        let none = output(&["/nowhere/program".into()], Duration::from_secs(60)).unwrap_err();
        assert!(format!("{none:#}").contains("/nowhere/program"));
        assert!(output(&[], Duration::from_secs(60)).is_err());
    }

    #[test]
    fn its_output_is_read_up_to_the_bound() {
        let most = sh("head -c 4096 /dev/zero", 60).unwrap();
        assert_eq!(most.len() as u64, MAX_TEXT_BYTES);
        for script in ["head -c 4097 /dev/zero", "head -c 9000000 /dev/zero; exit 0"] {
            assert!(format!("{:#}", sh(script, 60).unwrap_err()).contains("more than"), "{script}");
        }
        let noise = "head -c 9000000 /dev/zero | tr '\\0' x >&2; exit 1";
        let told = format!("{:#}", sh(noise, 60).unwrap_err());
        assert!(told.len() < 4_096, "{}", told.len());
    }
}
