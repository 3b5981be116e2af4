//! More of other people's clients: getmail and fetchmail hand every message over, aerc and alpine show, search and keep.
//!
//! What each client keeps is compared with what the archive holds, after what that client is known to change.

use anyhow::{Context, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::mail::{canonical, files, sha256};
use tests::served::{Served, bag};
use tests::{Result, scripts, tools};

/// The mailbox that is searched, and for what.
const MAILBOX: &str = "Sample/Lists/boatbuilders";
const NEEDLE: &str = "oakum";

/// A program that keeps its standard input in a new file of `out`.
fn keeper(home: &Path, out: &Path) -> Result<PathBuf> {
    fs::create_dir_all(out)?;
    let path = home.join("keep");
    fs::write(&path, format!("#!/bin/sh\nexec cat >\"$(mktemp '{}'/XXXXXXXX)\"\n", out.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// What stands behind the first blank line.
fn body(message: &[u8]) -> &[u8] {
    message.windows(4).position(|at| at == b"\r\n\r\n").map_or(&[], |at| &message[at + 4..])
}

/// The messages of an mbox; `From ` lines in the text are quoted with `>`, and a blank line ends each message.
fn mbox(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            message.extend_from_slice(
                line.strip_prefix(b">").filter(|l| l.starts_with(b"From ")).unwrap_or(line),
            );
        }
    }
    messages
}

/// The bodies of messages without the white space at their ends, hashed.
fn bodies<'m>(messages: impl IntoIterator<Item = &'m [u8]>) -> Vec<String> {
    messages
        .into_iter()
        .map(|message| {
            // Line ends in one form: mail programs on Unix keep LF, and some lose a lone CR.
            let text: Vec<u8> = message.iter().copied().filter(|&byte| byte != b'\r').collect();
            sha256(body(&canonical(&text)).trim_ascii_end())
        })
        .collect()
}

#[test]
fn fetchmail_hands_over_every_message() -> Result {
    let Some(fetchmail) = tools::need_tool("fetchmail")? else { return Ok(()) };
    let served = Served::open()?;
    let home = served.home()?;
    let out = home.join("kept");
    let keep = keeper(&home, &out)?;
    let folders: Vec<String> = served.mailboxes().iter().map(|name| format!("\"{name}\"")).collect();
    let config = home.join("fetchmailrc");
    fs::write(
        &config,
        format!(
            "set no bouncemail\nset invisible\npoll {} service {} protocol IMAP auth password user \"alice\" password \"{}\" \
             folder {} keep fetchall no rewrite no mimedecode pass8bits sslproto \"\" mda \"{}\"\n",
            served.server.imap.ip(),
            served.server.imap.port(),
            served.password(),
            folders.join(", "),
            keep.display()
        ),
    )?;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600))?;
    let mut command = Command::new(fetchmail);
    command.arg("-f").arg(&config).arg("--pidfile").arg(home.join("pid"));
    scripts::run(command, &home)?;
    let mut kept = Vec::new();
    for file in files(&out)? {
        kept.push(fs::read(file)?);
    }
    let mut there = Vec::new();
    for mailbox in served.mailboxes() {
        there.extend(served.bodies(&mailbox)?.into_values());
    }
    // A message with a header line that is no field is left out by fetchmail.
    there.retain(|message| {
        let mut header =
            message.split(|&byte| byte == b'\n').take_while(|line| !line.trim_ascii().is_empty());
        header.all(|line| line.starts_with(b" ") || line.starts_with(b"\t") || line.contains(&b':'))
    });
    ensure!(kept.len() == there.len(), "fetchmail kept {} messages of {}", kept.len(), there.len());
    let (kept, there) = (bodies(kept.iter().map(Vec::as_slice)), bodies(there.iter().map(Vec::as_slice)));
    ensure!(bag(kept) == bag(there), "fetchmail kept other texts");
    Ok(())
}

#[test]
fn getmail_hands_over_every_message() -> Result {
    let Some(getmail) = tools::need_tool("getmail")? else { return Ok(()) };
    let served = Served::open()?;
    let home = served.home()?;
    let out = home.join("kept");
    let keep = keeper(&home, &out)?;
    // getmail encodes mailbox names itself. It writes a message anew from its parts, so what is odd comes out otherwise.
    let names = [("Sample/Entw\u{fc}rfe & Ablage", "Sample/Entw&APw-rfe &- Ablage"), (MAILBOX, MAILBOX)];
    fs::write(
        home.join("getmailrc"),
        format!(
            "[retriever]\ntype = SimpleIMAPRetriever\nserver = {}\nport = {}\nusername = alice\npassword = {}\n\
             mailboxes = (\"{}\", \"{}\")\nuse_peek = true\n\n\
             [destination]\ntype = MDA_external\npath = {}\nallow_root_commands = true\nunixfrom = false\n\n\
             [options]\nread_all = false\ndelete = false\ndelivered_to = false\nreceived = false\n",
            served.server.imap.ip(),
            served.server.imap.port(),
            served.password(),
            names[0].0,
            names[1].0,
            keep.display(),
        ),
    )?;
    let run = || {
        let mut command = Command::new(&getmail);
        command.arg("--getmaildir").arg(&home).args(["--rcfile", "getmailrc"]).env("LC_ALL", "C.UTF-8");
        scripts::run(command, &home)
    };
    run()?;
    let kept =
        |out: &Path| -> Result<Vec<Vec<u8>>> { files(out)?.iter().map(|file| Ok(fs::read(file)?)).collect() };
    let first = kept(&out)?;
    let mut there = Vec::new();
    for (_, wire) in names {
        there.extend(served.bodies(wire)?.into_values());
    }
    ensure!(first.len() == there.len(), "getmail kept {} messages of {}", first.len(), there.len());
    let (texts, expected) =
        (bodies(first.iter().map(Vec::as_slice)), bodies(there.iter().map(Vec::as_slice)));
    ensure!(bag(texts) == bag(expected), "getmail kept other texts");
    // It knows by UIDVALIDITY and UID what it has: nothing is new the second time.
    run()?;
    ensure!(kept(&out)?.len() == first.len(), "getmail fetched again what it had");
    Ok(())
}

