//! The sample mail, archived and served, for other people's clients: what a raw client finds in it is their measure.
//!
//! Left to the tests: what the clients are told to do, and which bytes each of them keeps.

use crate::program::Server;
use crate::{Archive, Imap, imap, tools};
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The messages of the sample mail.
pub const SAMPLE: usize = 327;

/// An archive with the sample mail in `Sample`, served; and what a raw client finds in it.
#[derive(Debug)]
pub struct Served {
    /// The installation.
    pub archive: Archive,
    /// Its server.
    pub server: Server,
    /// Wire name and UID of each message, with its hash; All Mail and other views not counted.
    pub mail: BTreeMap<(String, u32), String>,
}

impl Served {
    /// Archives and serves the sample.
    /// # Errors
    /// The program fails, or shows another number of messages.
    pub fn open() -> crate::Result<Served> {
        let archive = Archive::with_users(&["alice"])?;
        archive.archive(&tools::repository()?.join("mailkeep/sample/mail"), "alice/Sample")?;
        let server = archive.serve()?;
        let mut raw = Imap::login(server.imap, "alice")?;
        let mut mail = BTreeMap::new();
        for row in archive.run(["folders", "--user", "alice", "--json"])?.ok()?.json()? {
            let path = row["folder"].as_str().context("a folder without a path")?;
            let name = imap::mutf7(path.trim_start_matches("alice").trim_start_matches('/'));
            if row["messages"] != 0 && !name.is_empty() {
                for (uid, hash) in raw.hashes(&name)? {
                    mail.insert((name.clone(), uid), hash);
                }
            }
        }
        ensure!(mail.len() == SAMPLE, "{} messages", mail.len());
        Ok(Served { archive, server, mail })
    }
    /// Alice's password.
    #[must_use]
    pub fn password(&self) -> String {
        Archive::password("alice")
    }
    /// How often each message is there.
    #[must_use]
    pub fn bag(&self) -> BTreeMap<String, usize> {
        bag(self.mail.values().cloned())
    }
    /// A folder for the client's own files.
    /// # Errors
    /// No room.
    pub fn home(&self) -> crate::Result<PathBuf> {
        let home = self.archive.scratch().join("home");
        std::fs::create_dir_all(&home)?;
        Ok(home)
    }
    /// A mailbox with umlauts and `&`, and one of its UIDs.
    /// # Errors
    /// The sample has lost it.
    pub fn odd_mailbox(&self) -> crate::Result<(&str, u32)> {
        let found = self.mail.keys().find(|(name, _)| name.contains("Entw&APw-rfe"));
        found.map(|(name, uid)| (name.as_str(), *uid)).context("the folder with the umlaut")
    }
    /// The wire names of the mailboxes that have messages.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<String> {
        let mut names: Vec<String> = self.mail.keys().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }
    /// The messages of a mailbox as BODY[] gives them, by UID.
    /// # Errors
    /// They can't be read.
    pub fn bodies(&self, mailbox: &str) -> crate::Result<BTreeMap<u32, Vec<u8>>> {
        let mut raw = Imap::login(self.server.imap, "alice")?;
        raw.examine(mailbox)?;
        let mut bodies = BTreeMap::new();
        raw.fetch("UID FETCH 1:* BODY.PEEK[]", |fetched| {
            bodies.insert(fetched.text("UID")?.parse()?, fetched.literal("BODY[]")?.to_vec());
            Ok(())
        })?;
        Ok(bodies)
    }
    /// The UIDs that the server finds.
    /// # Errors
    /// The search is refused.
    pub fn search(&self, mailbox: &str, keys: &str) -> crate::Result<Vec<u32>> {
        let mut raw = Imap::login(self.server.imap, "alice")?;
        raw.examine(mailbox)?;
        let found = raw.ok(&format!("UID SEARCH {keys}"))?;
        let line =
            found.iter().find_map(|line| line.strip_prefix(b"* SEARCH")).context("no SEARCH answer")?;
        String::from_utf8_lossy(line).split_whitespace().map(|uid| Ok(uid.parse()?)).collect()
    }
}

/// How often each is there.
#[must_use]
pub fn bag(hashes: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut bag = BTreeMap::new();
    for hash in hashes {
        *bag.entry(hash).or_default() += 1;
    }
    bag
}
