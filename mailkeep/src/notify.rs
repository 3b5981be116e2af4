//! Tells people that something failed which runs by itself: by a program and by mail.
//!
//! Invariant: each way is bounded in time, and a way that fails hinders no other; no secret is in the words, since errors have none.

use crate::data::Installation;
use crate::evidence::run_program;
use crate::smtp::{Letter, Mail};
use std::time::{Duration, Instant};
use storage::Cancel;

/// Tells everybody whom the settings name. Blocking.
pub(crate) fn tell(installation: &Installation, letter: &Letter, cancel: &Cancel) {
    let settings = &installation.conf.notify;
    let until = || Instant::now() + Duration::from_secs(settings.timeout_secs);
    if !settings.command.is_empty() {
        let input = format!("{}\n\n{}", letter.subject, letter.text);
        match run_program(&settings.command, &input, until(), cancel) {
            Ok(()) => tracing::info!("the command of [notify] was run"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "the command of [notify] failed"),
        }
    }
    if !settings.mail_to.is_empty() {
        let mail = Mail {
            relay: settings.smtp_relay.clone(),
            from: settings.mail_from.clone(),
            to: settings.mail_to.clone(),
        };
        match mail.send(letter, until(), cancel) {
            Ok(()) => tracing::info!("the addresses of [notify] were told"),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the mail of [notify] could not be sent")
            }
        }
    }
}
