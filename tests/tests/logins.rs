//! What lets people in, with the real program: other people's SCRAM clients, app passwords, the second factor, the list of sessions,
//! and what fail2ban reads of the log.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::mail::files;
use tests::program::Server;
use tests::tools::{need_tool, skip};
use tests::{Archive, Imap, Output, Result, scripts};

const LINES: [(&str, bool); 11] = [
    (
        r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from=192.0.2.7 how="PLAIN" user="alice" why="wrong password""#,
        true,
    ),
    (
        r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from=2001:db8::7 how="SCRAM-SHA-256" user="(unknown)" why="unknown user""#,
        true,
    ),
    (
        r#"{"timestamp":"2026-11-30T23:33:24.123456Z","level":"WARN","message":"login failed","from":"192.0.2.7","how":"LOGIN","user":"alice","why":"wrong password","target":"mailkeep::login"}"#,
        true,
    ),
    (
        r#"Nov 30 23:33:24 host mailkeep[77]: 2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from=192.0.2.9 how="PLAIN" user="alice" why="wrong password""#,
        true,
    ),
    (
        r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from=100:ffff:0:3e8:: how="command" user="(not asked)" why="too many failures""#,
        true,
    ),
    (
        r#"{"timestamp":"2026-11-30T23:33:24.123456Z","level":"WARN","message":"login failed","from":"100:ffff:0:3e8::","how":"command","user":"(not asked)","why":"too many failures","target":"mailkeep::login"}"#,
        true,
    ),
    (
        r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from="here" how="command" user="alice" why="wrong password""#,
        false,
    ),
    (
        r#"2026-11-30T23:33:24.123456Z  INFO imapd: session ended user="x login failed from=192.0.2.8 how=" ip=192.0.2.7"#,
        false,
    ),
    (r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login refused from=192.0.2.7 how="PLAIN""#, false),
    (
        r#"2026-11-30T23:33:24.123456Z DEBUG auth::login: logged in user="alice" from=Some(192.0.2.7) how="PLAIN""#,
        false,
    ),
    (r#"2026-11-30T23:33:24.123456Z  INFO mailkeep: ended"#, false),
];

#[test]
fn fail2ban_finds_failed_logins_and_nothing_else() {
    let Some(tool) = need_tool("fail2ban-regex").unwrap() else { return };
    let dir = tempfile::tempdir().unwrap();
    let filter = dir.path().join("mailkeep.conf");
    let printed =
        Command::new(tests::program::binary().unwrap()).args(["unit", "fail2ban-filter"]).output().unwrap();
    fs::write(&filter, printed.stdout).unwrap();
    for (line, found) in LINES {
        let log = dir.path().join("log");
        fs::write(&log, format!("{line}\n")).unwrap();
        let out = Command::new(&tool).arg(&log).arg(&filter).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let expected = if found { "1 matched" } else { "0 matched" };
        assert!(text.contains(expected), "{line}\n{text}");
    }
}

/// Logs in over STARTTLS by GNU SASL's program; gives whether it did, and all that both sides said.
fn gsasl(
    tool: &Path,
    archive: &Archive,
    server: &Server,
    password: &str,
    more: &[&str],
) -> Result<(bool, String)> {
    let mut command = Command::new(tool);
    command.args(["--imap", "--connect", &format!("localhost:{}", server.imap.port())]);
    command.args(["--authentication-id", "alice", "--password", password]).args(more);
    command.arg(format!("--x509-ca-file={}", archive.data().join("tls/cert.pem").display()));
    let output = command.stdin(Stdio::null()).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn gnu_sasl_logs_in_by_scram_with_and_without_channel_binding() -> Result {
    let Some(tool) = need_tool("gsasl")? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let server = archive.serve()?;
    let (right, wrong) = (Archive::password("alice"), Archive::password("bob"));
    let app = archive.run(["user", "app-password", "create", "alice", "gsasl", "--json"])?.ok()?.json()?;
    let app = app[0]["password"].as_str().context("an app password")?;
    let plus = &["--mechanism", "SCRAM-SHA-256-PLUS"][..];
    // Without --no-cb this client finds that it could bind to the channel, and takes no mechanism that doesn't.
    let bare = &["--mechanism", "SCRAM-SHA-256", "--no-cb"][..];
    for how in [plus, bare] {
        for password in [&right, app] {
            let (done, said) = gsasl(&tool, &archive, &server, password, how)?;
            // It has checked the server's proof too, and so that the server knows the password.
            ensure!(done && said.contains("server trusted"), "{how:?}: {said}");
        }
        let (done, said) = gsasl(&tool, &archive, &server, &wrong, how)?;
        ensure!(!done && said.contains("NO [AUTHENTICATIONFAILED]"), "{how:?}: {said}");
    }
    let log = server.log()?;
    for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"] {
        let line =
            format!("login failed from=127.0.0.1 how=\"{mechanism}\" user=\"alice\" why=\"wrong password\"");
        let other = line.replace("127.0.0.1", "::1");
        ensure!(log.contains(&line) || log.contains(&other), "{line}\n{log}");
    }
    // In TLS 1.2 this client knows tls-unique alone, which doesn't bind to one channel (RFC 7627) and isn't taken.
    let old: Vec<&str> = plus.iter().copied().chain(["--priority", "NORMAL:-VERS-TLS1.3"]).collect();
    let (done, said) = gsasl(&tool, &archive, &server, &right, &old)?;
    ensure!(!done && said.contains("NO [AUTHENTICATIONFAILED]"), "{said}");
    let old: Vec<&str> = bare.iter().copied().chain(["--priority", "NORMAL:-VERS-TLS1.3"]).collect();
    ensure!(gsasl(&tool, &archive, &server, &right, &old)?.0, "without binding TLS 1.2 serves as well");
    Ok(())
}

#[test]
fn mbsync_logs_in_by_scram() -> Result {
    let Some(mbsync) = need_tool("mbsync")? else { return Ok(()) };
    // The library that does it for mbsync loads it from a package of its own, under a directory named after the machine's kind.
    let there = fs::read_dir("/usr/lib")?.flatten().any(|dir| dir.path().join("sasl2/libscram.so").exists());
    if !there {
        return skip("mbsync's login by SCRAM", "libsasl2-modules is not installed");
    }
    let archive = Archive::with_users(&["alice"])?;
    let message = archive.scratch().join("one.eml");
    fs::write(&message, "From: a@example.org\r\nSubject: one\r\n\r\nbody\r\n")?;
    archive.archive(&message, "alice/Sample")?;
    let server = archive.serve()?;
    let home = archive.scratch().join("home");
    let pull = |password: &str, dir: &str| -> Result<Option<usize>> {
        let maildir = home.join(dir);
        fs::create_dir_all(&maildir)?;
        let config = home.join(format!("{dir}.rc"));
        fs::write(
            &config,
            format!(
                "IMAPStore archive\nHost localhost\nPort {}\nUser alice\nPass \"{password}\"\nSSLType STARTTLS\n\
                 CertificateFile {}\nAuthMechs SCRAM-SHA-256\n\n\
                 MaildirStore local\nPath {dir}/\nInbox {dir}/INBOX\nSubFolders Verbatim\n\n\
                 Channel all\nFar :archive:\nNear :local:\nPatterns Sample\nCreate Near\nSync Pull\nSyncState *\n",
                server.imap.port(),
                archive.data().join("tls/cert.pem").display(),
                dir = maildir.display(),
            ),
        )?;
        let mut command = Command::new(&mbsync);
        command.arg("--config").arg(&config).arg("all").env("HOME", &home).stdin(Stdio::null());
        if !command.output()?.status.success() {
            return Ok(None);
        }
        let found =
            ["cur", "new"].iter().map(|part| Ok(fs::read_dir(maildir.join("Sample").join(part))?.count()));
        Ok(Some(found.sum::<Result<usize>>()?))
    };
    ensure!(pull(&Archive::password("alice"), "right")? == Some(1), "{}", server.log()?);
    ensure!(pull("a wrong one", "wrong")?.is_none(), "a wrong password");
    ensure!(
        server.log()?.contains("how=\"SCRAM-SHA-256\" user=\"alice\" why=\"wrong password\""),
        "{}",
        server.log()?
    );
    Ok(())
}

/// The rows of a command of the machine's own people.
fn rows(archive: &Archive, arguments: &[&str]) -> Result<Vec<Value>> {
    archive.run(arguments.iter().chain(&["--json"]))?.ok()?.json()
}

/// A command as alice, with these lines on standard input behind her password.
fn by_alice(archive: &Archive, lines: &[&str], arguments: &[&str]) -> Result<Output> {
    let login = ["--login", "alice", "--login-password-stdin"];
    let input = [&[Archive::password("alice").as_str()][..], lines].concat().join("\n") + "\n";
    archive.run_with(login.iter().chain(arguments), input.as_bytes())
}

/// A session that waits in IDLE.
fn idle(mut imap: Imap) -> Result<Imap> {
    imap.ok("EXAMINE INBOX")?;
    imap.begin("IDLE")?;
    let said = imap.response()?;
    ensure!(said.starts_with(b"+ "), "{}", String::from_utf8_lossy(&said));
    Ok(imap)
}

/// The server's last words, for a session that it ended of its own accord.
fn farewell(imap: Imap) -> Result<String> {
    let last = String::from_utf8_lossy(&imap.rest()?).into_owned();
    ensure!(last.contains("* BYE "), "the session ended with {last:?}");
    Ok(last)
}

/// None of these words stands in a file of the installation, or beside it (the server's log).
fn kept_nowhere(archive: &Archive, secrets: &[&str]) -> Result {
    for file in files(archive.scratch())? {
        let bytes = fs::read(&file)?;
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|at| at == secret.as_bytes());
            ensure!(!found, "a secret stands in {}", file.display());
        }
    }
    Ok(())
}

