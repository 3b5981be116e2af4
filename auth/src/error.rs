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
    /// The issuer of tokens can't be asked, or its settings make no sense.
    #[error("issuer of tokens: {0}")]
    Issuer(String),
    /// Whoever asked for it doesn't want it any more.
    #[error("stopped")]
    Stopped,
    /// Hashing failed.
    #[error("password hashing: {0}")]
    Hash(String),
}

impl Error {
    /// Any of redb's errors.
    pub(crate) fn database(error: impl Into<redb::Error>) -> Error {
        Error::Database(Box::new(error.into()))
    }
}
