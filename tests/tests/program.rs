//! The program as scripts and people meet it: its commands, exit codes, files, secrets, and the demo.

use anyhow::{Context, ensure};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::mail::{canonical, example, example_tree, files, sha256};
use tests::program::{PATIENCE, Server, binary, free_port};
use tests::{Archive, Imap, Output, Result};

fn mode(path: &Path) -> Result<u32> {
    Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.permissions().mode() & 0o777)
}

#[test]
fn init_makes_a_private_installation() -> Result {
    let archive = Archive::empty()?;
    let output = archive.run(["init"])?.ok()?;
    ensure!(output.text().contains("admin"), "init names no administrator: {}", output.text());
    let data = archive.data();
    ensure!(mode(&data)? == 0o700, "DATA is {:o}", mode(&data)?);
    ensure!(mode(&data.join("keys/master.key"))? == 0o600);
    for file in files(&data)? {
        let mode = mode(&file)?;
        let public = ["cert.pem", "mailkeep.toml", "store.toml"].iter().any(|name| file.ends_with(name));
        ensure!(mode & 0o077 == 0 || public, "{} is {mode:o}", file.display());
    }
    // The password stands nowhere in DATA.
    let again = archive.run(["init"])?;
    ensure!(again.code() == 1, "init of a used directory ends with {}", again.code());
    ensure!(again.stderr.contains("data") && again.stdout.is_empty(), "{}", again.stderr);
    Ok(())
}

#[test]
fn usage_errors_are_told_from_failures() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    for wrong in [&["no-such-command"][..], &["archive"], &["user", "add"], &["cat", "alice/F"], &["search"]]
    {
        let output = archive.run(wrong)?;
        ensure!(output.code() == 2, "{wrong:?} ends with {}: {}", output.code(), output.stderr);
        ensure!(output.stdout.is_empty(), "{wrong:?} prints to standard output");
    }
    let missing = archive.scratch().join("no-such-source");
    for failing in [
        vec!["user".into(), "show".into(), "nobody".into()],
        vec!["cat".into(), "alice/Nothing".into(), "1".into()],
        vec!["archive".into(), missing.to_string_lossy().into_owned(), "--into".into(), "alice/X".into()],
    ] {
        let output = archive.run(&failing)?;
        ensure!(output.code() == 1, "{failing:?} ends with {}: {}", output.code(), output.stderr);
        ensure!(
            !output.stderr.trim().is_empty() && output.stdout.is_empty(),
            "{failing:?}: {}",
            output.stderr
        );
    }
    let nowhere = archive.command(["folders"]).env("MAILKEEP_DATA", "x").output()?;
    ensure!(nowhere.status.success(), "--data counts above MAILKEEP_DATA");
    let mut by_environment = Command::new(binary()?);
    by_environment.arg("folders").env("MAILKEEP_DATA", archive.data()).stdin(Stdio::null());
    ensure!(by_environment.output()?.status.success(), "MAILKEEP_DATA names the data directory");
    for help in [&["--help"][..], &["archive", "--help"], &["--version"]] {
        let output = archive.run(help)?.ok()?;
        ensure!(!output.stdout.is_empty());
    }
    Ok(())
}

/// `check` says when it began and ended.
fn without_times(mut rows: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    for row in
        rows.iter_mut().filter_map(serde_json::Value::as_object_mut).filter(|row| row.contains_key("slice"))
    {
        row.retain(|key, _| key != "started" && key != "ended");
    }
    rows
}

