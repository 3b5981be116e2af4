//! Sealing: AES-256-GCM with a random nonce; keys derived with HKDF-SHA256; the store key wrapped by the master key.
//!
//! Invariant: a pack key never leaves memory; a store key only wrapped. 96 random bits are safe for the at most some
//! millions of records of one pack key (NIST SP 800-38D §8.3 allows 2^32).

use crate::pack::PackId;
use crate::{MasterKey, StoreId};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use std::io;
use zeroize::Zeroizing;

/// Bytes of a nonce.
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes of an authentication tag.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes of a store key wrapped: nonce, key, tag.
pub(crate) const WRAPPED_BYTES: usize = NONCE_BYTES + 32 + TAG_BYTES;

/// The bytes do not carry the tag that this key gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unauthentic;

/// Names a master key without telling anything of it.
pub(crate) type KeyId = [u8; 16];

/// `N` bytes from the system's random source.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
thread_local! {
    /// Stores that this thread makes are neither sealed nor compressed: a test sees what lies in them.
    pub(crate) static PLAIN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The key of stores that are not sealed.
#[cfg(test)]
const PLAIN_KEY: [u8; 32] = *b"this store's records are legible";

/// A key for records of one pack, or for wrapping.
pub(crate) struct SealKey {
    key: LessSafeKey,
    #[cfg(test)]
    plain: bool,
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// The key of these bytes.
    pub(crate) fn new(bytes: &[u8; 32]) -> Result<SealKey, Unauthentic> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).map_err(|_| Unauthentic)?;
        Ok(SealKey {
            key,
            #[cfg(test)]
            plain: false,
        })
    }

    /// Seals `data` in place and gives its tag; `aad` is authenticated with it. A nonce is used once.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], Unauthentic> {
        #[cfg(test)]
        let mut copy = data.to_vec();
        #[cfg(test)]
        let data = if self.plain { copy.as_mut_slice() } else { data };
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag =
            self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), data).map_err(|_| Unauthentic)?;
        tag.as_ref().try_into().map_err(|_| Unauthentic)
    }

    /// Opens `data` (content and tag) in place and gives the content.
    pub(crate) fn open<'a>(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        data: &'a mut [u8],
    ) -> Result<&'a mut [u8], Unauthentic> {
        #[cfg(test)]
        if self.plain {
            let (content, tag) = data.split_last_chunk_mut::<TAG_BYTES>().ok_or(Unauthentic)?;
            return if self.seal(nonce, aad, content)? == *tag { Ok(content) } else { Err(Unauthentic) };
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place(nonce, Aad::from(aad), data).map_err(|_| Unauthentic)
    }
}

/// A store's key: all its packs' keys come from it.
#[derive(Clone, zeroize::ZeroizeOnDrop)]
pub(crate) struct StoreKey([u8; 32]);

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

impl StoreKey {
    /// A new random key.
    pub(crate) fn generate() -> io::Result<StoreKey> {
        #[cfg(test)]
        if PLAIN.get() {
            return Ok(StoreKey(PLAIN_KEY));
        }
        Ok(StoreKey(random()?))
    }

    /// The key of one pack.
    pub(crate) fn pack_key(&self, store: &StoreId, pack: PackId) -> Result<SealKey, Unauthentic> {
        let key = derive(&self.0, &[b"mailkeep pack|", &store.0, b"|", &pack.0.to_le_bytes()])?;
        #[cfg(test)]
        if self.0 == PLAIN_KEY {
            return Ok(SealKey { plain: true, ..SealKey::new(&key)? });
        }
        SealKey::new(&key)
    }

    /// The store key sealed under the master key: nonce, key, tag.
    pub(crate) fn wrap(&self, master: &MasterKey, store: &StoreId) -> io::Result<[u8; WRAPPED_BYTES]> {
        let failed = |_| io::Error::other("the store key cannot be sealed");
        let nonce: [u8; NONCE_BYTES] = random()?;
        let mut key = Zeroizing::new(self.0);
        let tag = wrapping_key(master)
            .and_then(|wrap| wrap.seal(nonce, &wrapping_aad(store), &mut key[..]))
            .map_err(failed)?;
        let mut out = [0; WRAPPED_BYTES];
        out[..NONCE_BYTES].copy_from_slice(&nonce);
        out[NONCE_BYTES..NONCE_BYTES + 32].copy_from_slice(&key[..]);
        out[NONCE_BYTES + 32..].copy_from_slice(&tag);
        Ok(out)
    }

