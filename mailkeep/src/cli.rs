//! The command line: what can be said, and the help that teaches it. What is done stands elsewhere.

mod audit;
pub(crate) mod credentials;
pub(crate) mod directory;
mod evidence;
mod folder;
mod people;
pub(crate) mod profile;
mod safety;
pub(crate) mod schedule;
mod store;
mod user;

pub(crate) use audit::{Audit, AuditVerb};
pub(crate) use evidence::Evidence;
pub(crate) use folder::{FolderVerb, MessageVerb, Which};
pub(crate) use people::{AccessVerb, By, GroupVerb};
pub(crate) use safety::{BackupVerb, BackupWhat, KeyVerb};
pub(crate) use store::Store;
pub(crate) use user::{About, User};

use crate::backup::Restore;
use archiver::Format;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One of these words, as the value that its type has for it.
fn word<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: impl IntoIterator<Item = &'static str>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words)
        .try_map(|word| serde_json::from_value::<T>(serde_json::Value::String(word)))
}

const EXAMPLES: &str = "\
Try it out (makes a throwaway archive, serves it, removes it at the end):
  mailkeep demo
  mailkeep demo ~/Mail

Set it up:
  mailkeep --data /srv/mail init
  mailkeep --data /srv/mail user create alice
  mailkeep --data /srv/mail archive ~/old.mbox --into alice/Old
  mailkeep --data /srv/mail serve

Look into it:
  mailkeep --data /srv/mail search --archive alice 'from:bob invoice after:2019-01-01'
  mailkeep --data /srv/mail cat alice/Old 17
  mailkeep --data /srv/mail verify

Every command works while the server runs and while it doesn't.
MAILKEEP_DATA stands for --data.
The owner of the data directory and root may do everything; with --login NAME a
command is given as that user (mailkeep --login alice search invoice).
Exit status: 0 all was done, 1 something failed, 2 the command line makes no sense.";

const SEARCH_HELP: &str = "\
QUERY is made of words and phrases, all of which must be found in a message:
  invoice                    the word, or a part of a word, whatever its case
  \"annual report\"            the phrase
  -draft  NOT draft          messages without it
  offer OR quote             one of the two
  (offer OR quote) bridge    parentheses join
  from: to: cc: bcc:         in that header field (to: looks into Cc as well)
  subject:\"annual report\"    in the subject
  header:List-Id:announce    in any other header field; header:X-Priority: it is there
  body:invoice               in the text, not in the headers
  has:attachment filename:.pdf
  in:Projects                in that folder of the archive, or below it
  after:2019 before:2019-06 on:2019-05-17
                             received in or after, before, on; after: is also since:
  sent-after: sent-before: sent-on:
                             the same of the date that the sender wrote
  larger:10M smaller:500k    by size
  is:flagged is:answered is:forwarded
Put it in quotes; one that begins with - goes behind --. Text with a colon or
parentheses stands in quotes of its own: 'subject:\"Re: plan (b)\"'.

Without in: and --folder each message counts once, wherever it lies.

Examples:
  mailkeep search --archive alice 'from:bob invoice -draft'
  mailkeep search --archive alice --archive bob 'has:attachment on:2019-05' --limit 20
  mailkeep search 'subject:offer after:2019' --json --no-snippets
  mailkeep search --count -- '-from:newsletter'";

/// Keeps an organisation's mail for decades, and lets everyone read their own in any mail client.
#[derive(Debug, Parser)]
#[command(name = "mailkeep", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// The data directory
    #[arg(long, value_name = "DIR", env = "MAILKEEP_DATA", global = true, value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// The configuration file, if it is not DIR/mailkeep.toml
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Print results as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// What is logged to standard error: error, warn, info, debug, trace, or a filter such as info,imapd=debug
    #[arg(long, value_name = "FILTER", global = true)]
    pub(crate) log: Option<String>,
    #[command(flatten)]
    pub(crate) by: By,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a new data directory, with a key, a certificate and an administrator
    #[command(after_help = "\
