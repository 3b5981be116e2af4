//! The store as a whole: what goes in comes out, on disks that work, fail, crash and rot.

mod ahead;
mod all_mail;
mod attachments;
mod basics;
mod changes;
mod clients;
mod comments;
mod compact;
mod crash;
mod decay;
mod dump;
mod evidence;
mod extraction;
mod histories;
mod many;
mod parts;
mod rebuild;
mod rekey;
mod renewed;
mod rot;
mod snapshot;
mod verify;

use super::*;
use crate::MsgNo;
use crate::pack::disk::Disk;
use crate::pack::disk::crash::{CrashDisk, Loss};
use crate::store::message::PIECE_BYTES;
use crate::store::{Added, InternalDate, NewPlacement, SourceFlags};
use crate::{Incoming, Prepared};
use tempfile::TempDir;

/// An installation in memory; its index lies in a scratch directory.
struct House {
    disk: CrashDisk,
    data: PathBuf,
    index: TempDir,
    key: MasterKey,
    limits: Limits,
}

impl House {
    fn with(limits: Limits) -> House {
        let key = MasterKey::generate().unwrap();
        let house = House { disk: CrashDisk::new(), data: "data".into(), index: scratch(), key, limits };
        open::create_on(&house.arc(), &house.data, &house.key, &house.limits).unwrap();
        house
    }

    fn new() -> House {
        House::with(Limits { spool_above_bytes: 300_000, ..Limits::default() })
    }

    fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn try_open(&self) -> Result<Storage, Error> {
        open::open_on(
            &self.arc(),
            &self.data,
            Some(self.index.path().to_owned()),
            &self.key,
            self.limits.clone(),
        )
    }

    fn open(&self) -> Storage {
        self.try_open().unwrap()
    }

    /// The same installation as the machine finds it after a crash, with an index that knows nothing.
    fn after(&self, loss: Loss) -> House {
        House {
            disk: self.disk.after(loss),
            data: self.data.clone(),
            index: scratch(),
            key: self.key.clone(),
            limits: self.limits.clone(),
        }
    }

    fn store_dir(&self) -> PathBuf {
        self.data.join("stores/0001")
    }

    fn pack(&self, number: u32) -> PathBuf {
        self.store_dir().join(format!("packs/{number:08}.pack"))
    }
}

/// The first store.
fn the_store(storage: &Storage) -> Arc<Store> {
    storage.shared.store(StoreNo(0)).unwrap()
}

fn scratch() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn prepared(storage: &Storage, raw: &[u8], prefix: &[u8]) -> Prepared {
    let limits = storage.limits();
    Prepared::new(Incoming::read(raw, prefix.to_vec(), limits).unwrap(), limits)
}

fn path(text: &str) -> FolderPath {
    FolderPath::new(text).unwrap()
}

fn from<'a>(source: &'a str, occurrence: &'a str) -> NewPlacement<'a> {
    let date = InternalDate { secs: 1_700_000_000, zone: 120 };
    NewPlacement { date, flags: SourceFlags { answered: true, ..SourceFlags::default() }, source, occurrence }
}

/// A message of its own; its line ends are CRLF, LF, or both, as the number has it.
fn mail(number: u64, body_bytes: usize) -> Vec<u8> {
    let mut text = format!(
        "From: a{number}@example.org\nSubject: number {number}\nDate: Tue, 14 Nov 2023 23:13:20 +0100\n\n"
    );
    let mut noise = number;
    while text.len() < body_bytes + 100 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("line {noise:x} of the body\n"));
    }
    match number % 3 {
        0 => text.into_bytes(),
        1 => text.replace('\n', "\r\n").into_bytes(),
        _ => text.replacen('\n', "\r\n", 2).into_bytes(),
    }
}

/// Adds one message to a folder and commits.
fn archive(storage: &Storage, folder: &str, raw: &[u8], occurrence: &str) -> Result<Uid, Error> {
    let mut batch = storage.batch(&Cancel::default())?;
    let folder = batch.folder(&path(folder))?;
    let added = batch.add(folder, prepared(storage, raw, b""), &from("mbox", occurrence))?;
    batch.commit()?;
    Ok(added.uid)
}

fn cat(storage: &Storage, folder: &str, uid: Uid) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let view = storage.view(&path(folder)).ok_or(Error::Missing { what: folder.to_owned() })?;
    storage.cat(view.info.id, uid, &mut out)?;
    Ok(out)
}

fn all_uids(storage: &Storage, folder: &str) -> Vec<u32> {
    storage.view(&path(folder)).map(|v| v.uids.iter().map(|u| u.0).collect()).unwrap_or_default()
}

/// A check that finds nothing.
fn sound(storage: &Storage) {
    let report = storage.check(&Cancel::default(), &mut |_, _| ()).unwrap();
    assert_eq!(report.damage, Vec::<String>::new());
}

/// Verifies, and gives the account and what is damaged.
fn verify(storage: &Storage, options: &VerifyOptions) -> (VerifyReport, Vec<String>) {
    let mut found = Vec::new();
    let report = storage
        .verify(options, &Cancel::default(), &mut |p| assert!(p.done <= p.total), &mut |damage| {
            found.push(damage.to_string());
        })
        .unwrap();
    (report, found)
}
