//! `evidence.*`: heads of the logs, proofs about messages, and the sending of heads.
//!
//! Heads and proofs are given as the JSON that verifiers read, byte for byte, so that a file of them needs no further tool.

use super::{Act, Context, Failure, Kind, Needs, Outcome};
use crate::evidence::{self, Book, heads_of};
use auth::Privilege;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use storage::evidence::{Head, Proof, Refusal};
use storage::{ContentHash, FolderPath, StoreHead, Uid};

/// The present heads.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceHead {
    /// Only this store: number, name or identity.
    pub(crate) store: Option<String>,
    /// Nothing but the heads' own JSON, a line each.
    pub(crate) bare: bool,
}

impl Act for EvidenceHead {
    fn needs(&self) -> Needs {
        Needs::one_of(&[Privilege::Admin, Privilege::Auditor])
    }
    fn audit(&self) -> String {
        self.store.as_ref().map_or_else(|| "evidence.head".into(), |store| format!("evidence.head {store:?}"))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let installation = cx.installation;
        let alarms = evidence::check(installation, &cx.cancel)?;
        let book = Book::open(&installation.data.evidence_dir())?;
        let recorded = book.last_heads()?;
        let mut failed = false;
        let mut out = cx.bytes();
        for StoreHead { store: number, head } in installation.storage.heads(self.store.as_deref())? {
            let head = match head {
                Ok(head) => head,
                Err(error) if self.bare => return Err(error.into()),
                Err(error) => {
                    failed = true;
                    cx.row(&json!({ "store": number, "error": error.to_string() }))?;
                    continue;
                }
            };
            let id = head.store.to_string();
            let alarm = alarms.iter().find(|alarm| alarm.store == id).map(|alarm| alarm.what.clone());
            failed |= alarm.is_some();
            if self.bare {
                if let Some(alarm) = alarm {
                    return Err(Failure::new(Kind::Failed, alarm));
                }
                line(&mut out, &head.to_json())?;
                continue;
            }
            let last = recorded.iter().find(|last| last.store == head.store);
            cx.row(&json!({
                "store": number,
                "head": value(&head),
                "recordedLeaves": last.map(|last| last.size),
                "recordedTime": last.map(|last| last.time),
                "alarm": alarm,
            }))?;
        }
        if let Some(alarm) = alarms.iter().find(|alarm| alarm.store == evidence::AUDIT) {
            failed = true;
            cx.warn(&alarm.what);
        }
        if !self.bare && self.store.is_none() {
            for (to, last) in book.sent() {
                failed |= last.error.is_some();
                cx.row(&json!({
                    "destination": to, "lastGood": last.good, "lastTried": last.tried, "error": last.error,
                }))?;
            }
        }
        end(out, failed)
    }
}

/// A head as a JSON value.
fn value(head: &Head) -> Value {
    serde_json::from_str(&head.to_json()).unwrap_or_default()
}

fn line(out: &mut impl Write, json: &str) -> Result<(), Failure> {
    writeln!(out, "{json}").map_err(|error| Failure::new(Kind::Cancelled, error.to_string()))
}

fn end(mut out: impl Write, failed: bool) -> Result<Outcome, Failure> {
    out.flush().map_err(|error| Failure::new(Kind::Cancelled, error.to_string()))?;
    Ok(Outcome { failed })
}

/// Proofs about a message, by its place or by its identity.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceProve {
    /// A folder with the archive first, and a UID in it.
    pub(crate) place: Option<(String, u32)>,
    /// Or the SHA-256 of the message.
    pub(crate) message: Option<String>,
    /// A file with a head that was kept: the proof is made for that.
    pub(crate) head: Option<PathBuf>,
}

impl EvidenceProve {
    fn prove(&self, cx: &Context<'_>, against: Option<&Head>) -> Result<Vec<Proof>, storage::Error> {
        let storage = &cx.installation.storage;
        match (&self.place, &self.message) {
            (Some((folder, uid)), None) => {
                let missing = |error: storage::PathError| storage::Error::Missing { what: error.to_string() };
                let path = FolderPath::new(folder.as_str()).map_err(missing)?;
                storage.prove(&path, Uid(*uid), against, &cx.cancel).map(|proof| vec![proof])
            }
            (None, Some(message)) => {
                let wrong = || storage::Error::Missing {
                    what: format!("a message {message:?} (64 hexadecimal digits)"),
                };
                let hash = ContentHash::from_hex(message).ok_or_else(wrong)?;
                storage.prove_message(&hash, against, &cx.cancel)
            }
            _ => Err(storage::Error::Missing { what: "a place or a message".into() }),
        }
    }
}

