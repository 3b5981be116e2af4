//! Writes generated mail to files, for measuring and for trying things out at scale.
//!
//!     cargo run --release -p tests --bin generate -- --count 500000 --mbox big.mbox
//!
//! The same seed gives the same mail, always; see `tests/src/generate/mod.rs`.

use anyhow::{Context, bail};
use std::path::PathBuf;
use std::time::Instant;
use tests::generate::{Generator, write_eml, write_maildir, write_mbox};

const USAGE: &str =
    "usage: generate [--count N] [--first N] [--seed N] (--mbox FILE | --maildir DIR | --eml DIR)";

enum Target {
    Mbox(PathBuf),
    Maildir(PathBuf),
    Eml(PathBuf),
}

fn main() -> tests::Result {
    let (mut count, mut first, mut seed, mut target) = (1_000, 0, 1, None);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| USAGE)?;
        let number = || value.to_str().and_then(|text| text.parse().ok()).with_context(|| USAGE);
        match name.to_str() {
            Some("--count") => count = number()?,
            Some("--first") => first = number()?,
            Some("--seed") => seed = number()?,
            Some("--mbox") => target = Some(Target::Mbox(value.into())),
            Some("--maildir") => target = Some(Target::Maildir(value.into())),
            Some("--eml") => target = Some(Target::Eml(value.into())),
            _ => bail!(USAGE),
        }
    }
    let generator = Generator::new(seed);
    let numbers = first..u64::saturating_add(first, count);
    let start = Instant::now();
    let bytes = match target.with_context(|| USAGE)? {
        Target::Mbox(file) => write_mbox(&generator, numbers, &file)?,
        Target::Maildir(dir) => write_maildir(&generator, numbers, &dir)?,
        Target::Eml(dir) => write_eml(&generator, numbers, &dir)?,
    };
    let secs = start.elapsed().as_secs_f64();
    #[expect(clippy::print_stderr, reason = "a tool's last words")]
    {
        eprintln!("{count} messages, {bytes} bytes, {:.0} messages/s", count as f64 / secs.max(0.001));
    }
    Ok(())
}
