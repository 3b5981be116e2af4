//! How the commands about logins look to people.

use super::table::{Column, Form};
use super::view::View;
use super::{clean, qr};
use console::Term;
use serde_json::Value;
use std::io;

fn text(row: &Value, field: &str) -> String {
    row.get(field).and_then(Value::as_str).map(clean).unwrap_or_default()
}

pub(crate) const APP_PASSWORD: View = View::Text(|row| {
    Ok(format!(
        "App password for {}: {}\nIt is shown this once. It is for mail clients only; revoke it when the device is gone.\n",
        text(row, "label"),
        text(row, "password")
    ))
});

pub(crate) const APP_PASSWORDS: View = View::Table(
    &[
        Column("NUMBER", "/id", Form::Count),
        Column("NAME", "/label", Form::Text),
        Column("MADE", "/created", Form::Time),
        Column("LAST USED", "/used", Form::Time),
    ],
    "There are none; mailkeep user app-password create NAME DEVICE",
);

fn enrolment(row: &Value) -> String {
    format!(
        "Secret for an authenticator app: {}\nThe same as an address: {}\nIt counts once a code has confirmed it: mailkeep user totp confirm NAME\n",
        text(row, "secret"),
        text(row, "uri")
    )
}

pub(crate) const ENROLMENT: View = View::Text(|row| Ok(enrolment(row)));

/// With a QR code, for a file or another program.
pub(crate) const ENROLMENT_CODE: View = View::Text(|row| {
    let code = qr::code(&text(row, "uri"), None, false);
    let code =
        code.ok_or_else(|| io::Error::other("the address is too long for a QR code; leave out --qr"))?;
    Ok(format!("{code}{}", enrolment(row)))
});

/// With a QR code where the terminal has room for it.
pub(crate) const ENROLMENT_SCREEN: View = View::Text(|row| {
    let columns = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    let plain = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    let code = qr::code(&text(row, "uri"), columns, !plain);
    let code = code.unwrap_or_else(|| "The terminal is too narrow for a QR code.\n".to_owned());
    Ok(format!("{code}{}", enrolment(row)))
});

pub(crate) const CODES: View = View::Text(|row| {
    let codes = row.get("codes").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines: String =
        codes.iter().filter_map(Value::as_str).map(|code| format!("  {}\n", clean(code))).collect();
    Ok(format!(
        "Recovery codes, each good once in place of a code of the app; they are shown this once:\n{lines}"
    ))
});

pub(crate) const LOGINS: View = View::Table(
    &[
        Column("LAST", "/last", Form::Time),
        Column("FIRST", "/first", Form::Time),
        Column("OK", "/ok", Form::Text),
        Column("TIMES", "/count", Form::Count),
        Column("FROM", "/from", Form::Text),
        Column("HOW", "/how", Form::Text),
    ],
    "Nobody has logged in under that name or tried to.",
);

const OF_SESSIONS: &[Column] = &[
    Column("SESSION", "/session", Form::Count),
    Column("USER", "/user", Form::Text),
    Column("FROM", "/address", Form::Text),
    Column("BY", "/by", Form::Text),
    Column("TLS", "/tls", Form::Text),
    Column("SINCE", "/since", Form::Time),
    Column("MAILBOX", "/mailbox", Form::Text),
    Column("COMMANDS", "/commands", Form::Count),
    Column("MESSAGES", "/messages", Form::Count),
];

pub(crate) const SESSIONS: View = View::Table(OF_SESSIONS, "Nobody is logged in.");
pub(crate) const KILLED: View = View::Table(OF_SESSIONS, "There is no such session.");
