//! The audit log over the real program: what stands in it, what doesn't, and what verifying it finds.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::Path;
use tests::imap::Imap;
use tests::{Archive, Result, kept};

fn entries(archive: &Archive, more: &[&str]) -> Result<Vec<Value>> {
    archive.run([&["audit", "list", "--json", "--limit", "100000"], more].concat())?.ok()?.json()
}

fn message(archive: &Archive) -> Result {
    let eml = archive.scratch().join("one.eml");
    std::fs::write(
        &eml,
        "From: a@example.org\r\nSubject: S3CRET-subject\r\nDate: 1 Jan 2020 00:00:00 +0000\r\n\r\nwords\r\n",
    )?;
    archive.archive(&eml, "alice/Import")?;
    Ok(())
}

/// Passwords, tokens, what is searched for, and names that nobody has, planted wherever something is typed.
#[test]
fn no_secret_and_no_word_of_mail_gets_into_the_audit_log() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    message(&archive)?;
    let password = b"S3CRET-password-0\n";
    archive.run_with(["user", "add", "bob", "--password-stdin"], password)?.ok()?;
    archive.run_with(["user", "passwd", "alice", "--password-stdin"], b"S3CRET-password-1\n")?.ok()?;
    // One that breaks the rules, and one for nobody.
    archive.run_with(["user", "passwd", "alice", "--password-stdin"], b"S3CRET\n")?;
    archive.run_with(["user", "passwd", "nobody", "--password-stdin"], password)?;
    for command in [
        &["search", "subject:S3CRET-subject"][..],
        &["search", "--archive", "alice", "S3CRET-word"],
        &["search", "S3CRET-word (S3CRET"],
        &["search", "in:S3CRET after:S3CRET"],
        &["cat", "alice/Import", "1"],
        &["message", "move", "alice/Import", "--search", "subject:S3CRET-subject", "--to", "alice/Kept"],
        &["message", "delete", "alice/Kept", "--search", "S3CRET-word", "--yes"],
        &["message", "delete", "alice/Kept", "--search", "(S3CRET-word", "--yes"],
        &["folders"],
        &["runs"],
        &["audit"],
        &["audit", "verify"],
        &["audit", "head"],
        &["profile", "list"],
        &["evidence", "head"],
        &["key", "show"],
        &["check"],
    ] {
        archive.run(command.iter().copied())?;
    }
    let server = archive.serve()?;
    let mut imap = Imap::connect(server.imap)?;
    for login in [
        "LOGIN alice S3CRET-wrong",
        "LOGIN S3CRET-typed-as-a-name x",
        "AUTHENTICATE PLAIN AGFsaWNlAFMzQ1JFVC13cm9uZw==",
    ] {
        ensure!(imap.command(login)?.1.starts_with("NO"), "{login}");
    }
    imap.ok("LOGIN alice S3CRET-password-1")?;
    imap.ok("SELECT Kept")?;
    imap.ok("SEARCH TEXT S3CRET-word")?;
    ensure!(server.terminate()?.success());
    let text = archive.run(["audit", "list", "--json", "--limit", "100000"])?.ok()?.text();
    ensure!(!text.contains("S3CRET") && !text.contains("UzNDUk"), "{text}");
    for there in [
        "user.password",
        "mail.search",
        "mail.cat",
        "message.delete",
        "by a search",
        "imap.login",
        "(unknown)",
    ] {
        ensure!(text.contains(there), "{there} is not in {text}");
    }
    Ok(())
}