    /// Opens what [`StoreKey::wrap`] sealed.
    pub(crate) fn unwrap(
        wrapped: &[u8; WRAPPED_BYTES],
        master: &MasterKey,
        store: &StoreId,
    ) -> Result<StoreKey, Unauthentic> {
        let (nonce, sealed) = wrapped.split_first_chunk().ok_or(Unauthentic)?;
        let mut sealed = Zeroizing::new(<[u8; 48]>::try_from(sealed).map_err(|_| Unauthentic)?);
        let key = wrapping_key(master)?.open(*nonce, &wrapping_aad(store), &mut sealed[..])?;
        Ok(StoreKey((&*key).try_into().map_err(|_| Unauthentic)?))
    }
}

/// The id of a master key: sixteen bytes of it derived for that only.
pub(crate) fn key_id(master: &MasterKey) -> Result<KeyId, Unauthentic> {
    let full = derive(master.bytes(), &[b"mailkeep key id"])?;
    let mut id = [0; 16];
    id.copy_from_slice(&full[..16]);
    Ok(id)
}

/// The key that wraps the key of secrets.
pub(crate) fn master_seal_key(master: &MasterKey) -> Result<SealKey, Unauthentic> {
    SealKey::new(&*derive(master.bytes(), &[b"mailkeep secrets"])?)
}

fn wrapping_key(master: &MasterKey) -> Result<SealKey, Unauthentic> {
    SealKey::new(&*derive(master.bytes(), &[b"mailkeep wrap"])?)
}

fn wrapping_aad(store: &StoreId) -> Vec<u8> {
    [b"mailkeep store key|".as_slice(), &store.0, &super::header::VERSION.to_le_bytes()].concat()
}

struct Len32;

impl KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

fn derive(secret: &[u8; 32], info: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, Unauthentic> {
    let mut out = Zeroizing::new([0; 32]);
    let prk = Salt::new(HKDF_SHA256, &[]).extract(secret);
    prk.expand(info, Len32).and_then(|okm| okm.fill(&mut out[..])).map_err(|_| Unauthentic)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_key_comes_back_with_its_master_key_only() {
        let (master, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let (store, elsewhere) = (StoreId([7; 16]), StoreId([8; 16]));
        let key = StoreKey::generate().unwrap();
        let wrapped = key.wrap(&master, &store).unwrap();
        assert_eq!(StoreKey::unwrap(&wrapped, &master, &store).unwrap().0, key.0);
        assert!(StoreKey::unwrap(&wrapped, &other, &store).is_err());
        assert!(StoreKey::unwrap(&wrapped, &master, &elsewhere).is_err());
        for at in 0..WRAPPED_BYTES {
            let mut bent = wrapped;
            bent[at] ^= 1;
            assert!(StoreKey::unwrap(&bent, &master, &store).is_err(), "byte {at}");
        }
        assert_ne!(key_id(&master).unwrap(), key_id(&other).unwrap());
    }

    #[test]
    fn derivation_is_rfc_5869() {
        // Computed with Python's hmac: HKDF-SHA256, no salt, key 00..1f, info "mailkeep key id".
        let secret: [u8; 32] = std::array::from_fn(|i| i as u8);
        let got = derive(&secret, &[b"mailkeep ", b"key id"]).unwrap();
        assert_eq!(hex::encode(&got[..]), "ee88333897bc237247bc0c582613c45aa38e20ed05d5b73e04c359295acfe430");
    }

    #[test]
    fn every_pack_has_a_key_of_its_own() {
        let key = StoreKey::generate().unwrap();
        let seal = |store, pack| {
            let mut data = *b"the same words";
            key.pack_key(&StoreId(store), PackId(pack)).unwrap().seal([0; 12], b"", &mut data).unwrap();
            data
        };
        assert_eq!(seal([1; 16], 1), seal([1; 16], 1));
        assert_ne!(seal([1; 16], 1), seal([1; 16], 2));
        assert_ne!(seal([1; 16], 1), seal([2; 16], 1));
    }
}
