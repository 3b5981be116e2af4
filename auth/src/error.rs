//! What auth refuses or could not do, told to the person who must act; never with a secret in it.

/// Why a login or a command was refused, or could not be decided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Unknown user, wrong password, or no privilege to log in: deliberately one case.
    #[error("user name or password is wrong")]
    Denied,
    /// The name is taken.
    #[error("user {0:?} is there already")]
    Exists(String),
    /// No such user (only for administrators' commands).
    #[error("there is no user {0:?}; `mailkeep user list` shows them")]
    Unknown(String),
    /// The name can't be a user's.
    #[error("{name:?} can't be a user name: {why}")]
    BadName {
        /// The name, cut for showing.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The text can't be an e-mail address.
    #[error("{address:?} is no e-mail address: {why}")]
    BadAddress {
        /// The text, cut for showing.
        address: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Another user has the address.
    #[error("{address} is {user:?}'s address already; take it from that user first")]
    AddressTaken {
        /// The address.
        address: String,
        /// Who has it.
        user: String,
    },
    /// The password breaks a rule.
    #[error("password refused: {0}")]
    BadPassword(&'static str),
    /// The password was right and must be changed before it is good for anything else.
    #[error("the password must be changed first: mailkeep passwd")]
    MustChange,
    /// The password was right, and a code of the second factor is needed too.
    #[error("a code of the second factor is needed too: --login-code asks for it")]
    CodeNeeded,
    /// The user's password is kept by a directory.
    #[error("the password is the directory's; change it there")]
    PasswordElsewhere,
    /// The second factor is not in the state that was asked for.
    #[error("second factor: {0}")]
    Factor(&'static str),
    /// An app password can't be made or revoked.
    #[error("app password: {0}")]
    AppPassword(&'static str),
    /// A secret could not be sealed or opened.
    #[error("a secret can't be sealed or opened: {0}")]
    Seal(String),
    /// The database failed.
    #[error("user database: {0}")]
    Database(#[source] Box<redb::Error>),
    /// An entry of the database can't be read.
    #[error("user database: the entry of {key:?} can't be read: {what}")]
    Entry {
        /// The user's name or the audit entry's number.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// The directory, or the settings for it.
    #[error("directory: {0}")]
    Directory(String),
    /// There are no settings for a directory.
    #[error("there is no directory yet; `mailkeep directory set` names one")]
    NoDirectory,
    /// The directory that checks the password can't be asked: try again later.
    #[error("the directory that checks passwords can't be asked now; try again later")]
    Unavailable,
    /// The issuer of tokens can't be asked, or its settings make no sense.
    #[error("issuer of tokens: {0}")]
    Issuer(String),
    /// Whoever asked for it doesn't want it any more.
    #[error("stopped")]
    Stopped,
    /// Hashing failed.
    #[error("password hashing: {0}")]
    Hash(String),
    /// The name looks like another user's, in letters of another alphabet.
    #[error("{name:?} looks like the user {other:?}: people would take one for the other")]
    Alike {
        /// The name.
        name: String,
        /// The user's.
        other: String,
    },
    /// Another user has the alias, or is called so.
    #[error("{alias:?} is an alias or the name of {user:?} already; take it from that user first")]
    AliasTaken {
        /// The alias.
        alias: String,
        /// Who has it.
        user: String,
    },
    /// Something that is to be known of a user can't be.
    #[error("{field}: {why}")]
    BadField {
        /// What it is.
        field: &'static str,
        /// The rule it breaks.
        why: String,
    },
    /// An auditor reads everything, and so has an end.
    #[error("{0:?} would be an auditor for ever; auditors need a day on which they end (--expires)")]
    AuditorWithoutEnd(String),
}

impl Error {
    /// Any of redb's errors.
    pub(crate) fn database(error: impl Into<redb::Error>) -> Error {
        Error::Database(Box::new(error.into()))
    }
}