impl Act for EvidenceProve {
    fn needs(&self) -> Needs {
        let needs = match (&self.place, &self.message) {
            (Some((folder, _)), None) => Needs::login().read(folder),
            // Where a message lies in all archives tells that it is there.
            _ => Needs::login().read_all(),
        };
        needs.near(self.head.is_some())
    }
    fn audit(&self) -> String {
        match (&self.place, &self.message) {
            (Some((folder, uid)), _) => format!("evidence.prove {folder:?} {uid}"),
            (_, message) => format!("evidence.prove {:?}", message.as_deref().unwrap_or_default()),
        }
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if let Some((folder, _)) = &self.place {
            let path = FolderPath::new(folder.as_str()).map_err(Failure::usage)?;
            cx.installation.storage.view(&path).ok_or_else(|| super::mail::missing(folder))?;
        }
        let proofs = match &self.head {
            None => self.prove(cx, None)?,
            Some(path) => {
                // The newest of the kept heads that is of the message's store.
                let heads = heads_of(path)?;
                let mut found = None;
                let mut tried: Vec<storage::StoreId> = Vec::new();
                for head in heads.iter().rev() {
                    if tried.contains(&head.store) {
                        continue;
                    }
                    tried.push(head.store);
                    match self.prove(cx, Some(head)) {
                        Err(storage::Error::Proof(Refusal::Head(_)) | storage::Error::Missing { .. })
                            if tried.len() < heads.len() => {}
                        other => {
                            found = Some(other?);
                            break;
                        }
                    }
                }
                let none = || Failure::new(Kind::Failed, "none of the kept heads knows of the message");
                found.ok_or_else(none)?
            }
        };
        let mut out = cx.bytes();
        for proof in proofs {
            line(&mut out, &proof.to_json())?;
        }
        end(out, false)
    }
}

/// That logs only grew.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceConsistency {
    /// A file of heads.
    pub(crate) old: PathBuf,
    /// A file of newer heads; none: the present.
    pub(crate) new: Option<PathBuf>,
    /// Nothing but the proofs' own JSON, a line each.
    pub(crate) bare: bool,
}

impl Act for EvidenceConsistency {
    fn needs(&self) -> Needs {
        Needs::one_of(&[Privilege::Admin, Privilege::Auditor]).near(true)
    }
    fn audit(&self) -> String {
        format!("evidence.consistency {:?}", self.old.display().to_string())
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let newer = self.new.as_deref().map(heads_of).transpose()?;
        let mut out = cx.bytes();
        let mut failed = false;
        for old in heads_of(&self.old)? {
            let new = match &newer {
                None => None,
                Some(heads) => {
                    let same = heads.iter().rfind(|head| head.store == old.store);
                    let none =
                        || Failure::new(Kind::Failed, format!("no newer head is of store {}", old.store));
                    Some(same.ok_or_else(none)?)
                }
            };
            let found = cx.installation.storage.consistency(&old, new, &cx.cancel);
            let (proof, error) = match found {
                Ok(proof) => (Some(proof), None),
                Err(storage::Error::Cancelled) => return Err(storage::Error::Cancelled.into()),
                Err(error) if self.bare => return Err(error.into()),
                Err(error) => (None, Some(error.to_string())),
            };
            failed |= error.is_some();
            if self.bare {
                if let Some(proof) = proof {
                    line(&mut out, &proof.to_json())?;
                }
                continue;
            }
            let new = proof.map(|proof| proof.new);
            cx.row(&json!({
                "store": old.store.to_string(),
                "oldLeaves": old.size,
                "oldTime": old.time / 1_000,
                "newLeaves": new.as_ref().map(|new| new.size),
                "newTime": new.as_ref().map(|new| new.time / 1_000),
                "result": error.map_or_else(|| "only grew".to_owned(), |error| format!("NOT PROVEN: {error}")),
            }))?;
        }
        end(out, failed)
    }
}

/// Sends heads to all destinations, now.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceSend {}

impl Act for EvidenceSend {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "evidence.send".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let alarms = evidence::check(cx.installation, &cx.cancel)?;
        let sent = evidence::round(cx.installation, true, &cx.cancel)?;
        let mut failed = !alarms.is_empty();
        for alarm in alarms {
            cx.row(&json!({ "to": format!("(store {})", alarm.store), "heads": 0, "result": alarm.what }))?;
        }
        for one in sent {
            failed |= one.error.is_some();
            let result = one.error.unwrap_or_else(|| "sent".to_owned());
            cx.row(&json!({ "to": one.to, "heads": one.heads, "result": result }))?;
        }
        Ok(Outcome { failed })
    }
}
