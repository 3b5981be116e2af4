//! `store …`: what administrators do with archive stores.

use clap::{Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `store …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// The stores and what they take
    List,
    /// What one store, or each, holds
    Stats {
        /// Its number or name, as `store list` shows them; all stores without
        store: Option<String>,
    },
    /// Read a store, or all, again, and name every damaged message
    Verify {
        /// Its number or name; all stores without
        store: Option<String>,
    },
    /// Make a store's database again from its packs and the master key alone
    #[command(after_help = "\
Examples:
  mailkeep store rebuild 0001
  mailkeep store rebuild                  all stores
  mailkeep store rebuild --new-master     and master.redb is lost as well

With a server up, users read on meanwhile. Without one it works even if
store.redb, the list of stores or master.redb are gone. Folders, UIDs,
UIDVALIDITY, flags and dates are what they were. Where packs are damaged, all that is
left is taken and the rest is named; if the end of the packs is missing, UIDs are
raised, so that none is given twice. Exit status 1: something was lost, or a
database was kept.")]
    Rebuild {
        /// Its number or name; all stores without
        store: Option<String>,
        /// Give up what the packs have lost, though the database still knows it
        #[arg(long)]
        accept_loss: bool,
        /// Make master.redb anew if it is lost, with a new administrator
        #[arg(long)]
        new_master: bool,
    },
    /// Make a store and let it take new mail from now on
    #[command(after_help = "\
Examples:
  mailkeep store create
  mailkeep store create --name 'mail of 2027' --path /mnt/second-disk/mail

The store that took new mail before becomes `normal`: it is read, moved and
deleted from. A full store is followed by a new one without being asked
(max_store_messages and new_store_months in mailkeep.toml).")]
    Create {
        /// What people call it; its number without
        #[arg(long)]
        name: Option<String>,
        /// A directory for it, on another disk for example; below DIR/stores without
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        path: Option<PathBuf>,
    },
    /// Take in a store that was detached, or one of another installation
    #[command(after_help = "\
Examples:
  mailkeep store attach /mnt/returned/0003

Its folders and messages show at once, with the UIDs that they had. Of another
installation's store, a folder whose path is taken here is called
'Name (store 0007)'. A directory that can't be written is taken in
write-protected.")]
    Attach {
        /// The store's directory: the one that holds `packs`
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// The master key that opens it, a key file or a sheet's text, if it is not this installation's
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key: Option<PathBuf>,
    },
    /// Let a store go: its messages vanish for clients, its directory can be carried away
    #[command(after_help = "\
Example:
  mailkeep store detach 0001

Take the directory `packs` along; all else in the store is derived and made
again. The directory itself is left where it is.")]
    Detach {
        /// Its number or name
        store: String,
    },
    /// Say what may be done with a store
    #[command(after_help = "\
  current          new mail goes here; the store that did so before becomes normal
  normal           read, moved and deleted from
  writeProtected   only read; not a byte in its directory is written
  disabled         not opened; its messages don't show

Examples:
  mailkeep store state 0001 writeProtected
  mailkeep store state 'mail of 2026' normal")]
    State {
        /// Its number or name
        store: String,
        /// What may be done
        state: StoreStateName,
    },
    /// Erase what was deleted: write packs, database and index anew without it
    #[command(after_help = "\
Examples:
  mailkeep store compact --dry-run
  mailkeep store compact 0001

Deleted messages, their parts, sources and the names of removed folders are in
no file of the store then. Folders, UIDs, flags and dates stay as they are, and
users go on reading; archiving waits until it is done. Everything is read back
and compared before the old files go. It takes as much room as the store
meanwhile. Backups and other copies keep what they have.")]
    Compact {
        /// Its number or name; all stores that can be written without
        store: Option<String>,
        /// Only show what would be erased
        #[arg(long)]
        dry_run: bool,
    },
    /// Give a store another name; its number and its directory stay
    Rename {
        /// Its number or name
        store: String,
        /// The new name
        name: String,
    },
    /// Try again to open stores that could not be read
    #[command(after_help = "\
Example, after the disk came back:
  mailkeep store retry-open 0002")]
    RetryOpen {
        /// Its number or name; all stores without
        store: Option<String>,
    },
}

/// What may be done with a store.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum StoreStateName {
    Current,
    Normal,
    WriteProtected,
    Disabled,
}

impl From<StoreStateName> for storage::StoreState {
    fn from(name: StoreStateName) -> storage::StoreState {
        match name {
            StoreStateName::Current => storage::StoreState::Current,
            StoreStateName::Normal => storage::StoreState::Normal,
            StoreStateName::WriteProtected => storage::StoreState::WriteProtected,
            StoreStateName::Disabled => storage::StoreState::Disabled,
        }
    }
}
