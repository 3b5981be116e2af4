//! `folder.*` and `message.*`: what changes mail after it was archived. Each says what it did and to how many, in its row and
//! in the audit log, also when it was stopped in the midst: what is done until then is whole.

use super::mail::{archive_of, hit, missing};
use super::{Act, Context, Failure, Kind, Needs, Outcome, Progress, Unit, query};
use auth::{Level, Privilege};
use serde::{Deserialize, Serialize};
use storage::{Changed, FolderPath, FolderView, UidRanges};

/// Longest list of UIDs, bytes.
const MAX_LIST: usize = 64 << 10;

/// What a command changed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// `moved`, `renamed`, `merged`, `deleted`.
    pub(crate) did: String,
    /// Folders that were renamed or removed.
    pub(crate) folders: u64,
    /// Messages that were moved or deleted.
    pub(crate) messages: u64,
}

fn report(cx: &Context<'_>, did: &str, changed: Changed) -> Result<Outcome, Failure> {
    let Changed { folders, messages } = changed;
    cx.note(format!("{did} {messages} messages, {folders} folders"));
    // It is done: its account is wanted even after a cancel.
    cx.last_row(&Report { did: did.to_owned(), folders, messages })?;
    Ok(Outcome::DONE)
}

/// Tells how far it is, and notes it for the audit log.
fn progress<'c>(cx: &'c Context<'_>, did: &'c str) -> impl FnMut(u64, u64) + 'c {
    move |done, total| {
        cx.note(format!("{did} {done} of {total} messages"));
        cx.progress(Progress { done, total: Some(total), unit: Unit::Messages, text: String::new() });
    }
}

fn path(text: &str) -> Result<FolderPath, Failure> {
    FolderPath::new(text).map_err(Failure::usage)
}

/// The path of a folder that is there, or of which something below is. What isn't there is refused in the words for what
/// can't be read.
fn there(cx: &Context<'_>, text: &str) -> Result<FolderPath, Failure> {
    let path = path(text)?;
    if cx.installation.storage.folders_of(text).is_empty() {
        return Err(missing(text));
    }
    Ok(path)
}

/// A path that mail goes to: a mistyped archive would put it where nobody sees it.
fn target(cx: &Context<'_>, text: &str) -> Result<FolderPath, Failure> {
    let to = path(text)?;
    if to.inner().is_some() {
        archive_of(cx, to.archive())?;
    }
    Ok(to)
}

/// Gives a folder and all below it another path.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderMove {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Act for FolderMove {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::Modify).whole(&self.from, Level::Write).whole(&self.to, Level::Write)
    }
    fn audit(&self) -> String {
        format!("folder.move {:?} to {:?}", self.from, self.to)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let (from, to) = (there(cx, &self.from)?, target(cx, &self.to)?);
        let mut told = progress(cx, "moved");
        let changed = cx.installation.storage.move_folder(&from, &to, &cx.cancel, &mut told)?;
        report(cx, if changed.messages == 0 { "renamed" } else { "moved" }, changed)
    }
}

/// Moves all of a folder into another one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderMerge {
    pub(crate) from: String,
    pub(crate) into: String,
}

impl Act for FolderMerge {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::Modify).whole(&self.from, Level::Write).whole(&self.into, Level::Write)
    }
    fn audit(&self) -> String {
        format!("folder.merge {:?} into {:?}", self.from, self.into)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let (from, into) = (there(cx, &self.from)?, target(cx, &self.into)?);
        let mut told = progress(cx, "moved");
        let changed = cx.installation.storage.merge_folder(&from, &into, &cx.cancel, &mut told)?;
        report(cx, "merged", changed)
    }
}

/// Removes a folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderDelete {
    pub(crate) folder: String,
    /// With what is in it and below it.
    pub(crate) with_messages: bool,
    /// The caller means it.
    pub(crate) yes: bool,
}

