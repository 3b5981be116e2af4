//! Whether the server is ready: it answers, every store can be read, none has latched, and there is room for more mail.

use super::Answer;
use crate::data::Installation;
use std::path::Path;
use storage::StoreState;

/// What stands in the way; nothing: it is ready.
pub(super) struct Readiness(Vec<String>);

impl From<Readiness> for Answer {
    fn from(Readiness(troubles): Readiness) -> Answer {
        if troubles.is_empty() {
            return Answer::text("200 OK", "ready\n");
        }
        let body = troubles.iter().map(|trouble| crate::output::clean(trouble) + "\n").collect::<String>();
        Answer::text("503 Service Unavailable", body)
    }
}

/// Looks. Blocking.
pub(super) fn look(installation: &Installation, answers: bool) -> Readiness {
    let mut troubles = Vec::new();
    if !answers {
        troubles.push("the IMAP server does not answer".to_owned());
    }
    let stores = installation.storage.stores();
    for store in &stores {
        if let Some(trouble) = &store.trouble {
            troubles.push(format!("store {} can't be read: {trouble}", store.number));
        }
    }
    for (store, cause) in installation.storage.latched() {
        troubles.push(format!("store {store} takes no more mail: {cause}"));
    }
    let current = stores.iter().find(|store| store.state == StoreState::Current);
    let wanted = installation.conf.metrics.min_free_bytes;
    let dir = current.map_or(installation.data.root(), |store| &store.path);
    match free(dir) {
        Ok(free) if free < wanted => {
            troubles.push(format!("only {free} bytes are free, {wanted} are wanted"))
        }
        Ok(_) => {}
        Err(error) => troubles.push(format!("free room can't be told: {error}")),
    }
    Readiness(troubles)
}

/// Bytes that are free for us where this path lies.
pub(super) fn free(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
