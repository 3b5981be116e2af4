//! MYRIGHTS, GETACL, LISTRIGHTS (RFC 4314): everyone has `lr` on what they see, and nobody more.
//!
//! Thunderbird greys out filing and deleting when MYRIGHTS says so. Who else may read a mailbox is told to administrators only:
//! others see their own entry.

use crate::proto::encode::{self, Text};
use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::names::Target;
use crate::session::{Call, Done, Session};
use auth::Privilege;

const RIGHTS: &[u8] = b" lr";

/// The mailbox's name, which is there and may be read, and what it means.
fn opened(session: &Session, name: Option<String>) -> Result<(String, Target), Refusal> {
    let mailbox = session.open(name.as_deref())?;
    Ok((canonical(name.unwrap_or_default()), mailbox.target))
}

/// Whether a user may read what a mailbox of `of` shows.
fn reads(session: &Session, who: &str, of: &str, target: &Target) -> Result<bool, Refusal> {
    let sight = session.world.sight(who)?;
    Ok(match target {
        // Whether a folder is behind it or not, an INBOX without one is the same.
        Target::EmptyInbox => sight.reads(of),
        target => session.world.shows(&sight, target),
    })
}

/// INBOX is written in one way.
fn canonical(name: String) -> String {
    if name.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { name }
}

fn is_admin(session: &Session) -> Result<bool, Refusal> {
    let auth = &session.world.auth;
    Ok(auth.may(&auth.user(session.user()?)?, Privilege::Admin))
}

/// Untagged MYRIGHTS.
pub(crate) fn write_rights(text: Text, name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* MYRIGHTS ");
    text.mailbox(name, out);
    out.extend_from_slice(RIGHTS);
    out.extend_from_slice(b"\r\n");
}

/// MYRIGHTS mailbox
pub(crate) fn my_rights(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.end()?;
    let (name, _) = opened(s, name)?;
    write_rights(s.enabled.text(), &name, call.out);
    Ok(Done::Ok("MYRIGHTS done"))
}

/// GETACL mailbox
pub(crate) fn acl(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.end()?;
    let (name, target) = opened(s, name)?;
    let own = s.user()?;
    let mut who = vec![own.to_owned()];
    if is_admin(s)? {
        for user in s.world.auth.users()? {
            if user.name != own && reads(s, &user.name, own, &target)? {
                who.push(user.name);
            }
        }
        who.sort_unstable();
    }
    call.out.extend_from_slice(b"* ACL ");
    s.enabled.text().mailbox(&name, call.out);
    for who in who {
        call.out.push(b' ');
        identifier(s.enabled.text(), who.as_bytes(), call.out);
        call.out.extend_from_slice(RIGHTS);
    }
    call.out.extend_from_slice(b"\r\n");
    Ok(Done::Ok("GETACL done"))
}

/// LISTRIGHTS mailbox identifier: nothing can be granted. Whoever reads has both rights always, which are told of the user's own
/// name, and to administrators; of others none.
pub(crate) fn list_rights(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.sp()?;
    let who = c.astring()?;
    c.end()?;
    let (name, target) = opened(s, name)?;
    let user = s.user()?;
    let fixed = *who == *user.as_bytes()
        || match std::str::from_utf8(&who) {
            Ok(who) if is_admin(s)? => reads(s, who, user, &target)?,
            _ => false,
        };
    call.out.extend_from_slice(b"* LISTRIGHTS ");
    s.enabled.text().mailbox(&name, call.out);
    call.out.push(b' ');
    identifier(s.enabled.text(), &who, call.out);
    call.out.extend_from_slice(if fixed { RIGHTS } else { b" \"\"" });
    call.out.extend_from_slice(b"\r\n");
    Ok(Done::Ok("LISTRIGHTS done"))
}

/// A user's name: an atom where it can be one.
fn identifier(text: Text, name: &[u8], out: &mut Vec<u8>) {
    if name.is_ascii() { encode::astring(name, out) } else { text.string(name, out) }
}
