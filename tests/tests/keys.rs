//! The master key: every place that it may come from, on paper, and a new one; without it nothing is touched.

use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tests::mail::{example_tree, files};
use tests::program::Output;
use tests::{Archive, Result};

const VARIABLE: &str = "MAILKEEP_MASTER_KEY";

/// An archive with a few messages in `alice/Mail`.
fn filled() -> Result<Archive> {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 20)?;
    archive.archive(&source, "alice/Mail")?;
    Ok(archive)
}

fn key_file(archive: &Archive) -> PathBuf {
    archive.data().join("keys/master.key")
}

/// Runs a command with these variables.
fn run_with(archive: &Archive, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Result<Output> {
    let mut command = archive.command(arguments);
    command.env_remove(VARIABLE).env_remove("CREDENTIALS_DIRECTORY").envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Output { status: output.status, stdout: output.stdout, stderr })
}

/// The messages of `alice/Mail`, by the command line.
fn messages(archive: &Archive, variables: &[(&str, &OsStr)]) -> Result<u64> {
    let rows = run_with(archive, &["folders", "--json"], variables)?.ok()?.json()?;
    rows.iter()
        .find(|row| row["folder"] == "alice/Mail")
        .and_then(|row| row["messages"].as_u64())
        .context("Mail")
}

fn contents(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    files(dir)?.into_iter().map(|file| Ok((file.clone(), std::fs::read(&file)?))).collect()
}

#[test]
fn the_key_comes_from_each_of_its_places() -> Result {
    let archive = filled()?;
    let key = key_file(&archive);
    let text = std::fs::read_to_string(&key)?;
    let away = archive.scratch().join("credentials");
    std::fs::create_dir(&away)?;
    let credential = away.join("mailkeep-master-key");
    std::fs::rename(&key, &credential)?;
    // Without it: the next step is told, and not a byte of DATA has changed.
    let before = contents(&archive.data())?;
    for command in [&["folders"][..], &["check"], &["serve"], &["key", "show"], &["user", "list"]] {
        let output = run_with(&archive, command, &[])?;
        ensure!(output.code() == 1, "{command:?}: {}", output.code());
        ensure!(
            output.stderr.contains("key import") && output.stderr.contains("nothing was touched"),
            "{}",
            output.stderr
        );
    }
    ensure!(contents(&archive.data())? == before);
    let credentials = [("CREDENTIALS_DIRECTORY", away.as_os_str())];
    let variable = [(VARIABLE, OsStr::new(text.trim()))];
    ensure!(messages(&archive, &credentials)? == 20);
    ensure!(messages(&archive, &variable)? == 20);
    let place = |variables: &[(&str, &OsStr)]| -> Result<String> {
        let row = run_with(&archive, &["key", "show", "--json"], variables)?.ok()?.json()?.remove(0);
        Ok(row["from"].as_str().context("from")?.to_owned())
    };
    ensure!(place(&credentials)? == "credential");
    ensure!(place(&[variable[0], credentials[0]])? == "environment");
    // A command, named in the configuration; the others count only if it says so.
    let conf = archive.data().join("mailkeep.toml");
    let plain = std::fs::read_to_string(&conf)?;
    let program = |script: &str, more: &str| -> Result {
        let line = format!("\n[keys]\n{more}command = [\"/bin/sh\", \"-c\", {script:?}]\n");
        std::fs::write(&conf, plain.replacen("\n[keys]\n", &line, 1))?;
        Ok(())
    };
    program(&format!("cat {}", credential.display()), "")?;
    ensure!(messages(&archive, &[])? == 20 && place(&[])? == "command");
    program("echo the vault is sealed >&2; exit 7", "from = \"command\"\n")?;
    let output = run_with(&archive, &["folders"], &variable)?;
    ensure!(output.code() == 1 && output.stderr.contains("the vault is sealed"), "{}", output.stderr);
    program("echo rubbish", "from = \"command\"\n")?;
    let output = run_with(&archive, &["folders"], &variable)?;
    ensure!(output.code() == 1 && !output.stderr.contains("rubbish"), "{}", output.stderr);
    // What stands in a variable that is no key is not shown.
    std::fs::write(&conf, &plain)?;
    let output = run_with(&archive, &["folders"], &[(VARIABLE, OsStr::new("mailkeep-master-key-1:abcdef"))])?;
    ensure!(output.code() == 1 && !output.stderr.contains("abcdef"), "{}", output.stderr);
    Ok(())
}

