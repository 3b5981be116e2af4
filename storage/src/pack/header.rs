//! A pack's header: whose it is, the store key wrapped, the store's settings; sealed by a tag over all of it.
//!
//! Invariant: with the master key that it was begun under, any one pack is enough to know its store; with the store key,
//! any header of the store opens, whatever master key it names. The settings are text that the store layer writes and
//! reads; here they are only kept.

use super::crypt::{self, KeyId, NONCE_BYTES, SealKey, StoreKey, TAG_BYTES, Unauthentic, WRAPPED_BYTES};
use super::{PackId, varint::Reader};
use crate::{Error, MasterKey, StoreId};
use std::io;
use std::path::Path;

/// What every pack begins with.
pub(crate) const MAGIC: [u8; 8] = [0xb1, b'm', b'k', b'p', b'a', b'c', b'k', b'\n'];
/// The newest pack layout that this program knows.
pub(crate) const VERSION: u32 = 1;
/// Largest header.
pub(crate) const MAX_HEADER_BYTES: usize = 64 << 10;
/// Bytes before the header's variable part, and the least that tells its length.
const FIXED_BYTES: usize = 128;

/// A store as its packs know it.
#[derive(Debug, Clone)]
pub(crate) struct StoreIdentity {
    /// The store.
    pub(crate) id: StoreId,
    /// The store's settings, TOML, as `storage/FORMAT.md` lists them.
    pub(crate) settings: String,
    key: StoreKey,
    key_id: KeyId,
    wrapped: [u8; WRAPPED_BYTES],
}

impl StoreIdentity {
    /// A new store with a new key, wrapped by `master`.
    /// # Errors
    /// `Key`.
    pub(crate) fn create(master: &MasterKey, settings: String) -> Result<StoreIdentity, Error> {
        let made = || {
            let id = StoreId(crypt::random()?);
            let key = StoreKey::generate()?;
            let wrapped = key.wrap(master, &id)?;
            Ok(StoreIdentity { id, settings, key, key_id: master_id(master)?, wrapped })
        };
        made().map_err(|e: io::Error| Error::Key { path: "(new store)".into(), what: e.to_string() })
    }

    /// The same store with its key wrapped by `master`: what packs carry from now on.
    /// # Errors
    /// `Key`.
    pub(crate) fn rewrapped(&self, master: &MasterKey) -> Result<StoreIdentity, Error> {
        let wrap = || Ok((master_id(master)?, self.key.wrap(master, &self.id)?));
        let (key_id, wrapped) =
            wrap().map_err(|e: io::Error| Error::Key { path: "(wrapping)".into(), what: e.to_string() })?;
        Ok(StoreIdentity { key_id, wrapped, ..self.clone() })
    }

    /// The same store with other settings.
    pub(crate) fn with_settings(self, settings: String) -> StoreIdentity {
        StoreIdentity { settings, ..self }
    }

    /// Names the master key that wraps the store key here.
    pub(crate) fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The store key, wrapped.
    pub(crate) fn wrapped(&self) -> &[u8; WRAPPED_BYTES] {
        &self.wrapped
    }

    /// The store key, for headers of other packs.
    pub(super) fn key(&self) -> &StoreKey {
        &self.key
    }

    /// The key of one of its packs.
    pub(crate) fn pack_key(&self, pack: PackId) -> io::Result<SealKey> {
        self.key.pack_key(&self.id, pack).map_err(|Unauthentic| io::Error::other("no pack key"))
    }
}

/// What stands in a pack's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackHeader {
    /// Whose pack it is.
    pub(crate) store: StoreId,
    /// Its number.
    pub(crate) pack: PackId,
    /// When it was begun, seconds since 1970.
    pub(crate) created: i64,
    /// The packs that it replaces, after compaction.
    pub(crate) replaces: Vec<PackId>,
    /// The store's settings when it was begun.
    pub(crate) settings: String,
    key_id: KeyId,
    wrapped: [u8; WRAPPED_BYTES],
}