/// The life of a small archive, with and without a server; the answers are the same.
#[test]
fn commands_give_the_same_answers_in_process_and_through_the_server() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 30)?;
    example_tree(&source.join("sub"), 3)?;
    std::fs::write(source.join("empty.eml"), b"")?;
    let run = archive.archive(&source, "alice/Import")?;
    let sums = &run["sums"];
    ensure!(
        sums["seen"] == 34 && sums["archived"] == 33 && sums["filtered"] == 1 && sums["failed"] == 0,
        "{sums}"
    );
    let again = archive.archive(&source, "alice/Import")?;
    ensure!(again["sums"]["archived"] == 0 && again["sums"]["already"] == 33, "{}", again["sums"]);

    let commands: [&[&str]; 8] = [
        &["folders", "--json"],
        &["folders", "--user", "alice", "--json"],
        &["search", "--user", "alice", "Grüße", "--json"],
        &["search", "--user", "alice", "subject:\"message 17\"", "--json"],
        &["runs", "--json"],
        &["user", "list", "--json"],
        &["store", "list", "--json"],
        &["check", "--json"],
    ];
    let answers = |archive: &Archive| -> Result<Vec<Output>> {
        commands
            .iter()
            .map(|command| archive.run(*command)?.ok().with_context(|| format!("{command:?}")))
            .collect()
    };
    let alone = answers(&archive)?;
    let server = archive.serve()?;
    let served = answers(&archive)?;
    for ((command, a), b) in commands.iter().zip(&alone).zip(&served) {
        let (a, b) = (without_times(a.json()?), without_times(b.json()?));
        // Sizes of derived files may move between the two.
        ensure!(command[0] == "store" || a == b, "{command:?} differs:\n{a:?}\n{b:?}");
        ensure!(!a.is_empty(), "{command:?} says nothing");
    }
    let folders = alone[1].json()?;
    let import = folders.iter().find(|row| row["folder"] == "alice/Import").context("alice/Import")?;
    ensure!(import["messages"] == 30, "{import}");
    ensure!(
        folders.iter().any(|row| row["folder"] == "alice/Import/sub" && row["messages"] == 3),
        "{folders:?}"
    );
    ensure!(alone[2].json()?.len() == 30, "every message has the word; three lie in two folders");

    let hits = alone[3].json()?;
    ensure!(hits.len() == 1, "{hits:?}");
    let hit = &hits[0];
    ensure!(hit["sha256"] == sha256(&canonical(&example(17))).as_str(), "{hit}");
    ensure!(hit["folder"] == "alice/Import" && hit["subject"] == "Test message 17", "{hit}");
    ensure!(hit["from"] == "Sender 17 <sender17@example.org>", "{hit}");
    ensure!(hit["date"] == "2021-03-18T10:17:00+01:00", "{hit}");
    let uid = hit["uid"].to_string();
    let cat = archive.run(["cat", "alice/Import", &uid])?.ok()?;
    ensure!(cat.stdout == example(17), "cat gives {:?}", cat.text());

    // A run with the server up goes through it, and its mail is visible at once.
    std::fs::write(source.join("late.eml"), example(99))?;
    let late = archive.archive(&source, "alice/Import")?;
    ensure!(late["sums"]["archived"] == 1 && late["sums"]["already"] == 33, "{}", late["sums"]);
    let mut imap = Imap::login(server.imap, "alice")?;
    ensure!(imap.examine("Import")? == 31);
    ensure!(Imap::login(server.imap, "bob")?.command("EXAMINE Import")?.1.starts_with("NO"));
    ensure!(server.terminate()?.success());
    Ok(())
}

#[test]
fn passwords_decide_and_stay_secret() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let secret = Archive::password("alice");
    let server = archive.serve()?;
    let mut imap = Imap::connect(server.imap)?;
    let wrong = imap.command("LOGIN alice \"another password\"")?.1;
    let unknown = imap.command("LOGIN nobody \"another password\"")?.1;
    ensure!(wrong.starts_with("NO") && wrong == unknown, "{wrong:?} and {unknown:?} can be told apart");
    imap.ok(&format!("LOGIN alice \"{secret}\""))?;
    // A new password, given while the server runs, counts at once.
    archive.run_with(["user", "passwd", "alice", "--password-stdin"], b"a second password\n")?.ok()?;
    let mut other = Imap::connect(server.imap)?;
    ensure!(other.command(&format!("LOGIN alice \"{secret}\""))?.1.starts_with("NO"));
    other.ok("LOGIN alice \"a second password\"")?;
    let ps = Command::new("ps").args(["axww", "-o", "args"]).output();
    if let Ok(ps) = ps {
        let shown = String::from_utf8_lossy(&ps.stdout).into_owned();
        ensure!(!shown.contains("a second password"), "a password in the process list");
    }
    let log = server.log()?;
    for secret in [secret.as_str(), "a second password", "another password"] {
        ensure!(!log.contains(secret), "a password in the log");
    }
    ensure!(server.terminate()?.success());
    for file in files(&archive.data())? {
        let bytes = std::fs::read(&file)?;
        for secret in [secret.as_bytes(), b"a second password"] {
            ensure!(!bytes.windows(secret.len()).any(|at| at == secret), "a password in {}", file.display());
        }
    }
    Ok(())
}