impl Act for FolderDelete {
    fn needs(&self) -> Needs {
        match self.with_messages {
            true => Needs::privilege(Privilege::Delete).whole(&self.folder, Level::Delete),
            // Nothing is lost with an empty one.
            false => Needs::privilege(Privilege::Modify).whole(&self.folder, Level::Write),
        }
    }
    fn audit(&self) -> String {
        let how = if self.with_messages { " with its messages" } else { "" };
        format!("folder.delete {:?}{how}", self.folder)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let storage = &cx.installation.storage;
        let folder = there(cx, &self.folder)?;
        if self.with_messages && !self.yes {
            let below = storage.folders_of(&self.folder);
            let messages: u64 = below.iter().map(|folder| folder.messages).sum();
            return Err(Failure::usage(format!(
                "this deletes {messages} messages in {} folders; add --yes if that is meant",
                below.len()
            )));
        }
        let mut told = progress(cx, "deleted");
        let changed = storage.delete_folder(&folder, self.with_messages, &cx.cancel, &mut told);
        let changed = changed.map_err(|error| match error {
            storage::Error::Refused { what } if !self.with_messages => {
                Failure::new(Kind::Failed, format!("{what}; --with-messages --yes deletes it all"))
            }
            other => other.into(),
        })?;
        report(cx, "deleted", changed)
    }
}

/// Says something of a folder, or shows what is said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderComment {
    pub(crate) folder: String,
    /// Empty: nothing any more. None: it is shown.
    pub(crate) text: Option<String>,
}

#[derive(Debug, Serialize)]
struct CommentRow {
    folder: String,
    comment: Option<String>,
    changed: bool,
}

impl Act for FolderComment {
    fn needs(&self) -> Needs {
        match self.text {
            Some(_) => Needs::privilege(Privilege::Modify).level(&self.folder, Level::Write),
            None => Needs::login().read(&self.folder),
        }
    }
    fn audit(&self) -> String {
        let how = match self.text.as_deref() {
            None => " (only shown)".to_owned(),
            Some("") => " removed".to_owned(),
            Some(text) => format!(" {text:?}"),
        };
        format!("folder.comment {:?}{how}", self.folder)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let storage = &cx.installation.storage;
        let folder = path(&self.folder)?;
        if storage.view(&folder).is_none() {
            return Err(missing(&self.folder));
        }
        if let Some(text) = &self.text {
            storage.comment(&folder, text, &cx.cancel)?;
        }
        let comment = storage.view(&folder).and_then(|view| view.comment).map(|text| text.to_string());
        cx.row(&CommentRow { folder: folder.to_string(), comment, changed: self.text.is_some() })?;
        Ok(Outcome::DONE)
    }
}

/// Which messages of a folder: by UID or by what they say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    pub(crate) folder: String,
    /// `17`, `1:20,31`, `100:*`
    pub(crate) uids: Option<String>,
    /// A query, as `mail.search` takes it.
    pub(crate) search: Option<String>,
}

impl Choice {
    fn audit(&self) -> String {
        let uids = self.uids.as_ref().map(|uids| format!(" UIDs {uids:?}")).unwrap_or_default();
        // What is searched for is content.
        let search = if self.search.is_some() { " by a search" } else { "" };
        format!("{:?}{uids}{search}", self.folder)
    }

    /// The folder and the UIDs that it has of them; at least one.
    fn find(&self, cx: &Context<'_>) -> Result<(FolderView, UidRanges), Failure> {
        let storage = &cx.installation.storage;
        let view = storage.view(&path(&self.folder)?).ok_or_else(|| missing(&self.folder))?;
        let mut found = match &self.uids {
            Some(list) => uids(list)?.intersect(&view.uids),
            None => (*view.uids).clone(),
        };
        match (&self.search, &self.uids) {
            (Some(line), _) => {
                let key = query::parse_key(line).map_err(Failure::usage)?;
                found = found.intersect(&storage.search(&view, &key, &cx.cancel)?);
            }
            (None, None) => return Err(Failure::usage("say which messages: UIDs, or --search QUERY")),
            (None, Some(_)) => {}
        }
        if found.is_empty() {
            let message = format!("folder {:?} has no such messages; nothing was changed", self.folder);
            return Err(Failure::new(Kind::Failed, message));
        }
        Ok((view, found))
    }
}

