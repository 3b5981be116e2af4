//! `user app-password|totp|door|logins` and `session …`: what lets users in, and who is in.

use auth::Network;
use clap::{Args, Subcommand};

/// `user app-password …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AppPassword {
    /// Make one for a device; it is shown this once
    #[command(after_help = "\
Example:
  mailkeep user app-password create alice 'Telephone'

It opens mail in mail clients and nothing else. Blanks, dashes and capitals
don't matter where a client sends it as it is; with SCRAM it must be typed as
it is shown.")]
    Create {
        /// The login name
        name: String,
        /// What the device is called
        label: String,
    },
    /// All of a user, with the time of their last use
    List {
        /// The login name
        name: String,
    },
    /// Revoke one: what came in by it ends at once
    Revoke {
        /// The login name
        name: String,
        /// Its name or number
        which: String,
    },
}

/// `user totp …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TotpVerb {
    /// Begin: shows the secret for an authenticator app, at a terminal as a QR code too
    #[command(after_help = "\
Examples:
  mailkeep user totp enable alice
  echo 123456 | mailkeep user totp confirm alice

It counts once a code has confirmed it. From then on mail clients log in by app
passwords only, and commands ask for a code besides the password.")]
    Enable {
        /// The login name
        name: String,
        /// Show the QR code though standard output is no terminal
        #[arg(long, conflicts_with = "no_qr")]
        qr: bool,
        /// Show no QR code
        #[arg(long)]
        no_qr: bool,
    },
    /// Turn it on with a code that the app shows, read from standard input; shows the recovery codes this once
    Confirm {
        /// The login name
        name: String,
    },
    /// Turn it off
    Disable {
        /// The login name
        name: String,
    },
    /// New recovery codes in place of all older ones
    Codes {
        /// The login name
        name: String,
    },
}

/// `user door …`.
#[derive(Debug, Args)]
pub(crate) struct Door {
    /// The login name
    pub(crate) name: String,
    /// Take logins only from this network, 10.0.0.0/8 say; several times for several
    #[arg(long, value_name = "NETWORK", conflicts_with = "allow_from_all")]
    pub(crate) allow_from: Vec<Network>,
    /// Take logins from all networks
    #[arg(long)]
    pub(crate) allow_from_all: bool,
    /// The password must be changed before it is good for anything else
    #[arg(long, conflicts_with = "keep_password")]
    pub(crate) must_change: bool,
    /// It need not be changed any more
    #[arg(long)]
    pub(crate) keep_password: bool,
}

/// `session …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionVerb {
    /// All sessions that have logged in
    List,
    /// End one, or all of a user; mail clients log in again, if they still may
    Kill {
        /// Its number, as `session list` shows it
        session: Option<u64>,
        /// All of this user
        #[arg(long, value_name = "NAME", required_unless_present = "session")]
        user: Option<String>,
    },
}
