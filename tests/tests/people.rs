//! Users, rights and groups with the real program: what commands given by users show and refuse, and the socket for everybody.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::{Archive, Output, Result, tools};

fn message(subject: &str) -> String {
    format!(
        "From: a@example.org\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nzebra {subject}\r\n"
    )
}

/// Mail in alice/A, alice/Private and bob/B, one message each.
fn filled() -> Result<Archive> {
    let archive = Archive::with_users(&["alice", "bob"])?;
    for folder in ["alice/A", "alice/Private", "bob/B"] {
        let path = archive.scratch().join(folder.replace('/', "-"));
        fs::write(&path, message(&folder.replace('/', "-")))?;
        archive.archive(&path, folder)?;
    }
    Ok(archive)
}

/// A command as a user, with the password that tests give.
fn by(archive: &Archive, user: &str, arguments: &[&str]) -> Result<Output> {
    let login = ["--login", user, "--login-password-stdin"];
    let all = login.iter().chain(arguments);
    archive.run_with(all, format!("{}\n", Archive::password(user)).as_bytes())
}

fn run(archive: &Archive, arguments: &[&str]) -> Result<Output> {
    archive.run(arguments)
}

/// A refusal's words, without the names in it.
fn words(output: &Output, names: &[&str]) -> Result<String> {
    ensure!(!output.status.success(), "it was done: {}", output.text());
    ensure!(output.text().is_empty(), "something was shown: {}", output.text());
    let words = names.iter().fold(output.stderr.clone(), |text, name| text.replace(name, "NAME"));
    Ok(format!("{:?} {words}", output.status.code()))
}

fn folders(output: &Output) -> Result<Vec<String>> {
    let rows = output.json()?;
    Ok(rows.iter().filter_map(|row| row["folder"].as_str().map(str::to_owned)).collect())
}

fn audit(archive: &Archive) -> Result<Vec<Value>> {
    run(archive, &["audit", "--json"])?.ok()?.json()
}

#[test]
fn what_a_user_may_not_read_is_not_there() -> Result {
    let archive = filled()?;
    ensure!(folders(&by(&archive, "bob", &["folders", "--json"])?.ok()?)? == ["bob/B"]);
    // There, there in an archive, and nowhere: the same words, whatever is asked.
    let hidden: &[&[&str]] = &[
        &["cat", "NAME", "1"],
        &["search", "--folder", "NAME", "zebra"],
        &["folder", "comment", "NAME"],
        &["evidence", "prove", "NAME", "1"],
    ];
    let same = |commands: &[&[&str]], there: &str, gone: &str| -> Result {
        for command in commands {
            let told = |name: &str| -> Result<String> {
                let line: Vec<&str> =
                    command.iter().map(|word| if *word == "NAME" { name } else { word }).collect();
                words(&by(&archive, "bob", &line)?, &[name])
            };
            let (there, gone) = (told(there)?, told(gone)?);
            ensure!(there == gone && there.contains("is not in the archive"), "{command:?}:\n{there}{gone}");
        }
        Ok(())
    };
    same(hidden, "alice/A", "alice/Nowhere")?;
    for command in [&["folders", "--user", "NAME"][..], &["search", "--archive", "NAME", "zebra"]] {
        let told = |name: &str| -> Result<String> {
            let line: Vec<&str> =
                command.iter().map(|word| if *word == "NAME" { name } else { word }).collect();
            words(&by(&archive, "bob", &line)?, &[name])
        };
        ensure!(told("alice")? == told("nowhere")?, "{command:?}");
    }
    // With a right on the archive and a folder carved out.
    for arguments in [
        &[
            "user",
            "grant",
            "bob",
            "--folder",
            "alice",
            "--level",
            "delete",
            "--privilege",
            "modify",
            "--privilege",
            "delete",
        ][..],
        &["user", "grant", "bob", "--folder", "alice/Private", "--level", "none"],
    ] {
        run(&archive, arguments)?.ok()?;
    }
    ensure!(by(&archive, "bob", &["cat", "alice/A", "1"])?.ok()?.stdout == message("alice-A").as_bytes());
    ensure!(folders(&by(&archive, "bob", &["folders", "--json"])?.ok()?)? == ["alice/A", "bob/B"]);
    let found = by(&archive, "bob", &["search", "zebra", "--json", "--no-snippets"])?.ok()?;
    let mut found = folders(&found)?;
    found.sort();
    ensure!(found == ["alice/A", "bob/B"], "{found:?}");
    ensure!(by(&archive, "bob", &["search", "--count", "zebra"])?.ok()?.text().trim() == "2");
    let changing: &[&[&str]] = &[
        &["folder", "move", "NAME", "alice/B"],
        &["folder", "merge", "NAME", "alice/A"],
        &["folder", "delete", "NAME", "--with-messages", "--yes"],
        &["message", "move", "NAME", "1", "--to", "alice/A"],
        &["message", "delete", "NAME", "1", "--yes"],
    ];
    same(hidden, "alice/Private", "alice/Nowhere")?;
    same(changing, "alice/Private", "alice/Nowhere")?;
    let whole = by(&archive, "bob", &["folder", "delete", "alice", "--with-messages", "--yes"])?;
    ensure!(words(&whole, &[])?.contains("have not the right"), "something in it is carved out");
    by(&archive, "bob", &["message", "move", "alice/A", "1", "--to", "bob/B"])?;
    ensure!(
        run(&archive, &["cat", "alice/Private", "1"])?.ok()?.stdout == message("alice-Private").as_bytes()
    );
    // What stands in the log is said plainly.
    let log = audit(&archive)?;
    let denied = log.iter().any(|entry| {
        entry["who"] == "bob"
            && entry["result"].as_str().is_some_and(|result| result.contains("denied: no right to read"))
    });
    ensure!(denied, "{log:?}");
    Ok(())
}

