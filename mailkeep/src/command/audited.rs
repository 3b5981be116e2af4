//! What an act's entry in the audit log says besides the act: its kind, and the archives that it was about.
//!
//! Invariant: nothing that could be words of mail, or a secret, gets there: of parameters that make no sense only that is said, since a
//! complaint quotes them.

use super::needs::Want;
use super::{Act, Command, Context, Failure, Kind, Outcome};
use auth::{AuditKind, AuditNote};

/// Adds a command's entry to the audit log; durable on return.
pub(super) fn note(
    command: &Command,
    act: &dyn Act,
    cx: &Context<'_>,
    end: &Result<Outcome, Failure>,
) -> Result<(), auth::Error> {
    let result = match end {
        Ok(Outcome { failed: false }) => "ok",
        Ok(Outcome { failed: true }) => "ended with failures",
        Err(failure) if failure.kind == Kind::Usage => "refused: the parameters make no sense",
        Err(failure) => failure.message.as_str(),
    };
    let noted = cx.noted();
    let result = if noted.is_empty() { result.to_owned() } else { format!("{result}: {noted}") };
    let what = act.audit();
    let name = what.split(' ').next().unwrap_or_default();
    let archives = about(command, act);
    let (who, from) = (cx.caller.who.as_str(), cx.caller.from.as_str());
    let kind = match kind(name) {
        AuditKind::Access if !archives.is_empty() && archives.iter().all(|archive| archive == who) => {
            AuditKind::Act
        }
        kind => kind,
    };
    let object = archives.join(", ");
    cx.installation.auth.note(&AuditNote { who, from, kind, what: &what, object: &object, result: &result })
}

/// The kind of a command's act, by the command's name.
fn kind(name: &str) -> AuditKind {
    let looks = [".list", ".show", ".test"].iter().any(|end| name.ends_with(end));
    let starts = |all: &[&str]| all.iter().any(|start| name.starts_with(start));
    match name {
        "mail.search" | "mail.cat" | "imap.trace" => AuditKind::Access,
        "archive.files" | "profile.run" | "runs.retry" => AuditKind::Run,
        "folder.delete" | "message.delete" | "store.compact" => AuditKind::Deletion,
        _ if looks => AuditKind::Act,
        _ if starts(&["access."]) => AuditKind::ArchiveAccess,
        _ if starts(&["user.", "group.", "directory."]) => AuditKind::Privilege,
        _ => AuditKind::Act,
    }
}

/// The archives and users that a command names, each once.
fn about(command: &Command, act: &dyn Act) -> Vec<String> {
    let needs = act.needs();
    let wanted = needs.folders.iter().filter_map(|want| match want {
        Want::Level(folder, _) | Want::Whole(folder, _) => Some(folder.as_str()),
        Want::ReadAll => None,
    });
    let named: Vec<&str> = match command {
        Command::Archive(c) => vec![&c.into],
        Command::Folders(c) => c.user.iter().map(String::as_str).collect(),
        Command::Search(c) => c.folder.iter().chain(c.archives.iter()).map(String::as_str).collect(),
        Command::ImapTrace(c) => vec![&c.user],
        Command::UserAdd(c) => vec![&c.name],
        Command::UserEdit(c) => vec![&c.name],
        Command::UserRename(c) => vec![&c.name],
        Command::UserShow(c) => vec![&c.name],
        Command::UserPassword(c) => vec![&c.name],
        Command::UserRights(c) => vec![&c.name],
        Command::UserRemove(c) => vec![&c.name],
        Command::UserAddress(c) => vec![&c.name],
        Command::UserTotp(c) => vec![&c.name],
        Command::UserDoor(c) => vec![&c.name],
        Command::UserLogins(c) => vec![&c.name],
        Command::AppPasswordCreate(c) => vec![&c.name],
        Command::AppPasswordList(c) => vec![&c.name],
        Command::AppPasswordRevoke(c) => vec![&c.name],
        _ => Vec::new(),
    };
    let mut archives: Vec<String> = Vec::new();
    for folder in wanted.chain(named) {
        let archive = folder.split('/').next().unwrap_or_default();
        if !archives.iter().any(|known| known == archive) {
            archives.push(archive.to_owned());
        }
    }
    archives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_kind_of_what_they_do() {
        for (name, expected) in [
            ("mail.cat", AuditKind::Access),
            ("profile.run", AuditKind::Run),
            ("message.delete", AuditKind::Deletion),
            ("user.rights", AuditKind::Privilege),
            ("user.list", AuditKind::Act),
            ("group.rights", AuditKind::Privilege),
            ("access.set", AuditKind::ArchiveAccess),
            ("access.show", AuditKind::Act),
            ("key.rotate", AuditKind::Act),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    #[test]
    fn archives_are_named_once() {
        let of = |json: &str| {
            let command: Command = serde_json::from_str(json).unwrap();
            about(&command, command.act())
        };
        let json = r#"{"command":"folder.move","params":{"from":"alice/a/b","to":"alice/c"}}"#;
        assert_eq!(of(json), ["alice"]);
        let json = r#"{"command":"mail.search","params":{"archives":["bob","alice"],"query":"x","folder":null,"limit":null,"count":false,"snippets":false}}"#;
        assert_eq!(of(json), ["bob", "alice"]);
    }
}