#[test]
fn the_control_socket_belongs_to_the_owner() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let server = archive.serve()?;
    let mut sockets = Vec::new();
    for entry in std::fs::read_dir(archive.data())? {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            let metadata = entry.metadata()?;
            ensure!(metadata.mode() & 0o777 == 0o600, "{:?} is {:o}", entry.path(), metadata.mode());
            ensure!(metadata.uid() == rustix::process::geteuid().as_raw());
            sockets.push(entry.path());
        }
    }
    ensure!(sockets.len() == 1, "{sockets:?}");
    // A second server finds the directory taken and says so.
    let second = archive.run(["serve", "--imap", "127.0.0.1:0", "--imaps", "127.0.0.1:0"])?;
    ensure!(second.code() == 1 && !second.stderr.is_empty(), "{}: {}", second.code(), second.stderr);
    server.kill()?;
    // The socket that a killed server leaves keeps nobody out.
    ensure!(sockets[0].exists());
    archive.run(["folders"])?.ok()?;
    let server = archive.serve()?;
    ensure!(server.terminate()?.success());
    ensure!(!sockets[0].exists(), "a server that ended well leaves its socket");
    Ok(())
}

#[test]
fn a_failed_item_fails_the_run_and_is_named() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    // A message above the limit is refused, never cut.
    let conf = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&conf)?
        .replace("#max_message_bytes = 268435456", "max_message_bytes = 1048576");
    std::fs::write(&conf, text)?;
    let source = archive.scratch().join("source");
    example_tree(&source, 2)?;
    let mut large = example(3);
    large.resize((1 << 20) + 1, b'x');
    std::fs::write(source.join("large.eml"), &large)?;
    let output = archive.run(["archive", &source.to_string_lossy(), "--into", "alice/F"])?;
    ensure!(output.code() == 1, "exit {} with a failed item", output.code());
    let run = archive.last_run()?;
    ensure!(run["sums"]["failed"] == 1 && run["sums"]["archived"] == 2, "{}", run["sums"]);
    ensure!(run["state"] == "completedWithErrors", "{}", run["state"]);
    let items = archive.run(["runs", "failed", &run["id"].to_string(), "--json"])?.ok()?.text();
    ensure!(items.contains("large.eml") && items.contains("1048576"), "{items}");
    Ok(())
}

#[test]
fn the_sample_mail_is_searched_in_its_scripts() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let sample = tests::tools::repository()?.join("mailkeep/sample/mail");
    archive.archive(&sample, "alice/Sample")?;
    // Parts of words, other case, other scripts, attachments' and headers' charsets.
    for (query, least) in [
        ("ABSCHLUSSRECHNUNG", 1),
        ("schluss", 1),
        ("ışık", 1),
        ("φάρο", 1),
        ("шлюпки", 1),
        ("السفينة", 1),
        ("המגדלור", 0),
        ("संग्रहालय", 1),
        ("เรือไม้", 1),
        ("灯塔", 1),
        ("圖紙", 1),
        ("灯台", 2),
        ("등대", 2),
        ("\"annual meeting\"", 1),
        ("subject:Rechnung", 36),
        ("from:haruka", 3),
    ] {
        let hits = archive.run(["search", "--user", "alice", query, "--json"])?.ok()?.json()?;
        ensure!(hits.len() >= least, "{query}: {} hits", hits.len());
    }
    let none = archive.run(["search", "--user", "alice", "Zwiebelfisch", "--json"])?.ok()?;
    ensure!(none.stdout.is_empty(), "{}", none.text());
    Ok(())
}

