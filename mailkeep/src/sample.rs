//! The sample mail that `demo` archives: a folder and its mbox each. Written by sample/make.py; don't edit.

/// Messages in all.
pub(crate) const MESSAGES: u64 = 327;

/// Folder paths, levels joined by `/`, with the folder's mbox (mboxrd).
pub(crate) const FOLDERS: [(&str, &[u8]); 14] = [
    ("Bookings", include_bytes!("../sample/mail/Bookings.mbox")),
    ("Curiosities", include_bytes!("../sample/mail/Curiosities.mbox")),
    ("Entwürfe & Ablage", include_bytes!("../sample/mail/Entwürfe & Ablage.mbox")),
    ("Inbox", include_bytes!("../sample/mail/Inbox.mbox")),
    ("Journeys/Küste & 海", include_bytes!("../sample/mail/Journeys/Küste & 海.mbox")),
    ("Lists/announce", include_bytes!("../sample/mail/Lists/announce.mbox")),
    ("Lists/boatbuilders", include_bytes!("../sample/mail/Lists/boatbuilders.mbox")),
    ("Projects/Ferry", include_bytes!("../sample/mail/Projects/Ferry.mbox")),
    ("Projects/Lighthouse", include_bytes!("../sample/mail/Projects/Lighthouse.mbox")),
    ("Projects/Museum", include_bytes!("../sample/mail/Projects/Museum.mbox")),
    ("Rechnungen/2012", include_bytes!("../sample/mail/Rechnungen/2012.mbox")),
    ("Rechnungen/2019", include_bytes!("../sample/mail/Rechnungen/2019.mbox")),
    ("Rechnungen/2022", include_bytes!("../sample/mail/Rechnungen/2022.mbox")),
    ("Sent", include_bytes!("../sample/mail/Sent.mbox")),
];
