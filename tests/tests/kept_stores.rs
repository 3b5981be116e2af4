//! What earlier versions wrote opens for ever: whole, and from its packs and keys alone.

use anyhow::{Context, ensure};
use std::path::Path;
use tests::generate::{Generator, write_mbox};
use tests::mail::files;
use tests::{Archive, Result, kept};

/// Reads, checks, and goes on archiving.
fn is_sound(kept: &Path, change: impl Fn(&Archive) -> Result) -> Result {
    let archive = Archive::empty()?;
    let manifest = kept::lay_out(kept, &archive)?;
    change(&archive)?;
    ensure!(kept::manifest(&archive)? == manifest, "folders, UIDs or bytes are not what they were");
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
