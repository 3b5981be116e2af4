//! `stores/stores.toml`: which stores there are, where they lie, and what may be done with them.
//!
//! Invariant: it is replaced in one step, so that a crash leaves the old or the new one. Without it the stores below
//! DATA/stores are taken as they are found; those that lie elsewhere must be attached again.
//! Left to others: what is in a store (its packs say that themselves).

use crate::pack::crypt::WRAPPED_BYTES;
use crate::pack::disk::Disk;
use crate::store::StoreState;
use crate::{Error, FolderId, StoreId};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file's name in DATA/stores.
const FILE: &str = "stores.toml";
/// Largest file that is read.
const MAX_BYTES: u64 = 64 << 20;
/// Most stores of an installation.
pub(crate) const MAX_STORES: usize = 10_000;

/// All stores of an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registry {
    /// The layout of this file.
    pub(crate) version: u32,
    /// This installation's random id, in hexadecimal digits: tells its own stores from those of others.
    pub(crate) installation: String,
    /// The stores, in the order in which they came.
    #[serde(default, rename = "store")]
    pub(crate) stores: Vec<Entry>,
    /// What a file ends with that nobody cut.
    pub(crate) end: End,
}

/// The end of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    /// Stores that the list has.
    pub(crate) stores: usize,
}

/// One store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// `0001`: what commands call it.
    pub(crate) number: String,
    /// What people call it.
    pub(crate) name: String,
    /// Its identity, in hexadecimal digits; empty until it was opened once.
    #[serde(default)]
    pub(crate) id: String,
    /// Where it lies: from DATA/stores, or absolute.
    pub(crate) path: PathBuf,
    pub(crate) state: StoreState,
    /// The mod-sequence of its attaching: what came back with it changed then.
    #[serde(default)]
    pub(crate) attached: u64,
    /// The store's key, wrapped by this installation's master key, where its packs have it wrapped by another only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) key: String,
    /// A store of another installation: its folders' numbers and ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) foreign: Option<Foreign>,
}

/// What makes a store of another installation part of this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Foreign {
    /// The other installation's id.
    pub(crate) installation: String,
    /// Pairs of its number and ours.
    pub(crate) folders: Vec<(u32, u32)>,
    /// What its archive-wide UIDs are raised by, so that they are none of ours.
    #[serde(default)]
    pub(crate) archive_uids_above: u32,
}

impl Entry {
    /// Where the store lies.
    pub(crate) fn dir(&self, data: &Path) -> PathBuf {
        stores_dir(data).join(&self.path)
    }

    /// Our number of the store's folder; none for one that was not adopted.
    pub(crate) fn ours(&self, theirs: FolderId) -> Option<FolderId> {
        match &self.foreign {
            None => Some(theirs),
            Some(foreign) => {
                let pair = foreign.folders.iter().find(|(there, _)| *there == theirs.0);
                pair.map(|(_, here)| FolderId(*here))
            }
        }
    }

    /// The store's number of our folder.
    pub(crate) fn theirs(&self, ours: FolderId) -> Option<FolderId> {
        match &self.foreign {
            None => Some(ours),
            Some(foreign) => {
                let pair = foreign.folders.iter().find(|(_, here)| *here == ours.0);
                pair.map(|(there, _)| FolderId(*there))
            }
        }
    }

    /// What the store's archive-wide UIDs are raised by to be ours.
    pub(crate) fn above(&self) -> u32 {
        self.foreign.as_ref().map_or(0, |foreign| foreign.archive_uids_above)
    }

    /// The store's key, wrapped, if it stands here.
    pub(crate) fn wrapped(&self) -> Option<[u8; WRAPPED_BYTES]> {
        let mut wrapped = [0; WRAPPED_BYTES];
        hex::decode_to_slice(&self.key, &mut wrapped).ok()?;
        Some(wrapped)
    }

    /// Its identity, once it is known.
    pub(crate) fn store_id(&self) -> Option<StoreId> {
        let mut id = [0; 16];
        hex::decode_to_slice(&self.id, &mut id).ok()?;
        Some(StoreId(id))
    }
}

/// DATA/stores.
pub(crate) fn stores_dir(data: &Path) -> PathBuf {
    data.join("stores")
}

impl Registry {
    /// A new installation's, without a store.
    /// # Errors
    /// `Io` when the system has no randomness to give.
    pub(crate) fn new() -> Result<Registry, Error> {
        let id: [u8; 16] = crate::pack::crypt::random().map_err(Error::io("(random numbers)"))?;
        Ok(Registry { version: 1, installation: hex::encode(id), stores: Vec::new(), end: End::default() })
    }

