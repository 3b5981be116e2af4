//! Writes a small installation and keeps it as test data; see `tests/src/kept.rs`.

use anyhow::Context;

fn main() -> tests::Result {
    let to = std::env::args_os().nth(1).context("usage: keep_store tests/data/store-vN")?;
    tests::kept::keep(to.as_ref())
}