#[test]
fn administrators_read_others_only_while_access_is_open() -> Result {
    let archive = filled()?;
    run(&archive, &["user", "grant", "bob", "--privilege", "admin"])?.ok()?;
    ensure!(by(&archive, "bob", &["user", "list", "--json"])?.ok()?.json()?.len() >= 3);
    ensure!(
        by(&archive, "alice", &["user", "list", "--json"])?.ok()?.json()?.len() == 1,
        "who is none sees one"
    );
    ensure!(!by(&archive, "alice", &["user", "show", "bob"])?.status.success());
    ensure!(!by(&archive, "bob", &["cat", "alice/A", "1"])?.status.success());
    for own in
        [&["user", "grant", "bob", "--read", "alice"][..], &["user", "edit", "bob", "--group", "readers"]]
    {
        let refused = by(&archive, "bob", own)?;
        ensure!(
            words(&refused, &[])?.contains("give no rights to themselves"),
            "{own:?}: {}",
            refused.stderr
        );
    }
    ensure!(!by(&archive, "alice", &["access", "unblock", "--for", "1h", "--reason", "x"])?.status.success());
    let open = by(&archive, "bob", &["access", "unblock", "--for", "8h", "--reason", "case 17"])?.ok()?;
    ensure!(open.text().contains("case 17"), "{}", open.text());
    ensure!(by(&archive, "bob", &["cat", "alice/A", "1"])?.ok()?.stdout == message("alice-A").as_bytes());
    let refused = by(&archive, "bob", &["message", "delete", "alice/A", "1", "--yes"])?;
    ensure!(words(&refused, &[])?.contains("have not the right"), "reading is not deleting");
    by(&archive, "bob", &["access", "block"])?.ok()?;
    ensure!(!by(&archive, "bob", &["cat", "alice/A", "1"])?.status.success());
    let log = audit(&archive)?;
    let said = |what: &str| {
        log.iter()
            .any(|entry| entry["who"] == "bob" && entry["what"].as_str().is_some_and(|w| w.contains(what)))
    };
    ensure!(
        said("open for 480 minutes: \"case 17\"")
            && said("access.set blocked")
            && said("mail.cat \"alice/A\" 1")
    );
    // An auditor reads all until the day, and changes nothing.
    ensure!(
        run(&archive, &["user", "create", "tax", "--auditor", "--no-password"])?.status.code() == Some(2)
    );
    let password = format!("{}\n", Archive::password("tax"));
    let create = ["user", "create", "tax", "--auditor", "--expires", "2099-01-01", "--password-stdin"];
    archive.run_with(create, password.as_bytes())?.ok()?;
    ensure!(
        by(&archive, "tax", &["cat", "alice/Private", "1"])?.ok()?.stdout
            == message("alice-Private").as_bytes()
    );
    ensure!(by(&archive, "tax", &["audit", "--last", "1"])?.status.success());
    for change in [&["message", "delete", "bob/B", "1", "--yes"][..], &["user", "delete", "bob"]] {
        ensure!(!by(&archive, "tax", change)?.status.success(), "{change:?}");
    }
    run(&archive, &["user", "edit", "tax", "--expires", "2000-01-01"])?.ok()?;
    ensure!(words(&by(&archive, "tax", &["folders"])?, &[])?.contains("user name or password is wrong"));
    Ok(())
}

