//! Completions and manual pages, from the one definition of the command line; and the files for systemd and fail2ban.

use crate::cli::{Cli, UnitName};
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Prints a shell's completions.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mailkeep", &mut text);
    print(&text)
}

/// Prints the manual page, or writes the pages of all commands into a directory.
pub(crate) fn man(dir: Option<&Path>) -> Result<ExitCode> {
    if let Some(dir) = dir {
        let written =
            std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
        written.with_context(|| dir.display().to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text)?;
    print(&text)
}

/// Prints a unit.
pub(crate) fn unit(which: UnitName) -> Result<ExitCode> {
    print(match which {
        UnitName::Service => include_bytes!("../systemd/mailkeep.service").as_slice(),
        UnitName::ImapSocket => include_bytes!("../systemd/mailkeep-imap.socket").as_slice(),
        UnitName::Fail2banFilter => include_bytes!("../fail2ban/filter.conf").as_slice(),
        UnitName::Fail2banJail => include_bytes!("../fail2ban/jail.conf").as_slice(),
        UnitName::ImapsSocket => include_bytes!("../systemd/mailkeep-imaps.socket").as_slice(),
    })
}

fn print(text: &[u8]) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
