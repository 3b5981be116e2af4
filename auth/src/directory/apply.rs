//! A plan carried out in the book of users, whose rules have the last word.
//!
//! Invariant: what the book refuses of one user is told as a conflict and changes nothing of that user; all others are done.

use super::sync::{Action, Edit, Plan};
use crate::book::Book;
use crate::users::Stored;
use crate::{Error, User};

/// Carries out all steps. A step that the book refuses becomes a conflict.
pub(super) fn apply(book: &mut Book, plan: &mut Plan) {
    // First all give up what they lose, so that who gets it finds it free.
    for edit in plan.steps.iter().filter_map(|step| step.edit.as_ref()) {
        if let Edit { before: Some(name), after: Some(user) } = edit {
            let less = book.change(name, |stored| {
                stored.user.addresses.retain(|address| user.addresses.contains(address));
                stored.user.aliases.retain(|alias| user.aliases.contains(alias));
                Ok(())
            });
            if let Err(error) = less {
                tracing::debug!(user = name, %error, "a user could not give up addresses");
            }
        }
    }
    for step in &mut plan.steps {
        let Some(edit) = &mut step.edit else { continue };
        let mut notes = Vec::new();
        if let Err(error) = one(book, edit, &mut notes) {
            step.row.action = Action::Conflict;
            step.row.name = edit.before.clone().unwrap_or_else(|| step.row.name.clone());
            step.row.what = vec![error.to_string()];
            step.edit = None;
            continue;
        }
        step.row.what.append(&mut notes);
    }
}

fn one(book: &mut Book, edit: &mut Edit, notes: &mut Vec<String>) -> Result<(), Error> {
    let Some(user) = &mut edit.after else {
        return edit.before.as_ref().map_or(Ok(()), |name| book.remove(name));
    };
    // What somebody else has is left out, and all else taken.
    loop {
        let done = match &edit.before {
            None => book.insert(Stored { user: user.clone(), ..Stored::default() }),
            Some(name) => changed(book, name, user),
        };
        match done {
            Err(Error::AliasTaken { alias, user: other }) if user.aliases.contains(&alias) => {
                user.aliases.retain(|known| *known != alias);
                notes.push(format!("{alias} is a name of {other:?}"));
            }
            Err(Error::AddressTaken { address, user: other }) if user.addresses.contains(&address) => {
                user.addresses.retain(|known| *known != address);
                notes.push(format!("{address} is {other:?}'s address"));
            }
            other => return other,
        }
    }
}

fn changed(book: &mut Book, name: &str, user: &User) -> Result<(), Error> {
    let renamed = user.name != name;
    if renamed && book.get(&user.name).is_none() {
        book.rename(name, &user.name)?;
    }
    let done = book.change(&user.name, |stored| {
        stored.user = user.clone();
        Ok(())
    });
    match done {
        Err(error) if renamed => {
            // All of it or nothing, but for another try with less.
            book.rename(&user.name, name)?;
            Err(error)
        }
        done => done,
    }
}
