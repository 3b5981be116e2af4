//! Mailbox names and folder paths, both ways.
//!
//! The own archive's folders stand at the top (`alice/F` is `F`), other archives below `Other Archives/NAME`, whose
//! name alone is the folder at their top. Names that mean something else at the top level of the own archive are
//! escaped: `Top Folder` is the own archive's top folder, `All Mail` all of its messages; a folder of that name, one named `Other Archives` or
//! `All Mail`, or an `Inbox` that is not INBOX, gets ` (folder)` behind its first level; one that looks so already gets
//! it once more. Invariant: the mapping is one to one, so a name never opens two folders, nor a folder two names.

use storage::FolderPath;

/// Where the archives of others stand.
pub(crate) const OTHERS: &str = "Other Archives";
/// Messages directly in the own archive's top folder.
pub(crate) const TOP: &str = "Top Folder";
/// All messages of the own archive.
pub(crate) const ALL_MAIL: &str = "All Mail";
/// What a first level has behind it that would mean something else.
pub(crate) const ESCAPE: &str = " (folder)";

/// What a mailbox name means to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// INBOX without a folder behind it: empty, and always there.
    EmptyInbox,
    /// A folder, if it exists and may be read.
    Folder(FolderPath),
    /// All messages of this archive.
    AllMail(String),
    /// What a large folder has of a year.
    Year(FolderPath, i32),
}

impl Target {
    /// The name for administrators: the folder's path, whoever looks at it.
    pub(crate) fn shown(&self, user: &str) -> String {
        match self {
            Target::EmptyInbox => format!("{user}/INBOX"),
            Target::Folder(path) => path.to_string(),
            Target::AllMail(archive) => format!("{archive}/{ALL_MAIL}"),
            Target::Year(path, year) => format!("{path}/{year}"),
        }
    }
}

/// What `name` (decoded) means to `user`; `None` for a name that can't be one. `inbox` gives the own first level that is
/// INBOX (the one made first of those so named in any case, so that INBOX doesn't change its folder when another one comes), when needed.
pub(crate) fn find(user: &str, name: &str, inbox: impl Fn() -> Option<String>) -> Option<Target> {
    let first = first_level(name);
    let rest = name.get(first.len()..).unwrap_or_default();
    let own = if first == OTHERS {
        let path = FolderPath::new(rest.strip_prefix('/')?).ok()?;
        // The own archive is seen under one name only.
        return (path.archive() != user).then_some(Target::Folder(path));
    } else if name == TOP {
        return FolderPath::new(user).ok().map(Target::Folder);
    } else if name == ALL_MAIL {
        return Some(Target::AllMail(user.to_owned()));
    } else if is_inbox(first) {
        match inbox() {
            Some(inbox) => inbox,
            None => return rest.is_empty().then_some(Target::EmptyInbox),
        }
    } else if is_reserved(first) {
        return None;
    } else if is_reserved(base(first)) {
        let plain = first.strip_suffix(ESCAPE)?;
        if is_inbox(plain) && inbox().as_deref() == Some(plain) {
            return None;
        }
        plain.to_owned()
    } else {
        first.to_owned()
    };
    FolderPath::new(format!("{user}/{own}{rest}")).ok().map(Target::Folder)
}

/// The name under which `user` sees `path`; `inbox` as for [`find`].
pub(crate) fn show(user: &str, path: &FolderPath, inbox: Option<&str>) -> String {
    if path.archive() != user {
        return format!("{OTHERS}/{path}");
    }
    let Some(inner) = path.inner() else { return TOP.to_owned() };
    let first = first_level(inner);
    let rest = inner.get(first.len()..).unwrap_or_default();
    if inbox == Some(first) {
        format!("INBOX{rest}")
    } else if is_reserved(base(first)) {
        format!("{first}{ESCAPE}{rest}")
    } else {
        inner.to_owned()
    }
}

