//! The socket in DATA through which commands reach a running server: one connection, one command.
//!
//! The wire: the client sends the command as one line of JSON; the server answers with events, a line each, the last
//! of which is `end` or `failure`. A client that closes its sending side asks to cancel and still gets the end; one that
//! goes away cancels too. Only the owner of DATA and root are let in, by the peer credentials that the system gives; a second
//! socket, if one is set, is for everybody on the machine, who all must log in.

pub(crate) mod client;
pub(crate) mod login;
pub(crate) mod server;
mod wire;