#[test]
fn users_come_from_a_file_are_renamed_and_go_and_archives_stay() -> Result {
    let archive = filled()?;
    let file = archive.scratch().join("people.csv");
    let path = file.to_str().context("path")?;
    let write = |text: &str, mode: u32| -> Result {
        fs::write(&file, text)?;
        Ok(fs::set_permissions(&file, fs::Permissions::from_mode(mode))?)
    };
    let import = |more: &[&str]| run(&archive, &[&["user", "import-csv", path, "--json"], more].concat());
    let did = |output: &Output| -> Result<Vec<(String, String)>> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        Ok(output.json()?.iter().map(|row| (text(row, "name"), text(row, "did"))).collect())
    };
    let head = "Login;Display name;E-mail;Password\n";
    write(
        &format!("{head}carol;Carol C;carol@x.example c@x.example;correct horse\nalice;Alice A;;\n"),
        0o644,
    )?;
    ensure!(words(&import(&[])?, &[])?.contains("chmod 600"));
    write(&fs::read_to_string(&file)?, 0o600)?;
    let pairs = |all: &[(&str, &str)]| {
        all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    ensure!(
        did(&import(&["--dry-run"])?.ok()?)? == pairs(&[("carol", "created"), ("alice", "there already")])
    );
    ensure!(!run(&archive, &["user", "show", "carol"])?.status.success(), "a dry run does nothing");
    import(&[])?.ok()?;
    let show = run(&archive, &["user", "show", "carol", "--json"])?.ok()?.json()?;
    ensure!(show[0]["addresses"] == serde_json::json!(["carol@x.example", "c@x.example"]), "{show:?}");
    ensure!(did(&import(&["--update"])?.ok()?)? == pairs(&[("carol", "changed"), ("alice", "changed")]));
    write(&format!("{head}dave;;d@x.example;correct horse\neve;;carol@x.example;hunter2\n"), 0o600)?;
    let refused = import(&[])?;
    ensure!(!refused.status.success() && refused.stderr.contains("nothing was done"), "{}", refused.stderr);
    let told = refused.text();
    ensure!(told.contains("line 3, column \\\"Password\\\"") && !told.contains("hunter2"), "{told}");
    ensure!(!run(&archive, &["user", "show", "dave"])?.status.success(), "all or none");

    run(&archive, &["user", "rename", "alice", "anna"])?.ok()?;
    let as_anna = |arguments: &[&str]| -> Result<Output> {
        let all = ["--login", "anna", "--login-password-stdin"].iter().chain(arguments);
        archive.run_with(all, format!("{}\n", Archive::password("alice")).as_bytes())
    };
    ensure!(as_anna(&["cat", "alice/A", "1"])?.ok()?.stdout == message("alice-A").as_bytes());
    let shown = as_anna(&["user", "show", "anna"])?.ok()?.text();
    ensure!(shown.contains("alice: read (own rule)") && shown.contains("anna: read (own rule)"), "{shown}");
    ensure!(!by(&archive, "alice", &["folders"])?.status.success());
    run(&archive, &["user", "delete", "anna"])?.ok()?;
    ensure!(run(&archive, &["cat", "alice/A", "1"])?.ok()?.stdout == message("alice-A").as_bytes());
    let again = run(&archive, &["user", "create", "alice", "--no-password"])?.ok()?;
    ensure!(again.stderr.contains("is there already, with 2 messages"), "{}", again.stderr);
    run(&archive, &["group", "grant", "Sales", "--folder", "alice/A", "--level", "read"])?.ok()?;
    run(&archive, &["user", "edit", "bob", "--group", "sales"])?.ok()?;
    ensure!(by(&archive, "bob", &["cat", "alice/A", "1"])?.status.success());
    ensure!(run(&archive, &["user", "show", "bob"])?.ok()?.text().contains("alice/A: read (group sales)"));
    ensure!(run(&archive, &["group", "list"])?.ok()?.text().contains("alice/A: read"));
    run(&archive, &["group", "revoke", "SALES", "--folder", "alice/A"])?.ok()?;
    ensure!(!by(&archive, "bob", &["cat", "alice/A", "1"])?.status.success());
    Ok(())
}

/// A place that everybody on the machine reaches, with the program in it.
fn for_everybody() -> Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::Builder::new()
        .prefix("mailkeep-people-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()?;
    let program = dir.path().join("mailkeep");
    fs::copy(tests::program::binary()?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok((dir, program))
}

/// A command of another of the system's users, with these lines on standard input.
fn as_nobody(program: &Path, socket: &Path, arguments: &[&str], lines: &str) -> Result<Output> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command.arg("--socket").arg(socket).args(arguments).env_clear();
    speak(command, lines)
}

