//! `user app-password|totp|door|logins` and `session …` as commands.

use crate::cli::credentials::{AppPassword, Door, SessionVerb, TotpVerb};
use crate::command::{
    AppPasswordCreate, AppPasswordList, AppPasswordRevoke, Command, Factor, Failure, Secret, SessionKill,
    SessionList, UserDoor, UserLogins, UserTotp,
};
use crate::output::View;
use crate::output::credentials as view;
use std::io::IsTerminal;

pub(super) fn app_password(verb: AppPassword) -> (Command, View) {
    match verb {
        AppPassword::Create { name, label } => {
            (Command::AppPasswordCreate(AppPasswordCreate { name, label }), view::APP_PASSWORD)
        }
        AppPassword::List { name } => {
            (Command::AppPasswordList(AppPasswordList { name }), view::APP_PASSWORDS)
        }
        AppPassword::Revoke { name, which } => {
            let done = View::Done("It is revoked; what came in by it ends.");
            (Command::AppPasswordRevoke(AppPasswordRevoke { name, which }), done)
        }
    }
}

pub(super) fn totp(verb: TotpVerb) -> Result<(Command, View), Failure> {
    let command = |name, what, code| Command::UserTotp(UserTotp { name, what, code });
    Ok(match verb {
        TotpVerb::Enable { name, qr, no_qr } => {
            let view = match std::io::stdout().is_terminal() {
                true if !no_qr => view::ENROLMENT_SCREEN,
                false if qr => view::ENROLMENT_CODE,
                _ => view::ENROLMENT,
            };
            (command(name, Factor::Enable, None), view)
        }
        TotpVerb::Confirm { name } => {
            let code = Secret(crate::password::line("the code")?);
            (command(name, Factor::Confirm, Some(code)), view::CODES)
        }
        TotpVerb::Disable { name } => {
            (command(name, Factor::Disable, None), View::Done("The second factor is off."))
        }
        TotpVerb::Codes { name } => (command(name, Factor::Codes, None), view::CODES),
    })
}

pub(super) fn door(door: Door) -> (Command, View) {
    let Door { name, allow_from, allow_from_all, must_change, keep_password } = door;
    let allow_from = (allow_from_all || !allow_from.is_empty()).then_some(allow_from);
    let must_change = (must_change || keep_password).then_some(must_change);
    (Command::UserDoor(UserDoor { name, allow_from, must_change }), crate::output::view::USERS)
}

pub(super) fn logins(name: String) -> (Command, View) {
    (Command::UserLogins(UserLogins { name }), view::LOGINS)
}

pub(super) fn session(verb: SessionVerb) -> (Command, View) {
    match verb {
        SessionVerb::List => (Command::SessionList(SessionList {}), view::SESSIONS),
        SessionVerb::Kill { session, user } => {
            (Command::SessionKill(SessionKill { session, user }), view::KILLED)
        }
    }
}
