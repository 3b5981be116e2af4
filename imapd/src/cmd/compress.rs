//! COMPRESS (RFC 4978): DEFLATE, once in a connection. The answer goes out as it is; all behind it is compressed.

use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// Whether the session may compress.
pub(crate) fn is_offered(s: &Session) -> bool {
    let settings = &s.world.settings;
    s.user.is_some() && settings.compress && (!s.tls || settings.compress_with_tls)
}

/// COMPRESS mechanism
pub(crate) fn run(s: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let mechanism = c.atom()?;
    c.end()?;
    if !mechanism.eq_ignore_ascii_case(b"DEFLATE") {
        return Err(Refusal::Bad("Only COMPRESS=DEFLATE is offered"));
    }
    // RFC 4978 §3: NO is for another layer that compresses.
    if s.compressed {
        return Err(Refusal::Bad("[COMPRESSIONACTIVE] DEFLATE is on already"));
    }
    if is_offered(s) {
        Ok(Done::Compress)
    } else {
        Err(Refusal::No("CANNOT", "COMPRESS is not offered here"))
    }
}
