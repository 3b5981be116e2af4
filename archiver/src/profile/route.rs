//! Where a message of a mailbox for many (multidrop) goes: by the header fields that the own mail server wrote.
//!
//! Invariant: no field that a sender could have written decides. Every server writes its fields above those that are there, and the
//! last of them is its Received line (RFC 5321 §4.4); so what stands above the N topmost Received lines, N being the number of own
//! servers that every message passes, was written by them. With `own-hosts` each of these lines must also say `by` such a host:
//! where one doesn't, the message came past that server, and only what is above the last line that does is believed.
//!
//! To, Cc, Bcc and From are written by senders. They are asked only where that is configured, and only when no trusted field names
//! anybody.

use super::header::{self, Field};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use storage::{FolderPath, Limits};

/// Most folders that one message goes to.
const MAX_TARGETS: usize = 1_000;
/// Most fields that are configured.
const MAX_HEADERS: usize = 20;

/// How a mailbox for many is taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Multidrop {
    /// The fields that name the recipient, the best first; the first that is there decides.
    pub headers: Vec<String>,
    /// Own servers that every message passes, each with a Received line.
    pub own_servers: u32,
    /// What those lines say behind `by`: host names, or domains as `.example.org`; empty: not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub own_hosts: Vec<String>,
    /// Of each field, so many of the topmost are passed over (the catch-all mailbox's own address).
    #[serde(skip_serializing_if = "is_zero")]
    pub skip: u32,
    /// When no trusted field names a user: ask To, Cc and Bcc, which senders write.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recipients: bool,
    /// When no trusted field names a user: ask From and Sender, which senders write.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sender: bool,
    /// The archive of messages that are nobody's; none: they are left out and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_all: Option<String>,
    /// The folder in each archive; none: the profile's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Default for Multidrop {
    fn default() -> Self {
        let headers = ["X-Original-To", "X-Envelope-To", "Envelope-To", "X-Gm-Original-To", "Delivered-To"];
        Multidrop {
            headers: headers.map(str::to_owned).to_vec(),
            own_servers: 1,
            own_hosts: Vec::new(),
            skip: 0,
            recipients: false,
            sender: false,
            catch_all: None,
            folder: None,
        }
    }
}

impl Multidrop {
    /// What makes no sense in it.
    #[must_use]
    pub fn nonsense(&self) -> Option<String> {
        let bad = |name: &&String| {
            name.is_empty() || name.len() > 100 || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
        };
        if self.headers.len() > MAX_HEADERS || self.own_hosts.len() > MAX_HEADERS {
            return Some(format!(
                "multidrop.headers and multidrop.own-hosts have at most {MAX_HEADERS} items"
            ));
        }
        if let Some(name) = self.headers.iter().find(bad) {
            return Some(format!("multidrop.headers: {name:?} is no field's name"));
        }
        if let Some(name) = self.own_hosts.iter().find(bad) {
            return Some(format!("multidrop.own-hosts: {name:?} is no host's name"));
        }
        if self.own_servers > 20 {
            return Some("multidrop.own-servers: at most 20".into());
        }
        if self.headers.is_empty() && !self.recipients && !self.sender {
            return Some(
                "multidrop.headers is empty: name the field that your mail server writes the recipient to"
                    .into(),
            );
        }
        None
    }

    /// The addresses that a message is for.
    fn addresses(&self, header: &[u8], known: &dyn Fn(&str) -> bool) -> Vec<String> {
        let fields = header::fields(header);
        let trusted = self.trusted(&fields);
        for name in &self.headers {
            let mut found = Vec::new();
            let mut there = false;
            let named = trusted.iter().filter(|field| field.is(name));
            for field in named.skip(usize::try_from(self.skip).unwrap_or(usize::MAX)) {
                there = true;
                found.extend(header::addresses(&field.text()).into_iter().filter(|address| known(address)));
            }
            if there {
                // It decides, even when it names nobody that is known: senders' fields must not overrule it.
                return found;
            }
        }
        let mut asked: Vec<&str> = Vec::new();
        if self.recipients {
            asked.extend(["To", "Cc", "Bcc"]);
        }
        if self.sender {
            asked.extend(["From", "Sender"]);
        }
        let mut found = Vec::new();
        for field in fields.iter().filter(|field| asked.iter().any(|name| field.is(name))) {
            for address in header::addresses(&field.text()) {
                if known(&address) && !found.contains(&address) && found.len() < MAX_TARGETS {
                    found.push(address);
                }
            }
        }
        found
    }