fn speak(mut command: Command, lines: &str) -> Result<Output> {
    use std::io::Write;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    match child.stdin.take().context("standard input")?.write_all(lines.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    let output = child.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Output { status: output.status, stdout: output.stdout, stderr })
}

#[test]
fn everybody_on_the_machine_must_log_in() -> Result {
    if tools::need_tool("setpriv")?.is_none() {
        return Ok(());
    }
    let archive = filled()?;
    if fs::metadata(archive.scratch()).map(|there| std::os::unix::fs::MetadataExt::uid(&there))? != 0 {
        return tools::skip("the users' socket", "only root can be somebody else");
    }
    let (dir, program) = for_everybody()?;
    let socket = dir.path().join("users.sock");
    let conf = archive.data().join("mailkeep.toml");
    let text = fs::read_to_string(&conf)?;
    let set =
        text.replace("#users_socket = \"\"", &format!("users_socket = {:?}", socket.display().to_string()));
    ensure!(set != text, "the setting stands in the template");
    fs::write(&conf, &set)?;
    // A file that is there is nobody's socket.
    fs::write(&socket, "precious")?;
    ensure!(archive.serve().is_err() && fs::read_to_string(&socket)? == "precious");
    fs::remove_file(&socket)?;
    let server = archive.serve()?;
    let nobody = |arguments: &[&str], lines: &str| as_nobody(&program, &socket, arguments, lines);
    let alice = |arguments: &[&str]| {
        let all = [&["--login", "alice", "--login-password-stdin"], arguments].concat();
        as_nobody(&program, &socket, &all, &format!("{}\n", Archive::password("alice")))
    };

    ensure!(words(&nobody(&["folders"], "")?, &[])?.contains("who are you?"));
    let wrong = ["--login", "alice", "--login-password-stdin", "folders"];
    ensure!(words(&nobody(&wrong, "wrong password\n")?, &[])?.contains("user name or password is wrong"));
    ensure!(folders(&alice(&["folders", "--json"])?.ok()?)? == ["alice/A", "alice/Private"]);
    ensure!(alice(&["cat", "alice/A", "1"])?.ok()?.stdout == message("alice-A").as_bytes());
    // Root is nobody special there.
    let mut root = Command::new(&program);
    root.arg("--socket").arg(&socket).arg("folders").env_clear();
    ensure!(words(&speak(root, "")?, &[])?.contains("who are you?"));
    // The server's files are not theirs to name, whatever their privileges and rights.
    run(
        &archive,
        &[
            "user",
            "grant",
            "alice",
            "--privilege",
            "admin",
            "--privilege",
            "archive",
            "--folder",
            "alice",
            "--level",
            "delete",
        ],
    )?
    .ok()?;
    let backup = dir.path().join("stolen").display().to_string();
    let key = archive.data().join("keys/master.key").display().to_string();
    for theirs in [
        &["archive", &key, "--into", "alice/Key"][..],
        &["backup", &backup, "--with-key"],
        &["user", "import-csv", &key],
        &["profile", "export", "--secrets"],
    ] {
        ensure!(words(&alice(theirs)?, &[])?.contains("names files or keys of the server"), "{theirs:?}");
    }
    // The owner's socket isn't for them.
    let mut direct = Command::new("setpriv");
    direct.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program);
    direct.arg("--data").arg(archive.data()).arg("folders").env_clear();
    ensure!(!speak(direct, "")?.status.success());

    let lines = format!("{}\nbattery staple\n", Archive::password("alice"));
    let passwd = ["--login", "alice", "--login-password-stdin", "passwd", "--password-stdin"];
    nobody(&passwd, &lines)?.ok()?;
    ensure!(!alice(&["folders"])?.status.success(), "the old one is over");
    nobody(&wrong, "battery staple\n")?.ok()?;
    run(&archive, &["user", "revoke", "alice", "--privilege", "changePassword"])?.ok()?;
    ensure!(
        words(&nobody(&passwd, "battery staple\nanother password\n")?, &[])?.contains("have not the right")
    );

    let log = audit(&archive)?;
    let entry = log.iter().find(|entry| entry["what"] == "mail.cat \"alice/A\" 1").context("no entry")?;
    ensure!(entry["who"] == "alice" && entry["from"] == "users' socket, nobody", "{entry}");
    let all = serde_json::to_string(&log)?;
    ensure!(!all.contains("staple") && !all.contains("alice's password"), "no secret is in the log");
    server.terminate()?;
    ensure!(!socket.exists(), "the socket goes with the server");
    Ok(())
}