fn master_id(master: &MasterKey) -> io::Result<KeyId> {
    crypt::key_id(master).map_err(|Unauthentic| io::Error::other("no key id"))
}

/// A header understood, its seal not yet checked: nothing in it is to be believed.
#[derive(Debug)]
pub(crate) struct Unproven {
    header: PackHeader,
    nonce: [u8; NONCE_BYTES],
    signed: Vec<u8>,
    tag: [u8; TAG_BYTES],
}

/// A header that its store's key opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The header.
    pub(crate) header: PackHeader,
    /// The pack's key.
    pub(crate) key: SealKey,
    /// The header's length: where the first record lies.
    pub(crate) len: u64,
    /// The header's tag, which the first batch names as its predecessor.
    pub(crate) tag: [u8; TAG_BYTES],
}

impl PackHeader {
    /// The header of a new pack.
    pub(crate) fn new(identity: &StoreIdentity, pack: PackId, created: i64, replaces: Vec<PackId>) -> Self {
        let StoreIdentity { id, settings, key_id, wrapped, .. } = identity.clone();
        PackHeader { store: id, pack, created, replaces, settings, key_id, wrapped }
    }

    /// The header's bytes, sealed with the pack's key; and the tag.
    pub(crate) fn encode(&self, key: &SealKey) -> io::Result<(Vec<u8>, [u8; TAG_BYTES])> {
        let len = FIXED_BYTES + 4 * self.replaces.len() + 4 + self.settings.len() + NONCE_BYTES + TAG_BYTES;
        if len > MAX_HEADER_BYTES {
            return Err(io::Error::other(format!("a pack header of {len} bytes is above the bound")));
        }
        let count = |n: usize| u32::try_from(n).map(u32::to_le_bytes).map_err(io::Error::other);
        let nonce: [u8; NONCE_BYTES] = crypt::random()?;
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&count(len)?);
        out.extend_from_slice(&self.store.0);
        out.extend_from_slice(&self.pack.0.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&self.key_id);
        out.extend_from_slice(&self.wrapped);
        out.extend_from_slice(&count(self.replaces.len())?);
        self.replaces.iter().for_each(|id| out.extend_from_slice(&id.0.to_le_bytes()));
        out.extend_from_slice(&count(self.settings.len())?);
        out.extend_from_slice(self.settings.as_bytes());
        out.extend_from_slice(&nonce);
        let tag = key
            .seal(nonce, &out, &mut [])
            .map_err(|Unauthentic| io::Error::other("the pack header cannot be sealed"))?;
        out.extend_from_slice(&tag);
        Ok((out, tag))
    }

    /// Understands the header that `bytes` (the pack's first `MAX_HEADER_BYTES`, or all) begin with.
    /// # Errors
    /// `Version`, `Corrupt`.
    pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<Unproven, Error> {
        let corrupt = |what| Error::Corrupt { path: path.into(), offset: 0, what };
        let short = || corrupt("the pack's header ends early");
        let mut from = Reader::new(bytes);
        if from.array().ok_or_else(short)? != MAGIC {
            return Err(corrupt("no pack header"));
        }
        let version = from.u32().ok_or_else(short)?;
        if version > VERSION {
            return Err(Error::Version { path: path.into(), found: version, known: VERSION });
        }
        let len = from.u32().ok_or_else(short)? as usize;
        if version != VERSION || len > MAX_HEADER_BYTES {
            return Err(corrupt("the pack's header has an impossible version or length"));
        }
        let whole = bytes.get(..len).ok_or_else(short)?;
        let signed = len.checked_sub(TAG_BYTES).and_then(|at| whole.get(..at)).ok_or_else(short)?;
        let (header, nonce) =
            PackHeader::parse(signed).ok_or_else(|| corrupt("the pack's header contradicts itself"))?;
        let tag: [u8; TAG_BYTES] = whole[signed.len()..].try_into().map_err(|_| short())?;
        Ok(Unproven { header, nonce, signed: signed.to_vec(), tag })
    }

    fn parse(signed: &[u8]) -> Option<(PackHeader, [u8; NONCE_BYTES])> {
        let mut from = Reader::new(signed.get(MAGIC.len() + 8..)?);
        let store = StoreId(from.array()?);
        let pack = PackId(from.u32()?);
        let zero = from.u32()?;
        let created = from.u64()?.cast_signed();
        let key_id = from.array()?;
        let wrapped = from.array()?;
        let count = from.u32()? as usize;
        let ids = Reader::new(from.take(count.checked_mul(4)?)?);
        let replaces = std::iter::successors(Some(ids), |r| r.rest().get(4..).map(Reader::new))
            .filter_map(|mut r| r.u32().map(PackId))
            .collect();
        let settings_len = from.u32()? as usize;
        let settings = std::str::from_utf8(from.take(settings_len)?).ok()?.to_owned();
        let nonce = from.array()?;
        (from.is_empty() && zero == 0 && pack.0 > 0)
            .then_some((PackHeader { store, pack, created, replaces, settings, key_id, wrapped }, nonce))
    }
}

