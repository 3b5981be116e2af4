//! Progress: a bar on a terminal, otherwise a plain line now and then, or lines of JSON for programs; always on standard error.

use crate::command::{Progress, Unit};
use crate::output::clean;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between two plain lines.
const PAUSE: Duration = Duration::from_secs(10);
/// Time between two lines of JSON.
const JSON_PAUSE: Duration = Duration::from_secs(1);

/// Shows progress.
pub(crate) struct Meter {
    quiet: bool,
    json: bool,
    terminal: bool,
    bar: Option<(ProgressBar, bool)>,
    last_line: Instant,
}

impl Meter {
    /// A meter that shows nothing so far, or never.
    pub(crate) fn new(quiet: bool, json: bool) -> Meter {
        let terminal = io::stderr().is_terminal();
        Meter { quiet, json, terminal, bar: None, last_line: Instant::now() }
    }

    /// Shows how far it is.
    pub(crate) fn show(&mut self, progress: &Progress) {
        if self.quiet {
        } else if self.json {
            if self.last_line.elapsed() >= JSON_PAUSE {
                self.last_line = Instant::now();
                let event = serde_json::json!({ "progress": progress });
                writeln!(io::stderr().lock(), "{}", crate::output::line(&event)).ok();
            }
        } else if self.terminal {
            self.draw(progress);
        } else if self.last_line.elapsed() >= PAUSE {
            self.last_line = Instant::now();
            // Progress that can't be shown is no reason to stop.
            writeln!(io::stderr().lock(), "mailkeep: {}", words(progress)).ok();
        }
    }

    /// Removes the bar, before something else is shown.
    pub(crate) fn clear(&mut self) {
        if let Some((bar, _)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self, progress: &Progress) {
        let known = progress.total.is_some();
        if self.bar.as_ref().is_some_and(|&(_, was_known)| was_known != known) {
            self.clear();
        }
        let (bar, _) = self.bar.get_or_insert_with(|| (bar(progress), known));
        bar.set_length(progress.total.unwrap_or(progress.done));
        bar.set_position(progress.done);
        bar.set_message(clean(&progress.text));
    }
}

fn bar(progress: &Progress) -> ProgressBar {
    let template = match (progress.unit, progress.total) {
        (Unit::Bytes, Some(_)) => {
            "{bar:30} {percent}% of {total_bytes}, {bytes_per_sec}, {eta} left  {wide_msg}"
        }
        (Unit::Bytes, None) => "{spinner} {bytes}  {wide_msg}",
        (Unit::Messages, Some(_)) => "{bar:30} {human_pos} of {human_len} messages, {eta} left  {wide_msg}",
        (Unit::Messages, None) => "{spinner} {human_pos} messages  {wide_msg}",
        (Unit::Entries, _) => "{spinner} {human_pos} entries  {wide_msg}",
    };
    let bar = ProgressBar::with_draw_target(progress.total, ProgressDrawTarget::stderr());
    // The templates are ours; a wrong one would only look plainer.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn words(progress: &Progress) -> String {
    let count = |n: u64| match progress.unit {
        Unit::Bytes => indicatif::HumanBytes(n).to_string(),
        Unit::Messages => format!("{n} messages"),
        Unit::Entries => format!("{n} entries"),
    };
    let total = progress.total.map(|total| format!(" of {}", count(total))).unwrap_or_default();
    let text = if progress.text.is_empty() { String::new() } else { format!(": {}", clean(&progress.text)) };
    format!("{}{total}{text}", count(progress.done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_log() {
        let progress =
            Progress { done: 1 << 20, total: Some(1 << 21), unit: Unit::Bytes, text: "a\u{7}.mbox".into() };
        assert_eq!(words(&progress), "1.00 MiB of 2.00 MiB: a\\u{7}.mbox");
        let progress = Progress { done: 3, total: None, unit: Unit::Messages, text: String::new() };
        assert_eq!(words(&progress), "3 messages");
    }
}