/// What stands in mail and in files' names can't reach a terminal as a control sequence, nor break a line of JSON.
#[test]
fn hostile_names_and_subjects_are_shown_harmless() -> Result {
    let Some(script) = tests::tools::need_tool("script")? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    let sub = source.join("fold\u{1b}[31mer");
    std::fs::create_dir_all(&sub)?;
    let mail = "From: \"\u{1b}]0;evil\u{7}\" <bob@example.org>\nSubject: =?utf-8?q?=1B[31mred_=C2=9B1m_=E2=80=AEfdp?= oakum\n\
                Date: Fri, 1 Feb 2019 10:00:00 +0000\n\nbody \u{1b}[31m \u{9b}2J\n";
    std::fs::write(sub.join("a\u{1b}[2J\n.eml"), mail)?;
    std::fs::write(sub.join("empty\u{1b}]0;x\u{7}.eml"), b"")?;
    archive.archive(&source, "alice/F")?;
    let folders = archive.run(["folders", "--json"])?.ok()?.json()?;
    let folder = folders[0]["folder"].as_str().context("folder")?.to_owned();
    let commands: [&[&str]; 7] = [
        &["search", "--user", "alice", "oakum"],
        &["cat", &folder, "1"],
        &["folders"],
        &["runs", "show", "1"],
        &["runs", "filtered", "1"],
        &["cat", "alice/\u{1b}[31m", "1"],
        &["search", "--user", "\u{1b}[31m", "x"],
    ];
    for command in commands {
        let plain = archive.command(command);
        let quoted = std::iter::once(plain.get_program())
            .chain(plain.get_args())
            .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''")));
        let line = quoted.collect::<Vec<_>>().join(" ");
        let mut pty = Command::new(&script);
        pty.args(["--quiet", "--command", &line, "/dev/null"]).env_remove("RUST_LOG").stdin(Stdio::null());
        let shown = String::from_utf8_lossy(&pty.output()?.stdout).into_owned();
        // The mark of a hit is the program's own.
        let shown = shown.replace("\u{1b}[1m", "").replace("\u{1b}[22m", "");
        let harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || c == '\u{202e}';
        ensure!(!shown.is_empty() && !shown.contains(harmful), "{command:?} shows {shown:?}");
    }
    for command in &commands[..5] {
        if command[0] != "cat" {
            let output = archive.run(command.iter().chain(&["--json"]))?.ok()?;
            ensure!(!output.json()?.is_empty() && !output.text().contains('\u{1b}'), "{command:?}");
        }
    }
    Ok(())
}

/// One object a line, with the keys that scripts know.
#[test]
fn json_is_an_object_a_line_with_stable_keys() -> Result {
    let archive = Archive::empty()?;
    let keys = |output: Output| -> Result<Vec<String>> {
        let rows = output.ok()?.json()?;
        let row = rows.first().and_then(|row| row.as_object()).context("no object")?;
        ensure!(
            rows.iter().all(|other| other.as_object().is_some_and(|o| o.keys().eq(row.keys()))),
            "{rows:?}"
        );
        Ok(row.keys().cloned().collect())
    };
    let check = |output: Output, expected: &str| -> Result {
        let found = keys(output)?.join(" ");
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        Ok(())
    };
    check(archive.run(["init", "--json"])?, "data password user")?;
    let user = "created disabled fullName mode mustChange name privileges rights";
    check(
        archive.run_with(["user", "add", "alice", "--password-stdin", "--json"], b"alice's password\n")?,
        user,
    )?;
    check(archive.run(["user", "grant", "alice", "--read", "bob", "--json"])?, user)?;
    check(archive.run(["user", "revoke", "alice", "--read", "bob", "--json"])?, user)?;
    let shown = "created disabled effective fullName mode mustChange name privileges rights";
    check(archive.run(["user", "show", "alice", "--json"])?, shown)?;
    check(archive.run(["user", "list", "--json"])?, user)?;
    let source = archive.scratch().join("source");
    example_tree(&source, 2)?;
    std::fs::write(source.join("empty.eml"), b"")?;
    std::fs::write(source.join("outlook.pst"), b"!BDN")?;
    let shown = "already archived bytes deleted ended error failed filtered folders id into moved onServer seen source started state \
                 sums who";
    let archived = archive.run(["archive", &source.to_string_lossy(), "--into", "alice/F", "--json"])?;
    ensure!(archived.code() == 1, "{}", archived.stderr);
    let row = archived.json()?;
    ensure!(row.len() == 1 && row[0].as_object().is_some_and(|row| row.len() == 19), "{row:?}");
    check(archive.run(["runs", "--json"])?, shown)?;
    check(archive.run(["runs", "list", "--json"])?, shown)?;
    check(archive.run(["runs", "show", "1", "--json"])?, shown)?;
    check(archive.run(["runs", "failed", "1", "--json"])?, "place reason")?;
    check(archive.run(["runs", "filtered", "1", "--json"])?, "place reason")?;
    check(archive.run(["folders", "--json"])?, "bytes folder messages uidNext uidValidity")?;
    check(
        archive.run(["search", "--user", "alice", "Grüße", "--json"])?,
        "date folder from sha256 snippet subject uid",
    )?;
    check(
        archive.run(["store", "list", "--json"])?,
        "created databaseBytes folders id indexBytes indexTail messageBytes messages name number packBytes packs path \
         placements state trouble",
    )?;
    check(
        archive.run(["check", "--json"])?,
        "damage damaged documents ended messages parts placements records slice started stores untold",
    )?;
    check(archive.run(["audit", "--json"])?, "from kind number object result what when who")?;
    archive.run(["user", "remove", "alice", "--json"])?.ok()?;
    Ok(())
}

