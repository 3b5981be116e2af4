//! The one table of commands: name, the states in which it may run, and what runs it.
//!
//! A command that is not here doesn't exist; one that may not run in a state is refused before its arguments are read.

use super::{Call, Done, Session};
use crate::cmd;
use crate::proto::parse::Cursor;
use crate::reply::Refusal;

/// In which states a command may run (RFC 3501 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    BeforeLogin,
    LoggedIn,
    Selected,
}

type Run = fn(&mut Session, &mut Call<'_>, &mut Cursor<'_>) -> Result<Done, Refusal>;

/// One command.
pub(crate) struct Command {
    name: &'static str,
    /// With the prefix UID.
    uid: bool,
    when: When,
    pub(crate) run: Run,
}

const fn plain(name: &'static str, when: When, run: Run) -> Command {
    Command { name, uid: false, when, run }
}
const fn uid(name: &'static str, run: Run) -> Command {
    Command { name, uid: true, when: When::Selected, run }
}

static COMMANDS: &[Command] = &[
    plain("CAPABILITY", When::Always, cmd::capability::run),
    plain("NOOP", When::Always, cmd::noop::noop),
    plain("LOGOUT", When::Always, cmd::noop::logout),
    plain("ID", When::Always, cmd::id::run),
    plain("STARTTLS", When::BeforeLogin, cmd::login::starttls),
    plain("LOGIN", When::BeforeLogin, cmd::login::login),
    plain("AUTHENTICATE", When::BeforeLogin, cmd::login::authenticate),
    plain("ENABLE", When::LoggedIn, cmd::enable::run),
    plain("UNAUTHENTICATE", When::LoggedIn, cmd::login::unauthenticate),
    plain("SELECT", When::LoggedIn, cmd::select::run),
    plain("EXAMINE", When::LoggedIn, cmd::select::run),
    plain("LIST", When::LoggedIn, cmd::list::list),
    plain("LSUB", When::LoggedIn, cmd::list::lsub),
    plain("STATUS", When::LoggedIn, cmd::status::run),
    plain("NAMESPACE", When::LoggedIn, cmd::namespace::run),
    plain("IDLE", When::LoggedIn, cmd::idle::run),
    plain("NOTIFY", When::LoggedIn, cmd::notify::run),
    plain("SUBSCRIBE", When::LoggedIn, cmd::write::subscribe),
    plain("UNSUBSCRIBE", When::LoggedIn, cmd::write::subscribe),
    plain("MYRIGHTS", When::LoggedIn, cmd::acl::my_rights),
    plain("GETACL", When::LoggedIn, cmd::acl::acl),
    plain("LISTRIGHTS", When::LoggedIn, cmd::acl::list_rights),
    plain("SETACL", When::LoggedIn, cmd::write::set_acl),
    plain("DELETEACL", When::LoggedIn, cmd::write::delete_acl),
    plain("GETMETADATA", When::LoggedIn, cmd::metadata::run),
    plain("SETMETADATA", When::LoggedIn, cmd::write::set_metadata),
    plain("APPEND", When::LoggedIn, cmd::write::append),
    plain("CREATE", When::LoggedIn, cmd::write::create),
    plain("DELETE", When::LoggedIn, cmd::write::delete),
    plain("RENAME", When::LoggedIn, cmd::write::rename),
    plain("ESEARCH", When::LoggedIn, cmd::multisearch::run),
    plain("COMPRESS", When::LoggedIn, cmd::compress::run),
    plain("CHECK", When::Selected, cmd::noop::check),
    plain("CLOSE", When::Selected, cmd::select::close),
    plain("UNSELECT", When::Selected, cmd::select::close),
    plain("EXPUNGE", When::Selected, cmd::write::expunge),
    plain("UIDBATCHES", When::Selected, cmd::batches::run),
    plain("SEARCH", When::Selected, cmd::search::run),
    plain("FETCH", When::Selected, cmd::fetch::run),
    plain("STORE", When::Selected, cmd::store::run),
    plain("COPY", When::Selected, cmd::write::copy),
    plain("MOVE", When::Selected, cmd::write::copy),
    plain("SORT", When::Selected, cmd::search::sort),
    plain("THREAD", When::Selected, cmd::search::thread),
    uid("EXPUNGE", cmd::write::expunge),
    uid("SEARCH", cmd::search::run),
    uid("SORT", cmd::search::sort),
    uid("THREAD", cmd::search::thread),
    uid("FETCH", cmd::fetch::run),
    uid("STORE", cmd::store::run),
    uid("COPY", cmd::write::copy),
    uid("MOVE", cmd::write::copy),
];

/// The command of that name, in any case.
pub(crate) fn find(verb: &[u8], uid: bool) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.uid == uid && c.name.as_bytes().eq_ignore_ascii_case(verb))
}

/// How many there are.
pub(crate) fn count() -> usize {
    COMMANDS.len()
}

/// What the command at this place is called where its figures are shown; behind the last: `unknown`.
pub(crate) fn label(index: usize) -> String {
    match COMMANDS.get(index) {
        Some(command) => format!("{}{}", if command.uid { "UID " } else { "" }, command.name),
        None => "unknown".to_owned(),
    }
}

impl Command {
    /// Its place in the table.
    pub(crate) fn index(&self) -> usize {
        COMMANDS.iter().position(|c| c.uid == self.uid && c.name == self.name).unwrap_or(COMMANDS.len())
    }

    /// Whether it is about the selected mailbox; giving that up is possible always.
    pub(crate) fn needs_mailbox(&self) -> bool {
        self.when == When::Selected && !matches!(self.name, "CLOSE" | "UNSELECT")
    }

    /// Whether it selects a mailbox.
    pub(crate) fn selects(&self) -> bool {
        matches!(self.name, "SELECT" | "EXAMINE")
    }

    /// Whether it may run in the session's state.
    pub(crate) fn allowed(&self, session: &Session) -> Result<(), Refusal> {
        match self.when {
            When::Always => Ok(()),
            When::BeforeLogin if session.user.is_none() => Ok(()),
            When::BeforeLogin => Err(Refusal::Bad("Already logged in")),
            When::LoggedIn => session.user().map(|_| ()),
            When::Selected => session.user().and_then(|_| session.selected()).map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        for c in COMMANDS {
            assert_eq!(
                COMMANDS.iter().filter(|o| o.name == c.name && o.uid == c.uid).count(),
                1,
                "{}",
                c.name
            );
            assert!(find(c.name.to_lowercase().as_bytes(), c.uid).is_some());
        }
        assert!(
            find(b"STORE", true).is_some() && find(b"SELECT", true).is_none() && find(b"", false).is_none()
        );
    }
}
