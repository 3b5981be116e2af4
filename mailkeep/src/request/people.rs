//! Users, groups, archive access, and who gives a command. Passwords are asked for here.

use super::{absolute, profile};
use crate::cli::{About, AccessVerb, By, GroupVerb, User};
use crate::command::{
    AccessSet, AccessShow, Command, Failure, GroupList, GroupRights, Open, OwnPassword, Secret, UserAdd,
    UserEdit, UserImport, UserList, UserPassword, UserRemove, UserRename, UserRights, UserShow,
};
use crate::control::login::Login;
use crate::output::{View, view};
use crate::password::{self, Source};
use auth::{Edit, Level, Privilege, Right};

/// `user …`.
pub(super) fn user(user: User) -> Result<(Command, View), Failure> {
    Ok(match user {
        User::Create(create) => {
            auth::check_name(&create.name)?;
            let password = match create.no_password {
                true => None,
                false => Some(Secret(create.password.read(&create.name)?)),
            };
            let mut privileges: Vec<Privilege> = create.privilege.into_iter().map(Into::into).collect();
            privileges.extend(create.admin.then_some(Privilege::Admin));
            privileges.extend(create.auditor.then_some(Privilege::Auditor));
            let edit = Edit { groups: groups(&create.about), ..create.about.edit() };
            (Command::UserAdd(UserAdd { name: create.name, password, privileges, edit }), view::USERS)
        }
        User::Edit(edited) => {
            let mut edit = edited.about.edit();
            edit.addresses = edit.addresses.or(edited.no_address.then(Vec::new));
            edit.aliases = edit.aliases.or(edited.no_alias.then(Vec::new));
            edit.disabled = edit.disabled.or(edited.enable.then_some(false));
            let (name, add_groups, remove_groups) = (edited.name, edited.about.group, edited.no_group);
            (Command::UserEdit(UserEdit { name, edit, add_groups, remove_groups }), view::USERS)
        }
        User::Rename { name, new } => (Command::UserRename(UserRename { name, new }), view::USERS),
        User::ImportCsv(import) => {
            let columns = import.columns();
            let (file, update, dry_run) = (absolute(&import.file)?, import.update, import.dry_run);
            (Command::UserImport(UserImport { file, columns, update, dry_run }), view::IMPORTED_USERS)
        }
        User::List => (Command::UserList(UserList {}), view::USERS),
        User::Show { name } => (Command::UserShow(UserShow { name }), view::USER),
        User::Passwd { name, password } => {
            let password = Secret(password.read(&name)?);
            (Command::UserPassword(UserPassword { name, password }), View::Done("The password is set."))
        }
        User::Address(given) => profile::addresses(given),
        User::Grant(grants) => {
            let privileges = grants.privilege.into_iter().map(Into::into).collect();
            let level = grants.level.map_or(Level::None, Into::into);
            let folders = rules(grants.folder, level);
            let (name, read) = (grants.name, grants.read);
            (Command::UserRights(UserRights { name, give: true, privileges, read, folders }), view::USERS)
        }
        User::Revoke(revokes) => {
            let privileges = revokes.privilege.into_iter().map(Into::into).collect();
            let folders = rules(revokes.folder, Level::None);
            let (name, read) = (revokes.name, revokes.read);
            (Command::UserRights(UserRights { name, give: false, privileges, read, folders }), view::USERS)
        }
        User::Delete { name } => (
            Command::UserRemove(UserRemove { name }),
            View::Done("The user is removed; the archive stays and can be searched as before."),
        ),
    })
}

fn groups(about: &About) -> Option<Vec<String>> {
    Some(about.group.clone()).filter(|groups| !groups.is_empty())
}

fn rules(folders: Vec<String>, level: Level) -> Vec<Right> {
    folders.into_iter().map(|folder| Right { folder, level }).collect()
}

/// `group …`.
pub(super) fn group(group: GroupVerb) -> (Command, View) {
    let command = match group {
        GroupVerb::List => Command::GroupList(GroupList {}),
        GroupVerb::Grant { group, rules: given } => {
            let folders = rules(given.folder, given.level.into());
            Command::GroupRights(GroupRights { group, give: true, folders })
        }
        GroupVerb::Revoke { group, folder } => {
            let folders = rules(folder, Level::None);
            Command::GroupRights(GroupRights { group, give: false, folders })
        }
    };
    (command, view::GROUPS)
}

/// `access …`.
pub(super) fn access(access: AccessVerb) -> (Command, View) {
    let command = match access {
        AccessVerb::Show => Command::AccessShow(AccessShow {}),
        AccessVerb::Unblock { minutes, reason } => {
            Command::AccessSet(AccessSet { open: Some(Open { minutes, reason }) })
        }
        AccessVerb::Block => Command::AccessSet(AccessSet { open: None }),
    };
    (command, view::ACCESS)
}

/// `passwd`.
pub(super) fn own_password(password: &Source, by: &By) -> Result<(Command, View), Failure> {
    let Some(name) = &by.login else {
        return Err(Failure::usage("whose? mailkeep --login NAME passwd, or mailkeep user passwd NAME"));
    };
    let password = Secret(password.read_new(name)?);
    Ok((Command::OwnPassword(OwnPassword { password }), View::Done("The password is set.")))
}

/// Who gives the command, if that is a user.
pub(crate) fn login(by: &By) -> Result<Option<Login>, Failure> {
    let Some(name) = &by.login else {
        let given = by.login_password_file.is_some() || by.login_password_stdin;
        return match given {
            true => Err(Failure::usage("a login's password is given, and no --login NAME")),
            false => Ok(None),
        };
    };
    let password =
        Secret(password::of_login(name, by.login_password_file.as_deref(), by.login_password_stdin)?);
    Ok(Some(Login { name: name.clone(), password, code: None }))
}