/// The wrong state of DATA is refused with the next step, and nothing in it is touched.
#[test]
fn an_installation_that_is_not_as_it_must_be_is_refused_and_not_touched() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let data = archive.data();
    let contents = || -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for file in files(&data)? {
            all.push((file.display().to_string(), sha256(&std::fs::read(&file)?)));
        }
        Ok(all)
    };
    let refused = |word: &str| -> Result {
        let before = contents()?;
        for command in [&["folders"][..], &["serve", "--imap", "127.0.0.1:0", "--imaps", "127.0.0.1:0"]] {
            let output = archive.run(command)?;
            ensure!(output.code() == 1, "{command:?}: {} {}", output.code(), output.stderr);
            ensure!(output.stderr.contains(word), "{command:?}: {word:?} is not in {}", output.stderr);
        }
        ensure!(contents()? == before, "{word}: something in DATA has changed");
        Ok(())
    };
    let set = |path: &Path, mode: u32| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    let (key, keys) = (data.join("keys/master.key"), data.join("keys"));
    for (path, wrong, right, word) in [
        (&key, 0o640, 0o600, "chmod 600"),
        (&keys, 0o770, 0o700, "chmod 700"),
        (&data, 0o777, 0o700, "chmod 700"),
    ] {
        set(path, wrong)?;
        refused(word)?;
        set(path, right)?;
    }
    // The key: missing, cut, and another installation's.
    let away = archive.scratch().join("key");
    std::fs::rename(&key, &away)?;
    refused("put your copy of it there")?;
    std::fs::write(&key, b"mailkeep")?;
    set(&key, 0o600)?;
    refused("is not a master key")?;
    std::fs::copy(Archive::new()?.data().join("keys/master.key"), &key)?;
    refused("does not open the store")?;
    std::fs::rename(&away, &key)?;
    // The database of users.
    let master = data.join("master.redb");
    std::fs::rename(&master, &away)?;
    refused("put it back from a backup")?;
    std::fs::rename(&away, &master)?;
    archive.run(["user", "show", "alice"])?.ok()?;
    Ok(())
}