#[test]
fn init_takes_the_key_of_each_place() -> Result {
    let made = Archive::empty()?;
    let path = made.scratch().join("new.key");
    made.run([OsStr::new("key"), OsStr::new("new"), OsStr::new("-o"), path.as_os_str()])?.ok()?;
    ensure!(std::fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600);
    let text = std::fs::read_to_string(&path)?;
    ensure!(made.run(["key", "new"])?.code() == 1, "a key went into a pipe by accident");
    ensure!(made.run(["key", "new", "--stdout"])?.ok()?.text().len() == text.len());
    let variable = [(VARIABLE, OsStr::new(text.trim()))];
    run_with(&made, &["init", "--key-from", "environment"], &variable)?.ok()?;
    ensure!(!key_file(&made).exists());
    run_with(&made, &["folders"], &variable)?.ok()?;
    ensure!(run_with(&made, &["folders"], &[])?.code() == 1);
    let by_command = Archive::empty()?;
    let shown = path.display().to_string();
    by_command.run(["init", "--key-command", "cat", &shown])?.ok()?;
    ensure!(!key_file(&by_command).exists());
    let id = |archive: &Archive, variables: &[(&str, &OsStr)]| -> Result<String> {
        let row = run_with(archive, &["key", "show", "--json"], variables)?.ok()?.json()?.remove(0);
        Ok(row["keyId"].as_str().context("keyId")?.to_owned())
    };
    ensure!(id(&made, &variable)? == id(&by_command, &[])?);
    // A key that is not there: nothing is made.
    let none = Archive::empty()?;
    for from in ["environment", "credential", "command"] {
        ensure!(run_with(&none, &["init", "--key-from", from], &[])?.code() == 1, "{from}");
        ensure!(!none.data().exists(), "{from}");
    }
    Ok(())
}

#[test]
fn a_sheet_brings_a_lost_key_back() -> Result {
    let archive = filled()?;
    let sheet = archive.scratch().join("sheet.txt");
    let shown = sheet.display().to_string();
    ensure!(archive.run(["key", "export"])?.code() == 1, "a sheet went into a pipe by accident");
    archive.run(["key", "export", "-o", &shown])?.ok()?;
    ensure!(std::fs::metadata(&sheet)?.permissions().mode() & 0o777 == 0o600);
    ensure!(archive.run(["key", "export", "-o", &shown])?.code() == 1, "written over");
    // The server makes the same one.
    let server = archive.serve()?;
    let text = archive.run(["key", "export", "--stdout"])?.ok()?.text();
    ensure!(text == std::fs::read_to_string(&sheet)?);
    ensure!(server.terminate()?.success());
    let key = key_file(&archive);
    let lost = std::fs::read(&key)?;
    let digits = String::from_utf8(lost.clone())?.trim().rsplit(':').next().context("digits")?.to_owned();
    let audit = archive.run(["audit", "--json"])?.ok()?.text();
    ensure!(audit.contains("key.export") && !audit.contains(&digits[..8]));
    ensure!(archive.run(["key", "import", &shown])?.code() == 1, "there is a key");
    std::fs::remove_file(&key)?;
    // A mistyped line is named, another key does not open the archive: nothing is written.
    let typo = text.lines().find(|line| line.trim().starts_with("line 3")).context("line 3")?;
    let at = typo.rfind(' ').context("blank")? + 1;
    let wrong = if typo.as_bytes()[at] == b'0' { "1" } else { "0" };
    let bent = format!("{}{wrong}{}", &typo[..at], &typo[at + 1..]);
    let output = archive.run_with(["key", "import", "-"], text.replace(typo, &bent).as_bytes())?;
    ensure!(output.code() == 1 && output.stderr.contains("line 3"), "{}", output.stderr);
    let other = Archive::new()?.run(["key", "export", "--stdout"])?.ok()?.text();
    let output = archive.run_with(["key", "import", "-"], other.as_bytes())?;
    ensure!(output.code() == 1 && output.stderr.contains("does not open"), "{}", output.stderr);
    ensure!(!key.exists());
    let typed: String =
        text.lines().filter(|l| l.trim().starts_with("line ")).map(|l| l.to_uppercase() + "\n").collect();
    archive.run_with(["key", "import", "-"], typed.as_bytes())?.ok()?;
    ensure!(std::fs::read(&key)? == lost);
    ensure!(messages(&archive, &[])? == 20);
    // A new installation under the same key.
    let new = Archive::empty()?;
    new.run(["init", "--from-sheet", &shown])?.ok()?;
    ensure!(std::fs::read(key_file(&new))? == lost);
    Ok(())
}

