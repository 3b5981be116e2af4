//! A proof about one message: its leaves, their paths, a signed head. It is verified with no archive at hand.
//!
//! Invariant: every field is covered by a hash or a signature; what is told of a folder's name is signed, but is no part of
//! the log, and is told as such.

use super::head::Json as HeadJson;
use super::leaf::{Place, What};
use super::text::{self, Hex, VERSION};
use super::{EvidenceKey, Hash, Head, MAX_LEAVES, Refusal, consistency, key, tree};
use crate::store::facts::Evidence;
use crate::{ContentHash, Error, StoreId, incoming};
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek, SeekFrom};

const FORMAT: &str = "mailkeep evidence proof";
const WHAT: &str = "an evidence proof";
/// Bytes of a file among which lines of a mailbox file are looked for, in front of the message.
const MAX_LEADING_BYTES: u64 = 64 << 10;
/// Most such lines.
const MAX_LEADING_LINES: usize = 32;

/// What is proven of a message, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The message's way through the archive: how it came, its moves, its deletion.
    pub(crate) leaves: Vec<Leaf>,
    /// The name of the folder where it was last.
    pub(crate) folder: Folder,
    /// The head whose tree holds the leaves.
    pub head: Head,
}

/// A leaf with its way to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) number: u64,
    pub(crate) kind: u8,
    pub(crate) salt: [u8; 16],
    pub(crate) fields: Vec<u8>,
    pub(crate) path: Vec<Hash>,
}

/// What a folder was called; signed by the head's key when the proof was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) path: String,
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    pub(crate) signature: [u8; 64],
}

/// What the verifier trusts from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The archive's public key.
    pub key: Option<[u8; 32]>,
    /// A head that was kept outside the archive.
    pub head: Option<Head>,
}

/// What a proof proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The message's identity: SHA-256 of its bytes with CRLF line ends.
    pub message: ContentHash,
    /// Bytes at the file's front that belong to a mailbox file, not to the message.
    pub leading_bytes: u64,
    /// What the log says of it, in order: first how it came.
    pub steps: Vec<Step>,
    /// Where it was last.
    pub place: Place,
    /// What that folder was called, by the archive's word alone.
    pub folder: String,
    /// When that was said: milliseconds since 1970.
    pub folder_time: u64,
    /// The head that all this stood under.
    pub head: Head,
}

