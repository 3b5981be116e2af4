//! `evidence …`: what can be asked of the logs, and what needs no archive.

use clap::{Subcommand, ValueHint};
use std::path::PathBuf;

/// `evidence …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Evidence {
    /// The heads of the logs as they are now, and what became of those that were sent
    #[command(after_help = "\
Examples:
  mailkeep evidence head
  mailkeep evidence head --store 0001 -o head.json

Each store has a log of what came into it, was moved and was deleted. A head is
its size and its root hash, signed. Keep heads where nobody who can write the
archive can change them. Fails when a log no longer extends its last recorded
head.")]
    Head {
        /// Only this store: its number, name or identity
        #[arg(long, value_name = "STORE")]
        store: Option<String>,
        /// Write the heads into FILE, a line of JSON each
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Prove that a message was archived: a small file that is verified with no archive at hand
    #[command(after_help = "\
Examples:
  mailkeep evidence prove alice/Import 17 -o proof.json
  mailkeep cat alice/Import 17 > message.eml
  mailkeep evidence verify message.eml proof.json

  mailkeep evidence prove --message 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  mailkeep evidence prove alice/Import 17 --head kept-head.json -o proof.json

With --head the proof is for a head that was kept elsewhere, or for the newest
in such a file. A message that was moved or deleted is proven with its whole
way, until compaction destroys what a deleted message's proof needs.")]
    Prove {
        /// The folder, with the archive first: alice/Import
        #[arg(value_name = "USER/FOLDER", required_unless_present = "message", requires = "uid")]
        folder: Option<String>,
        /// The message's UID in it, as `search` shows it
        uid: Option<u32>,
        /// The message itself, by the SHA-256 that `search --json` shows: a proof for each of its places
        #[arg(long, value_name = "SHA256", conflicts_with = "folder")]
        message: Option<String>,
        /// Make the proof for the head in FILE
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        head: Option<PathBuf>,
        /// Write the proof into FILE
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Verify a proof; needs no archive
    #[command(after_help = "\
Examples:
  mailkeep evidence verify message.eml proof.json
  mailkeep evidence verify message.eml proof.json --key evidence.pub
  mailkeep evidence verify message.eml proof.json --head kept-heads.jsonl

Checks the message's bytes (CRLF or LF line ends), the path from its leaf to the
signed root, and the signatures. A proof by itself says what the owner of the
key says; --head compares it with a head that was kept outside the archive.")]
    Verify {
        /// The message
        #[arg(value_name = "FILE.eml", value_hint = ValueHint::FilePath)]
        message: PathBuf,
        /// The proof
        #[arg(value_name = "PROOF.json", value_hint = ValueHint::FilePath)]
        proof: PathBuf,
        /// The archive's public key: the file keys/evidence.pub, or 64 hexadecimal digits
        #[arg(long, value_name = "PUB")]
        key: Option<String>,
        /// A head that was kept, or a file with a line for each
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        head: Option<PathBuf>,
    },
    /// Prove that logs only grew since heads were kept
    #[command(after_help = "\
Examples:
  mailkeep evidence consistency kept-heads.jsonl
  mailkeep evidence consistency old.json new.json -o grown.json
  mailkeep evidence consistency --check grown.json --key evidence.pub

The last form needs no archive.")]
    Consistency {
        /// A file of older heads
        #[arg(value_name = "OLD.json", required_unless_present = "check", value_hint = ValueHint::FilePath)]
        old: Option<PathBuf>,
        /// A file of newer heads; without it the present counts
        #[arg(value_name = "NEW.json", value_hint = ValueHint::FilePath)]
        new: Option<PathBuf>,
        /// Write the proofs into FILE, a line of JSON each
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
        /// Check such a file
        #[arg(long, value_name = "FILE", conflicts_with_all = ["old", "output"], value_hint = ValueHint::FilePath)]
        check: Option<PathBuf>,
        /// The archive's public key, for --check
        #[arg(long, value_name = "PUB", conflicts_with = "old")]
        key: Option<String>,
    },
    /// Send heads to all that the configuration names, now
    #[command(after_help = "\
Example:
  mailkeep evidence send

The section [evidence] of mailkeep.toml names a file, a program, or addresses;
a server sends heads there by itself.")]
    Send,
}

impl Evidence {
    /// Whether it is done with no archive at hand.
    pub(crate) fn is_offline(&self) -> bool {
        matches!(self, Evidence::Verify { .. } | Evidence::Consistency { check: Some(_), .. })
    }
}
