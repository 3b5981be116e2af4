//! The sections `[schedule]` and `[notify]`: how much runs by itself at once, and who is told when it fails.

use crate::evidence::{MAX_ITEMS, is_address};
use serde::{Deserialize, Serialize};

/// What runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Runs at once; those that wait all the time for new mail don't count.
    pub max_parallel: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule { max_parallel: 2 }
    }
}

/// Who is told when something that runs by itself fails. What is empty isn't used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// A program and its arguments, without a shell; gets the words on standard input.
    pub command: Vec<String>,
    /// Addresses that get a mail.
    pub mail_to: Vec<String>,
    /// The mail's sender.
    pub mail_from: String,
    /// The relay that takes the mail without a login, `host:port`.
    pub smtp_relay: String,
    /// Time that each may take.
    pub timeout_secs: u64,
}

impl Default for Notify {
    fn default() -> Self {
        Notify {
            command: Vec::new(),
            mail_to: Vec::new(),
            mail_from: String::new(),
            smtp_relay: String::new(),
            timeout_secs: 60,
        }
    }
}

impl Notify {
    /// What makes no sense in it: the key and why.
    pub(crate) fn nonsense(&self) -> Option<(&'static str, String)> {
        if self.command.len() > MAX_ITEMS || self.mail_to.len() > MAX_ITEMS {
            let key = if self.command.len() > MAX_ITEMS { "notify.command" } else { "notify.mail_to" };
            return Some((key, format!("has more than {MAX_ITEMS} items")));
        }
        if self.command.first().is_some_and(String::is_empty) {
            return Some(("notify.command", "begins with the program's name, which is empty".into()));
        }
        if let Some(bad) = self.mail_to.iter().find(|address| !is_address(address)) {
            return Some(("notify.mail_to", format!("{bad:?} is no mail address")));
        }
        if self.mail_to.is_empty() {
            return None;
        }
        if !is_address(&self.mail_from) {
            return Some(("notify.mail_from", format!("{:?} is no mail address", self.mail_from)));
        }
        match self.smtp_relay.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => None,
            _ => Some(("notify.smtp_relay", format!("{:?} is not of the form host:port", self.smtp_relay))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_must_make_sense() {
        let good = Notify {
            mail_to: vec!["a@b.example".into()],
            mail_from: "archive@b.example".into(),
            smtp_relay: "mail.b.example:25".into(),
            ..Notify::default()
        };
        assert!(good.nonsense().is_none() && Notify::default().nonsense().is_none());
        let key = |change: &dyn Fn(&mut Notify)| {
            let mut notify = good.clone();
            change(&mut notify);
            notify.nonsense().map(|(key, _)| key).unwrap_or_default()
        };
        assert_eq!(key(&|n| n.mail_to = vec!["a@b.example".into(); MAX_ITEMS]), "");
        assert_eq!(key(&|n| n.mail_to = vec!["a@b.example".into(); MAX_ITEMS + 1]), "notify.mail_to");
        assert_eq!(key(&|n| n.command = vec!["x".into(); MAX_ITEMS + 1]), "notify.command");
        assert_eq!(key(&|n| n.command = vec![String::new()]), "notify.command");
        assert_eq!(key(&|n| n.mail_to = vec!["a b@c".into()]), "notify.mail_to");
        assert_eq!(key(&|n| n.mail_from = "x".into()), "notify.mail_from");
        assert_eq!(key(&|n| n.smtp_relay = "mail".into()), "notify.smtp_relay");
    }
}