#[test]
fn an_app_password_opens_mail_shows_its_use_and_ends_with_its_sessions() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let server = archive.serve()?;
    let made =
        by_alice(&archive, &[], &["user", "app-password", "create", "alice", "Tele\u{202e}phone", "--json"])?;
    let made = made.ok()?.json()?.remove(0);
    let password = made["password"].as_str().context("a password")?.to_owned();
    let other = by_alice(&archive, &[], &["user", "app-password", "create", "alice", "Desk", "--json"])?
        .ok()?
        .json()?;
    let other = other[0]["password"].as_str().context("a password")?;
    let listed = rows(&archive, &["user", "app-password", "list", "alice"])?;
    ensure!(listed.len() == 2 && listed.iter().all(|row| row["used"].is_null()), "{listed:?}");
    // It is for mail alone, and for its own user.
    ensure!(Imap::enter(server.imap, "bob", &password)?.is_none());
    let command = archive.run_with(
        ["--login", "alice", "--login-password-stdin", "folders"],
        format!("{password}\n").as_bytes(),
    )?;
    ensure!(!command.status.success(), "an app password gives no commands");
    let mut busy = Imap::enter(server.imap, "alice", &password)?.context("the app password")?;
    // As people type it into a telephone.
    let typed = password.replace('-', " ").to_uppercase();
    let waiting =
        idle(Imap::enter(server.imap, "alice", &typed)?.context("the app password, typed otherwise")?)?;
    let mut by_other = Imap::enter(server.imap, "alice", other)?.context("the other one")?;
    let mut by_account =
        Imap::enter(server.imap, "alice", &Archive::password("alice"))?.context("the account's password")?;
    let sessions = rows(&archive, &["session", "list"])?;
    let by: Vec<_> = sessions.iter().filter_map(|row| row["by"].as_str()).collect();
    let number = made["id"].as_u64().context("its number")?;
    ensure!(
        by.iter().filter(|by| **by == format!("app password {number}")).count() == 2 && by.len() == 4,
        "{by:?}"
    );
    let listed =
        by_alice(&archive, &[], &["user", "app-password", "list", "alice", "--json"])?.ok()?.json()?;
    ensure!(listed.iter().all(|row| row["used"].as_i64() >= row["created"].as_i64()), "{listed:?}");
    let table = archive.run(["user", "app-password", "list", "alice"])?.ok()?.text();
    ensure!(table.contains("Tele\\u{202e}phone") && !table.contains('\u{202e}'), "{table}");
    ensure!(!table.contains(&password), "it is shown once");
    // Somebody else's hands.
    let foreign = archive.run_with(
        ["--login", "bob", "--login-password-stdin", "user", "app-password", "revoke", "alice", "Desk"],
        format!("{}\n", Archive::password("bob")).as_bytes(),
    )?;
    ensure!(!foreign.status.success());

    by_alice(&archive, &[], &["user", "app-password", "revoke", "alice", &number.to_string()])?.ok()?;
    // Who waits in IDLE is told at once, who doesn't with the next command.
    busy.begin("NOOP")?;
    for session in [busy, waiting] {
        let last = farewell(session)?;
        ensure!(last.contains("changed or revoked"), "{last}");
    }
    ensure!(Imap::enter(server.imap, "alice", &password)?.is_none(), "it opens nothing more");
    by_other.ok("NOOP")?;
    by_account.ok("NOOP")?;
    let again = by_alice(&archive, &[], &["user", "app-password", "revoke", "alice", &number.to_string()])?;
    ensure!(
        !again.status.success() && again.stderr.contains("none of that name or number"),
        "{}",
        again.stderr
    );
    let audit = archive.run(["audit", "--json"])?.ok()?.text();
    ensure!(audit.contains("user.appPasswordCreate") && audit.contains("user.appPasswordRevoke"), "{audit}");
    kept_nowhere(&archive, &[&password, other])
}

