//! The real binary: commands run to their end, and servers that live as long as their value.
//!
//! Promise: a `Server` is only handed out once the program printed `ready`; dropping it kills the process. Passwords
//! go in by standard input, as the program wants it.

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may hang before the suite gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The binary under test: `MAILKEEP_BIN`, else the one built beside this test.
/// # Errors
/// It isn't there.
pub fn binary() -> crate::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MAILKEEP_BIN") {
        return Ok(PathBuf::from(path));
    }
    let path = crate::tools::target()?.join("mailkeep");
    ensure!(path.is_file(), "{} is not built: cargo build --workspace", path.display());
    Ok(path)
}

/// What a command left.
#[derive(Debug)]
pub struct Output {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
    /// The exit code; -1 when a signal ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
    /// Itself, if the command succeeded.
    /// # Errors
    /// Any other exit status, with what the command said.
    pub fn ok(self) -> crate::Result<Output> {
        ensure!(self.status.success(), "{}: {}{}", self.status, self.text(), self.stderr);
        Ok(self)
    }
    /// One JSON value a line.
    /// # Errors
    /// A line that isn't JSON.
    pub fn json(&self) -> crate::Result<Vec<Value>> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect()
    }
}

/// A scratch installation.
#[derive(Debug)]
pub struct Archive {
    scratch: TempDir,
    binary: PathBuf,
}

impl Archive {
    /// A scratch directory, with nothing in it yet.
    /// # Errors
    /// No binary, no room.
    pub fn empty() -> crate::Result<Archive> {
        let scratch = tempfile::Builder::new().prefix("mailkeep-test-").tempdir()?;
        Ok(Archive { scratch, binary: binary()? })
    }
    /// An installation made by `init`, which lets passwords pass without TLS on loopback.
    /// # Errors
    /// `init` fails.
    pub fn new() -> crate::Result<Archive> {
        let archive = Archive::empty()?;
        archive.run(["init"])?.ok()?;
        archive.allow_plain()?;
        Ok(archive)
    }
    /// An installation with these users, each with the password `NAME's password`.
    /// # Errors
    /// `init` or `user add` fails.
    pub fn with_users(names: &[&str]) -> crate::Result<Archive> {
        let archive = Archive::new()?;
        for name in names {
            archive.add_user(name)?;
        }
        Ok(archive)
    }
    /// The scratch directory, around the data directory.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }
    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }
    /// The password that `add_user` gives.
    #[must_use]
    pub fn password(name: &str) -> String {
        format!("{name}'s password")
    }
    /// `user add NAME --password-stdin`.
    /// # Errors
    /// The command fails.
    pub fn add_user(&self, name: &str) -> crate::Result {
        let password = format!("{}\n", Archive::password(name));
        self.run_with(["user", "add", name, "--password-stdin"], password.as_bytes())?.ok()?;
        Ok(())
    }
    /// A command line of this installation, not started.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--data").arg(self.data()).args(arguments);
        command.env_remove("MAILKEEP_DATA").env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
    /// Runs a command to its end.
    /// # Errors
    /// It can't be started.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> crate::Result<Output> {
        self.run_with(arguments, b"")
    }
    /// Runs a command to its end with this standard input.
    /// # Errors
    /// It can't be started or given its input.
    pub fn run_with<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> crate::Result<Output> {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn()?;
        // Inputs are a line; they fit the pipe, so that nobody waits for anybody.
        let mut stdin = child.stdin.take().context("standard input")?;
        match stdin.write_all(input) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => drop(stdin),
        }
        let output = child.wait_with_output()?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Output { status: output.status, stdout: output.stdout, stderr })
    }
    /// `archive PATH --into FOLDER`, which must succeed; gives the new run's account.
    /// # Errors
    /// The command fails, or `runs` doesn't show it.
    pub fn archive(&self, path: &Path, into: &str) -> crate::Result<Value> {
        self.run([OsStr::new("archive"), path.as_os_str(), OsStr::new("--into"), OsStr::new(into)])?.ok()?;
        self.last_run()
    }
    /// The newest run's account.
    /// # Errors
    /// There is none.
    pub fn last_run(&self) -> crate::Result<Value> {
        let runs = self.run(["runs", "--json"])?.ok()?.json()?;
        runs.into_iter().max_by_key(|run| run["id"].as_u64()).context("no run in the ledger")
    }
    /// Starts `serve` and waits for `ready`.
    /// # Errors
    /// The server ends before it is ready.
    pub fn serve(&self) -> crate::Result<Server> {
        self.serve_with(|_| ())
    }
    /// As [`Archive::serve`], with a command that was changed before.
    /// # Errors
    /// The server ends before it is ready.
    pub fn serve_with(&self, change: impl Fn(&mut Command)) -> crate::Result<Server> {
        // Between the choice of a port and its use by the server another process may take it: try again then.
        let mut last = String::new();
        for _ in 0..5 {
            let (imap, imaps) = (free_port()?, free_port()?);
            let arguments =
                ["serve", "--imap", &imap.to_string(), "--imaps", &imaps.to_string()].map(OsString::from);
            let log = self.scratch.path().join("serve.log");
            let mut command = self.command(arguments);
            change(&mut command);
            match Server::start(command, &log, imap, imaps) {
                Ok((server, _)) => return Ok(server),
                Err(error) => {
                    last = format!("{error:#}\n{}", std::fs::read_to_string(&log).unwrap_or_default())
                }
            }
            if !last.contains("in use") {
                break;
            }
        }
        bail!("the server did not start: {last}")
    }
    /// Lets passwords pass without TLS on loopback, as the raw client needs it.
    fn allow_plain(&self) -> crate::Result {
        let path = self.data().join("mailkeep.toml");
        let before = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut after = String::new();
        let mut found = false;
        for line in before.lines() {
            if line.trim_start_matches(['#', ' ']).starts_with("plain_on_loopback") {
                after.push_str("plain_on_loopback = true\n");
                found = true;
            } else {
                after.push_str(line);
                after.push('\n');
            }
        }
        ensure!(found, "{}: no line for plain_on_loopback", path.display());
        std::fs::write(&path, after)?;
        Ok(())
    }
}

