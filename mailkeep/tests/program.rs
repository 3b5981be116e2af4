//! The real binary where its parts meet: the control socket's wire and bounds, cancelling, pipes, signals, locks.
//! The life of an archive with clients is in the crate `tests`.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

const PASSWORD: &[u8] = b"a long password\n";

struct Place {
    scratch: TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { scratch: tempfile::tempdir().unwrap() };
        assert!(place.run(&["init"]).status.success());
        assert!(place.run_with(&["user", "add", "alice", "--password-stdin"], PASSWORD).status.success());
        place
    }
    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailkeep"));
        command.arg("--data").arg(self.data()).args(arguments).env_remove("RUST_LOG");
        command.env_remove("MAILKEEP_DATA").stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        command
    }
    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, b"")
    }
    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(arguments).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
    /// A running server.
    fn serve(&self) -> Server {
        let mut child =
            self.command(&["serve", "--imap", "127.0.0.1:0", "--imaps", "127.0.0.1:0"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().any(|line| line.unwrap() == "ready"), "the server ended before `ready`");
        Server { child, socket: self.data().join("control.sock") }
    }
    /// An mbox of `count` messages that are all different.
    fn mbox(&self, name: &str, count: usize) -> PathBuf {
        let path = self.scratch.path().join(name);
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        for i in 0..count {
            write!(
                file,
                "From a@example.org Mon Jan  6 10:00:00 2020\nFrom: a@example.org\nSubject: number {i}\n\
                 Date: Mon, 6 Jan 2020 10:00:00 +0000\n\nText {i}\n\n"
            )
            .unwrap();
        }
        file.into_inner().unwrap();
        path
    }
}

struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    /// Sends raw bytes as a client would, and gives all lines of the answer.
    fn say(&self, bytes: &[u8], close: bool) -> Vec<Value> {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        // The server may refuse before it has read everything.
        stream.write_all(bytes).ok();
        if close {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    }
    fn terminate(mut self) {
        interrupt(&self.child, Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        assert!(!self.socket.exists());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already in the tests that pass.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn interrupt(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_the_socket_does_not_understand_is_refused_in_words() {
    let place = Place::new();
    let server = place.serve();
    for bad in [
        &b"\n"[..],
        b"rubbish\n",
        b"{}\n",
        b"[[[[[[[[\n",
        b"\xff\xfe\n",
        br#"{"command":"no.such"}"#,
        b"{\"command\":\"user.list\",\"params\":{\"more\":1}}\n",
        b"{\"command\":\"mail.cat\",\"params\":{\"folder\":\"alice/F\",\"uid\":-1}}\n",
    ] {
        let answer = server.say(bad, true);
        assert_eq!(answer.len(), 1, "{}: {answer:?}", text(bad));
        assert_eq!(answer[0]["failure"]["kind"], "usage", "{}: {answer:?}", text(bad));
    }
    // Nothing at all is no command, and no error.
    assert!(server.say(b"", true).is_empty());
    // The server is as well as before.
    let answer = server.say(b"{\"command\":\"user.list\",\"params\":{}}\n", false);
    assert_eq!(answer.len(), 3, "{answer:?}");
    assert_eq!(answer[1]["row"]["name"], "alice");
    assert_eq!(answer[2], json!({"end": {"failed": false}}));
    server.terminate();
}

#[test]
fn a_request_is_read_up_to_its_bound() {
    let place = Place::new();
    let server = place.serve();
    let request = |bytes: usize| {
        let mut line = br#"{"command":"user.list","params":{}}"#.to_vec();
        line.resize(bytes, b' ');
        line.push(b'\n');
        line
    };
    let at = server.say(&request(64 << 10), false);
    assert_eq!(at.last().unwrap(), &json!({"end": {"failed": false}}));
    let past = server.say(&request((64 << 10) + 1), false);
    assert_eq!(past.last().unwrap()["failure"]["kind"], "usage", "{past:?}");
    server.terminate();
}

#[test]
fn a_client_that_closes_its_side_cancels_and_still_gets_the_account() {
    let place = Place::new();
    let mbox = place.mbox("many.mbox", 20_000);
    let server = place.serve();
    let request = json!({"command": "archive.files",
        "params": {"path": mbox, "into": "alice/Many", "format": null}});
    let answer = server.say(format!("{request}\n").as_bytes(), true);
    assert_eq!(answer.last().unwrap(), &json!({"end": {"failed": true}}), "{answer:?}");
    let run = &answer[answer.len() - 2]["row"];
    assert_eq!(run["state"], "cancelled");
    // What was archived stays, and the next run takes the rest.
    let archived = run["sums"]["archived"].as_u64().unwrap();
    let again = place.json(&["archive", mbox.to_str().unwrap(), "--into", "alice/Many", "--json"]);
    assert_eq!(again[0]["sums"]["seen"], 20_000);
    assert_eq!(again[0]["sums"]["already"], archived);
    assert_eq!(again[0]["sums"]["archived"], 20_000 - archived);
    server.terminate();
}

#[test]
fn a_server_that_ends_cancels_what_runs() {
    let place = Place::new();
    let mbox = place.mbox("many.mbox", 30_000);
    let server = place.serve();
    let mut client = place
        .command(&["archive", mbox.to_str().unwrap(), "--into", "alice/Many", "--json"])
        .spawn()
        .unwrap();
    // Once the run stands in the ledger it has begun.
    while place.json(&["runs", "--json"]).is_empty() && client.try_wait().unwrap().is_none() {}
    server.terminate();
    let output = client.wait_with_output().unwrap();
    let run: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    let done = run["state"] == "succeeded";
    assert_eq!(output.status.code(), Some(if done { 0 } else { 1 }), "{run}");
    assert!(done || run["state"] == "cancelled", "{run}");
    let rows = place.json(&["folders", "--json"]);
    let there = rows
        .iter()
        .find(|row| row["folder"] == "alice/Many")
        .map_or(0, |row| row["messages"].as_u64().unwrap());
    assert_eq!(run["sums"]["archived"], there, "the account and the archive agree");
}

#[test]
fn an_interrupt_ends_a_run_in_process_cleanly() {
    let place = Place::new();
    let mbox = place.mbox("many.mbox", 30_000);
    let packs = || -> u64 {
        let entries = std::fs::read_dir(place.data().join("stores/0001/packs")).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    let before = packs();
    let mut child = place
        .command(&["archive", mbox.to_str().unwrap(), "--into", "alice/Many", "--json"])
        .spawn()
        .unwrap();
    // Once the packs grow, the run has begun.
    while packs() == before && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    interrupt(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    let run: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert!(run["state"] == "cancelled" || run["state"] == "succeeded", "{run}");
    assert_eq!(output.status.code(), Some(if run["state"] == "succeeded" { 0 } else { 1 }));
    assert_eq!(place.json(&["runs", "--json"]), std::slice::from_ref(&run), "the ledger says the same");
    let again = place.json(&["archive", mbox.to_str().unwrap(), "--into", "alice/Many", "--json"]);
    assert_eq!(again[0]["sums"]["seen"], 30_000);
    assert_eq!(again[0]["sums"]["already"], run["sums"]["archived"]);
    let folders = place.json(&["folders", "--json"]);
    assert_eq!(folders[0]["messages"], 30_000);
}

#[test]
fn commands_in_process_wait_for_each_other() {
    let place = Place::new();
    let children: Vec<Child> =
        (0..6).map(|_| place.command(&["folders", "--json"]).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let place = Place::new();
    let mbox = place.mbox("some.mbox", 3_000);
    assert!(place.run(&["archive", mbox.to_str().unwrap(), "--into", "alice/Some"]).status.success());
    let mut child = place.command(&["search", "--user", "alice", "", "--json"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.contains("number 2999"), "the newest comes first: {first}");
    drop(stdout);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(stderr, "");
}

#[test]
fn mistakes_are_told_with_the_next_step() {
    let place = Place::new();
    let nowhere = place.scratch.path().join("nowhere");
    for no_data in [nowhere.as_path(), place.scratch.path()] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailkeep"));
        let output = command.arg("folders").arg("--data").arg(no_data).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("init"), "{}", text(&output.stderr));
    }
    assert!(!nowhere.exists());
    let cases: [(&[&str], i32, &str); 6] = [
        (&["user", "add", "x/y", "--password-stdin"], 2, "can't be a user name"),
        (&["user", "add", "bob", "--password-stdin"], 1, "line is empty"),
        (&["user", "passwd", "nobody", "--password-file", "/nonexistent"], 1, "/nonexistent"),
        (&["search", "--user", "alice", "before:soon"], 2, "before:2019-12-31"),
        (&["archive", "/", "--into", "alcie/F"], 1, "user create"),
        (&["--log", "no=such=filter", "folders"], 1, "--log"),
    ];
    for (arguments, code, word) in cases {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(word), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let mut bare = Command::new(env!("CARGO_BIN_EXE_mailkeep"));
    let output = bare.arg("folders").env_remove("MAILKEEP_DATA").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--data"));
}

#[test]
fn a_wrong_configuration_names_its_place() {
    let place = Place::new();
    std::fs::write(place.data().join("mailkeep.toml"), "[imap]\nlissten = []\n").unwrap();
    for arguments in [&["serve"][..], &["folders"]] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("line 2, column 1"), "{}", text(&output.stderr));
    }
    let good = place.scratch.path().join("good.toml");
    std::fs::write(&good, "").unwrap();
    assert!(place.run(&["folders", "--config", good.to_str().unwrap()]).status.success());
}

#[test]
fn init_leaves_nothing_behind_when_it_fails_and_touches_nothing_that_is_there() {
    let scratch = tempfile::tempdir().unwrap();
    let run = |data: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailkeep"));
        command.arg("--data").arg(data).arg("init").args(more).output().unwrap()
    };
    let used = scratch.path().join("used");
    std::fs::create_dir(&used).unwrap();
    std::fs::write(used.join("file"), "mine").unwrap();
    assert_eq!(run(&used, &[]).status.code(), Some(1));
    assert_eq!(std::fs::read(used.join("file")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&used).unwrap().count(), 1);

    let wrong = scratch.path().join("wrong.toml");
    std::fs::write(&wrong, "[nonsense]\n").unwrap();
    let fresh = scratch.path().join("fresh");
    assert_eq!(run(&fresh, &["--config", wrong.to_str().unwrap()]).status.code(), Some(1));
    assert!(!fresh.exists());
    std::fs::create_dir(&fresh).unwrap();
    assert_eq!(run(&fresh, &["--config", wrong.to_str().unwrap()]).status.code(), Some(1));
    assert_eq!(std::fs::read_dir(&fresh).unwrap().count(), 0);
    assert!(run(&fresh, &["--json"]).status.success());
}

#[test]
fn rights_are_given_and_taken_and_audited_without_secrets() {
    let place = Place::new();
    let user = place.json(&["user", "grant", "alice", "--read", "bob", "--privilege", "admin", "--json"]);
    let read = |folder: &str| json!({"folder": folder, "level": "read"});
    assert_eq!(user[0]["rights"], json!([read("alice"), read("bob")]));
    assert_eq!(user[0]["privileges"], json!(["login", "imap", "changePassword", "admin"]));
    let user = place.json(&["user", "revoke", "alice", "--read", "bob", "--privilege", "login", "--json"]);
    assert_eq!(user[0]["rights"], json!([read("alice")]));
    assert_eq!(user[0]["privileges"], json!(["imap", "changePassword", "admin"]));
    assert!(place.run(&["user", "remove", "alice"]).status.success());
    assert_eq!(place.run(&["user", "show", "alice"]).status.code(), Some(1));
    let audit = place.run(&["audit", "--json"]);
    assert!(!text(&audit.stdout).contains("a long password"));
    let rows = place.json(&["audit", "--json"]);
    let what: Vec<&str> = rows.iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(
        what[..3],
        ["init", "user.add \"alice\"", "user.rights grant \"alice\": [Admin], read [\"bob\"]"]
    );
    assert!(rows.iter().all(|row| row["who"].as_str().unwrap().starts_with("local:")));
    assert!(rows.iter().enumerate().all(|(i, row)| row["number"] == i + 1));
}

#[test]
fn a_folder_is_commented_in_process_and_over_the_socket() {
    let place = Place::new();
    let mbox = place.mbox("one.mbox", 1);
    assert!(place.run(&["archive", mbox.to_str().unwrap(), "--into", "alice/F"]).status.success());
    let shown = |place: &Place| text(&place.run(&["folder", "comment", "alice/F"]).stdout);
    assert_eq!(shown(&place), "Nothing is said of this folder.\n");
    let words = "Aus dem B\u{fc}ro, \"2019\"\n\u{202e}and more";
    assert!(place.run(&["folder", "comment", "alice/F", words]).status.success());
    let rows = place.json(&["folder", "comment", "alice/F", "--json"]);
    assert_eq!(rows, [json!({"folder": "alice/F", "comment": words, "changed": false})]);
    assert!(!shown(&place).contains('\u{202e}'), "what turns the terminal's text is escaped");
    let server = place.serve();
    let most = "\"".repeat(16 << 10);
    assert!(place.run(&["folder", "comment", "alice/F", &most]).status.success());
    assert_eq!(place.run(&["folder", "comment", "alice/F", &format!("{most}x")]).status.code(), Some(1));
    assert_eq!(place.run(&["folder", "comment", "alice/F", "a\u{7}b"]).status.code(), Some(1));
    assert_eq!(place.run(&["folder", "comment", "alice/No", "x"]).status.code(), Some(1));
    assert_eq!(place.run(&["folder", "comment", "alice/F", "x", "--remove"]).status.code(), Some(2));
    let rows = place.json(&["folder", "comment", "alice/F", "--json"]);
    assert_eq!(rows[0]["comment"], json!(most));
    assert!(place.run(&["folder", "comment", "alice/F", "for good"]).status.success());
    server.terminate();
    // It stands in the packs: the database is made again without losing it.
    std::fs::remove_file(place.data().join("stores/0001/store.redb")).unwrap();
    assert_eq!(shown(&place), "for good\n");
    let removed = place.run(&["folder", "comment", "alice/F", "--remove"]);
    assert_eq!(text(&removed.stdout), "Nothing is said of this folder any more.\n");
    assert_eq!(shown(&place), "Nothing is said of this folder.\n");
    let rows = place.json(&["audit", "--json"]);
    let what: Vec<&str> = rows.iter().map(|row| row["what"].as_str().unwrap()).collect();
    for line in [
        "folder.comment \"alice/F\" \"for good\"",
        "folder.comment \"alice/F\" removed",
        "folder.comment \"alice/F\" (only shown)",
    ] {
        assert!(what.contains(&line), "{line}: {what:?}");
    }
}

#[test]
fn pages_come_from_the_program_itself() {
    let place = Place::new();
    for (arguments, word) in [
        (&["man"][..], ".TH"),
        (&["completions", "bash"], "_mailkeep"),
        (&["completions", "zsh"], "#compdef"),
        (&["search", "--help"], "larger:10M"),
        (&["--help"], "mailkeep demo"),
    ] {
        let output = place.run(arguments);
        assert!(output.status.success() && text(&output.stdout).contains(word), "{arguments:?}");
    }
    let dir = place.scratch.path().join("man");
    std::fs::create_dir(&dir).unwrap();
    assert!(place.run(&["man", dir.to_str().unwrap()]).status.success());
    assert!(dir.join("mailkeep-archive.1").exists());
}