    /// The fields that the own servers wrote.
    fn trusted<'f, 'h>(&self, fields: &'f [Field<'h>]) -> &'f [Field<'h>] {
        let lines = fields.iter().enumerate().filter(|(_, field)| field.is("Received"));
        if self.own_servers == 0 {
            let end = lines.map(|(at, _)| at).next().unwrap_or(fields.len());
            return fields.get(..end).unwrap_or_default();
        }
        let mut end = 0;
        for (at, field) in lines.take(usize::try_from(self.own_servers).unwrap_or(usize::MAX)) {
            if !self.own_hosts.is_empty() && !by(&field.text()).is_some_and(|host| self.is_own(&host)) {
                // Whoever wrote this line wrote what is above it too, up to the last own line.
                break;
            }
            end = at;
        }
        fields.get(..end).unwrap_or_default()
    }

    fn is_own(&self, host: &str) -> bool {
        self.own_hosts
            .iter()
            .map(|own| own.to_lowercase())
            .any(|own| if own.starts_with('.') { host.ends_with(&own) } else { host == own })
    }
}

/// The host behind `by` of a Received line, in lower case; `by` inside comments doesn't count.
fn by(value: &str) -> Option<String> {
    let mut depth = 0_u32;
    let plain: String = value
        .chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect();
    let mut words = plain.split_whitespace();
    words.find(|word| word.eq_ignore_ascii_case("by"))?;
    words.next().map(|host| host.trim_end_matches([';', '.']).to_lowercase())
}

/// Finds the folders of messages.
pub(crate) struct Router {
    rules: Multidrop,
    /// Archives by address, in lower case.
    archives: HashMap<String, String>,
    folder: String,
}

impl Router {
    /// A router for these users: address (lower case) and archive. `folder` is used where the rules name none.
    pub(crate) fn new(rules: &Multidrop, archives: HashMap<String, String>, folder: &str) -> Router {
        let folder = rules.folder.clone().unwrap_or_else(|| folder.to_owned());
        Router { rules: rules.clone(), archives, folder }
    }

    /// Text that changes when messages would go elsewhere.
    pub(crate) fn fingerprint(&self) -> String {
        let mut known: Vec<_> =
            self.archives.iter().map(|(address, archive)| format!("{address}>{archive}")).collect();
        known.sort_unstable();
        format!("{:?} {} {}", self.rules, self.folder, known.join(" "))
    }

    /// The folders that a message goes to; at least one.
    /// # Errors
    /// Why it goes nowhere.
    pub(crate) fn folders(&self, header: &[u8]) -> Result<Vec<FolderPath>, String> {
        let known = |address: &str| self.archives.contains_key(address);
        let addresses = self.rules.addresses(header, &known);
        let mut archives: Vec<&String> =
            addresses.iter().filter_map(|address| self.archives.get(address)).collect();
        archives.sort_unstable();
        archives.dedup();
        if archives.is_empty() {
            match &self.rules.catch_all {
                Some(archive) => archives.push(archive),
                None => return Err("for nobody's address that is known here".into()),
            }
        }
        if archives.len() > MAX_TARGETS {
            return Err(format!("for more than {MAX_TARGETS} users"));
        }
        archives.into_iter().map(|archive| self.folder_in(archive)).collect()
    }

    fn folder_in(&self, archive: &str) -> Result<FolderPath, String> {
        let into = FolderPath::new(archive).map_err(|error| error.to_string())?;
        let levels: Vec<String> =
            self.folder.split('/').map(|level| crate::names::level(level.as_bytes())).collect();
        Ok(crate::names::folder(&into, &levels, &Limits::default()))
    }
}

impl crate::remote::job::Route for Router {
    fn folders(&self, header: &[u8]) -> Result<Vec<FolderPath>, String> {
        Router::folders(self, header)
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