/// Who opened whose folder, once for each session; logins as the settings say; filters and exports of them.
#[test]
fn accesses_and_logins_are_noted_filtered_and_exported() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    message(&archive)?;
    archive.run(["user", "grant", "bob", "--read", "alice"])?.ok()?;
    let server = archive.serve()?;
    for session in 0..2 {
        let mut imap = Imap::login(server.imap, "bob")?;
        for _ in 0..3 {
            imap.ok("EXAMINE \"Other Archives/alice/Import\"")?;
        }
        imap.ok("SELECT INBOX")?;
        imap.ok("LOGOUT")?;
        let found = entries(&archive, &["--kind", "access"])?;
        ensure!(found.len() == session + 1, "{found:?}");
        ensure!(
            found[0]["who"] == "bob"
                && found[0]["what"] == "imap.select \"alice/Import\""
                && found[0]["object"] == "alice"
                && found[0]["from"] == "127.0.0.1",
            "{found:?}"
        );
    }
    ensure!(Imap::connect(server.imap)?.command("LOGIN alice wrong")?.1.starts_with("NO"));
    let logins = entries(&archive, &["--kind", "login"])?;
    let of = |who: &str| {
        logins
            .iter()
            .filter(|entry| entry["who"] == who)
            .map(|entry| entry["result"].clone())
            .collect::<Vec<_>>()
    };
    ensure!(of("bob") == ["ok"] && of("alice") == ["refused"], "{logins:?}");
    archive.run(["cat", "alice/Import", "1"])?.ok()?;
    let about =
        entries(&archive, &["--archive", "alice", "--kind", "access", "--kind", "run", "--newest-first"])?;
    ensure!(about[0]["what"] == "mail.cat \"alice/Import\" 1" && about.len() == 4, "{about:?}");
    ensure!(about.iter().any(|entry| entry["kind"] == "run"), "{about:?}");
    ensure!(entries(&archive, &["--result", "failed"])?.iter().all(|entry| entry["result"] != "ok"));
    ensure!(
        entries(&archive, &["--since", "2999-01-01"])?.is_empty()
            && entries(&archive, &["--until", "2000-01-01"])?.is_empty()
    );

    let (dir, file) = (archive.scratch().join("out"), archive.scratch().join("all.csv"));
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path");
    archive.run(["audit", "export", "--csv", &text(&file)?, "--kind", "login"])?.ok()?;
    let csv = std::fs::read_to_string(&file)?;
    ensure!(csv.starts_with("number,time,who,from,kind,what,object,result,hash\r\n"), "{csv}");
    ensure!(csv.lines().count() == 1 + logins.len(), "{csv}");
    let files = archive.run(["audit", "export", "--dir", &text(&dir)?, "--json"])?.ok()?.json()?;
    let mut lines = 0;
    for row in &files {
        let csv = std::fs::read_to_string(dir.join(row["file"].as_str().context("file")?))?;
        ensure!(csv.lines().count() as u64 == 1 + row["entries"].as_u64().context("entries")?, "{csv}");
        lines += csv.lines().count() - 1;
    }
    ensure!(lines + 1 >= entries(&archive, &[])?.len() - 1, "{files:?}");
    ensure!(archive.run(["audit", "export"])?.code() == 2);
    ensure!(archive.run(["audit", "--last", "2"])?.ok()?.text().lines().count() == 3);
    ensure!(archive.run(["audit", "--last", "100001"])?.code() == 2);
    ensure!(server.terminate()?.success());
    Ok(())
}

/// An older master.redb in place of the present one; a recorded head tells, and one from elsewhere.
#[test]
fn an_older_database_is_told_by_heads() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let master = archive.data().join("master.redb");
    let early = archive.scratch().join("early.redb");
    std::fs::copy(&master, &early)?;
    archive.add_user("bob")?;
    let good = archive.run(["audit", "verify"])?.ok()?.text();
    ensure!(good.contains("is good") && good.contains("No head was there"), "{good}");
    let kept = archive.scratch().join("head.json");
    let head = archive.run(["audit", "head"])?.ok()?;
    std::fs::write(&kept, &head.stdout)?;
    archive.run(["evidence", "send"])?.ok()?;
    let verify = |more: &[&str]| archive.run([&["audit", "verify", "--json"], more].concat());
    let path = kept.to_str().context("a path")?;
    let row = verify(&["--head", path])?.ok()?.json()?.remove(0);
    ensure!(row["good"] == true && row["headsAgreed"] == 2, "{row}");
    std::fs::copy(&early, &master)?;
    let told = verify(&[])?;
    let row = told.json()?.remove(0);
    ensure!(told.code() == 1 && row["good"] == false, "{row}");
    ensure!(
        row["what"].as_str().is_some_and(|what| what.contains("missing") && what.contains("older copy")),
        "{row}"
    );
    let told = archive.run(["evidence", "send"])?;
    ensure!(told.code() == 1 && told.text().contains("audit"), "{}", told.text());
    // With the record gone too, a head from elsewhere tells, also after others have come in the place of what is missing.
    std::fs::remove_file(archive.data().join("evidence/heads.jsonl"))?;
    ensure!(verify(&[])?.code() == 0);
    for number in 0..8 {
        archive.add_user(&format!("user{number}"))?;
    }
    let told = verify(&["--head", path])?;
    let row = told.json()?.remove(0);
    ensure!(
        told.code() == 1 && row["what"].as_str().is_some_and(|what| what.starts_with("changed")),
        "{row}"
    );
    let changed = String::from_utf8(head.stdout)?.replacen("\"entries\":", "\"entries\":1", 1);
    std::fs::write(&kept, changed)?;
    let told = verify(&["--head", path])?;
    ensure!(told.code() == 1 && told.stderr.contains("signature"), "{}", told.stderr);
    Ok(())
}

#[test]
fn logs_of_earlier_versions_are_chained_when_they_are_opened() -> Result {
    for kept in kept::versions()? {
        let archive = Archive::empty()?;
        kept::lay_out(&kept, &archive)?;
        let before = entries(&archive, &[])?;
        let row = archive.run(["audit", "verify", "--json"])?.ok()?.json()?.remove(0);
        ensure!(row["good"] == true && row["entries"].as_u64() >= Some(before.len() as u64), "{row}");
        ensure!(!before.is_empty() && before[0]["number"] == 1, "{before:?}");
    }
    Ok(())
}
