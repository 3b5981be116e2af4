//! The sample mail that `demo` archives: a folder and its mbox each. Written by sample/make.py; don't edit.

/// Messages in all.
pub(crate) const MESSAGES: u64 = 327;

/// Folder paths, levels joined by `/`, with the folder's mbox (mboxrd).
pub(crate) const FOLDERS: [(&str, &[u8]); 14] = [
    ("Bookings", include_bytes!("../sample/Bookings/mail.mbox")),
    ("Curiosities", include_bytes!("../sample/Curiosities/mail.mbox")),
    ("Entwürfe & Ablage", include_bytes!("../sample/Entwürfe & Ablage/mail.mbox")),
    ("Inbox", include_bytes!("../sample/Inbox/mail.mbox")),
    ("Journeys/Küste & 海", include_bytes!("../sample/Journeys/Küste & 海/mail.mbox")),
    ("Lists/announce", include_bytes!("../sample/Lists/announce/mail.mbox")),
    ("Lists/boatbuilders", include_bytes!("../sample/Lists/boatbuilders/mail.mbox")),
    ("Projects/Ferry", include_bytes!("../sample/Projects/Ferry/mail.mbox")),
    ("Projects/Lighthouse", include_bytes!("../sample/Projects/Lighthouse/mail.mbox")),
    ("Projects/Museum", include_bytes!("../sample/Projects/Museum/mail.mbox")),
    ("Rechnungen/2012", include_bytes!("../sample/Rechnungen/2012/mail.mbox")),
    ("Rechnungen/2019", include_bytes!("../sample/Rechnungen/2019/mail.mbox")),
    ("Rechnungen/2022", include_bytes!("../sample/Rechnungen/2022/mail.mbox")),
    ("Sent", include_bytes!("../sample/Sent/mail.mbox")),
];
