//! Evidence end to end: proofs made by the real binary and verified far from any archive, by it and by other people's
//! tools; heads that are sent, and a log that was put back to an earlier state.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::mail::{example, example_tree};
use tests::program::{PATIENCE, binary};
use tests::relay::take_mail;
use tests::{Archive, Output, Result, tools};

/// An installation with 70 messages in alice/Import: more than a page of the log.
fn archive() -> Result<Archive> {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 70)?;
    archive.archive(&source, "alice/Import")?;
    Ok(archive)
}

/// The UID of example `n`, which `search` finds by its subject.
fn uid(archive: &Archive, n: u32) -> Result<String> {
    let query = format!("subject:\"Test message {n}\"");
    let hits = archive.run(["search", "--user", "alice", &query, "--json"])?.ok()?.json()?;
    let exact = hits.iter().find(|hit| hit["subject"] == format!("Test message {n}").as_str());
    Ok(exact.context("the example is found")?["uid"].to_string())
}

/// Runs the program without any data directory, as an expert would.
fn expert(arguments: &[&Path]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command.env_remove("MAILKEEP_DATA").stdin(Stdio::null());
    let done = command.args(arguments).output()?;
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    Ok(Output { status: done.status, stdout: done.stdout, stderr })
}

fn evidence<'a>(verb: &'a str, rest: &[&'a Path]) -> Result<Output> {
    let mut arguments = vec![Path::new("evidence"), Path::new(verb)];
    arguments.extend(rest);
    expert(&arguments)
}

/// Sets keys of the section [evidence].
fn configure(archive: &Archive, keys: &str) -> Result {
    let path = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, text.replacen("[evidence]\n", &format!("[evidence]\n{keys}\n"), 1))?;
    Ok(())
}