Example:
  mailkeep --data /srv/mail init

The directory must be empty or not be there yet. The administrator's password
is shown once. Without the master key (DIR/keys/master.key, unless another
source is named) nobody can read the archive, and nobody can restore it: keep a
copy elsewhere, on paper say (mailkeep key export).

Other sources of the key, which must hold one then (mailkeep key new):
  mailkeep --data /srv/mail init --key-from environment
  mailkeep --data /srv/mail init --key-command pass show mailkeep")]
    Init(crate::init::Key),
    /// Serve the archive by IMAP until SIGTERM or Ctrl-C
    #[command(after_help = "\
Examples:
  mailkeep --data /srv/mail serve
  mailkeep --data /srv/mail serve --imap 127.0.0.1:1143 --imaps 0.0.0.0:993

Prints the addresses and then a line `ready` on standard output once all
listeners are bound. The log goes to standard error.")]
    Serve(Listen),
    /// Try it out: a throwaway archive of sample mail or of PATH, served until Ctrl-C, then removed
    #[command(after_help = "\
Examples:
  mailkeep demo
  mailkeep demo ~/.thunderbird/abc.default/Mail/'Local Folders'
  mailkeep demo export.mbox --imap 127.0.0.1:2143")]
    Demo(Demo),
    /// Who may log in, and what they may read
    #[command(subcommand)]
    User(User),
    /// What everyone in a group may read
    #[command(subcommand)]
    Group(GroupVerb),
    /// Whether administrators may read the archives of others: blocked, unless opened for some time
    #[command(subcommand)]
    Access(AccessVerb),
    /// Change the own password: mailkeep --login NAME passwd
    #[command(after_help = "\
Example:
  mailkeep --login alice passwd

The present password is asked for first, then the new one twice.")]
    Passwd {
        #[command(flatten)]
        password: crate::password::Source,
    },
    /// The directory that users come from: LDAP, Active Directory, MDaemon, another IMAP server
    #[command(subcommand)]
    Directory(directory::DirectoryVerb),
    /// Archive mail from files: EML, mbox, Maildir, MMDF, MH, or a directory of them
    #[command(after_help = "\
Examples:
  mailkeep archive ~/old.mbox --into alice/Old
  mailkeep archive /var/mail/alice --into alice/INBOX --format mboxrd
  mailkeep archive ~/Maildir --into alice/Import

A directory's own messages go into FOLDER, its subdirectories into folders
below it. What is there already is not archived again, so that a command can be
repeated. `mailkeep runs` keeps the account of every run.")]
    Archive(Archive),
    /// The folders, of all archives or of one
    Folders {
        /// Only this archive
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Move, rename, merge and delete folders
    #[command(subcommand)]
    Folder(FolderVerb),
    /// Move and delete messages
    #[command(subcommand)]
    Message(MessageVerb),
    /// Search archives
    #[command(after_help = SEARCH_HELP)]
    Search(Search),
    /// Print a message, bit for bit as it was at its source
    #[command(after_help = "\
Example:
  mailkeep cat alice/Import 17 > message.eml")]
    Cat {
        /// The folder, with the archive first: alice/Import
        #[arg(value_name = "USER/FOLDER")]
        folder: String,
        /// The message's UID in it, as `search` shows it
        uid: u32,
    },
    /// The archive stores
    #[command(subcommand)]
    Store(Store),
    /// Signed heads of the archive's logs, and proofs about messages that anyone can verify without the archive
    #[command(subcommand)]
    Evidence(Evidence),
    /// The search indexes
    #[command(subcommand)]
    Index(Index),
    /// Read everything again, compare it with its seals and hashes, and name every damaged message
    #[command(
        visible_alias = "check",
        after_help = "\
Examples:
  mailkeep verify
  mailkeep verify --sample 3/30     the third of thirty slices; all thirty read everything
  mailkeep verify --resume          go on with a run that was broken off
  mailkeep verify --last --json     what the last run found

It works while the server runs and gives way to readers. With [verify] in
mailkeep.toml the server reads a slice at intervals by itself. Exit status 1:
something is damaged."
    )]
    Verify(Verify),
    /// The accounts of archiving runs: seen = archived + already there + moved + filtered + failed
    #[command(after_help = "\