/// Even the most talkative log has no secret in it.
#[test]
fn a_trace_log_has_no_secret() -> Result {
    let archive = Archive::new()?;
    let secret = "a very secret word";
    let mut command = archive.command(["user", "add", "alice", "--password-stdin"]);
    let mut child = command.env("RUST_LOG", "trace").stdin(Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut child.stdin.take().context("stdin")?, format!("{secret}\n").as_bytes())?;
    let added = child.wait_with_output()?;
    ensure!(added.status.success());
    let (imap, imaps) = (free_port()?, free_port()?);
    let mut command = archive.command(["serve", "--imap", &imap.to_string(), "--imaps", &imaps.to_string()]);
    command.env("RUST_LOG", "trace");
    let (server, _) = Server::start(command, &archive.scratch().join("trace.log"), imap, imaps)?;
    Imap::connect(server.imap)?.ok(&format!("LOGIN alice \"{secret}\""))?;
    let plain = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("\0alice\0{secret}"));
    Imap::connect(server.imap)?.ok(&format!("AUTHENTICATE PLAIN {plain}"))?;
    Imap::connect(server.imap)?.command("LOGIN alice \"a wrong secret word\"")?;
    archive.run_with(["user", "passwd", "alice", "--password-stdin"], b"another secret word\n")?.ok()?;
    let log = server.log()? + &String::from_utf8_lossy(&added.stderr);
    ensure!(!log.is_empty());
    let key = std::fs::read_to_string(archive.data().join("keys/master.key"))?;
    let key = key.trim().rsplit(':').next().unwrap_or_default().to_owned();
    for word in ["secret word", &plain, &key] {
        ensure!(!log.contains(word), "{word:?} in the log");
    }
    Ok(())
}

/// The pages of the manual and the shells' completions, and a reader of them that leaves early.
#[test]
fn manual_and_completions_are_made() -> Result {
    let archive = Archive::empty()?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let made = archive.run(["completions", shell])?.ok()?.text();
        ensure!(made.contains("mailkeep") && made.contains("archive"), "{shell}");
    }
    ensure!(archive.run(["man"])?.ok()?.text().contains(".TH mailkeep"));
    let pages = archive.scratch().join("share/man1");
    archive.run(["man", &pages.to_string_lossy()])?.ok()?;
    ensure!(pages.join("mailkeep.1").is_file() && pages.join("mailkeep-user-create.1").is_file());
    Ok(())
}

/// A password that nobody saw can be set anew: `init` says so, and does not end as if all were well.
#[test]
fn an_init_whose_words_are_lost_says_what_to_do() -> Result {
    let archive = Archive::empty()?;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let output = archive.command(["init"]).stdout(full).output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1) && told.contains("user passwd admin"), "{told}");
    archive.run_with(["user", "passwd", "admin", "--password-stdin"], b"the admin's word\n")?.ok()?;
    Ok(())
}

/// Starts `demo` with its own scratch directory for temporary files; gives the server and what it printed.
fn demo(scratch: &Path, path: Option<&Path>) -> Result<(Server, Vec<String>)> {
    let (imap, imaps) = (free_port()?, free_port()?);
    let mut command = Command::new(binary()?);
    command.arg("demo").args(path).arg("--imap").arg(imap.to_string()).arg("--imaps").arg(imaps.to_string());
    command.env("TMPDIR", scratch.join("tmp")).env_remove("MAILKEEP_DATA").stdin(Stdio::null());
    std::fs::create_dir_all(scratch.join("tmp"))?;
    let (server, mut lines) = Server::start(command, &scratch.join("demo.log"), imap, imaps)?;
    // What to type stands before or after `ready`; the curl line is the last.
    while !lines.iter().any(|line| line.contains("curl ")) {
        lines.push(server.line()?.context("demo prints a curl line")?);
    }
    Ok((server, lines))
}

#[test]
fn demo_serves_the_sample_and_cleans_up() -> Result {
    let Some(_) = tests::tools::need_tool("curl")? else { return Ok(()) };
    let scratch = tempfile::tempdir()?;
    let (server, lines) = demo(scratch.path(), None)?;
    let curl = lines.iter().find_map(|line| line.find("curl ").map(|at| &line[at..])).context("curl line")?;
    let output = Command::new("sh").arg("-c").arg(curl).output()?;
    let answer = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && !answer.trim().is_empty(),
        "{curl}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let all = lines.join("\n");
    ensure!(
        all.contains(&server.imap.port().to_string()) && all.contains(&server.imaps.port().to_string()),
        "{all}"
    );
    ensure!(std::fs::read_dir(scratch.path().join("tmp"))?.count() > 0, "the demo lives in TMPDIR");
    ensure!(server.terminate()?.success());
    let left: Vec<_> =
        std::fs::read_dir(scratch.path().join("tmp"))?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    ensure!(left.is_empty(), "the demo leaves {left:?}");
    Ok(())
}