/// A free port on loopback, as far as that can be known.
/// # Errors
/// The system has none.
pub fn free_port() -> crate::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A running program that printed `ready`; killed on drop.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
    /// The plain listener.
    pub imap: SocketAddr,
    /// The TLS listener.
    pub imaps: SocketAddr,
}

impl Server {
    /// Starts `command`, its standard error going to `log`, and waits for the line `ready`; gives the lines before it.
    /// # Errors
    /// It ends, or closes its output, before that line.
    pub fn start(
        mut command: Command,
        log: &Path,
        imap: SocketAddr,
        imaps: SocketAddr,
    ) -> crate::Result<(Server, Vec<String>)> {
        let mut child = command.stdout(Stdio::piped()).stderr(File::create(log)?).spawn()?;
        let stdout = child.stdout.take().context("standard output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let server = Server { child, lines, log: log.to_path_buf(), imap, imaps };
        let mut before = Vec::new();
        loop {
            match server.lines.recv_timeout(PATIENCE) {
                Ok(line) if line == "ready" => return Ok((server, before)),
                Ok(line) => before.push(line),
                Err(RecvTimeoutError::Timeout) => bail!("no `ready` within {PATIENCE:?}; so far: {before:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("ended before `ready`; so far: {before:?}"),
            }
        }
    }
    /// The next line of standard output, none at its end.
    /// # Errors
    /// Silence for too long.
    pub fn line(&self) -> crate::Result<Option<String>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("no further line within {PATIENCE:?}"),
        }
    }
    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    /// What it wrote to standard error so far.
    /// # Errors
    /// The log can't be read.
    pub fn log(&self) -> crate::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }
    /// Sends SIGTERM and waits for the end.
    /// # Errors
    /// It doesn't end.
    pub fn terminate(mut self) -> crate::Result<ExitStatus> {
        signal(&self.child, Signal::TERM)?;
        wait(&mut self.child)
    }
    /// Sends SIGTERM, doesn't wait.
    /// # Errors
    /// The process is gone.
    pub fn ask_to_end(&self) -> crate::Result {
        signal(&self.child, Signal::TERM)
    }
    /// Waits for the end.
    /// # Errors
    /// It doesn't end.
    pub fn wait(mut self) -> crate::Result<ExitStatus> {
        wait(&mut self.child)
    }
    /// Kills it without warning (SIGKILL) and waits.
    /// # Errors
    /// It can't be killed.
    pub fn kill(mut self) -> crate::Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended, or killed here: both are the end that is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a signal to a child of this test.
/// # Errors
/// It is gone.
pub fn signal(child: &Child, signal: Signal) -> crate::Result {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("process id")?;
    kill_process(pid, signal)?;
    Ok(())
}

/// Waits for a child's end, polling since the standard library has no bounded wait.
/// # Errors
/// It still runs after `PATIENCE`.
pub fn wait(child: &mut Child) -> crate::Result<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        ensure!(Instant::now() < deadline, "process {} did not end within {PATIENCE:?}", child.id());
        std::thread::sleep(Duration::from_millis(10));
    }
}