Examples:
  mailkeep runs
  mailkeep runs show last --json
  mailkeep runs failed                what failed and is not solved yet
  mailkeep runs failed 3 --json")]
    Runs {
        #[command(subcommand)]
        which: Option<profile::RunsVerb>,
    },
    /// Archiving jobs that are kept: mailboxes on servers, mail programs' directories, files
    #[command(subcommand)]
    Profile(profile::ProfileVerb),
    /// What the server does by itself, and when
    #[command(subcommand)]
    Schedule(schedule::ScheduleVerb),
    /// What runs now
    Jobs {
        #[command(subcommand)]
        which: Option<schedule::JobsVerb>,
    },
    /// The master key: which one it is, on paper, a new one
    #[command(subcommand)]
    Key(KeyVerb),
    /// Copy all that can't be made again into a directory; what is there from the backup before is only added to
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "\
Examples:
  mailkeep --data /srv/mail backup /mnt/backup/mail
  mailkeep backup show /mnt/backup/mail
  mailkeep backup verify /mnt/backup/mail

Works while mail is archived and read. Without --with-key the master key is not
in it: keep that elsewhere, or whoever finds the backup reads the mail. What is
copied is checked; --verify-all also reads again what was copied before."
    )]
    Backup(BackupVerb),
    /// Make a new data directory from a backup
    #[command(after_help = "\
Examples:
  mailkeep --data /srv/new restore /mnt/backup/mail --key /media/usb/master.key
  mailkeep --data /srv/new restore /mnt/backup/mail --key sheet.txt

The directory must be empty or not be there yet. Mail clients may have seen
mail that the backup misses: so that none meets a UID twice, new mail gets UIDs
that are a million higher (--exact leaves that out).")]
    Restore(Restore),
    /// The certificate of a running server
    #[command(subcommand)]
    Tls(TlsVerb),
    /// Write down what a user's mail clients and the server say to each other, until Ctrl-C or for some minutes
    #[command(after_help = "\
Example:
  mailkeep trace alice --minutes 10 > alice.trace

Passwords, literals, the words of searches and all that mail says are left out;
names of mailboxes aren't. It begins with the next command of each session.
Who traced whom stands in the audit log.")]
    Trace {
        /// The login name
        user: String,
        /// How long
        #[arg(long, value_name = "N", default_value_t = 60)]
        minutes: u32,
    },
    /// The sessions of mail clients
    #[command(subcommand)]
    Session(credentials::SessionVerb),
    /// Print a unit for systemd
    #[command(after_help = "\
Examples:
  mailkeep unit > /etc/systemd/system/mailkeep.service
  mailkeep unit imaps-socket > /etc/systemd/system/mailkeep-imaps.socket

  mailkeep unit fail2ban-filter > /etc/fail2ban/filter.d/mailkeep.conf
  mailkeep unit fail2ban-jail > /etc/fail2ban/jail.d/mailkeep.conf

With a socket's unit no connection is refused while the server restarts.")]
    Unit {
        /// Which
        #[arg(default_value = "service")]
        which: UnitName,
    },
    /// Who did what: the audit log as a list, as CSV files, and whether it is what it was
    #[command(after_help = "\
Examples:
  mailkeep audit --last 20
  mailkeep audit list --kind access --since 2026-11-01
  mailkeep audit export --dir /mnt/audit
  mailkeep audit verify --head kept-heads.jsonl")]
    Audit(Audit),
    /// Print the completions of a shell
    #[command(after_help = "\