fn save(path: PathBuf, bytes: &[u8]) -> Result<PathBuf> {
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// Exports example 17 and its proof: message, proof, public key, in a directory of their own.
fn exported(archive: &Archive) -> Result<(PathBuf, PathBuf, PathBuf)> {
    let dir = archive.scratch().join("expert");
    std::fs::create_dir_all(&dir)?;
    let uid = uid(archive, 17)?;
    let message = archive.run(["cat", "alice/Import", &uid])?.ok()?.stdout;
    ensure!(message == example(17));
    let message = save(dir.join("message.eml"), &message)?;
    let proof = dir.join("proof.json");
    let written = archive.run([
        OsString::from("evidence"),
        "prove".into(),
        "alice/Import".into(),
        uid.into(),
        "-o".into(),
        proof.clone().into(),
    ])?;
    ensure!(written.ok()?.text().contains("proof.json"));
    let key = dir.join("evidence.pub");
    std::fs::copy(archive.data().join("keys/evidence.pub"), &key)?;
    Ok((message, proof, key))
}

#[test]
fn a_proof_is_verified_without_the_archive() -> Result {
    let archive = archive()?;
    let (message, proof, key) = exported(&archive)?;
    let head = archive.scratch().join("head.json");
    archive
        .run([
            OsString::from("evidence"),
            "head".into(),
            "--store".into(),
            "0001".into(),
            "-o".into(),
            head.clone().into(),
        ])?
        .ok()?;
    let server = archive.serve()?;
    let served = archive.run(["evidence", "prove", "alice/Import", &uid(&archive, 17)?])?.ok()?.json()?;
    ensure!(served[0]["leaves"] == serde_json::from_slice::<Value>(&std::fs::read(&proof)?)?["leaves"]);
    drop(server);
    // The archive is gone; what was exported is enough.
    std::fs::remove_dir_all(archive.data())?;
    let (by_key, by_head) = (Path::new("--key"), Path::new("--head"));
    let good = evidence("verify", &[&message, &proof, by_key, &key, by_head, &head])?.ok()?;
    for words in ["The proof is good", "alice/Import", "UID", "2021-03-18T10:17:00+01:00", "you kept"] {
        ensure!(good.text().contains(words), "{words:?} is missing: {}", good.text());
    }
    let plain = evidence("verify", &[&message, &proof])?.ok()?;
    ensure!(plain.text().contains("was not compared"), "{}", plain.text());
    let json = evidence("verify", &[&message, &proof, Path::new("--json")])?.ok()?.json()?;
    ensure!(
        json[0]["good"] == true && json[0]["folder"] == "alice/Import" && json[0]["leaves"] == 70,
        "{json:?}"
    );
    ensure!(json[0]["keyCompared"] == false && json[0]["steps"][0]["what"] == "archived", "{json:?}");

    // As a mail client saves it, with CRLF; and as an mbox has it.
    let text = example(17);
    let lf = String::from_utf8_lossy(&text).replace("\r\n", "\n");
    for (name, bytes) in [
        ("crlf.eml", lf.replace('\n', "\r\n")),
        ("lf.eml", lf.clone()),
        ("one.mbox", format!("From a@b Thu Jan  1 00:00:00 1970\n{lf}")),
    ] {
        let file = save(archive.scratch().join(name), bytes.as_bytes())?;
        evidence("verify", &[&file, &proof])?.ok().with_context(|| name.to_owned())?;
    }
    let other = save(archive.scratch().join("other.eml"), lf.replacen("17", "18", 1).as_bytes())?;
    let refused = evidence("verify", &[&other, &proof])?;
    ensure!(refused.code() == 1 && refused.stderr.contains("another message"), "{}", refused.stderr);
    ensure!(refused.stdout.is_empty(), "{}", refused.text());
    let stranger = "00".repeat(32);
    let refused = evidence("verify", &[&message, &proof, by_key, Path::new(&stranger)])?;
    ensure!(refused.code() == 1 && refused.stderr.contains("not with the expected"), "{}", refused.stderr);
    // One changed digit in any line of hexadecimal digits, and any other number.
    let good: Value = serde_json::from_slice(&std::fs::read(&proof)?)?;
    for pointer in [
        "/message",
        "/leaves/0/salt",
        "/leaves/0/fields",
        "/leaves/0/path/0",
        "/leaves/0/path/6",
        "/folder/signature",
        "/head/root",
        "/head/key",
        "/head/signature",
        "/head/store",
        "/leaves/0/leaf",
        "/leaves/0/kind",
        "/folder/time",
        "/folder/path",
        "/head/size",
        "/head/time",
        "/version",
        "/format",
    ] {
        let mut changed = good.clone();
        let field = changed.pointer_mut(pointer).with_context(|| pointer.to_owned())?;
        *field = match field.as_u64() {
            Some(number) => (number + 1).into(),
            None => {
                let text = field.as_str().context("text")?;
                let flipped = if text.starts_with('0') { "1" } else { "0" };
                format!("{flipped}{}", text.get(1..).unwrap_or_default()).into()
            }
        };
        let changed = save(archive.scratch().join("changed.json"), changed.to_string().as_bytes())?;
        let refused = evidence("verify", &[&message, &changed])?;
        ensure!(refused.code() == 1 && !refused.stderr.is_empty(), "{pointer}: {}", refused.text());
    }
    Ok(())
}

/// What docs/evidence.md tells an expert to do by hand does it.
#[test]
fn the_documented_commands_verify_a_proof() -> Result {
    for tool in ["bash", "openssl", "xxd", "jq", "sha256sum"] {
        if tools::need_tool(tool)?.is_none() {
            return Ok(());
        }
    }
    let archive = archive()?;
    let (message, proof, _) = exported(&archive)?;
    let page = std::fs::read_to_string(tools::repository()?.join("docs/evidence.md"))?;
    let (_, script) = page.split_once("```bash\n").context("the page has a script")?;
    let (script, _) = script.split_once("```").context("its end")?;
    let dir = proof.parent().context("the directory")?;
    let run = || -> Result<Output> {
        let done =
            Command::new("bash").arg("-c").arg(script).current_dir(dir).stdin(Stdio::null()).output()?;
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        Ok(Output { status: done.status, stdout: done.stdout, stderr })
    };
    ensure!(run()?.ok()?.text().contains("message, leaves, root and signature agree"));
    let text = std::fs::read_to_string(&proof)?;
    let json: Value = serde_json::from_str(&text)?;
    let path = json["leaves"][0]["path"][3].as_str().context("a path")?;
    std::fs::write(&proof, text.replacen(path, &"ab".repeat(32), 1))?;
    ensure!(!run()?.status.success(), "a changed path is found");
    std::fs::write(&proof, &text)?;
    std::fs::write(&message, example(18))?;
    ensure!(!run()?.status.success(), "another message is found");
    Ok(())
}

#[test]
fn heads_are_sent_recorded_and_compared() -> Result {
    let archive = archive()?;
    let dir = archive.scratch().to_owned();
    let (sink, got) = (dir.join("heads.jsonl"), dir.join("got"));
    let relay = TcpListener::bind("127.0.0.1:0")?;
    let address = relay.local_addr()?;
    configure(
        &archive,
        &format!(
            "to_file = {:?}\ncommand = [\"sh\", \"-c\", \"cat > {}\"]\nmail_to = [\"notary@example.org\"]\n\
             mail_from = \"archive@example.org\"\nsmtp_relay = \"{address}\"",
            sink.display(),
            got.display()
        ),
    )?;
    let mail = std::thread::spawn(move || take_mail(&relay));
    // The server sends by itself, as soon as it is up.
    let server = archive.serve()?;
    let mail = mail.join().ok().context("the relay")??;
    let begun = Instant::now();
    let recorded = archive.data().join("evidence/heads.jsonl");
    while !archive.data().join("evidence/sent.json").exists() {
        ensure!(begun.elapsed() < PATIENCE, "nothing was sent: {}", server.log()?);
        std::thread::sleep(Duration::from_millis(20));
    }
    let line = std::fs::read_to_string(&sink)?;
    // The store's head, and the audit log's.
    ensure!(line.lines().count() == 2 && line == std::fs::read_to_string(&got)?, "{line}");
    ensure!(line.contains("mailkeep evidence head") && line.contains("mailkeep audit head"), "{line}");
    ensure!(
        line == std::fs::read_to_string(&recorded)? && line.lines().all(|line| mail.contains(line)),
        "{mail}"
    );
    ensure!(mail.contains("To: <notary@example.org>"), "{mail}");
    let rows = archive.run(["evidence", "head", "--json"])?.ok()?.json()?;
    ensure!(rows[0]["head"]["size"] == 70 && rows[0]["recordedLeaves"] == 70, "{rows:?}");
    ensure!(rows[0]["alarm"].is_null() && rows.len() == 5, "{rows:?}");
    ensure!(server.terminate()?.success());

    // More mail; then the relay is gone.
    let early = dir.join("early");
    copy_tree(&archive.data().join("stores"), &early)?;
    let source = dir.join("source");
    std::fs::write(source.join("late.eml"), example(99))?;
    archive.archive(&source, "alice/Import")?;
    let partly = archive.run(["evidence", "send", "--json"])?;
    let rows = partly.json()?;
    ensure!(partly.code() == 1 && rows.len() == 3, "{}{}", partly.text(), partly.stderr);
    ensure!(rows[0]["result"] == "sent" && rows[1]["result"] == "sent", "{rows:?}");
    ensure!(rows[2]["to"] == "mail to notary@example.org" && rows[2]["result"] != "sent", "{rows:?}");
    let shown = archive.run(["evidence", "head"])?;
    ensure!(
        shown.code() == 1 && shown.text().contains("FAILED mail to notary@example.org"),
        "{}",
        shown.text()
    );
    let grown = archive.run([
        OsString::from("evidence"),
        "consistency".into(),
        sink.clone().into(),
        "--json".into(),
    ])?;
    let rows = grown.ok()?.json()?;
    ensure!(rows.len() == 2 && rows.iter().all(|row| row["result"] == "only grew"), "{rows:?}");
    ensure!(rows[0]["oldLeaves"] == 70 && rows[0]["newLeaves"] == 71, "{rows:?}");
    let between = dir.join("grown.json");
    archive
        .run([
            OsString::from("evidence"),
            "consistency".into(),
            sink.clone().into(),
            "-o".into(),
            between.clone().into(),
        ])?
        .ok()?;
    let key = archive.data().join("keys/evidence.pub");
    let checked =
        evidence("consistency", &[Path::new("--check"), &between, Path::new("--key"), &key])?.ok()?;
    ensure!(checked.text().contains("from 70 to 71 leaves"), "{}", checked.text());

    // The store is put back to its earlier state: the log is shorter than the head that was sent.
    std::fs::remove_dir_all(archive.data().join("stores"))?;
    copy_tree(&early, &archive.data().join("stores"))?;
    let heads = || -> Result<String> {
        let text = std::fs::read_to_string(&recorded)?;
        Ok(text.lines().filter(|line| line.contains("mailkeep evidence head")).collect())
    };
    let before = heads()?;
    let told = archive.run(["evidence", "head"])?;
    ensure!(told.code() == 1 && told.text().contains("shortened"), "{}{}", told.text(), told.stderr);
    ensure!(archive.run(["evidence", "send"])?.code() == 1);
    ensure!(heads()? == before, "no head covers the break up");
    let refused = archive.run([OsString::from("evidence"), "consistency".into(), sink.into()])?;
    ensure!(refused.code() == 1 && refused.text().contains("NOT PROVEN"), "{}", refused.text());
    let server = archive.serve()?;
    let begun = Instant::now();
    while !server.log()?.contains("EVIDENCE") {
        ensure!(begun.elapsed() < PATIENCE, "nothing was told: {}", server.log()?);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn the_key_is_made_when_it_is_missing_and_refused_when_others_can_read_it() -> Result {
    use std::os::unix::fs::PermissionsExt;
    let archive = archive()?;
    let keys = archive.data().join("keys");
    let (key, public) = (keys.join("evidence.key"), keys.join("evidence.pub"));
    ensure!(std::fs::metadata(&key)?.permissions().mode() & 0o777 == 0o600);
    // An installation of an earlier version.
    std::fs::remove_file(&key)?;
    std::fs::remove_file(&public)?;
    archive.run(["evidence", "head"])?.ok()?;
    ensure!(std::fs::metadata(&key)?.permissions().mode() & 0o777 == 0o600 && public.exists());
    let secret = std::fs::read_to_string(&key)?;
    let secret = secret.trim_end().rsplit(':').next().context("the key's digits")?;
    let shown = archive.run(["--log", "trace", "evidence", "head", "--json"])?.ok()?;
    ensure!(!shown.text().contains(secret) && !shown.stderr.contains(secret));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
    let refused = archive.run(["evidence", "head"])?;
    ensure!(refused.code() == 1 && refused.stderr.contains("chmod 600"), "{}", refused.stderr);
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