#[test]
fn a_second_factor_is_asked_of_commands_and_counts_once() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let account = Archive::password("alice");
    let server = archive.serve()?;
    let app = rows(&archive, &["user", "app-password", "create", "alice", "Desk"])?;
    let app = app[0]["password"].as_str().context("an app password")?;
    let begun = by_alice(&archive, &[], &["user", "totp", "enable", "alice", "--json"])?.ok()?;
    ensure!(begun.text().is_ascii(), "no picture in JSON");
    let begun = begun.json()?.remove(0);
    let (secret, uri) = (begun["secret"].as_str().context("secret")?, begun["uri"].as_str().context("uri")?);
    ensure!(uri.starts_with("otpauth://totp/") && uri.contains(secret), "{uri}");
    let waiting = idle(Imap::enter(server.imap, "alice", &account)?.context("it isn't on yet")?)?;
    let mut by_app = Imap::enter(server.imap, "alice", app)?.context("the app password")?;

    // The present step's code and the next one's are both taken for half a minute at least.
    let step = scripts::totp_step()?;
    let (Some(first), Some(second)) = (scripts::totp(secret, step)?, scripts::totp(secret, step + 1)?) else {
        return Ok(());
    };
    let wrong = archive.run_with(["user", "totp", "confirm", "alice"], b"12345x\n")?;
    ensure!(!wrong.status.success() && wrong.stderr.contains("compare the clocks"), "{}", wrong.stderr);
    let confirmed =
        archive.run_with(["user", "totp", "confirm", "alice", "--json"], format!("{first}\n").as_bytes())?;
    let confirmed = confirmed.ok()?.json()?.remove(0);
    let codes: Vec<String> = serde_json::from_value(confirmed["codes"].clone())?;
    ensure!(codes.len() == 10, "{}", codes.len());
    // What came by the account's password ends, and mail clients come by app passwords only.
    farewell(waiting)?;
    ensure!(Imap::enter(server.imap, "alice", &account)?.is_none());
    by_app.ok("NOOP")?;
    ensure!(Imap::enter(server.imap, "alice", app)?.is_some());

    let folders = &["folders"][..];
    let with_code = &["--login-code", "folders"][..];
    let without = by_alice(&archive, &[], folders)?;
    ensure!(!without.status.success() && without.stderr.contains("code"), "{}", without.stderr);
    let refused = |archive: &Archive, code: &str| -> Result {
        let output = by_alice(archive, &[code], with_code)?;
        ensure!(!output.status.success() && output.text().is_empty(), "a code counted that must not");
        ensure!(output.stderr.contains("user name or password is wrong"), "{}", output.stderr);
        Ok(())
    };
    refused(&archive, &first).context("what has confirmed it")?;
    by_alice(&archive, &[&second], with_code)?.ok()?;
    refused(&archive, &second).context("a used code")?;
    by_alice(&archive, &[&codes[0].to_uppercase()], with_code)?.ok().context("a recovery code")?;
    refused(&archive, &codes[0]).context("a used recovery code")?;

    // The end of the process forgets nothing of it, and in the process it is as over the socket.
    server.kill()?;
    refused(&archive, &second).context("a used code, later")?;
    refused(&archive, &codes[0]).context("a used recovery code, later")?;
    by_alice(&archive, &[&codes[1]], with_code)?.ok().context("the next recovery code")?;
    let renewed =
        by_alice(&archive, &[&codes[2]], &["--login-code", "user", "totp", "codes", "alice", "--json"])?;
    let renewed: Vec<String> = serde_json::from_value(renewed.ok()?.json()?.remove(0)["codes"].clone())?;
    let secrets: Vec<&str> =
        [secret, app].into_iter().chain(codes.iter().chain(&renewed).map(String::as_str)).collect();
    kept_nowhere(&archive, &secrets)?;
    archive.run(["user", "totp", "disable", "alice"])?.ok()?;
    by_alice(&archive, &[], folders)?.ok()?;
    let server = archive.serve()?;
    ensure!(Imap::enter(server.imap, "alice", &account)?.is_some(), "it is off again");
    Ok(())
}

