//! What the client has enabled (RFC 5161): for the rest of the session, as nothing can be disabled again.

/// Extensions that change answers which the client didn't ask for by name.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Enabled {
    /// CONDSTORE (RFC 7162 §3.1), by ENABLE or by a command that implies it.
    pub(crate) condstore: bool,
    /// QRESYNC (RFC 7162 §3.2): VANISHED takes EXPUNGE's place.
    pub(crate) qresync: bool,
    /// UIDONLY (RFC 9586): no sequence number is taken or shown.
    pub(crate) uidonly: bool,
}

impl Enabled {
    /// What goes is told by UID.
    pub(crate) fn vanishes(self) -> bool {
        self.qresync || self.uidonly
    }
}
