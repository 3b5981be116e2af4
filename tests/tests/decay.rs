//! Bytes that rot in any file of an installation, by chance, seen from outside: no command panics, no message comes out wrong,
//! and what can't be read is an error that says something.
//!
//! A failure names its seed; `MAILKEEP_SEED=N` begins there.

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::generate::Dice;
use tests::mail::{files, sha256};
use tests::program::Output;
use tests::{Archive, Result, kept};

/// Seeds of a long run; else time ends them.
const LONG_SEEDS: u64 = 300;
const ENOUGH: Duration = Duration::from_secs(30);

/// Files whose bytes count: what rots in the index and in the databases is derived or is noticed by their libraries.
fn candidates(archive: &Archive) -> Result<Vec<PathBuf>> {
    let all = files(&archive.data())?;
    let counts = |file: &Path| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let index = file.parent().is_some_and(|dir| dir.ends_with("index"));
        index && !name.ends_with(".lock") || name.ends_with(".redb") || name.ends_with(".pack")
    };
    Ok(all
        .into_iter()
        .filter(|file| counts(file) && std::fs::metadata(file).is_ok_and(|m| m.len() > 0))
        .collect())
}

/// Changes some bytes of a file; says how.
fn rot(file: &Path, dice: &mut Dice) -> Result<String> {
    let mut bytes = std::fs::read(file)?;
    let at = dice.below(bytes.len() as u64) as usize;
    let run = (dice.magnitude(1, 5_000) as usize).min(bytes.len() - at);
    let how = match dice.below(4) {
        0 => {
            bytes[at] ^= 1 << dice.below(8);
            "a bit flipped"
        }
        1 => {
            bytes[at..at + run].fill(0);
            "zeroed"
        }
        2 => {
            bytes.truncate(at);
            "cut off"
        }
        _ => {
            let from = dice.below((bytes.len() - run) as u64 + 1) as usize;
            bytes.copy_within(from..from + run, at);
            "misplaced"
        }
    };
    std::fs::write(file, bytes)?;
    Ok(format!("{}: {run} bytes from {at} {how}", file.display()))
}

fn no_panic(output: Output) -> Result<Output> {
    ensure!(
        [0, 1].contains(&output.code()),
        "exit status {}: {}{}",
        output.code(),
        output.text(),
        output.stderr
    );
    ensure!(
        !output.stdout.is_empty() || !output.stderr.is_empty() || output.code() == 0,
        "fails without a word"
    );
    Ok(output)
}

fn one(seed: u64, kept: &Path) -> Result {
    let archive = Archive::empty()?;
    let manifest = kept::lay_out(kept, &archive)?;
    // Databases of this version, and an index.
    archive.run(["check"])?;
    let mut dice = Dice::new(&[seed]);
    let all = candidates(&archive)?;
    let how = rot(&all[dice.below(all.len() as u64) as usize], &mut dice)?;
    let looked = (|| {
        for arguments in
            [&["folders"][..], &["store", "list"], &["search", "--user", "alice", "the"], &["check"]]
        {
            no_panic(archive.run(arguments)?).with_context(|| format!("{arguments:?}"))?;
        }
        for folder in manifest["folders"].as_array().context("folders")? {
            let path = folder["folder"].as_str().context("a folder")?;
            let messages = folder["messages"].as_array().context("messages")?;
            let message = &messages[dice.below(messages.len() as u64) as usize];
            let output = no_panic(archive.run(["cat", path, &message["uid"].to_string()])?)?;
            if output.code() == 0 {
                ensure!(
                    sha256(&output.stdout) == message["sha256"],
                    "{path} {} comes out wrong",
                    message["uid"]
                );
            }
        }
        Ok(())
    })();
    looked.with_context(|| format!("MAILKEEP_SEED={seed}: {how}"))
}

#[test]
fn no_command_panics_or_gives_a_wrong_message() -> Result {
    let first = std::env::var("MAILKEEP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let kept = kept::versions()?.pop().context("a kept installation")?;
    let began = Instant::now();
    for seed in first..first + LONG_SEEDS {
        if seed > first && !tests::tools::long() && began.elapsed() > ENOUGH {
            break;
        }
        one(seed, &kept)?;
    }
    Ok(())
}
