//! Tells the client of a long search how far it is (RFC 9585).

use crate::Settings;
use crate::proto::encode;
use std::time::Duration;
use storage::Progress;
use tokio::time::Instant;

/// What is told of the command at work, and when.
pub(super) struct Told {
    /// Has nothing in it that would end a quoted string (RFC 3501 §9 `tag`).
    tag: Vec<u8>,
    progress: Progress,
    due: Instant,
    every: Duration,
}

impl Told {
    /// Of the command with this tag, which begins now.
    pub(super) fn new(tag: Vec<u8>, progress: Progress, settings: &Settings) -> Told {
        let due = Instant::now() + Duration::from_millis(settings.progress_after_ms);
        Told { tag, progress, due, every: Duration::from_millis(settings.progress_every_ms) }
    }

    /// When the next line is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The next line; the one after it comes later.
    pub(super) fn line(&mut self) -> Vec<u8> {
        self.due = Instant::now() + self.every;
        let mut line = b"* OK [INPROGRESS (".to_vec();
        // RFC 9585 §4: a tag that would end the code is left out.
        if self.tag.contains(&b']') {
            line.extend_from_slice(b"NIL");
        } else {
            encode::string(&self.tag, &mut line);
        }
        let numbers = match self.progress.read() {
            // The goal is above what is done, else the command would have ended.
            Some((done, total)) if done < total => format!(" {done} {total}"),
            // It waits for its turn, or looks into the index.
            _ => " NIL NIL".to_owned(),
        };
        line.extend_from_slice(numbers.as_bytes());
        line.extend_from_slice(b")] Still searching\r\n");
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told() {
        let told = |tag: &str| {
            let progress = Progress::default();
            let line = Told::new(tag.into(), progress, &Settings::default()).line();
            String::from_utf8(line).unwrap()
        };
        assert_eq!(told("A001"), "* OK [INPROGRESS (\"A001\" NIL NIL)] Still searching\r\n");
        assert_eq!(told("A]1"), "* OK [INPROGRESS (NIL NIL NIL)] Still searching\r\n");
    }
}
