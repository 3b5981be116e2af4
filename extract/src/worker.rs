//! The process that extracts: confined before it reads anything, then one file after another from standard input.
//!
//! Invariant: a file that makes the reader panic costs itself only; one that breaks a limit of the system ends the process, and whoever
//! asked starts another. It ends with its standard input, and after its time on the processor, also when nobody is left to end it.

use crate::bounds::Bounds;
use crate::{Found, sandbox, wire};
use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// The first argument of a program that is to be the worker.
pub const ARGUMENT: &str = "extract-attachments";

/// Stack of the thread that reads files; some of them make readers recurse.
const STACK_BYTES: usize = 16 << 20;

/// What the worker is told on its command line, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) memory_bytes: u64,
    pub(crate) time_secs: u64,
    pub(crate) input_bytes: u64,
    pub(crate) bounds: Bounds,
}

impl Orders {
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Bounds { output_bytes, inflated_bytes, entry_bytes, entries, depth } = self.bounds;
        let numbers = [
            self.memory_bytes,
            self.time_secs,
            self.input_bytes,
            output_bytes as u64,
            inflated_bytes,
            entry_bytes,
        ];
        let numbers = numbers.into_iter().chain([entries.into(), depth.into()]);
        std::iter::once(ARGUMENT.to_owned()).chain(numbers.map(|number| number.to_string())).collect()
    }

    fn parse(arguments: impl Iterator<Item = OsString>) -> Option<Orders> {
        let numbers: Option<Vec<u64>> = arguments.map(|text| text.to_str()?.parse().ok()).collect();
        let &[memory_bytes, time_secs, input_bytes, output, inflated_bytes, entry_bytes, entries, depth] =
            &numbers?[..]
        else {
            return None;
        };
        let bounds = Bounds {
            output_bytes: usize::try_from(output).ok()?,
            inflated_bytes,
            entry_bytes,
            entries: u32::try_from(entries).ok()?,
            depth: u32::try_from(depth).ok()?,
        };
        Some(Orders { memory_bytes, time_secs, input_bytes, bounds })
    }
}

/// Works until standard input ends. `arguments`: what follows [`ARGUMENT`] on the command line that [`crate::Pool`] made.
/// To be called before the program starts any thread or opens any file.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(orders) = Orders::parse(arguments) else { return ExitCode::from(2) };
    // What a panic says of a file is of no use to anybody.
    std::panic::set_hook(Box::new(|_| {}));
    match work(orders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The asker keeps the last words; if it is gone, nobody needs them.
            writeln!(io::stderr(), "{error}").map_or(ExitCode::from(3), |()| ExitCode::FAILURE)
        }
    }
}

fn work(orders: Orders) -> io::Result<()> {
    let confined = sandbox::confine(orders.memory_bytes)?;
    let thread =
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || serve(&orders, confined))?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("panicked")))
}

fn serve(orders: &Orders, confined: sandbox::Confined) -> io::Result<()> {
    sandbox::no_more_threads()?;
    let (mut source, mut sink) = (io::stdin().lock(), io::stdout().lock());
    sink.write_all(&wire::GREETING)?;
    sink.write_all(&[confined.code()])?;
    sink.flush()?;
    while let Some((format, bytes)) = wire::read_request(&mut source, orders.input_bytes)? {
        sandbox::cpu_secs(orders.time_secs)?;
        let found = catch_unwind(AssertUnwindSafe(|| crate::extract(format, &bytes, &orders.bounds)));
        let found = found.unwrap_or_else(|_| Found {
            text: String::new(),
            trouble: Some("the reader of this kind of file failed on it".to_owned()),
        });
        drop(bytes);
        wire::write_answer(&mut sink, &found)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_back_from_the_command_line() {
        let orders = Orders { memory_bytes: 1, time_secs: 2, input_bytes: 3, bounds: Bounds::default() };
        let arguments = orders.arguments();
        assert_eq!(arguments[0], ARGUMENT);
        let parse = |some: &[String]| Orders::parse(some.iter().map(OsString::from));
        assert_eq!(parse(&arguments[1..]), Some(orders));
        assert_eq!(parse(&arguments[2..]), None);
        assert_eq!(parse(&arguments), None);
    }
}
