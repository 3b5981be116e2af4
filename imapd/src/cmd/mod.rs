//! The commands, one a file. Each parses its arguments with `proto`, asks rights through the session, writes its
//! untagged answers, and leaves the tagged one to the session.

pub(crate) mod acl;
pub(crate) mod answer;
pub(crate) mod batches;
pub(crate) mod bearer;
pub(crate) mod binary;
pub(crate) mod capability;
pub(crate) mod compress;
pub(crate) mod enable;
pub(crate) mod fetch;
pub(crate) mod id;
pub(crate) mod idle;
pub(crate) mod limit;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod metadata;
pub(crate) mod multisearch;
pub(crate) mod namespace;
pub(crate) mod noop;
pub(crate) mod notify;
pub(crate) mod objects;
pub(crate) mod scram;
pub(crate) mod search;
pub(crate) mod section;
pub(crate) mod select;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod vanished;
pub(crate) mod write;