#[test]
fn aerc_filters_on_the_server_and_pipes_what_it_finds() -> Result {
    let (Some(aerc), Some(expect)) = (tools::need_tool("aerc")?, tools::need_tool("expect")?) else {
        return Ok(());
    };
    let served = Served::open()?;
    let home = served.home()?;
    let config = home.join(".config/aerc");
    fs::create_dir_all(&config)?;
    for name in ["aerc.conf", "binds.conf"] {
        fs::copy(Path::new("/usr/share/aerc").join(name), config.join(name))
            .with_context(|| format!("{}'s own {name}", aerc.display()))?;
    }
    let accounts = config.join("accounts.conf");
    let password = served.password().replace(' ', "%20").replace('\'', "%27");
    fs::write(
        &accounts,
        format!(
            "[Archive]\nsource = imap+insecure://alice:{password}@{}\ndefault = {MAILBOX}\nfrom = Alice <alice@example.org>\n",
            served.server.imap
        ),
    )?;
    fs::set_permissions(&accounts, fs::Permissions::from_mode(0o600))?;
    let save = home.join("save");
    fs::write(&save, "#!/bin/sh\nexec cat >\"$HOME/piped.mbox\"\n")?;
    fs::set_permissions(&save, fs::Permissions::from_mode(0o755))?;
    let hits = served.search(MAILBOX, &format!("BODY {NEEDLE}"))?;
    ensure!(!hits.is_empty());
    let mut command = Command::new(expect);
    command.arg(tools::repository()?.join("tests/scripts/aerc.exp")).arg(NEEDLE);
    command.arg(hits.len().to_string()).arg(&save);
    command.env("XDG_CONFIG_HOME", home.join(".config")).env("XDG_RUNTIME_DIR", &home);
    scripts::run(command, &home)?;
    same_texts(&served, &hits, &fs::read(home.join("piped.mbox"))?)
}

#[test]
fn alpine_selects_on_the_server_and_saves_what_it_finds() -> Result {
    let (Some(_), Some(expect)) = (tools::need_tool("alpine")?, tools::need_tool("expect")?) else {
        return Ok(());
    };
    let served = Served::open()?;
    let home = served.home()?;
    fs::write(
        home.join("pinerc"),
        "personal-name=Alice\nfeature-list=disable-password-file-saving,disable-password-caching,\
         enable-aggregate-command-set,save-will-not-delete,quell-lock-failure-warnings,quit-without-confirm\n\
         disable-these-authenticators=PLAIN\nlast-version-used=6.26\nhide-nntp-path=yes\nmail-check-interval=0\n",
    )?;
    let hits = served.search(MAILBOX, &format!("TEXT {NEEDLE}"))?;
    ensure!(!hits.is_empty());
    let mut command = Command::new(expect);
    command.arg(tools::repository()?.join("tests/scripts/alpine.exp"));
    command.arg(served.server.imap.ip().to_string()).arg(served.server.imap.port().to_string());
    command.args(["alice", &served.password(), MAILBOX, NEEDLE]).arg(hits.len().to_string());
    scripts::run(command, &home)?;
    same_texts(&served, &hits, &fs::read(home.join("saved"))?)
}

/// The mbox holds the texts of these messages.
fn same_texts(served: &Served, uids: &[u32], kept: &[u8]) -> Result {
    let all = served.bodies(MAILBOX)?;
    let expected = uids.iter().map(|uid| all.get(uid).map(Vec::as_slice).context("a message"));
    let expected: Vec<&[u8]> = expected.collect::<Result<_>>()?;
    let mut kept = mbox(kept);
    // alpine's first message is a note for itself.
    kept.retain(|message| !message.windows(20).any(|at| at == b"FOLDER INTERNAL DATA"));
    ensure!(kept.len() == uids.len(), "{} messages were kept, {} found", kept.len(), uids.len());
    ensure!(
        bag(bodies(kept.iter().map(Vec::as_slice))) == bag(bodies(expected)),
        "other texts were kept than were found"
    );
    Ok(())
}
