//! How users, groups and rights look to people.

use super::clean;
use super::table::{Column, Form, moment};
use super::view::View;
use serde_json::Value;
use std::fmt::Write as _;
use std::io;

pub(crate) const USERS: View = View::Table(
    &[
        Column("NAME", "/name", Form::Text),
        Column("FULL NAME", "/fullName", Form::Text),
        Column("STATE", "", Form::Made(state)),
        Column("PRIVILEGES", "/privileges", Form::Text),
        Column("RIGHTS", "/rights", Form::Made(rights)),
        Column("ADDRESSES", "/addresses", Form::Text),
        Column("ADDED", "/created", Form::Time),
    ],
    "There are no users; mailkeep user create NAME",
);

pub(crate) const GROUPS: View = View::Table(
    &[
        Column("GROUP", "/group", Form::Text),
        Column("RIGHTS", "/rights", Form::Made(rights)),
        Column("USERS", "/users", Form::Text),
    ],
    "There are no groups; mailkeep group grant GROUP --folder FOLDER --level read",
);

pub(crate) const IMPORTED_USERS: View = View::Table(
    &[
        Column("LINE", "/line", Form::Count),
        Column("NAME", "/name", Form::Text),
        Column("DID", "/did", Form::Text),
        Column("WHAT", "/what", Form::Text),
    ],
    "There is no user in the file.",
);

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `alice: read, bob/Private: none`.
fn rights(value: &Value) -> String {
    let rules = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |rule: &Value| format!("{}: {}", clean(text(rule, "/folder")), clean(text(rule, "/level")));
    rules.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What a user may do at all, and until when.
fn state(user: &Value) -> String {
    let disabled = user.pointer("/disabled").and_then(Value::as_bool).unwrap_or_default();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    match (disabled, user.pointer("/expires").and_then(Value::as_i64)) {
        (true, _) => "disabled".to_owned(),
        (false, Some(end)) if end <= now => format!("expired {}", moment(end)),
        (false, Some(end)) => format!("until {}", moment(end)),
        (false, None) => "enabled".to_owned(),
    }
}

/// Where a right comes from.
fn source(value: &Value) -> String {
    match value {
        Value::String(word) if word == "own" => "own rule".to_owned(),
        Value::String(word) if word == "auditor" => "auditor".to_owned(),
        other => match (other.pointer("/group"), other.pointer("/archiveAccess")) {
            (Some(group), _) => format!("group {}", clean(group.as_str().unwrap_or_default())),
            (_, Some(until)) => {
                format!("archive access until {}", moment(until.as_i64().unwrap_or_default()))
            }
            _ => String::new(),
        },
    }
}

/// One user with the rights that count.
pub(crate) const USER: View = View::Text(|user| {
    let list = |pointer: &str| {
        let all = user.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        all.iter().map(|one| clean(one.as_str().unwrap_or_default())).collect::<Vec<_>>().join(", ")
    };
    let mut out = String::new();
    let mut write = || -> std::fmt::Result {
        writeln!(out, "{}", clean(text(user, "/name")))?;
        let added = user.pointer("/created").and_then(Value::as_i64).unwrap_or_default();
        for (what, value) in [
            ("full name", clean(text(user, "/fullName"))),
            ("state", state(user)),
            ("privileges", list("/privileges")),
            ("addresses", list("/addresses")),
            ("aliases", list("/aliases")),
            ("groups", list("/groups")),
            ("DN", clean(text(user, "/dn"))),
            ("password", clean(text(user, "/mode"))),
            ("added", moment(added)),
        ] {
            if !value.is_empty() {
                writeln!(out, "  {what:<10} {value}")?;
            }
        }
        let rules =
            user.pointer("/effective").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        writeln!(out, "Rights:{}", if rules.is_empty() { " none" } else { "" })?;
        for rule in rules {
            let folder =
                rule.pointer("/folder").and_then(Value::as_str).map_or("(all archives)".to_owned(), clean);
            let from = rule.pointer("/from").map(source).unwrap_or_default();
            writeln!(out, "  {folder}: {} ({from})", clean(text(rule, "/level")))?;
        }
        Ok(())
    };
    write().map_err(io::Error::other)?;
    Ok(out)
});

/// Whether administrators may read others' archives.
pub(crate) const ACCESS: View = View::Text(|row| {
    let until = row.pointer("/openUntil").and_then(Value::as_i64);
    Ok(match until {
        None => "Archive access is blocked: administrators read only what rights give them.\n".to_owned(),
        Some(until) => format!(
            "Archive access is open until {}: administrators read all archives.\nReason: {}\n",
            moment(until),
            clean(text(row, "/reason"))
        ),
    })
});

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rights_are_readable_and_harmless() {
        let rules = json!([{"folder": "alice", "level": "read"}, {"folder": "b\u{1b}[2J", "level": "none"}]);
        let shown = rights(&rules);
        assert!(shown.starts_with("alice: read, b") && !shown.contains('\u{1b}'), "{shown}");
        assert_eq!(rights(&json!([])), "");
        assert_eq!(source(&json!("own")), "own rule");
        assert_eq!(source(&json!({"group": "cn=a"})), "group cn=a");
        assert_eq!(source(&json!({"archiveAccess": 0})), "archive access until 1970-01-01 00:00:00Z");
    }

    #[test]
    fn states_of_users() {
        assert_eq!(state(&json!({"disabled": true, "expires": 1})), "disabled");
        assert_eq!(state(&json!({"disabled": false})), "enabled");
        assert!(state(&json!({"expires": 1})).starts_with("expired 1970"));
        assert!(state(&json!({"expires": 253_402_300_799_i64})).starts_with("until 9999"));
    }

    #[test]
    fn one_user_with_where_rights_come_from() {
        let View::Text(show) = USER else { panic!("text") };
        let shown = show(&json!({
            "name": "alice", "fullName": "", "privileges": ["login"], "created": 0, "mode": "integrated",
            "effective": [
                {"folder": null, "level": "read", "from": "auditor"},
                {"folder": "bob/x", "level": "write", "from": {"group": "g"}},
            ],
        }))
        .unwrap();
        assert!(shown.contains("  (all archives): read (auditor)\n  bob/x: write (group g)\n"), "{shown}");
        assert!(!shown.contains("full name"), "{shown}");
    }
}
