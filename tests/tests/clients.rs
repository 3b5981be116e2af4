//! Other people's mail clients read an archive: what they hold in the end is the mail, by hash.
//!
//! The source is the sample mail: its scripts, charsets, attachments and odd MIME.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::mail::{canonical, files, sha256};
use tests::served::{Served, bag};
use tests::{Imap, Result, imap, scripts, tools};

/// Runs a Python script that prints an object a message; compares each with the raw client's view.
fn python_reads_all(script: &str, decoded_names: bool) -> Result {
    let Some(mut command) = scripts::python(script)? else { return Ok(()) };
    let served = Served::open()?;
    let address = served.server.imap;
    command.args([address.ip().to_string(), address.port().to_string(), "alice".into()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    writeln!(child.stdin.take().context("standard input")?, "{}", served.password())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    let mut found = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let row: Value = serde_json::from_str(line)?;
        let name = row["mailbox"].as_str().context("mailbox")?.trim_matches('"');
        let name = if decoded_names { imap::mutf7(name) } else { name.to_owned() };
        let uid = u32::try_from(row["uid"].as_u64().context("uid")?)?;
        let hash = row["sha256"].as_str().context("sha256")?.to_owned();
        if name.starts_with("Sample") {
            found.insert((name, uid), hash);
        }
    }
    ensure!(
        found == served.mail,
        "{script} sees {} messages, not {}, or other bytes",
        found.len(),
        served.mail.len()
    );
    Ok(())
}

#[test]
fn pythons_imaplib_reads_all() -> Result {
    python_reads_all("with_imaplib.py", false)
}

#[test]
fn imapclient_parses_every_envelope_and_structure() -> Result {
    if !scripts::need_module("imapclient")? {
        return Ok(());
    }
    python_reads_all("with_imapclient.py", true)
}

/// UTF-8 in literals, chains of OR, ESEARCH, sets' traps: the script works out what must be found and compares.
#[test]
fn python_searches_find_what_the_subjects_say() -> Result {
    if !scripts::need_module("imapclient")? {
        return Ok(());
    }
    let Some(mut command) = scripts::python("search_with_python.py")? else { return Ok(()) };
    let served = Served::open()?;
    let address = served.server.imap;
    command.args([address.ip().to_string(), address.port().to_string(), "alice".into()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    writeln!(child.stdin.take().context("standard input")?, "{}", served.password())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let counts: Vec<usize> = said.split_whitespace().filter_map(|count| count.parse().ok()).collect();
    ensure!(counts.len() == 2 && counts[0] > 5 && counts[1] > 30, "too little was compared: {said}");
    Ok(())
}

#[test]
fn curl_fetches_lists_and_searches_with_and_without_tls() -> Result {
    let Some(curl) = tools::need_tool("curl")? else { return Ok(()) };
    let served = Served::open()?;
    let certificate = served.archive.data().join("tls/cert.pem");
    let user = format!("alice:{}", served.password());
    let run = |url: &str, more: &[&str]| -> Result<Vec<u8>> {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--show-error", "--max-time", "60", "--user", &user]).args(more).arg(url);
        command.arg("--cacert").arg(&certificate);
        let output = command.output()?;
        ensure!(output.status.success(), "curl {more:?} {url}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    };
    let (plain, tls) = (format!("imap://{}", served.server.imap), format!("imaps://{}", served.server.imaps));
    let starttls = ["--ssl-reqd"];
    let (name, uid) = served.odd_mailbox()?;
    let hash = &served.mail[&(name.to_owned(), uid)];
    let path = name.replace('&', "%26").replace(' ', "%20");
    for (base, more) in [(&plain, &[][..]), (&plain, &starttls), (&tls, &[])] {
        let body = run(&format!("{base}/{path};UID={uid}"), more)?;
        ensure!(sha256(&body) == *hash, "{base} {more:?}: UID {uid} of {name} has other bytes");
        let list = String::from_utf8(run(&format!("{base}/"), more)?)?;
        ensure!(list.contains(name), "{base}: no {name} in {list}");
    }
    let found = String::from_utf8(run(&format!("{tls}/Sample/Inbox?SUBJECT%20shed"), &[])?)?;
    ensure!(found.starts_with("* SEARCH"), "{found}");
    let header =
        String::from_utf8(run(&format!("{tls}/{path};UID={uid};SECTION=HEADER.FIELDS%20(FROM)"), &[])?)?;
    ensure!(header.starts_with("From: ") && header.ends_with("\r\n\r\n"), "{header:?}");
    // The certificate is checked, and refused when it isn't known.
    let refused = Command::new(&curl).args(["--silent", "--user", &user, &format!("{tls}/")]).output()?;
    ensure!(!refused.status.success(), "curl takes a certificate that nobody vouches for");
    Ok(())
}

#[test]
fn mbsync_pulls_every_message_whole() -> Result {
    let Some(mbsync) = tools::need_tool("mbsync")? else { return Ok(()) };
    let served = Served::open()?;
    let home = served.home()?;
    let maildir = home.join("Mail");
    std::fs::create_dir_all(&maildir)?;
    let config = home.join("mbsyncrc");
    std::fs::write(
        &config,
        format!(
            "IMAPStore archive\nHost {}\nPort {}\nUser alice\nPass \"{}\"\nSSLType None\nAuthMechs LOGIN\n\n\
             MaildirStore local\nPath {dir}/\nInbox {dir}/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :archive:\nNear :local:\nPatterns Sample*\nCreate Near\nSync Pull\nSyncState *\n",
            served.server.imap.ip(),
            served.server.imap.port(),
            served.password(),
            dir = maildir.display(),
        ),
    )?;
    let pull = || {
        let mut command = Command::new(&mbsync);
        command.arg("--config").arg(&config).arg("all");
        scripts::run(command, &home)
    };
    pull()?;
    let delivered = |maildir: &Path| -> Result<Vec<PathBuf>> {
        let all = files(maildir)?;
        Ok(all
            .into_iter()
            .filter(|file| file.parent().is_some_and(|dir| dir.ends_with("cur") || dir.ends_with("new")))
            .collect())
    };
    let mut pulled = Vec::new();
    for file in delivered(&maildir)? {
        pulled.push(sha256(&as_mbsync_keeps(&without_x_tuid(&std::fs::read(file)?))));
    }
    // mbsync takes all CRs out; the same is done to the source here.
    let mut expected = Vec::new();
    let mut raw = Imap::login(served.server.imap, "alice")?;
    let mut names: Vec<_> = served.mail.keys().map(|(name, _)| name.clone()).collect();
    names.dedup();
    for name in names {
        raw.examine(&name)?;
        raw.fetch("FETCH 1:* BODY.PEEK[]", |fetched| {
            let body = fetched.literal("BODY[]")?;
            // A message that ends in its header is "incomplete" to mbsync, which leaves it out.
            if body.windows(4).any(|at| at == b"\r\n\r\n") {
                expected.push(sha256(&as_mbsync_keeps(body)));
            }
            Ok(())
        })?;
    }
    ensure!(bag(pulled) == bag(expected), "the Maildirs hold other mail than the archive");
    // Nothing is new the second time.
    let before = delivered(&maildir)?.len();
    pull()?;
    ensure!(delivered(&maildir)?.len() == before);
    Ok(())
}

fn as_mbsync_keeps(bytes: &[u8]) -> Vec<u8> {
    canonical(&bytes.iter().copied().filter(|&byte| byte != b'\r').collect::<Vec<_>>())
}

/// mbsync marks what it pulls with a header line of its own.
fn without_x_tuid(bytes: &[u8]) -> Vec<u8> {
    let mut in_header = true;
    let mut kept = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        in_header &= !matches!(line, b"\n" | b"\r\n");
        if !(in_header && line.starts_with(b"X-TUID: ")) {
            kept.extend_from_slice(line);
        }
    }
    kept
}

#[test]
fn offlineimap_pulls_every_folder() -> Result {
    let Some(offlineimap) = tools::need_tool("offlineimap")? else { return Ok(()) };
    let served = Served::open()?;
    let home = served.home()?;
    let maildir = home.join("Mail");
    let config = home.join("offlineimaprc");
    std::fs::write(
        &config,
        format!(
            "[general]\naccounts = all\nui = quiet\nmetadata = {home}/meta\nmaxsyncaccounts = 1\n\n\
             [Account all]\nlocalrepository = local\nremoterepository = remote\n\n\
             [Repository local]\ntype = Maildir\nlocalfolders = {maildir}\n\n\
             [Repository remote]\ntype = IMAP\nremotehost = {host}\nremoteport = {port}\nremoteuser = alice\n\
             remotepass = {password}\nssl = no\nstarttls = no\nauth_mechanisms = LOGIN\nreadonly = true\nmaxconnections = 2\n\
             folderfilter = lambda name: name.startswith('Sample')\n",
            home = home.display(),
            maildir = maildir.display(),
            host = served.server.imap.ip(),
            port = served.server.imap.port(),
            password = served.password(),
        ),
    )?;
    let mut command = Command::new(offlineimap);
    command.arg("-c").arg(&config).arg("-o");
    scripts::run(command, &home)?;
    let mut per_folder: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in served.mail.keys() {
        *per_folder.entry(name.replace('/', ".")).or_default() += 1;
    }
    let mut raw = Imap::login(served.server.imap, "alice")?;
    for (name, count) in per_folder {
        let folder = maildir.join(&name);
        let found = files(&folder).with_context(|| name.clone())?;
        let found = found
            .iter()
            .filter(|file| file.parent().is_some_and(|dir| dir.ends_with("cur") || dir.ends_with("new")));
        let mut pulled = Vec::new();
        for file in found {
            pulled.push(std::fs::read(file)?);
        }
        ensure!(pulled.len() == count, "{name}: offlineimap pulled {} of {count}", pulled.len());
        // Broken on purpose: offlineimap mends what it reads there.
        if name == "Sample.Curiosities" {
            continue;
        }
        let (mailbox, mut kept) = (name.replace('.', "/"), Vec::new());
        raw.examine(&mailbox)?;
        raw.fetch("FETCH 1:* BODY.PEEK[]", |fetched| {
            kept.push(as_offlineimap_keeps(fetched.literal("BODY[]")?));
            Ok(())
        })?;
        let pulled = bag(pulled.iter().map(|bytes| sha256(&as_offlineimap_keeps(bytes))));
        let kept = bag(kept.iter().map(|bytes| sha256(bytes)));
        let others = pulled.iter().filter(|(hash, n)| kept.get(*hash) != Some(n)).count();
        ensure!(pulled == kept, "{name}: {others} of {count} messages are others than in the archive");
    }
    Ok(())
}

/// offlineimap writes a message anew from its parts: line ends are the system's, blank lines between parts come and go.
fn as_offlineimap_keeps(bytes: &[u8]) -> Vec<u8> {
    let unix: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b'\r').collect();
    unix.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b'\n')
}

/// mutt and neomutt: search on the server, tag what is found, copy it into an mbox.
fn mutt_copies_what_it_finds(name: &str) -> Result {
    let (Some(mutt), Some(script)) = (tools::need_tool(name)?, tools::need_tool("script")?) else {
        return Ok(());
    };
    let served = Served::open()?;
    let home = served.home()?;
    let copy = home.join("copied.mbox");
    std::fs::write(
        home.join("muttrc"),
        format!(
            "set folder=\"imap://{address}/\"\nset imap_user=alice\nset imap_pass=\"{password}\"\nset imap_authenticators=login\n\
             set ssl_starttls=no\nset ssl_force_tls=no\nset confirmappend=no\nset confirmcreate=no\nset delete=no\nset quit=yes\nset mbox_type=mbox\n\
             set copy=no\nset wait_key=no\nset mark_old=no\nunset move\nset imap_check_subscribed=no\nset sort=mailbox-order\n\
             push '<tag-pattern>~b oakum<enter><tag-prefix><copy-message>{copy}<enter><exit>'\n",
            address = served.server.imap,
            password = served.password(),
            copy = copy.display(),
        ),
    )?;
    // mutt wants a terminal; `script` gives it one.
    let line = format!(
        "'{}' -n -F '{}' -f 'imap://{}/Sample/Lists/boatbuilders'",
        mutt.display(),
        home.join("muttrc").display(),
        served.server.imap
    );
    let mut command = Command::new(script);
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8");
    scripts::run(command, &home)?;
    let copied = std::fs::read(&copy).with_context(|| format!("{name} copied nothing"))?;
    let count = copied.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"From ")).count();
    let hits = served.search("Sample/Lists/boatbuilders", "BODY oakum")?.len();
    ensure!(hits > 0 && count == hits, "{name} copied {count} messages, the server finds {hits}");
    Ok(())
}