/// The first level of a name.
pub(crate) fn first_level(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

const INBOX: &str = "inbox";

fn is_inbox(level: &str) -> bool {
    level.eq_ignore_ascii_case(INBOX)
}

/// First levels that mean something else than a folder of that name.
pub(crate) fn is_reserved(level: &str) -> bool {
    is_inbox(level) || [OTHERS, TOP, ALL_MAIL].contains(&level)
}

/// All spellings of first levels that mean something else.
pub(crate) fn reserved_words() -> Vec<String> {
    [OTHERS, TOP, ALL_MAIL].map(str::to_owned).into_iter().chain(inbox_spellings()).collect()
}

/// All spellings of INBOX.
pub(crate) fn inbox_spellings() -> impl Iterator<Item = String> {
    (0..1u8 << INBOX.len()).map(|upper| {
        let spell = |(at, c): (usize, char)| if upper >> at & 1 == 1 { c.to_ascii_uppercase() } else { c };
        INBOX.chars().enumerate().map(spell).collect()
    })
}

/// A first level without the escapes behind it.
pub(crate) fn base(level: &str) -> &str {
    let mut level = level;
    while let Some(shorter) = level.strip_suffix(ESCAPE) {
        level = shorter;
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::encode::Text;
    use crate::proto::parse::Cursor;
    use proptest::prelude::*;
    #[test]
    fn names_and_paths() {
        for (inbox, name, path) in [
            (None, "F", Some("al/F")),
            (None, "F/Inbox", Some("al/F/Inbox")),
            (None, "Top Folder", Some("al")),
            (None, "Top Folder (folder)/x", Some("al/Top Folder/x")),
            (None, "Other Archives (folder)", Some("al/Other Archives")),
            (None, "All Mail (folder)", Some("al/All Mail")),
            (None, "All Mail/x", None),
            (None, "Other Archives/bob/All Mail", Some("bob/All Mail")),
            (None, "All Mail (folder) (folder)", Some("al/All Mail (folder)")),
            (None, "F (folder)", Some("al/F (folder)")),
            (None, "Other Archives", None),
            (None, "Other Archives/bob", Some("bob")),
            (None, "Other Archives/bob/Inbox", Some("bob/Inbox")),
            (None, "Other Archives/al/F", None),
            (None, "INBOX/sub", None),
            (None, "", None),
            (None, "/F", None),
            (None, "F/", None),
            (None, "F//G", None),
            (None, "../bob", Some("al/../bob")),
            (Some("Inbox"), "iNbOx/sub", Some("al/Inbox/sub")),
            (Some("Inbox"), "INBOX", Some("al/Inbox")),
            (Some("Inbox"), "INBOX (folder)", Some("al/INBOX")),
            (Some("Inbox"), "Inbox (folder)", None),
        ] {
            let found = find("al", name, || inbox.map(str::to_owned));
            assert_eq!(found, path.map(|p| Target::Folder(FolderPath::new(p).unwrap())), "{name}");
        }
        assert_eq!(find("al", "inbox", || None), Some(Target::EmptyInbox));
        assert_eq!(find("al", "All Mail", || None), Some(Target::AllMail("al".into())));
    }

    proptest! {
        #[test]
        fn one_to_one(
            levels in prop::collection::vec("Inbox|INBOX|inbox|All Mail|Top Folder|Other Archives|x|al|bob", 0..4),
            escapes in 0usize..3, archive in "al|bob", inbox in prop::option::of("Inbox|INBOX|inbox"),
        ) {
            let mut path = archive;
            for (i, level) in levels.iter().enumerate() {
                path = format!("{path}/{level}{}", if i == 0 { ESCAPE.repeat(escapes) } else { String::new() });
            }
            let path = FolderPath::new(path).unwrap();
            // Without a folder that is INBOX there is none so named.
            let inbox = inbox.or_else(|| path.inner().map(first_level).filter(|f| path.archive() == "al" && is_inbox(f)).map(str::to_owned));
            let name = show("al", &path, inbox.as_deref());
            prop_assert_eq!(find("al", &name, || inbox.clone()), Some(Target::Folder(path)), "{}", name);
        }
        /// Through both forms of names, their quoting, and a command's parser.
        #[test]
        fn any_folder_is_opened_by_the_name_that_is_shown(
            levels in prop::collection::vec("\\PC{1,6}|Inbox|[ %*\\\\\"&.-]{1,5}|&[A-Za-z]{2,4}-|All Mail( \\(folder\\)){0,2}|e\u{301}|\u{e9}|%2F", 0..5),
            own in any::<bool>(),
        ) {
            let archive = if own { "al" } else { "bob" };
            let levels = levels.iter().map(|level| level.replace('/', "|"));
            let path: Vec<String> = std::iter::once(archive.to_owned()).chain(levels).collect();
            let Ok(path) = FolderPath::new(path.join("/")) else { return Ok(()) };
            let inbox = path.inner().map(first_level).filter(|first| own && is_inbox(first));
            let name = show("al", &path, inbox);
            for text in [Text::Coded, Text::Utf8] {
                let mut wire = b"".to_vec();
                text.mailbox(&name, &mut wire);
                prop_assert!(text == Text::Utf8 || wire.is_ascii());
                let mut c = Cursor::new(&wire).with_text(text);
                let read = c.mailbox().unwrap();
                prop_assert!(c.is_end());
                prop_assert_eq!(read.as_deref(), Some(name.as_str()));
                let found = find("al", &read.unwrap(), || inbox.map(str::to_owned));
                prop_assert_eq!(found, Some(Target::Folder(path.clone())), "{}", name);
            }
        }
        #[test]
        fn a_name_that_opens_a_folder_is_its_name(
            name in r"((Other Archives|Top Folder|All Mail|INBOX|Inbox|x|bob)( \(folder\)){0,2}/?){1,3}", inbox in prop::option::of("Inbox"),
        ) {
            if let Some(Target::Folder(path)) = find("al", &name, || inbox.clone()) {
                let shown = show("al", &path, inbox.as_deref());
                prop_assert!(shown == name || is_inbox(first_level(&name)), "{} {}", shown, name);
            }
        }
    }
}