    /// Reads it; `None` when there is none.
    /// # Errors
    /// `Io`, `Registry`.
    pub(crate) fn load(disk: &Arc<dyn Disk>, data: &Path) -> Result<Option<Registry>, Error> {
        let path = stores_dir(data).join(FILE);
        let file = match disk.open(&path, false) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path)(e)),
        };
        let wrong = |what: String| Error::Registry { path: path.clone(), what };
        let len = file.len().map_err(Error::io(&path))?;
        if len > MAX_BYTES {
            return Err(wrong(format!("it has {len} bytes, more than a list of stores may have")));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let got = file.read_at(0, &mut bytes).map_err(Error::io(&path))?;
        bytes.truncate(got);
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".into()))?;
        let registry: Registry = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if registry.version != 1 {
            return Err(Error::Version { path: path.clone(), found: registry.version, known: 1 });
        }
        if registry.stores.len() > MAX_STORES {
            return Err(wrong(format!("it lists more than {MAX_STORES} stores")));
        }
        if registry.end.stores != registry.stores.len() {
            let (found, said) = (registry.stores.len(), registry.end.stores);
            return Err(wrong(format!(
                "it lists {found} stores and ends with the number {said}: it is damaged; mailkeep store rebuild makes it again"
            )));
        }
        // Only the file counts itself.
        let registry = Registry { end: End::default(), ..registry };
        Ok(Some(registry))
    }

    /// Replaces the file; durable on return.
    /// # Errors
    /// `Io`, `Registry`.
    pub(crate) fn save(&self, disk: &Arc<dyn Disk>, data: &Path) -> Result<(), Error> {
        let dir = stores_dir(data);
        let path = dir.join(FILE);
        replace(disk, &path, self.text()?.as_bytes())
    }

    /// The file's text.
    /// # Errors
    /// `Registry`.
    pub(crate) fn text(&self) -> Result<String, Error> {
        let whole = Registry { end: End { stores: self.stores.len() }, ..self.clone() };
        let text = toml::to_string(&whole)
            .map_err(|e| Error::Registry { path: FILE.into(), what: e.to_string() })?;
        let head =
            "# Which stores there are; mailkeep writes this file. Stop it before you change anything here.\n";
        Ok(format!("{head}{text}"))
    }

    /// The first number above all that are in use, `0001` and on.
    pub(crate) fn next_number(&self) -> String {
        let highest = self.stores.iter().filter_map(|entry| entry.number.parse::<u32>().ok()).max();
        format!("{:04}", highest.unwrap_or(0).saturating_add(1))
    }
}

/// Writes a small file in one step: a draft beside it, synced, then renamed.
/// # Errors
/// `Io`.
pub(crate) fn replace(disk: &Arc<dyn Disk>, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    match disk.remove(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(draft)(e)),
        _ => {}
    }
    let file = disk.create(&draft).map_err(Error::io(&draft))?;
    file.write_at(0, bytes).and_then(|()| file.sync_data()).map_err(Error::io(&draft))?;
    disk.rename(&draft, path).map_err(Error::io(path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    disk.sync_dir(dir).map_err(Error::io(dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::disk::crash::CrashDisk;

    fn disk() -> Arc<dyn Disk> {
        Arc::new(CrashDisk::new())
    }

    #[test]
    fn a_registry_comes_back() {
        let (disk, data) = (disk(), Path::new("data"));
        assert_eq!(Registry::load(&disk, data).unwrap(), None);
        let mut registry = Registry::new().unwrap();
        registry.stores.push(Entry {
            number: registry.next_number(),
            name: "mail of \"2019\"\n".into(),
            id: hex::encode([7; 16]),
            path: "/mnt/x".into(),
            state: StoreState::WriteProtected,
            attached: 9,
            key: "00ff".into(),
            foreign: Some(Foreign {
                installation: "aa".into(),
                folders: vec![(1, 12), (2, 13)],
                archive_uids_above: 77,
            }),
        });
        registry.save(&disk, data).unwrap();
        assert_eq!(Registry::load(&disk, data).unwrap(), Some(registry.clone()));
        // Wherever it is cut, that is told.
        let text = registry.text().unwrap();
        for cut in 0..text.trim_end().len() {
            let memory = CrashDisk::new();
            memory.put(&stores_dir(data).join(FILE), &text.as_bytes()[..cut]);
            assert!(Registry::load(&(Arc::new(memory) as Arc<dyn Disk>), data).is_err(), "{cut}");
        }
        assert_eq!(registry.next_number(), "0002");
        let entry = &registry.stores[0];
        assert_eq!(entry.dir(data), Path::new("/mnt/x"));
        assert_eq!(entry.store_id(), Some(StoreId([7; 16])));
        assert_eq!(entry.ours(FolderId(2)), Some(FolderId(13)));
        assert_eq!(entry.theirs(FolderId(13)), Some(FolderId(2)));
        assert_eq!((entry.ours(FolderId(3)), entry.theirs(FolderId(2))), (None, None));
    }

    #[test]
    fn what_is_no_registry_is_refused_with_its_name() {
        let data = Path::new("data");
        for text in [
            "version = 1",
            "installation = 1",
            "[[store]]\n",
            "version = 1\ninstallation = \"x\"\nmore = 1",
            "\u{0}",
        ] {
            let memory = CrashDisk::new();
            memory.put(&stores_dir(data).join(FILE), text.as_bytes());
            let error = Registry::load(&(Arc::new(memory) as Arc<dyn Disk>), data).unwrap_err();
            assert!(error.to_string().contains("stores.toml"), "{error}");
        }
        let memory = CrashDisk::new();
        memory.put(&stores_dir(data).join(FILE), b"version = 2\ninstallation = \"x\"\n[end]\nstores = 0");
        let newer = Registry::load(&(Arc::new(memory) as Arc<dyn Disk>), data);
        assert!(matches!(newer, Err(Error::Version { found: 2, .. })));
    }
}