#[test]
fn a_new_key_opens_everything_with_and_without_a_server() -> Result {
    let archive = filled()?;
    let source = archive.scratch().join("source");
    let before = std::fs::read(key_file(&archive))?;
    let packs = contents(&archive.data().join("stores/0001/packs"))?;
    let first = archive.run(["key", "rotate", "--json"])?.ok()?.json()?.remove(0);
    ensure!(first["stores"] == 1 && first["missing"] == serde_json::json!([]), "{first}");
    ensure!(std::fs::read(key_file(&archive))? != before);
    for (path, bytes) in packs {
        ensure!(std::fs::read(&path)? == bytes, "{} was rewritten", path.display());
    }
    let kept = PathBuf::from(first["kept"].as_str().context("kept")?);
    ensure!(std::fs::read(&kept)? == before && !archive.data().join("keys/master.key.old").exists());
    ensure!(messages(&archive, &[])? == 20);
    archive.run(["check"])?.ok()?;
    let server = archive.serve()?;
    let second = archive.run(["key", "rotate", "--json"])?.ok()?.json()?.remove(0);
    ensure!(second["before"] == first["keyId"]);
    example_tree(&source, 40)?;
    archive.archive(&source, "alice/Mail")?;
    let shown = archive.run(["key", "show", "--json"])?.ok()?.json()?.remove(0);
    ensure!(shown["keyId"] == second["keyId"]);
    ensure!(server.terminate()?.success());
    ensure!(messages(&archive, &[])? == 40);
    archive.run(["check"])?.ok()?;
    // The old keys still open the old packs: that is what the documentation says.
    std::fs::copy(&kept, key_file(&archive))?;
    ensure!(messages(&archive, &[])? >= 20);
    Ok(())
}

#[test]
fn a_rotation_that_is_killed_anywhere_is_completed() -> Result {
    let archive = filled()?;
    let keys = archive.data().join("keys");
    let lists = |name: &str| keys.join(name).exists();
    // Killed as soon as these are seen: what is on disk then is any of the states on the way.
    let points: [&dyn Fn() -> bool; 4] = [
        &|| lists("master.key.new"),
        &|| lists("master.key.old"),
        &|| lists("master.key.old") && !lists("master.key.new"),
        &|| files(&archive.data().join("stores/0001/packs")).is_ok_and(|packs| packs.len() > 1),
    ];
    for point in points {
        for _ in 0..3 {
            let mut child =
                archive.command(["key", "rotate"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            while !point() && child.try_wait()?.is_none() {
                std::thread::yield_now();
            }
            child.kill()?;
            child.wait()?;
            ensure!(messages(&archive, &[])? == 20);
            ensure!(!lists("master.key.old"), "the opening completes it");
            archive.run(["check"])?.ok()?;
        }
    }
    // With a key from elsewhere, the new one is a file to be placed.
    let key = key_file(&archive);
    let text = std::fs::read_to_string(&key)?;
    std::fs::remove_file(&key)?;
    let variable = [(VARIABLE, OsStr::new(text.trim()))];
    ensure!(run_with(&archive, &["key", "rotate"], &variable)?.code() == 1);
    let new = archive.scratch().join("new.key");
    run_with(&archive, &["key", "rotate", "-o", &new.display().to_string()], &variable)?.ok()?;
    let new = std::fs::read_to_string(&new)?;
    ensure!(new != text);
    for text in [&new, &text] {
        ensure!(
            messages(&archive, &[(VARIABLE, OsStr::new(text.trim()))])? == 20,
            "either opens it until it is placed"
        );
    }
    Ok(())
}