impl Unproven {
    /// What the header claims to be.
    pub(crate) fn claims(&self) -> &PackHeader {
        &self.header
    }

    /// Whether the store key in it is wrapped by `master`, as far as the header says.
    pub(crate) fn names(&self, master: &MasterKey) -> bool {
        crypt::key_id(master).is_ok_and(|id| id == self.header.key_id)
    }

    /// The store, by the store key that the header carries wrapped under `master`.
    /// # Errors
    /// `WrongKey` when it names another master key; `Corrupt`.
    pub(crate) fn unlock(&self, path: &Path, master: &MasterKey) -> Result<StoreIdentity, Error> {
        if !self.names(master) {
            return Err(Error::WrongKey { path: path.into() });
        }
        self.unlock_with(path, master, &self.header.key_id, &self.header.wrapped)
    }

    /// The store, by its key wrapped elsewhere: what a store that can't be written has instead of a newer header.
    /// # Errors
    /// `Corrupt` when that is not this store's key.
    pub(crate) fn unlock_with(
        &self,
        path: &Path,
        master: &MasterKey,
        key_id: &KeyId,
        wrapped: &[u8; WRAPPED_BYTES],
    ) -> Result<StoreIdentity, Error> {
        let PackHeader { store: id, ref settings, .. } = self.header;
        let key = StoreKey::unwrap(wrapped, master, &id).map_err(|Unauthentic| unsealed(path))?;
        let identity =
            StoreIdentity { id, settings: settings.clone(), key, key_id: *key_id, wrapped: *wrapped };
        self.prove(path, &identity.key)?;
        Ok(identity)
    }

    /// Checks the header's seal.
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn open(self, path: &Path, store_key: &StoreKey) -> Result<Opened, Error> {
        let key = self.prove(path, store_key)?;
        let len = (self.signed.len() + TAG_BYTES) as u64;
        Ok(Opened { header: self.header, key, len, tag: self.tag })
    }

    fn prove(&self, path: &Path, store_key: &StoreKey) -> Result<SealKey, Error> {
        let PackHeader { store, pack, .. } = &self.header;
        let key = store_key.pack_key(store, *pack).map_err(|Unauthentic| unsealed(path))?;
        key.open(self.nonce, &self.signed, &mut self.tag.to_vec()).map_err(|Unauthentic| unsealed(path))?;
        Ok(key)
    }
}