/// One leaf's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The leaf's number in the log.
    pub leaf: u64,
    /// What it says.
    pub what: What,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: String,
    version: u64,
    message: Hex<[u8; 32]>,
    leaves: Vec<LeafJson>,
    folder: FolderJson,
    head: HeadJson,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafJson {
    leaf: u64,
    kind: u8,
    salt: Hex<[u8; 16]>,
    fields: Hex<Vec<u8>>,
    path: Vec<Hex<[u8; 32]>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderJson {
    path: String,
    time: u64,
    signature: Hex<[u8; 64]>,
}

impl Folder {
    /// Signs what the folder of `place` is called.
    pub(crate) fn sign(
        store: StoreId,
        place: &Place,
        path: &str,
        time: u64,
        key: &EvidenceKey,
    ) -> Result<Folder, Error> {
        let mut folder = Folder { path: path.to_owned(), time, signature: [0; 64] };
        folder.signature = key.sign(folder.text(store, place).as_bytes())?;
        Ok(folder)
    }

    /// The signed text.
    fn text(&self, store: StoreId, place: &Place) -> String {
        let (Folder { path, time, .. }, Place { folder, uid_validity, .. }) = (self, place);
        let (folder, validity) = (folder.0, uid_validity.0);
        format!(
            "mailkeep evidence folder {VERSION}\nstore {store}\ntime {time}\nfolder {folder}\n\
             uidvalidity {validity}\npath {path}\n"
        )
    }
}

impl Proof {
    /// The message that it is about, by what the proof says.
    /// # Errors
    /// `Contradiction` when the first leaf is no placement.
    pub fn message(&self) -> Result<ContentHash, Refusal> {
        let first = self.leaves.first().and_then(|leaf| What::decode(leaf.kind, &leaf.fields));
        match first {
            Some(What::Archived { message, .. }) => Ok(message),
            _ => Err(Refusal::Contradiction("its first leaf doesn't say that a message was archived".into())),
        }
    }

    /// Checks everything: file, leaves, paths, signatures. `file` is the message, with CRLF or LF line ends, of at most
    /// `max_bytes`; lines that a mailbox file puts in front of it are passed over.
    /// # Errors
    /// `Proof` with what isn't right; `Io` and `Limit` of the file.
    pub fn verify(
        &self,
        file: &mut (impl Read + Seek),
        max_bytes: u64,
        trust: &Trust,
    ) -> Result<Proven, Error> {
        let mut proven = self.check(trust).map_err(Error::Proof)?;
        proven.leading_bytes = leading(file, max_bytes, proven.message)?;
        Ok(proven)
    }

    /// Checks all but the file.
    /// # Errors
    /// What isn't right.
    pub fn check(&self, trust: &Trust) -> Result<Proven, Refusal> {
        self.head.check()?;
        self.trusted(trust)?;
        let message = self.message()?;
        let (steps, place) = self.steps()?;
        let head = &self.head;
        if !key::signed(&head.key, self.folder.text(head.store, &place).as_bytes(), &self.folder.signature) {
            return Err(Refusal::Signature { of: "of the folder's name" });
        }
        let (folder, folder_time) = (self.folder.path.clone(), self.folder.time);
        Ok(Proven { message, leading_bytes: 0, steps, place, folder, folder_time, head: head.clone() })
    }

    fn trusted(&self, trust: &Trust) -> Result<(), Refusal> {
        let head = &self.head;
        if let Some(expected) = trust.key.filter(|key| *key != head.key) {
            return Err(Refusal::Key { found: hex::encode(head.key), expected: hex::encode(expected) });
        }
        let Some(kept) = &trust.head else { return Ok(()) };
        kept.check()?;
        let (older, newer) = if kept.size <= head.size { (kept, head) } else { (head, kept) };
        consistency::same_log(older, newer)?;
        if kept.size != head.size {
            return Err(Refusal::Head(format!(
                "the proof is for a head of {} leaves, the kept head has {}: have a proof made for the kept head \
                 (evidence prove --head), or a proof of consistency between the two (evidence consistency)",
                head.size, kept.size
            )));
        }
        if kept.root != head.root {
            return Err(Refusal::Rewritten(format!(
                "the kept head of {} leaves has another root than the proof's: the log was rewritten",
                kept.size
            )));
        }
        Ok(())
    }

    /// What the leaves say, each led to the root; and where the message was last.
    fn steps(&self) -> Result<(Vec<Step>, Place), Refusal> {
        let head = &self.head;
        let mut steps: Vec<Step> = Vec::with_capacity(self.leaves.len());
        let mut place: Option<Place> = None;
        let mut deleted = false;
        for leaf in &self.leaves {
            let hash = Evidence::new(leaf.number, leaf.salt, leaf.kind, &leaf.fields).hash;
            if !tree::includes(leaf.number, &hash, &leaf.path, head.size, &head.root) {
                return Err(Refusal::Path { leaf: leaf.number });
            }
            let contradiction = |why: &str| Refusal::Contradiction(format!("leaf {}: {why}", leaf.number));
            if deleted || steps.last().is_some_and(|last| last.leaf >= leaf.number) {
                return Err(contradiction("it comes after the message's end, or not in order"));
            }
            let what = What::decode(leaf.kind, &leaf.fields);
            let what = what.ok_or_else(|| contradiction("its fields are not understood"))?;
            place = Some(match (&what, place) {
                (What::Archived { at, .. }, None) => *at,
                (What::Moved { from, from_uid, to, .. }, Some(was))
                    if (*from, *from_uid) == (was.folder, was.uid) =>
                {
                    *to
                }
                (What::Deleted { at, .. }, Some(was)) if *at == was => {
                    deleted = true;
                    was
                }
                _ => return Err(contradiction("it tells of another message's place")),
            });
            steps.push(Step { leaf: leaf.number, what });
        }
        let place = place.ok_or_else(|| Refusal::Contradiction("it has no leaf".into()))?;
        Ok((steps, place))
    }

    /// Reads a proof from its JSON; [`Proof::verify`] says what it is worth.
    /// # Errors
    /// `Unreadable`, `Limit`, `Contradiction`.
    pub fn read(json: &[u8]) -> Result<Proof, Refusal> {
        let Json { message, leaves, folder, head, .. } = text::read(json, FORMAT, WHAT)?;
        head.marked()?;
        if leaves.len() > MAX_LEAVES {
            let (found, limit) = (leaves.len() as u64, MAX_LEAVES as u64);
            return Err(Refusal::Limit { what: "leaves of a proof", found, limit });
        }
        let leaf = |json: LeafJson| {
            consistency::bounded(json.path.len())?;
            let path = json.path.into_iter().map(|hash| hash.0).collect();
            let LeafJson { leaf: number, kind, salt: Hex(salt), fields: Hex(fields), .. } = json;
            Ok(Leaf { number, kind, salt, fields, path })
        };
        let leaves = leaves.into_iter().map(leaf).collect::<Result<_, Refusal>>()?;
        let FolderJson { path, time, signature: Hex(signature) } = folder;
        let proof = Proof { leaves, folder: Folder { path, time, signature }, head: head.into() };
        if proof.message()?.0 != message.0 {
            return Err(Refusal::Contradiction("the message is another than the first leaf's".into()));
        }
        Ok(proof)
    }

    /// The proof as JSON, in one line without a line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let message = self.message().map_or([0; 32], |message| message.0);
        let leaf = |leaf: &Leaf| LeafJson {
            leaf: leaf.number,
            kind: leaf.kind,
            salt: Hex(leaf.salt),
            fields: Hex(leaf.fields.clone()),
            path: leaf.path.iter().map(|hash| Hex(*hash)).collect(),
        };
        let Folder { path, time, signature } = self.folder.clone();
        let json = Json {
            format: FORMAT.to_owned(),
            version: VERSION,
            message: Hex(message),
            leaves: self.leaves.iter().map(leaf).collect(),
            folder: FolderJson { path, time, signature: Hex(signature) },
            head: (&self.head).into(),
        };
        serde_json::to_string(&json).unwrap_or_default()
    }
}

/// Finds the message in the file: gives the bytes that stand in front of it. Those can only be a line that begins with `From `
/// and header lines that a mail program wrote below it for itself.
fn leading(file: &mut (impl Read + Seek), max_bytes: u64, message: ContentHash) -> Result<u64, Error> {
    let io = |source| Error::Io { path: "(the message's file)".into(), source };
    let mut front = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    file.by_ref().take(MAX_LEADING_BYTES).read_to_end(&mut front).map_err(io)?;
    let mut starts = vec![0];
    if front.starts_with(b"From ") {
        for line in front.split_inclusive(|&b| b == b'\n').take(MAX_LEADING_LINES) {
            if line == b"\n" || line == b"\r\n" || !line.ends_with(b"\n") {
                break;
            }
            starts.push(starts.last().copied().unwrap_or(0) + line.len() as u64);
        }
    }
    let mut found = None;
    for start in starts {
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let hash = incoming::identity(&mut *file, max_bytes)?;
        if hash == message {
            return Ok(start);
        }
        found.get_or_insert(hash);
    }
    let found = found.map_or_else(String::new, |hash| hash.to_string());
    Err(Error::Proof(Refusal::Message { found, expected: message.to_string() }))
}

#[cfg(test)]
mod tests;
