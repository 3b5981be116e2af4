//! Heads and proofs as JSON: hashes in hexadecimal, unknown keys refused, sizes bounded before anything is parsed.

use super::{MAX_BYTES, Refusal};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hex<T>(pub(super) T);

impl<T: AsRef<[u8]>> Serialize for Hex<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<[u8; N]> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| D::Error::custom(format!("{} hexadecimal digits are expected", 2 * N)))?;
        Ok(Hex(bytes))
    }
}

impl<'de> Deserialize<'de> for Hex<Vec<u8>> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        hex::decode(&text).map(Hex).map_err(|_| D::Error::custom("hexadecimal digits are expected"))
    }
}

/// What the JSON says it is, and in which version.
#[derive(Debug, Deserialize)]
struct Marks {
    format: String,
    version: u64,
}

/// The newest version of all formats here.
pub(super) const VERSION: u64 = 1;

/// Reads JSON that says to be `format`, in a version that is known here. `what` names it in errors.
pub(super) fn read<T: DeserializeOwned>(
    bytes: &[u8],
    format: &str,
    what: &'static str,
) -> Result<T, Refusal> {
    if bytes.len() > MAX_BYTES {
        return Err(Refusal::Limit { what, found: bytes.len() as u64, limit: MAX_BYTES as u64 });
    }
    let wrong = |why: String| Refusal::Unreadable { what, why };
    let marks: Marks = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
    if marks.format != format {
        return Err(wrong(format!("it says to be {:?}", marks.format)));
    }
    if marks.version != VERSION {
        return Err(wrong(format!("its version is {}, this program knows {VERSION}", marks.version)));
    }
    serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))
}