#[test]
fn demo_takes_ones_own_mail() -> Result {
    let scratch = tempfile::tempdir()?;
    let source = scratch.path().join("mail");
    example_tree(&source.join("Letters"), 5)?;
    let (server, lines) = demo(scratch.path(), Some(&source))?;
    let all = lines.join("\n");
    let word = |name: &str| {
        let line = lines.iter().find(|line| line.to_lowercase().contains(name))?;
        line.split_whitespace().last().map(str::to_owned)
    };
    let (user, password) = (word("user").context("user")?, word("password").context("password")?);
    let mut imap = Imap::connect(server.imap)?;
    imap.ok(&format!("LOGIN \"{user}\" \"{password}\"")).with_context(|| all.clone())?;
    let list: Vec<String> =
        imap.ok("LIST \"\" \"*\"")?.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let letters = list.iter().find(|line| line.contains("Letters")).with_context(|| format!("{list:?}"))?;
    let name = letters.rsplit(['"', ' ']).find(|word| !word.is_empty()).context("name")?.to_owned();
    ensure!(imap.hashes(&name)?.len() == 5, "{letters}");
    ensure!(server.terminate()?.success());
    Ok(())
}

/// A run that another process starts over the control socket is told to whoever waits in IDLE.
#[test]
fn mail_that_another_process_archives_is_told_in_idle() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 3)?;
    archive.archive(&source, "alice/Import")?;
    let server = archive.serve()?;
    let mut waiting = Imap::login(server.imap, "alice")?;
    ensure!(waiting.examine("Import")? == 3);
    let tag = waiting.begin("IDLE")?;
    ensure!(waiting.response()?.starts_with(b"+ "));
    example_tree(&source, 8)?;
    let run = archive.archive(&source, "alice/Import")?;
    ensure!(run["sums"]["archived"] == 5, "{}", run["sums"]);
    // One batch or several: the last line tells all.
    while waiting.response()? != b"* 8 EXISTS" {}
    waiting.send(b"DONE\r\n")?;
    ensure!(waiting.finish(&tag)?.1.starts_with("OK"));
    ensure!(waiting.ok("UID FETCH 4:* (FLAGS)")?.len() == 5);
    Ok(())
}

/// A search that has to read every message ends when its client goes, and when the server ends.
#[test]
fn a_scanning_search_stops_with_its_client() -> Result {
    const GIVEN_UP: &str = "a command was given up";
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    std::fs::create_dir_all(&source)?;
    // Nothing in it matches, so that every byte has to be looked at.
    let body = "Text that has to be decoded and folded, line by line.\n".repeat(4_000);
    for number in 0..300 {
        std::fs::write(
            source.join(format!("{number}.eml")),
            format!("Subject: {number}\n\n{number} {body}"),
        )?;
    }
    archive.archive(&source, "alice/Long")?;
    let log = archive.scratch().join("debug.log");
    let (imap, imaps) = (free_port()?, free_port()?);
    let mut command = archive.command(["serve", "--imap", &imap.to_string(), "--imaps", &imaps.to_string()]);
    command.env("RUST_LOG", "imapd=debug");
    let (server, _) = Server::start(command, &log, imap, imaps)?;
    let scanning = |before: u32| -> Result<(Imap, String)> {
        let mut client = Imap::login(server.imap, "alice")?;
        client.examine("Long")?;
        let many: String = (0..before).map(|n| format!("s{n} SEARCH BODY \"->\"\r\n")).collect();
        client.send(many.as_bytes())?;
        let tag = client.begin("SEARCH BODY \"->\"")?;
        Ok((client, tag))
    };
    drop(scanning(0)?);
    // Its own end would have been an answer; only a search that is cut short says this.
    let deadline = Instant::now() + PATIENCE;
    while !server.log()?.contains(GIVEN_UP) {
        ensure!(Instant::now() < deadline, "the search goes on without its client");
        std::thread::sleep(Duration::from_millis(10));
    }
    // One alone may have its answer before the server is asked to end.
    let (mut client, tag) = scanning(2_000)?;
    server.ask_to_end()?;
    let ended = client.finish(&tag);
    ensure!(ended.is_err(), "the search came to its end: {ended:?}");
    ensure!(server.wait()?.success());
    Ok(())
}
