//! `folder.list` and `mail.cat`: what is in the archives, and what lists of messages show of each.

use super::{Act, Context, Failure, Kind, Needs, Outcome};
use serde::{Deserialize, Serialize};
use std::io::Write;
use storage::search::Snippet;
use storage::text::{Field, SearchText};
use storage::{FolderInfo, FolderPath, InternalDate, Row, Uid};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// The folders, of one archive or of all.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Folders {
    pub(crate) user: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FolderRow {
    folder: String,
    messages: u64,
    bytes: u64,
    uid_validity: u32,
    uid_next: u32,
}

impl Act for Folders {
    fn needs(&self) -> Needs {
        Needs::login()
    }
    fn audit(&self) -> String {
        self.user.as_ref().map_or_else(|| "folder.list".into(), |user| format!("folder.list {user:?}"))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let storage = &cx.installation.storage;
        let eyes = cx.eyes()?;
        let folders = match &self.user {
            Some(user) => archive_of(cx, user)?,
            None => storage.folders(),
        };
        for folder in folders.into_iter().filter(|folder| eyes.see(folder.path.as_str())) {
            cx.row(&FolderRow {
                folder: folder.path.to_string(),
                messages: folder.messages,
                bytes: folder.bytes,
                uid_validity: folder.uid_validity.0,
                uid_next: folder.uid_next.0,
            })?;
        }
        Ok(Outcome::DONE)
    }
}

/// The folders of an archive that the caller sees; one without mail is there if it has a user. Of an archive in which the caller
/// may see nothing it says what it says of one that isn't there.
pub(super) fn archive_of(cx: &Context<'_>, user: &str) -> Result<Vec<FolderInfo>, Failure> {
    let none = || {
        let what = "there is no user and no archive";
        let message = format!("{what} {user:?}; `mailkeep user create` makes a user with an archive");
        Failure::new(Kind::Failed, message)
    };
    let eyes = cx.eyes()?;
    if !eyes.see_some(user) {
        return Err(none());
    }
    let mut folders = cx.installation.storage.folders_of(user);
    if folders.is_empty() {
        cx.installation.auth.user(user).map_err(|error| match error {
            auth::Error::Unknown(_) => none(),
            other => other.into(),
        })?;
    }
    folders.retain(|folder| eyes.see(folder.path.as_str()));
    Ok(folders)
}

#[derive(Debug, Serialize)]
pub(super) struct Hit {
    folder: String,
    uid: u32,
    sha256: String,
    date: Option<String>,
    from: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    snippet: Option<Around>,
}

/// Text around what was found.
#[derive(Debug, Serialize)]
struct Around {
    before: String,
    hit: String,
    after: String,
}

/// What a search shows of a message; `snippet` where it was asked for.
pub(super) fn hit(
    cx: &Context<'_>,
    folder: &FolderPath,
    uid: Uid,
    row: &Row,
    snippet: Option<Snippet>,
) -> Result<Hit, Failure> {
    let message = cx.installation.storage.message(row)?;
    let fields = SearchText::header_fields(&message.header()?);
    Ok(Hit {
        folder: folder.to_string(),
        uid: uid.0,
        sha256: message.hash().to_string(),
        date: rfc3339(row.date),
        from: value(&fields, "From"),
        subject: value(&fields, "Subject"),
        snippet: snippet.map(|Snippet { before, hit, after }| Around { before, hit, after }),
    })
}

fn value(fields: &[Field], name: &str) -> String {
    let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    found.map(|field| field.value.trim().to_owned()).unwrap_or_default()
}

/// INTERNALDATE in its own zone; none when it lies outside the years 0 to 9999.
fn rfc3339(date: InternalDate) -> Option<String> {
    let zone = UtcOffset::from_whole_seconds(i32::from(date.zone) * 60).unwrap_or(UtcOffset::UTC);
    OffsetDateTime::from_unix_timestamp(date.secs).ok()?.checked_to_offset(zone)?.format(&Rfc3339).ok()
}

pub(super) fn missing(folder: &str) -> Failure {
    Failure::new(
        Kind::Failed,
        format!("folder {folder:?} is not in the archive; `mailkeep folders` shows what is there"),
    )
}

/// The source's bytes of a placement.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cat {
    pub(crate) folder: String,
    pub(crate) uid: u32,
}

impl Act for Cat {
    fn needs(&self) -> Needs {
        Needs::login().read(&self.folder)
    }
    fn audit(&self) -> String {
        format!("mail.cat {:?} {}", self.folder, self.uid)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let path = FolderPath::new(self.folder.as_str()).map_err(Failure::usage)?;
        let storage = &cx.installation.storage;
        let view = storage.view(&path).ok_or_else(|| missing(&self.folder))?;
        if !view.uids.contains(Uid(self.uid)) {
            let message = format!("folder {:?} has no message with UID {}", self.folder, self.uid);
            return Err(Failure::new(Kind::Failed, message));
        }
        let mut out = cx.bytes();
        let done = storage
            .cat(view.info.id, Uid(self.uid), &mut out)
            .and_then(|()| out.flush().map_err(|source| storage::Error::Io { path: "-".into(), source }));
        cx.cancel.check()?;
        done?;
        Ok(Outcome::DONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_keep_their_zone() {
        let at = |secs, zone| rfc3339(InternalDate { secs, zone });
        assert_eq!(at(0, 0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(at(1_700_000_000, 330).as_deref(), Some("2023-11-15T03:43:20+05:30"));
        assert_eq!(at(1_700_000_000, -480).as_deref(), Some("2023-11-14T14:13:20-08:00"));
        assert_eq!(at(i64::MAX, 0), None);
        assert_eq!(at(i64::MIN, 0), None);
        assert!(at(0, i16::MAX).is_some(), "an impossible zone counts as UTC");
    }
}
