//! `folder …` and `message …`: what administrators do with what is archived.

use clap::{Args, Subcommand};

/// `folder …`.
#[derive(Debug, Subcommand)]
pub(crate) enum FolderVerb {
    /// Give a folder, with all below it, another path
    #[command(
        visible_alias = "rename",
        after_help = "\
Examples:
  mailkeep folder move alice/Import alice/Old/2019
  mailkeep folder rename alice/Ofice alice/Office
  mailkeep folder move alice alice-left

Messages keep their UIDs, so that mail clients find what they know under the
new name. Into another user's archive the messages are moved one by one and get
new UIDs. What a source brought to the old path is not brought there again."
    )]
    Move {
        /// The folder, with the archive first
        #[arg(value_name = "USER/FOLDER")]
        from: String,
        /// Its new path, which must be free
        #[arg(value_name = "NEW")]
        to: String,
    },
    /// Move all of a folder into another one, and what is below it likewise, then remove it
    #[command(after_help = "\
Example:
  mailkeep folder merge alice/Import alice/Inbox

Messages get new UIDs: clients see them go here and come there. A message that
is in both folders is there twice then. After an interruption, give the command
again.")]
    Merge {
        /// The folder that goes
        #[arg(value_name = "USER/FOLDER")]
        from: String,
        /// The folder that takes its messages
        #[arg(value_name = "INTO")]
        into: String,
    },
    /// Remove an empty folder, or one with all that is in it
    #[command(after_help = "\
Examples:
  mailkeep folder delete alice/Empty
  mailkeep folder delete alice/Spam --with-messages --yes

The next run of the same source doesn't bring deleted messages back
(mailkeep archive --deleted-too does).")]
    Delete {
        /// The folder, with the archive first
        #[arg(value_name = "USER/FOLDER")]
        folder: String,
        /// With its messages, and the folders below it
        #[arg(long)]
        with_messages: bool,
        /// Yes, delete them
        #[arg(long, requires = "with_messages")]
        yes: bool,
    },
    /// Say something of a folder to all who read it; without a text, show what is said
    #[command(after_help = "\
Examples:
  mailkeep folder comment alice/Import 'From the old server, until 2019'
  mailkeep folder comment alice/Import
  mailkeep folder comment alice/Import --remove

Mail clients find it as the mailbox's /shared/comment (IMAP METADATA).")]
    Comment {
        /// The folder, with the archive first
        #[arg(value_name = "USER/FOLDER")]
        folder: String,
        /// What is said, at most 16 KiB
        text: Option<String>,
        /// Say nothing any more
        #[arg(long, conflicts_with = "text")]
        remove: bool,
    },
}

/// `message …`.
#[derive(Debug, Subcommand)]
pub(crate) enum MessageVerb {
    /// Move messages to another folder, which is made if need be
    #[command(after_help = "\
Examples:
  mailkeep message move alice/Inbox 17 --to alice/Projects
  mailkeep message move alice/Inbox 1:20,31 --to bob/Handed over
  mailkeep message move alice/Inbox --search 'from:bob before:2019-01-01' --to alice/Bob
  mailkeep message move alice/Inbox --search invoice --to alice/Bills --dry-run

QUERY is what `mailkeep search` takes. Messages get new UIDs: clients see them
go here and come there. A message in a store that is write-protected or away is
refused, and nothing is moved.")]
    Move {
        #[command(flatten)]
        which: Which,
        /// The folder that they go to, with the archive first
        #[arg(long, value_name = "USER/FOLDER")]
        to: String,
        /// Only show them
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete messages
    #[command(after_help = "\
Examples:
  mailkeep message delete alice/Inbox --search 'subject:lottery' --dry-run
  mailkeep message delete alice/Inbox --search 'subject:lottery' --yes
  mailkeep message delete alice/Inbox 17,19 --yes

Nobody sees them any more. The audit log says who deleted how many, and where.
The next run of the same source doesn't bring them back (mailkeep archive
--deleted-too does).")]
    Delete {
        #[command(flatten)]
        which: Which,
        /// Only show them
        #[arg(long)]
        dry_run: bool,
        /// Yes, delete them
        #[arg(long)]
        yes: bool,
    },
}

/// Which messages of a folder.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The folder, with the archive first
    #[arg(value_name = "USER/FOLDER")]
    pub(crate) folder: String,
    /// UIDs, as `search` shows them: 17 or 1:20,31 or 100:*
    #[arg(required_unless_present = "search")]
    pub(crate) uids: Option<String>,
    /// Those that this query finds (with UIDs: of these)
    #[arg(long, value_name = "QUERY")]
    pub(crate) search: Option<String>,
}