#[test]
fn mutt_opens_searches_and_copies() -> Result {
    mutt_copies_what_it_finds("mutt")
}

#[test]
fn neomutt_opens_searches_and_copies() -> Result {
    mutt_copies_what_it_finds("neomutt")
}

#[test]
fn what_the_clients_read_is_what_was_archived() -> Result {
    // It is the measure of the other tests: it must itself be what stands in the files.
    let served = Served::open()?;
    let mut expected = Vec::new();
    for file in files(&tools::repository()?.join("mailkeep/sample/mail"))? {
        for message in mboxrd(&std::fs::read(file)?) {
            expected.push(sha256(&canonical(&message)));
        }
    }
    ensure!(served.bag() == bag(expected), "the archive shows other messages than the mboxes hold");
    Ok(())
}

/// The messages of an mboxrd, written from its definition: the sample's files are well-formed.
fn mboxrd(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b"From ") {
            messages.push(Vec::new());
            continue;
        }
        let bare = line.iter().position(|&byte| byte != b'>').map_or(line, |at| &line[at..]);
        let line = if bare.starts_with(b"From ") { &line[1..] } else { line };
        if let Some(message) = messages.last_mut() {
            message.extend_from_slice(line);
        }
    }
    // The blank line before the next From_ line, and at the file's end, belongs to the mbox.
    for message in &mut messages {
        message.pop();
    }
    messages
}
