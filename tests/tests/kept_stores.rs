//! What earlier versions wrote opens for ever: whole, and from its packs and keys alone.

use anyhow::{Context, ensure};
use std::path::Path;
use tests::generate::{Generator, write_mbox};
use tests::mail::files;
use tests::{Archive, Imap, Result, kept, scripts};

/// Reads, checks, and goes on archiving.
fn is_sound(kept: &Path, change: impl Fn(&Archive) -> Result) -> Result {
    let archive = Archive::empty()?;
    let manifest = kept::lay_out(kept, &archive)?;
    change(&archive)?;
    ensure!(
        kept::manifest(&archive)?["folders"] == manifest["folders"],
        "folders, UIDs or bytes are not what they were"
    );
    archive.run(["check"])?.ok()?;
    let new = archive.scratch().join("new.mbox");
    let numbers = 1_000_000..1_000_040;
    let count = numbers.clone().count();
    let generator = Generator::new(9);
    write_mbox(&generator, numbers, &new)?;
    let run = archive.archive(&new, "alice/Box")?;
    ensure!(run["sums"]["archived"].as_u64() == Some(count as u64), "{}", run["sums"]);
    let again = archive.archive(&new, "alice/Box")?;
    ensure!(again["sums"]["archived"] == 0 && again["sums"]["already"].as_u64() == Some(count as u64));
    archive.run(["check"])?.ok()?;
    let after = kept::manifest(&archive)?;
    for folder in manifest["folders"].as_array().context("folders")? {
        let now =
            after["folders"].as_array().and_then(|all| all.iter().find(|f| f["folder"] == folder["folder"]));
        let now = now.with_context(|| format!("{} is gone", folder["folder"]))?;
        ensure!(now["uidValidity"] == folder["uidValidity"], "{}", folder["folder"]);
        let (old, now) = (folder["messages"].as_array(), now["messages"].as_array());
        ensure!(now.zip(old).is_some_and(|(now, old)| now.starts_with(old)), "{}", folder["folder"]);
    }
    Ok(())
}

#[test]
fn every_kept_installation_opens_reads_and_takes_more() -> Result {
    for kept in kept::versions()? {
        is_sound(&kept, |_| Ok(())).with_context(|| kept.display().to_string())?;
    }
    Ok(())
}

#[test]
fn every_kept_installation_comes_back_from_packs_and_keys() -> Result {
    for kept in kept::versions()? {
        let without_derived = |archive: &Archive| {
            let derived = |path: &Path| path.file_name().is_some_and(|name| name == "store.redb");
            for file in files(&archive.data())?.into_iter().filter(|file| derived(file)) {
                std::fs::remove_file(file)?;
            }
            Ok(())
        };
        is_sound(&kept, without_derived).with_context(|| kept.display().to_string())?;
    }
    Ok(())
}

#[test]
fn the_people_of_every_kept_installation_are_who_they_were() -> Result {
    let mut any = false;
    for kept in kept::versions()? {
        let archive = Archive::empty()?;
        let manifest = kept::lay_out(&kept, &archive)?;
        let Some(then) = manifest.get("people") else { continue };
        any = true;
        let now = kept::people(&archive)?;
        ensure!(kept::still_so(then, &now), "{}: {then:#}\nis now {now:#}", kept.display());
        archive.run(["audit", "verify"])?.ok()?;
        let secret = |name: &str| {
            manifest["secrets"][name].as_str().with_context(|| format!("{name}, {}", kept.display()))
        };
        let (app, totp) = (secret("appPasswordOfBob")?, secret("totpOfBob")?);
        // The certificate isn't kept: one of another installation does as well.
        let other = Archive::new()?;
        std::fs::rename(other.data().join("tls"), archive.data().join("tls"))?;
        let server = archive.serve()?;
        Imap::login(server.imap, "alice")?.ok("EXAMINE \"Other Archives/bob/Files/000000\"")?;
        Imap::enter(server.imap, "bob", app)?.context("bob's telephone")?.ok("EXAMINE Files/000000")?;
        let by_password = Imap::enter(server.imap, "bob", &Archive::password("bob"))?;
        ensure!(by_password.is_none(), "bob has a second factor");
        // The second factor's secret opens, and the auditor's password is good for commands.
        if let Some(code) = scripts::totp(totp, scripts::totp_step()?)? {
            let input = format!("{}\n{code}\n", Archive::password("bob"));
            let by_bob = ["--login", "bob", "--login-password-stdin", "--login-code", "folders"];
            archive.run_with(by_bob, input.as_bytes())?.ok()?;
        }
        let by_carol = ["--login", "carol", "--login-password-stdin", "folders", "--json"];
        let all = archive.run_with(by_carol, format!("{}\n", Archive::password("carol")).as_bytes())?.ok()?;
        let folders = manifest["folders"].as_array().map_or(0, Vec::len);
        ensure!(all.json()?.len() == folders, "an auditor sees every folder: {}", all.text());
    }
    ensure!(any, "no kept installation has people");
    Ok(())
}

#[test]
fn the_present_format_is_kept_and_small() -> Result {
    let format = std::fs::read_to_string(tests::tools::repository()?.join("storage/FORMAT.md"))?;
    let version = format.split("Format version **").nth(1).and_then(|rest| rest.split("**").next());
    let present = format!("store-v{}", version.context("storage/FORMAT.md names its version")?);
    let all = kept::versions()?;
    ensure!(all.iter().any(|kept| kept.ends_with(&present)), "tests/data/{present} is missing");
    for kept in all {
        let sizes = files(&kept.join("data"))?
            .iter()
            .map(|f| Ok(std::fs::metadata(f)?.len()))
            .sum::<Result<u64>>()?;
        ensure!(sizes <= kept::MOST_BYTES, "{}: {sizes} bytes", kept.display());
    }
    Ok(())
}
