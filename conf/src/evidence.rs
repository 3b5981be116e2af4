//! The section `[evidence]`: where signed heads of the evidence logs are sent, and how often.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where heads go. What is empty isn't used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// Hours between two heads while the server runs.
    pub every_hours: u64,
    /// A file to which each head is appended, one line of JSON; a relative path starts at DATA.
    pub to_file: PathBuf,
    /// A program and its arguments, without a shell; gets the heads on standard input.
    pub command: Vec<String>,
    /// Addresses that get the heads by mail.
    pub mail_to: Vec<String>,
    /// The mail's sender.
    pub mail_from: String,
    /// The relay that takes the mail without a login, `host:port`.
    pub smtp_relay: String,
    /// Time that one destination may take.
    pub timeout_secs: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence {
            every_hours: 24,
            to_file: PathBuf::new(),
            command: Vec::new(),
            mail_to: Vec::new(),
            mail_from: String::new(),
            smtp_relay: String::new(),
            timeout_secs: 60,
        }
    }
}

/// Most arguments of the command, and most addresses.
pub(crate) const MAX_ITEMS: usize = 100;
/// Longest address, as RFC 5321 §4.5.3.1.3 has it for a path, without its brackets.
const MAX_ADDRESS_BYTES: usize = 254;

impl Evidence {
    /// What makes no sense in it: the key and why.
    pub(crate) fn nonsense(&self) -> Option<(&'static str, String)> {
        if self.command.len() > MAX_ITEMS || self.mail_to.len() > MAX_ITEMS {
            let key = if self.command.len() > MAX_ITEMS { "evidence.command" } else { "evidence.mail_to" };
            return Some((key, format!("has more than {MAX_ITEMS} items")));
        }
        if self.command.first().is_some_and(String::is_empty) {
            return Some(("evidence.command", "begins with the program's name, which is empty".into()));
        }
        if let Some(bad) = self.mail_to.iter().find(|address| !is_address(address)) {
            return Some(("evidence.mail_to", format!("{bad:?} is no mail address")));
        }
        if self.mail_to.is_empty() {
            return None;
        }
        if !is_address(&self.mail_from) {
            return Some(("evidence.mail_from", format!("{:?} is no mail address", self.mail_from)));
        }
        match self.smtp_relay.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => None,
            _ => Some(("evidence.smtp_relay", format!("{:?} is not of the form host:port", self.smtp_relay))),
        }
    }
}

/// An address that can stand in an SMTP command as it is: ASCII, `local@domain`, nothing that would end the command.
pub(crate) fn is_address(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"<>()[]\\,;:\"".contains(c);
    let parts = text.rsplit_once('@');
    text.len() <= MAX_ADDRESS_BYTES
        && text.chars().all(plain)
        && parts
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !local.contains('@'))
}