Example:
  mailkeep completions bash > /usr/share/bash-completion/completions/mailkeep")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands into a directory
    Man {
        /// A directory for the pages
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// A unit for systemd.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum UnitName {
    /// The server
    Service,
    /// The port 143
    ImapSocket,
    /// The port 993
    ImapsSocket,
    /// fail2ban's filter for failed logins
    Fail2banFilter,
    /// fail2ban's jail for it
    Fail2banJail,
}

/// `tls …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TlsVerb {
    /// Read certificate and key again; connections that are there stay. SIGHUP does the same
    Reload,
}

/// Listeners in place of the configured ones.
#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// Listen here without TLS at first (STARTTLS offered), in place of the configured addresses
    #[arg(long, value_name = "ADDR")]
    pub(crate) imap: Vec<SocketAddr>,
    /// Listen here with TLS, in place of the configured addresses
    #[arg(long, value_name = "ADDR")]
    pub(crate) imaps: Vec<SocketAddr>,
    /// Take passwords without TLS from clients on this machine
    #[arg(long)]
    pub(crate) plain_on_loopback: bool,
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Mail to show in place of the sample: an mbox, a Maildir, a directory of EML files …
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: Option<PathBuf>,
    /// Listen here without TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1143")]
    pub(crate) imap: SocketAddr,
    /// Listen here with TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1993")]
    pub(crate) imaps: SocketAddr,
}

/// `archive`.
#[derive(Debug, Args)]
pub(crate) struct Archive {
    /// A file or a directory
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// The folder for it, with the archive first: alice/Import
    #[arg(long, value_name = "USER/FOLDER")]
    pub(crate) into: String,
    /// The format, if it should not be detected
    #[arg(long)]
    pub(crate) format: Option<FormatName>,
    /// Archive again what was deleted from the archive
    #[arg(long)]
    pub(crate) deleted_too: bool,
}

/// A format's name.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatName {
    /// One message a file
    Eml,
    /// Maildir and Maildir++
    Maildir,
    /// mbox, only `From ` lines quoted
    Mboxo,
    /// mbox, quoted so that it can be undone
    Mboxrd,
    /// mbox with Content-Length, quoted
    Mboxcl,
    /// mbox with Content-Length, not quoted
    Mboxcl2,
    /// Messages between lines of four ^A
    Mmdf,
    /// Numbered files
    Mh,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Format {
        match name {
            FormatName::Eml => Format::Eml,
            FormatName::Maildir => Format::Maildir,
            FormatName::Mboxo => Format::Mboxo,
            FormatName::Mboxrd => Format::Mboxrd,
            FormatName::Mboxcl => Format::Mboxcl,
            FormatName::Mboxcl2 => Format::Mboxcl2,
            FormatName::Mmdf => Format::Mmdf,
            FormatName::Mh => Format::Mh,
        }
    }
}

/// `search`.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Whose archive, several times for several; without it all
    #[arg(long = "archive", visible_alias = "user", value_name = "NAME")]
    pub(crate) archives: Vec<String>,
    /// Only this folder, with the archive first
    #[arg(long, value_name = "USER/FOLDER")]
    pub(crate) folder: Option<String>,
    /// No more than this many, the newest
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Print only how many there are
    #[arg(long, conflicts_with = "limit")]
    pub(crate) count: bool,
    /// Don't show the text around what was found
    #[arg(long)]
    pub(crate) no_snippets: bool,
    /// What to look for; several arguments count as one line
    #[arg(required = true)]
    pub(crate) query: Vec<String>,
}

/// `index …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    /// Make a store's search index anew; search answers meanwhile
    #[command(after_help = "\
Examples:
  mailkeep index rebuild
  mailkeep index rebuild 0001

The new index is made beside the old one, which answers until the new one is
complete. Needed only when `verify` says that the index is damaged, and with
--attachments after a change of the settings in [attachments].")]
    Rebuild {
        /// Its number or name; all stores without
        store: Option<String>,
        /// Read all attachments anew, too
        #[arg(long)]
        attachments: bool,
    },
    /// What the indexes hold, and how far they are
    Status {
        /// List the attachments that could not be read, or not all of them
        #[arg(long)]
        failed: bool,
    },
}

