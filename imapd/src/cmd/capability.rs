//! CAPABILITY: what is offered now. Only what works whole is listed.

use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

const ALWAYS: &str = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE UTF8=ACCEPT";
const LOGGED_IN: &str = "IDLE NAMESPACE CHILDREN SPECIAL-USE LIST-EXTENDED LIST-STATUS LIST-MYRIGHTS LIST-METADATA METADATA STATUS=SIZE UNSELECT UIDPLUS ESEARCH ACL SORT SORT=DISPLAY ESORT THREAD=REFERENCES THREAD=ORDEREDSUBJECT \
     BINARY UNAUTHENTICATE SEARCHRES PARTIAL WITHIN INPROGRESS PREVIEW SEARCH=FUZZY MULTISEARCH CONDSTORE QRESYNC OBJECTID SAVEDATE UIDONLY UIDBATCHES NOTIFY";

/// The capabilities of a session in its state.
pub(crate) fn list(session: &Session) -> String {
    let mut all = ALWAYS.to_owned();
    if session.user.is_none() {
        if !session.tls {
            all.push_str(" STARTTLS");
        }
        match (session.is_private(), session.world.auth.offers_scram()) {
            (false, _) => all.push_str(" LOGINDISABLED"),
            (true, false) => all.push_str(" AUTH=PLAIN"),
            // Many clients take the first that they know.
            (true, true) if session.channel.0.is_empty() => all.push_str(" AUTH=SCRAM-SHA-256 AUTH=PLAIN"),
            (true, true) => all.push_str(" AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=PLAIN"),
        }
        if session.is_private() {
            all.push_str(super::bearer::capabilities(session));
        }
    }
    all.push(' ');
    if session.world.settings.unauthenticate {
        all.push_str(LOGGED_IN);
    } else {
        all.push_str(&LOGGED_IN.replace(" UNAUTHENTICATE", ""));
    }
    if let Some(most) = super::limit::most(session) {
        all.push_str(&format!(" MESSAGELIMIT={most}"));
    }
    if super::compress::is_offered(session) {
        all.push_str(" COMPRESS=DEFLATE");
    }
    all
}

/// CAPABILITY
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    call.out.extend_from_slice(format!("* CAPABILITY {}\r\n", list(s)).as_bytes());
    Ok(Done::Ok("CAPABILITY done"))
}