/// Reads `17`, `1:20,31`, `100:*`.
fn uids(list: &str) -> Result<UidRanges, Failure> {
    let wrong = || Failure::usage(format!("UIDs look like 17 or 1:20,31 or 100:*; {list:?} is none"));
    if list.len() > MAX_LIST {
        return Err(Failure::usage(format!("the list of UIDs is longer than {MAX_LIST} bytes")));
    }
    let number = |text: &str| match text {
        "*" => Ok(u32::MAX),
        digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|&uid| uid > 0).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    };
    let mut spans = Vec::new();
    for item in list.split(',') {
        let (first, last) = item.split_once(':').unwrap_or((item, item));
        spans.push((number(first)?, number(last)?));
    }
    Ok(UidRanges::from_spans(spans))
}

/// Moves messages to another folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageMove {
    pub(crate) which: Choice,
    pub(crate) to: String,
    /// Only show them.
    pub(crate) dry_run: bool,
}

impl Act for MessageMove {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::Modify)
            .level(&self.which.folder, Level::Write)
            .level(&self.to, Level::Write)
    }
    fn audit(&self) -> String {
        let how = if self.dry_run { " (only shown)" } else { "" };
        format!("message.move {} to {:?}{how}", self.which.audit(), self.to)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let to = target(cx, &self.to)?;
        archive_of(cx, to.archive())?;
        let (view, found) = self.which.find(cx)?;
        if self.dry_run {
            return show(cx, &view, &found);
        }
        let mut told = progress(cx, "moved");
        let storage = &cx.installation.storage;
        let messages = storage.move_messages(&view.info.path, &found, &to, &cx.cancel, &mut told)?;
        report(cx, "moved", Changed { folders: 0, messages })
    }
}

/// Deletes messages.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageDelete {
    pub(crate) which: Choice,
    /// Only show them.
    pub(crate) dry_run: bool,
    /// The caller means it.
    pub(crate) yes: bool,
}

impl Act for MessageDelete {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::Delete).level(&self.which.folder, Level::Delete)
    }
    fn audit(&self) -> String {
        let how = if self.dry_run { " (only shown)" } else { "" };
        format!("message.delete {}{how}", self.which.audit())
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let (view, found) = self.which.find(cx)?;
        if self.dry_run {
            return show(cx, &view, &found);
        }
        if !self.yes {
            return Err(Failure::usage(format!(
                "this deletes {} messages of {}; --dry-run shows them, --yes deletes them",
                found.len(),
                view.info.path
            )));
        }
        let mut told = progress(cx, "deleted");
        let storage = &cx.installation.storage;
        let messages = storage.delete_messages(&view.info.path, &found, &cx.cancel, &mut told)?;
        report(cx, "deleted", Changed { folders: 0, messages })
    }
}

/// Shows messages as `mail.search` does.
fn show(cx: &Context<'_>, view: &FolderView, uids: &UidRanges) -> Result<Outcome, Failure> {
    let mut rows = cx.installation.storage.rows(view, uids);
    while let Some(batch) = rows.next_batch()? {
        for row in batch {
            cx.row(&hit(cx, &view.info.path, row.uid, &row, None)?)?;
        }
    }
    rows.trouble().map_or(Ok(Outcome::DONE), |error| Err(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_uids() {
        let spans = |list: &str| uids(list).map(|set| set.spans().collect::<Vec<_>>()).map_err(|e| e.kind);
        assert_eq!(spans("17").unwrap(), [(17, 17)]);
        assert_eq!(spans("1:20,31,22:21").unwrap(), [(1, 22), (31, 31)]);
        assert_eq!(spans("100:*").unwrap(), [(100, u32::MAX)]);
        for wrong in ["", "0", "1:", ":2", "1,,2", "a", "-1", "1:2:3", "+5", "4294967296", " 1"] {
            assert_eq!(spans(wrong), Err(Kind::Usage), "{wrong:?}");
        }
        let most = "1,".repeat(MAX_LIST / 2 - 1) + "11";
        assert_eq!(most.len(), MAX_LIST);
        assert!(uids(&most).is_ok());
        assert!(uids(&(most + "1")).is_err());
    }
}