/// `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Only the N-th of T slices
    #[arg(long, value_name = "N/T", value_parser = slice, conflicts_with = "resume")]
    pub(crate) sample: Option<(u32, u32)>,
    /// Go on with the run that was broken off
    #[arg(long)]
    pub(crate) resume: bool,
    /// Show what the last run found, and read nothing
    #[arg(long, conflicts_with_all = ["sample", "resume"])]
    pub(crate) last: bool,
}

/// Understands `N/T`.
fn slice(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| text.parse::<u32>().ok();
    let both = text.split_once('/').and_then(|(part, of)| number(part).zip(number(of)));
    let sound = both.filter(|&(part, of)| storage::Slice::new(part, of).is_some());
    sound.ok_or_else(|| "a slice is N/T with 1 <= N <= T <= 1000, such as 3/30".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_lines_that_scripts_rely_on() {
        for line in [
            "mailkeep --data D init",
            "mailkeep --data D user add alice --password-stdin",
            "mailkeep --data D archive P --into alice/Import",
            "mailkeep --data D serve --imap 127.0.0.1:1143 --imaps 127.0.0.1:1993",
            "mailkeep --data D search --user alice QUERY --json",
            "mailkeep --data D runs --json",
            "mailkeep runs failed 3 --json --data D",
            "mailkeep profile create N --kind imap --host H --port 1 --tls none --user U --password-stdin --into alice",
            "mailkeep profile create N --kind pop3 --host H --tls starttls --user U --password-file F --into alice",
            "mailkeep profile create N --kind imap-many --host H --tls implicit --user U --password-stdin --privileged master-user",
            "mailkeep profile create N --kind imap-csv --host H --path F",
            "mailkeep profile create N --kind imap-multidrop --host H --user U --header X-Original-To --header Delivered-To",
            "mailkeep profile create N --file F",
            "mailkeep profile edit N --every 15 --ignore-tls-errors",
            "mailkeep profile run N --json",
            "mailkeep profile export --secrets -o F",
            "mailkeep profile import F --replace",
            "mailkeep runs show last --json",
            "mailkeep runs show 3 --json",
            "mailkeep runs failed",
            "mailkeep runs retry last",
            "mailkeep schedule add N backup --dir D --cron @daily",
            "mailkeep schedule list --json",
            "mailkeep jobs",
            "mailkeep jobs cancel 3",
            "mailkeep user address alice --add a@b --remove c@d",
            "mailkeep demo",
            "mailkeep demo P --imap 127.0.0.1:1 --imaps 127.0.0.1:2",
            "mailkeep search --user alice -- -draft",
            "mailkeep search QUERY",
            "mailkeep search --archive alice --archive bob --folder bob/F --limit 3 --no-snippets a b",
            "mailkeep search --count QUERY --json",
            "mailkeep user grant bob --read alice",
            "mailkeep user create bob --full-name B --address b@x --alias p --dn D --mode directory --no-password --group g",
            "mailkeep user create tax --auditor --expires 2027-03-31 --password-file F",
            "mailkeep user remove bob",
            "mailkeep user delete bob",
            "mailkeep user edit bob --disable",
            "mailkeep user edit bob --no-address --expires never --no-group g",
            "mailkeep user rename bob rob",
            "mailkeep user import-csv F --dry-run --update --name-column N --address-column A --address-column B",
            "mailkeep user grant bob --folder alice/F --level none --privilege admin",
            "mailkeep user revoke bob --folder alice/F",
            "mailkeep group list --json",
            "mailkeep group grant G --folder alice --level write",
            "mailkeep group revoke G --folder alice",
            "mailkeep access show",
            "mailkeep access unblock --for 8h --reason R",
            "mailkeep access block",
            "mailkeep --login alice passwd --password-stdin",
            "mailkeep folders --login alice --login-password-file F --socket S",
            "mailkeep evidence head --store 0001 -o F",
            "mailkeep evidence prove alice/F 7 -o F --head H",
            "mailkeep evidence prove --message 00ff",
            "mailkeep evidence verify F.eml P.json --key K --head H",
            "mailkeep evidence consistency O N",
            "mailkeep evidence consistency --check P --key K",
            "mailkeep evidence send",
            "mailkeep folder move alice/A alice/B",
            "mailkeep store compact",
            "mailkeep store compact 0001 --dry-run --json",
            "mailkeep folder rename alice/A alice/B",
            "mailkeep folder merge alice/A alice/B",
            "mailkeep folder delete alice/A --with-messages --yes",
            "mailkeep message move alice/A 1:20 --to alice/B",
            "mailkeep message move alice/A --search from:bob --to alice/B --dry-run",
            "mailkeep message delete alice/A 17 --yes --json",
            "mailkeep user grant bob --privilege delete --privilege modify",
            "mailkeep user revoke bob --privilege changePassword",
            "mailkeep check",
            "mailkeep verify --sample 3/30 --json",
            "mailkeep store rebuild 0001 --accept-loss",
            "mailkeep store create --name x --path /mnt/x",
            "mailkeep store state 0001 writeProtected",
            "mailkeep store retry-open",
            "mailkeep --data D backup B --with-key --verify-all",
            "mailkeep backup show B",
            "mailkeep backup verify B --json",
            "mailkeep --data D restore B --key K --exact",
            "mailkeep key show --json",
            "mailkeep key export -o F",
            "mailkeep key new --stdout",
            "mailkeep key rotate -o F",
            "mailkeep --data D init --key-command pass show -x mailkeep",
            "mailkeep --data D init --from-sheet -",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for line in [
            "mailkeep",
            "mailkeep nonsense",
            "mailkeep user add alice --password secret",
            "mailkeep user add alice --password-stdin --password-file f",
            "mailkeep user grant bob",
            "mailkeep user grant bob --folder alice",
            "mailkeep user grant bob --level read",
            "mailkeep user grant bob --folder alice --level all",
            "mailkeep user create tax --auditor",
            "mailkeep user create tax --expires tomorrow",
            "mailkeep user edit bob",
            "mailkeep user edit bob --enable --disable",
            "mailkeep access unblock --for 8h",
            "mailkeep access unblock --for 31d --reason R",
            "mailkeep group grant G --folder alice",
            "mailkeep folders --login alice --login-password-stdin --login-password-file F",
            "mailkeep cat alice/F x",
            "mailkeep archive P",
            "mailkeep evidence prove",
            "mailkeep evidence prove alice/F",
            "mailkeep evidence prove alice/F 7 --message 00",
            "mailkeep evidence verify F.eml",
            "mailkeep evidence consistency",
            "mailkeep evidence consistency --check P O",
            "mailkeep evidence consistency O --key K",
            "mailkeep search --count --limit 3 QUERY",
            "mailkeep message delete alice/A --yes",
            "mailkeep message move alice/A 1",
            "mailkeep folder delete alice/A --yes",
            "mailkeep profile create N --host H",
            "mailkeep profile create N --kind imapp --host H",
            "mailkeep profile create N --kind imap --password secret",
            "mailkeep profile edit N --ca F --ignore-tls-errors",
            "mailkeep profile edit N --every 5 --continuous",
            "mailkeep runs show first",
            "mailkeep schedule add N backup --every 5",
            "mailkeep user address alice",
            "mailkeep backup",
            "mailkeep backup B --exact",
            "mailkeep key",
            "mailkeep key export -o F --stdout",
            "mailkeep init --key-from nowhere",
            "mailkeep init --key-from file --from-sheet F",
            "mailkeep restore",
            "mailkeep verify --sample 0/3",
            "mailkeep verify --sample 4/3",
            "mailkeep verify --sample 1/1001",
        ] {
            assert_eq!(parse(line).map(|_| ()).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