/// Turns half blocks into a picture, blank for black, and has another program read it.
fn read_code(drawn: &str, dir: &Path) -> Result<Option<String>> {
    let Some(reader) = need_tool("zbarimg")? else { return Ok(None) };
    let lines: Vec<&str> = drawn.lines().filter(|line| line.starts_with(['█', '▀', '▄'])).collect();
    let width = lines.first().context("no code")?.chars().count();
    let mut picture = String::new();
    for line in &lines {
        for light in [['█', '▀'], ['█', '▄']] {
            let row: String =
                line.chars().map(|c| if light.contains(&c) { "0 0 0 0 " } else { "1 1 1 1 " }).collect();
            picture.push_str(&format!("{row}\n").repeat(4));
        }
    }
    let file = dir.join("code.pbm");
    fs::write(&file, format!("P1\n{} {}\n{picture}", width * 4, lines.len() * 8))?;
    let output = Command::new(reader).args(["--quiet", "--raw"]).arg(&file).output()?;
    fs::remove_file(&file)?;
    ensure!(output.status.success(), "no code is read: {}\n{drawn}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(String::from_utf8(output.stdout)?.trim().to_owned()))
}

#[test]
fn enrolment_shows_a_code_that_telephones_read_at_terminals_or_when_asked() -> Result {
    let archive = Archive::with_users(&["alice", "Großmutter Ümläut"])?;
    let pictures = tempfile::tempdir()?;
    let uri = |text: &str| -> Result<String> {
        let at = text.split_whitespace().find(|word| word.starts_with("otpauth://"));
        Ok(at.context("no address")?.to_owned())
    };
    for user in ["alice", "Großmutter Ümläut"] {
        let plain = archive.run(["user", "totp", "enable", user])?.ok()?.text();
        ensure!(!plain.contains(['█', '▀', '▄']), "nobody asked for it: {plain}");
        let asked = archive.run(["user", "totp", "enable", user, "--qr"])?.ok()?.text();
        let Some(read) = read_code(&asked, pictures.path())? else { return Ok(()) };
        ensure!(read == uri(&asked)? && read != uri(&plain)?, "{read}");
        let json = archive.run(["user", "totp", "enable", user, "--qr", "--json"])?.ok()?.text();
        ensure!(!json.contains(['█', '▀', '▄']), "{json}");
    }
    // `script` gives it a terminal.
    let Some(script) = need_tool("script")? else { return Ok(()) };
    let on_screen = |columns: u32, more: &str| -> Result<String> {
        let program = tests::program::binary()?;
        let line = format!(
            "stty cols {columns} rows 50; '{}' --data '{}' user totp enable alice {more}",
            program.display(),
            archive.data().display()
        );
        let mut command = Command::new(&script);
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
        let output = command.stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(String::from_utf8(output.stdout)?)
    };
    let shown = on_screen(100, "")?;
    ensure!(shown.contains("\x1b[97;40m"), "black and white on every terminal: {shown:?}");
    let bare = shown.replace("\x1b[97;40m", "").replace("\x1b[0m", "");
    ensure!(read_code(&bare, pictures.path())? == Some(uri(&bare)?));
    for (columns, more) in [(40, ""), (100, "--no-qr"), (100, "--json")] {
        let shown = on_screen(columns, more)?;
        ensure!(
            !shown.contains(['█', '▀', '▄']) && shown.contains("otpauth://"),
            "{columns} {more}: {shown}"
        );
    }
    ensure!(on_screen(40, "")?.contains("too narrow"));
    Ok(())
}

#[test]
fn sessions_are_listed_with_their_mailbox_and_killed_one_by_one() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let odd = "Od\u{202e}d\u{9b}31m";
    let message = archive.scratch().join("one.eml");
    fs::write(&message, "From: a@example.org\r\nSubject: one\r\n\r\nbody\r\n")?;
    let made = archive.archive(&message, &format!("alice/{odd}"));
    let odd = if made.is_ok() { odd } else { "Od\u{202e}d" };
    archive.archive(&message, &format!("alice/{odd}"))?;
    archive.archive(&message, "bob/Mail")?;
    let server = archive.serve()?;
    let none = archive.run(["session", "list"])?.ok()?.text();
    ensure!(none.contains("Nobody is logged in"), "{none}");
    let mut first = Imap::enter(server.imap, "alice", &Archive::password("alice"))?.context("alice")?;
    let mut second = Imap::enter(server.imap, "alice", &Archive::password("alice"))?.context("alice")?;
    let mut third = Imap::enter(server.imap, "bob", &Archive::password("bob"))?.context("bob")?;
    first.examine(&tests::imap::mutf7(odd))?;
    third.ok("EXAMINE \"All Mail\"")?;
    let mailbox = |sessions: &[Value], n: usize| sessions[n]["mailbox"].as_str().map(str::to_owned);
    let sessions = rows(&archive, &["session", "list"])?;
    ensure!(sessions.len() == 3, "{sessions:?}");
    ensure!(
        mailbox(&sessions, 0) == Some(format!("alice/{odd}")) && mailbox(&sessions, 1).is_none(),
        "{sessions:?}"
    );
    ensure!(mailbox(&sessions, 2).as_deref() == Some("bob/All Mail"), "{sessions:?}");
    let table = archive.run(["session", "list"])?.ok()?.text();
    ensure!(table.contains("alice/Od\\u{202e}d") && !table.contains(['\u{202e}', '\u{9b}']), "{table}");
    third.ok("EXAMINE INBOX")?;
    first.ok("CLOSE")?;
    let sessions = rows(&archive, &["session", "list"])?;
    ensure!(
        mailbox(&sessions, 0).is_none() && mailbox(&sessions, 2).as_deref() == Some("bob/INBOX"),
        "{sessions:?}"
    );
    // Where somebody is in an archive is a part of it: administrators see that only while access is open.
    first.examine(&tests::imap::mutf7(odd))?;
    archive.run(["user", "grant", "bob", "--privilege", "admin"])?.ok()?;
    let by_bob = |arguments: &[&str]| {
        let login = ["--login", "bob", "--login-password-stdin"];
        archive.run_with(login.iter().chain(arguments), format!("{}\n", Archive::password("bob")).as_bytes())
    };
    let sessions = by_bob(&["session", "list", "--json"])?.ok()?.json()?;
    ensure!(
        mailbox(&sessions, 0).is_none() && mailbox(&sessions, 2).as_deref() == Some("bob/INBOX"),
        "{sessions:?}"
    );
    ensure!(!by_alice(&archive, &[], &["session", "list"])?.status.success(), "alice is no administrator");
    ensure!(!by_alice(&archive, &[], &["session", "kill", "--user", "bob"])?.status.success());

    let number = sessions[0]["session"].as_u64().context("a number")?.to_string();
    let first = idle(first)?;
    let killed = by_bob(&["session", "kill", &number, "--json"])?.ok()?.json()?;
    ensure!(killed.len() == 1 && mailbox(&killed, 0).is_none(), "{killed:?}");
    ensure!(farewell(first)?.contains("Logged out by the administrator"));
    ensure!(rows(&archive, &["session", "kill", &number])?.is_empty(), "a number is one session's for ever");
    ensure!(rows(&archive, &["session", "kill", "--user", "alice"])?.len() == 1);
    second.begin("NOOP")?;
    farewell(second)?;
    third.ok("NOOP")?;
    ensure!(rows(&archive, &["session", "list"])?.len() == 1);
    ensure!(
        Imap::enter(server.imap, "alice", &Archive::password("alice"))?.is_some(),
        "who still may comes again"
    );
    Ok(())
}
