//! What a process gives up before it reads a file that nobody trusts.
//!
//! Invariant: none of it can be taken back. Limits of the system bound memory and written files, no further descriptor can be had (so that
//! also a kernel without Landlock opens no file), no privilege can be gained; Landlock refuses files, network and signals where the kernel has it.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// How far the kernel's Landlock confines the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confined {
    /// Files, network and signals are refused.
    Fully,
    /// The kernel knows some of it.
    Partly,
    /// The kernel has no Landlock: only the limits hold.
    Not,
}

impl Confined {
    pub(crate) fn code(self) -> u8 {
        match self {
            Confined::Fully => 2,
            Confined::Partly => 1,
            Confined::Not => 0,
        }
    }
    pub(crate) fn from_code(code: u8) -> Option<Confined> {
        [Confined::Not, Confined::Partly, Confined::Fully].into_iter().find(|known| known.code() == code)
    }
}

/// Address space beside memory that is written to: the program itself, and what the allocator keeps in reserve.
const PROGRAM_BYTES: u64 = 512 << 20;

/// Confines this process, for good; the threads that it has already keep what Landlock would refuse. `memory_bytes`: that it may write to.
/// Gives how far Landlock goes.
/// # Errors
/// Those of the system: then nothing should be read.
pub fn confine(memory_bytes: u64) -> io::Result<Confined> {
    rustix::thread::set_no_new_privs(true)?;
    let landlocked = landlock().map_err(io::Error::other)?;
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, 0)?;
    lower(Resource::Data, memory_bytes)?;
    lower(Resource::As, memory_bytes.saturating_add(PROGRAM_BYTES))?;
    // Standard input, output and error are all.
    lower(Resource::Nofile, 3)?;
    Ok(landlocked)
}

/// Lets this process start no further thread or program. (It holds for every user but root.)
/// # Errors
/// Those of the system.
pub(crate) fn no_more_threads() -> io::Result<()> {
    lower(Resource::Nproc, 0)
}

/// Ends this process when it has used so many seconds of a processor from now on, whoever watches it.
/// # Errors
/// Those of the system.
pub(crate) fn cpu_secs(secs: u64) -> io::Result<()> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).tv_sec;
    let most = u64::try_from(used).unwrap_or(0).saturating_add(secs).saturating_add(1);
    let hard = getrlimit(Resource::Cpu).maximum;
    Ok(setrlimit(
        Resource::Cpu,
        Rlimit { current: Some(hard.map_or(most, |hard| most.min(hard))), maximum: hard },
    )?)
}

fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let hard = getrlimit(resource).maximum.map_or(to, |hard| hard.min(to));
    Ok(setrlimit(resource, Rlimit { current: Some(hard), maximum: Some(hard) })?)
}

fn landlock() -> Result<Confined, landlock::RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confined::Fully,
        RulesetStatus::PartiallyEnforced => Confined::Partly,
        RulesetStatus::NotEnforced => Confined::Not,
    })
}
