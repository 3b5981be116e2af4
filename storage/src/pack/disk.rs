//! The file system as packs and the database use it: few calls, each of which a test's disk can fail or crash.
//!
//! Invariant: nothing below `storage` writes durable data but through a [`Disk`]. Locking and permissions of
//! directories are the caller's.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Names and directories.
pub(crate) trait Disk: Send + Sync + Debug {
    /// Makes a new file, readable by its owner only; an existing one is an error.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file; for reading only unless `write`.
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// The names in a directory, sorted; those that aren't UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory, for its owner only; its parent must be there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's names durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. Positions are explicit, so that readers and the writer share one handle.
pub(crate) trait DiskFile: Send + Sync + Debug {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads up to `into.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Makes all that was written durable, with the length.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file or extends it with zeros. Never used on packs.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// The system's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(write).open(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }
}

/// A file whose changes stay in memory: a database on a read-only file system opens as if it could be written.
#[derive(Debug)]
pub(crate) struct Overlay {
    base: Arc<dyn DiskFile>,
    changed: Mutex<Changed>,
}

/// What differs from the file below: pages by number, and the length.
#[derive(Debug)]
struct Changed {
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// Bytes that are copied when one of them changes.
const OVERLAY_PAGE: u64 = 4 << 10;

impl Overlay {
    /// Over `base` as it is now.
    pub(crate) fn new(base: Arc<dyn DiskFile>) -> io::Result<Overlay> {
        let changed = Mutex::new(Changed { len: base.len()?, pages: BTreeMap::new() });
        Ok(Overlay { base, changed })
    }

    /// A page as it stands: what was changed, else what is below, filled up with zeros.
    fn page(&self, changed: &Changed, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = changed.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; OVERLAY_PAGE as usize];
        self.base.read_at(number * OVERLAY_PAGE, &mut page)?;
        Ok(page)
    }
}

impl DiskFile for Overlay {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut changed = self.changed.lock();
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let mut page = self.page(&changed, at / OVERLAY_PAGE)?;
            let start = (at % OVERLAY_PAGE) as usize;
            let (now, later) = rest.split_at(rest.len().min(page.len() - start));
            page[start..start + now.len()].copy_from_slice(now);
            changed.pages.insert(at / OVERLAY_PAGE, page);
            at += now.len() as u64;
            rest = later;
        }
        if !bytes.is_empty() {
            changed.len = changed.len.max(at);
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let changed = self.changed.lock();
        let len = into.len().min(usize::try_from(changed.len.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let page = self.page(&changed, at / OVERLAY_PAGE)?;
            let start = (at % OVERLAY_PAGE) as usize;
            let some = (len - done).min(page.len() - start);
            into[done..done + some].copy_from_slice(&page[start..start + some]);
            done += some;
        }
        Ok(done)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.changed.lock().len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed.lock();
        if len < changed.len {
            // What is cut off must read as zeros when the file grows again.
            let first = len / OVERLAY_PAGE;
            for number in first..changed.len.div_ceil(OVERLAY_PAGE) {
                let mut page = self.page(&changed, number)?;
                let keep = if number == first { (len % OVERLAY_PAGE) as usize } else { 0 };
                page[keep..].fill(0);
                changed.pages.insert(number, page);
            }
        }
        changed.len = len;
        Ok(())
    }
}

/// redb's view of a [`DiskFile`], so that the database crashes with the packs in tests.
#[derive(Debug)]
pub(crate) struct DatabaseFile(pub(crate) Arc<dyn DiskFile>);

impl redb::StorageBackend for DatabaseFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.read_at(offset, out)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}

#[cfg(any(test, feature = "testing"))]
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "other crates' tests crash in fewer ways than storage's own")
)]
pub(crate) mod crash;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// An overlay reads as a file that was really written, and leaves the one below as it is.
        #[test]
        fn an_overlay_is_a_file(
            below in prop::collection::vec(any::<u8>(), 0..20_000),
            steps in prop::collection::vec((0u64..24_000, prop::collection::vec(any::<u8>(), 0..9_000), any::<bool>()), 0..12),
        ) {
            let disk = crash::CrashDisk::new();
            disk.put(Path::new("f"), &below);
            let overlay = Overlay::new(disk.open(Path::new("f"), false).unwrap()).unwrap();
            let mut plain = below.clone();
            for (offset, bytes, cut) in steps {
                if cut {
                    overlay.set_len(offset).unwrap();
                    plain.resize(offset as usize, 0);
                    continue;
                }
                overlay.write_at(offset, &bytes).unwrap();
                let end = offset as usize + bytes.len();
                if !bytes.is_empty() && plain.len() < end {
                    plain.resize(end, 0);
                }
                if !bytes.is_empty() {
                    plain[offset as usize..end].copy_from_slice(&bytes);
                }
            }
            prop_assert_eq!(overlay.len().unwrap(), plain.len() as u64);
            let mut all = vec![0; plain.len() + 10];
            prop_assert_eq!(overlay.read_at(0, &mut all).unwrap(), plain.len());
            prop_assert_eq!(&all[..plain.len()], &plain[..]);
            prop_assert_eq!(disk.bytes(Path::new("f")), below);
        }
    }
}
