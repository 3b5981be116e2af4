//! `tls.reload` and `imap.trace`: what can be asked of a running server only.

use super::{Act, Context, Failure, Needs, Outcome};
use crate::serving::Serving;
use imapd::watch::{Said, TraceLine};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::macros::format_description;

/// The longest trace.
pub(crate) const MAX_MINUTES: u32 = 24 * 60;
/// The most that a trace gives.
pub(crate) const MAX_TRACE_BYTES: u64 = 64 << 20;
/// How often a trace looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(250);

fn serving(cx: &Context<'_>) -> Result<Serving, Failure> {
    let serving = cx.installation.serving.lock().clone();
    serving.ok_or_else(|| Failure::usage("no server runs on this data directory; mailkeep serve"))
}

/// Reads certificate and key again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsReload {}

/// What is in use then.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    expires: i64,
}

impl Act for TlsReload {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "tls.reload".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let expires = serving(cx)?.reload_tls()?;
        cx.row(&Certificate { expires })?;
        Ok(Outcome::DONE)
    }
}

/// Writes down what one user's mail clients say and get.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImapTrace {
    pub(crate) user: String,
    pub(crate) minutes: u32,
}

impl Act for ImapTrace {
    fn needs(&self) -> Needs {
        Needs::admin().read(&self.user)
    }
    fn audit(&self) -> String {
        format!("imap.trace {:?} for {} minutes", self.user, self.minutes)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if self.minutes == 0 || self.minutes > MAX_MINUTES {
            return Err(Failure::usage(format!("a trace takes 1 to {MAX_MINUTES} minutes")));
        }
        let user = cx.installation.auth.user(&self.user)?.name;
        // The log of who did what has its beginning too: a trace may run for hours.
        cx.installation.auth.audit(&cx.caller.who, &cx.caller.from, &self.audit(), "begins")?;
        let Some(trace) = serving(cx)?.watch.trace(&user) else {
            return Err(Failure::usage("too many traces run; end one first"));
        };
        let end = Instant::now() + Duration::from_secs(u64::from(self.minutes) * 60);
        let mut out = cx.bytes();
        let mut written = 0;
        let mut write = |out: &mut super::event::Bytes<'_, '_>, text: String| -> Result<(), Failure> {
            written += text.len() as u64;
            let done = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            done.map_err(|error| Failure::new(super::Kind::Cancelled, error.to_string()))?;
            if written > MAX_TRACE_BYTES {
                return Err(Failure::usage(format!("the trace ends at {MAX_TRACE_BYTES} bytes")));
            }
            Ok(())
        };
        write(
            &mut out,
            format!("{} tracing {user:?}; literals, passwords and mail are left out\n", stamp()),
        )?;
        while Instant::now() < end && !cx.cancel.is_set() {
            if let Some(line) = trace.next(LOOK_EVERY) {
                write(&mut out, shown(&line))?;
            }
            let lost = trace.lost();
            if lost > 0 {
                write(&mut out, format!("{} {lost} lines were lost: they came too fast\n", stamp()))?;
            }
        }
        Ok(Outcome::DONE)
    }
}

fn shown(line: &TraceLine) -> String {
    let TraceLine { session, address, said, text } = line;
    let said = match said {
        Said::Client => 'C',
        Said::Server => 'S',
    };
    format!("{} #{session} {address} {said}: {text}\n", stamp())
}

fn stamp() -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::now_utc().format(form).unwrap_or_default()
}
