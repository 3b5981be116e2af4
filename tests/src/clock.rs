//! Another clock for the program: libfaketime, loaded before it. Its times are those of the calendar; waits last as long as ever.

use crate::tools::skip;
use anyhow::Context;
use std::path::PathBuf;
use std::process::Command;

/// The library that gives programs another time.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
}

impl Clock {
    /// It, or none after saying what isn't tested without it.
    /// # Errors
    /// It isn't installed, with `CI=true`.
    pub fn need(what: &str) -> crate::Result<Option<Clock>> {
        let places = std::fs::read_dir("/usr/lib").context("/usr/lib")?;
        let library = places
            .filter_map(Result::ok)
            .map(|place| place.path().join("faketime/libfaketime.so.1"))
            .find(|library| library.is_file());
        if library.is_none() {
            skip(what, "faketime is not installed")?;
        }
        Ok(library.map(|library| Clock { library }))
    }

    /// Has a program begin at this time (UTC, `2026-03-10 01:59:30`), each second of it lasting so many.
    pub fn set(&self, command: &mut Command, from: &str, times: u32) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME", format!("@{from} x{times}"))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("TZ", "UTC");
    }
}