fn unsealed(path: &Path) -> Error {
    Error::Corrupt { path: path.into(), offset: 0, what: "the pack's header has a wrong seal" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8], path: &Path, master: &MasterKey) -> Result<Opened, Error> {
        let unproven = PackHeader::read(bytes, path)?;
        let identity = unproven.unlock(path, master)?;
        unproven.open(path, identity.key())
    }

    fn sample(master: &MasterKey, settings: &str, replaces: u32) -> (Vec<u8>, PackHeader) {
        let identity = StoreIdentity::create(master, settings.into()).unwrap();
        let replaces = (1..=replaces).map(PackId).collect();
        let header = PackHeader::new(&identity, PackId(77), 1_700_000_000, replaces);
        (header.encode(&identity.pack_key(PackId(77)).unwrap()).unwrap().0, header)
    }

    #[test]
    fn comes_back_with_its_key_and_unharmed_only() {
        let master = MasterKey::generate().unwrap();
        let (bytes, header) = sample(&master, "state = \"current\"", 3);
        let path = Path::new("00000077.pack");
        let opened = open(&[&bytes[..], b"records"].concat(), path, &master).unwrap();
        assert_eq!(opened.header, header);
        assert_eq!(opened.len, bytes.len() as u64);
        assert_eq!(opened.tag, bytes[bytes.len() - TAG_BYTES..]);
        let other = MasterKey::generate().unwrap();
        assert!(matches!(open(&bytes, path, &other), Err(Error::WrongKey { .. })));
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 0x40;
            assert!(open(&bent, path, &master).is_err(), "byte {at}");
            assert!(open(&bytes[..at], path, &master).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_store_key_opens_headers_of_every_master_key() {
        let (old, new) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let path = Path::new("00000005.pack");
        let identity = StoreIdentity::create(&old, "name = \"0001\"".into()).unwrap();
        let rewrapped = identity.rewrapped(&new).unwrap();
        assert_ne!(identity.key_id(), rewrapped.key_id());
        let bytes = |identity: &StoreIdentity| {
            let header = PackHeader::new(identity, PackId(5), 0, Vec::new());
            header.encode(&identity.pack_key(PackId(5)).unwrap()).unwrap().0
        };
        let (before, after) = (bytes(&identity), bytes(&rewrapped));
        assert!(matches!(open(&before, path, &new), Err(Error::WrongKey { .. })));
        assert!(matches!(open(&after, path, &old), Err(Error::WrongKey { .. })));
        open(&after, path, &new).unwrap();
        let unproven = PackHeader::read(&before, path).unwrap();
        assert!(unproven.unlock_with(path, &old, rewrapped.key_id(), rewrapped.wrapped()).is_err());
        let found = unproven.unlock_with(path, &new, rewrapped.key_id(), rewrapped.wrapped()).unwrap();
        assert_eq!(found.key_id(), rewrapped.key_id());
        unproven.open(path, found.key()).unwrap();
        let stranger = StoreIdentity::create(&new, String::new()).unwrap();
        let unproven = PackHeader::read(&before, path).unwrap();
        assert!(unproven.unlock_with(path, &new, stranger.key_id(), stranger.wrapped()).is_err());
        assert!(unproven.open(path, stranger.key()).is_err());
    }

    #[test]
    fn a_newer_version_says_so() {
        let master = MasterKey::generate().unwrap();
        let (mut bytes, _) = sample(&master, "", 0);
        bytes[8] = 2;
        let error = open(&bytes, Path::new("p"), &master).unwrap_err();
        assert!(matches!(error, Error::Version { found: 2, known: VERSION, .. }));
    }

    #[test]
    fn the_largest_header_and_one_past_it() {
        let master = MasterKey::generate().unwrap();
        let empty = sample(&master, "", 0).0.len();
        let (bytes, header) = sample(&master, &"s".repeat(MAX_HEADER_BYTES - empty), 0);
        assert_eq!(bytes.len(), MAX_HEADER_BYTES);
        assert_eq!(open(&bytes, Path::new("p"), &master).unwrap().header, header);
        let identity = StoreIdentity::create(&master, "s".repeat(MAX_HEADER_BYTES - empty + 1)).unwrap();
        let header = PackHeader::new(&identity, PackId(1), 0, Vec::new());
        assert!(header.encode(&identity.pack_key(PackId(1)).unwrap()).is_err());
    }
}
