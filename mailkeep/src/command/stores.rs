//! `store.*`: the archive stores: what they take, and what administrators do with them.

use super::{Act, Context, Failure, Needs, Outcome};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use storage::StoreInfo;

/// One store.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    number: String,
    name: String,
    state: String,
    messages: u64,
    placements: u64,
    folders: u64,
    message_bytes: u64,
    packs: u64,
    pack_bytes: u64,
    database_bytes: u64,
    index_bytes: u64,
    index_tail: u64,
    trouble: Option<String>,
    created: Option<i64>,
    id: String,
    path: String,
}

impl From<StoreInfo> for Row {
    fn from(store: StoreInfo) -> Row {
        Row {
            number: store.number,
            name: store.name,
            state: store.state.to_string(),
            messages: store.messages,
            placements: store.placements,
            folders: store.folders,
            message_bytes: store.message_bytes,
            packs: store.packs,
            pack_bytes: store.pack_bytes,
            database_bytes: store.database_bytes,
            index_bytes: store.index_bytes,
            index_tail: store.index_tail,
            trouble: store.trouble,
            created: store.created,
            id: store.id.map(|id| id.to_string()).unwrap_or_default(),
            path: store.path.display().to_string(),
        }
    }
}

/// Shows stores.
fn show(cx: &Context<'_>, stores: Vec<StoreInfo>) -> Result<Outcome, Failure> {
    for store in stores {
        cx.row(&Row::from(store))?;
    }
    Ok(Outcome::DONE)
}

/// The store that is called so, as it is now.
fn named(cx: &Context<'_>, name: &str) -> Result<Vec<StoreInfo>, Failure> {
    let stores = cx.installation.storage.stores();
    let found = stores.iter().find(|store| store.number == name);
    let found = found.or_else(|| stores.iter().find(|store| store.name == name)).cloned();
    let missing = || Failure::usage(format!("there is no store {name:?}; mailkeep store list shows all"));
    Ok(vec![found.ok_or_else(missing)?])
}

/// The stores.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreList {}

impl Act for StoreList {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "store.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        show(cx, cx.installation.storage.stores())
    }
}

/// What stores hold.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreStats {
    pub(crate) store: Option<String>,
}

impl Act for StoreStats {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("store.stats {:?}", self.store.as_deref().unwrap_or("all"))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        match &self.store {
            Some(store) => show(cx, named(cx, store)?),
            None => show(cx, cx.installation.storage.stores()),
        }
    }
}

/// Makes a store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreCreate {
    pub(crate) name: Option<String>,
    /// Absolute.
    pub(crate) path: Option<PathBuf>,
}

impl Act for StoreCreate {
    fn needs(&self) -> Needs {
        Needs::admin().near(self.path.is_some())
    }
    fn audit(&self) -> String {
        format!("store.create {:?} at {:?}", self.name.as_deref().unwrap_or(""), self.path)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let storage = &cx.installation.storage;
        show(cx, vec![storage.create_store(self.name.as_deref(), self.path.as_deref())?])
    }
}

/// Takes a store in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreAttach {
    /// Absolute.
    pub(crate) dir: PathBuf,
    /// Absolute: the master key that opens it, if it is not this installation's.
    pub(crate) key: Option<PathBuf>,
}

impl Act for StoreAttach {
    fn needs(&self) -> Needs {
        Needs::admin().near(true)
    }
    fn audit(&self) -> String {
        format!("store.attach {:?}", self.dir)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if !self.dir.join("packs").is_dir() {
            let dir = self.dir.display();
            return Err(Failure::usage(format!("{dir} is no store: there is no directory `packs` in it")));
        }
        let key = self.key.as_deref().map(crate::keys::read_sheet).transpose()?;
        show(cx, vec![cx.installation.storage.attach_store_with(&self.dir, key.as_ref())?])
    }
}

/// Lets a store go.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreDetach {
    pub(crate) store: String,
}

impl Act for StoreDetach {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("store.detach {:?}", self.store)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        #[derive(Serialize)]
        struct Detached {
            number: String,
            path: String,
        }
        let store = named(cx, &self.store)?;
        for StoreInfo { number, .. } in store {
            let path = cx.installation.storage.detach_store(&number)?.display().to_string();
            cx.row(&Detached { number, path })?;
        }
        Ok(Outcome::DONE)
    }
}

/// Says what may be done with a store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreState {
    pub(crate) store: String,
    pub(crate) state: storage::StoreState,
}

impl Act for StoreState {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("store.state {:?} {}", self.store, self.state)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for store in named(cx, &self.store)? {
            cx.installation.storage.set_store_state(&store.number, self.state)?;
            show(cx, named(cx, &store.number)?)?;
        }
        Ok(Outcome::DONE)
    }
}

/// Gives a store another name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreRename {
    pub(crate) store: String,
    pub(crate) name: String,
}

impl Act for StoreRename {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("store.rename {:?} {:?}", self.store, self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for store in named(cx, &self.store)? {
            cx.installation.storage.rename_store(&store.number, &self.name)?;
            show(cx, named(cx, &store.number)?)?;
        }
        Ok(Outcome::DONE)
    }
}

/// Tries again to open stores.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreRetry {
    pub(crate) store: Option<String>,
}

impl Act for StoreRetry {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("store.retryOpen {:?}", self.store.as_deref().unwrap_or("all"))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let number = match &self.store {
            Some(store) => named(cx, store)?.pop().map(|store| store.number),
            None => None,
        };
        let stores = cx.installation.storage.retry_open(number.as_deref())?;
        let asked = |store: &StoreInfo| number.as_ref().is_none_or(|number| *number == store.number);
        let failed = stores.iter().filter(|store| asked(store)).any(|store| store.trouble.is_some());
        show(cx, stores)?;
        Ok(Outcome { failed })
    }
}
