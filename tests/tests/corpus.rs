//! Tens of thousands of real messages, through the real binary and out again: over IMAP by hash, by `cat` bit for bit.
//!
//! What stands in the files is the truth. UIDs follow the order of the files' names.

use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use storage::{FolderPath, Limits, MasterKey, Storage};
use tests::mail::{canonical, files, sha256, without_nul};
use tests::{Archive, Imap, Result};

/// The files of each directory below `root`, by the folder that the directory becomes, in the order of their names.
fn by_folder(root: &Path, folder: &str) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut folders: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files(root)? {
        let below = file.parent().unwrap_or(root).strip_prefix(root)?;
        let below = below.to_string_lossy();
        let name = if below.is_empty() { folder.to_owned() } else { format!("{folder}/{below}") };
        folders.entry(name).or_default().push(file);
    }
    Ok(folders)
}

/// Archives `root` into `user`/`folder` and reads it all again.
fn round_trip(archive: &Archive, root: &Path, user: &str, folder: &str) -> Result {
    let folders = by_folder(root, folder)?;
    let total: usize = folders.values().map(Vec::len).sum();
    let run = archive.archive(root, &format!("{user}/{folder}"))?;
    let sums = |name: &str| run["sums"][name].as_u64();
    let parts = ["archived", "already", "filtered", "failed"].map(sums);
    ensure!(sums("seen") == Some(total as u64), "{total} files, ledger: {}", run["sums"]);
    ensure!(parts == [Some(total as u64), Some(0), Some(0), Some(0)], "ledger: {}", run["sums"]);
    ensure!(run["state"] == "succeeded", "state {}", run["state"]);
    let of_folders: u64 =
        run["folders"].as_array().into_iter().flatten().filter_map(|f| f["sums"]["archived"].as_u64()).sum();
    ensure!(of_folders == total as u64, "the folders' sums make {of_folders}, not {total}");

    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, user)?;
    let mut checked = 0_usize;
    for (folder, paths) in &folders {
        let found = imap.hashes(folder)?;
        ensure!(found.len() == paths.len(), "{folder}: {} messages of {} files", found.len(), paths.len());
        for ((uid, hash), path) in found.iter().zip(paths) {
            let file = std::fs::read(path)?;
            let expected = canonical(&file);
            if expected.contains(&0) {
                same_but_for_nul(&mut imap, *uid, &expected)?;
            } else {
                ensure!(*hash == sha256(&expected), "{folder} UID {uid} is not {}", path.display());
            }
            // A process each: a sample. All of them are read below.
            if checked.is_multiple_of(97) {
                let cat = archive.run(["cat", &format!("{user}/{folder}"), &uid.to_string()])?.ok()?;
                ensure!(cat.stdout == file, "{user}/{folder} UID {uid}: cat differs from {}", path.display());
            }
            checked += 1;
        }
    }
    ensure!(checked == total);
    ensure!(server.terminate()?.success());
    cat_gives_every_file_back(archive, user, &folders)?;

    let again = archive.archive(root, &format!("{user}/{folder}"))?;
    ensure!(
        again["sums"]["archived"] == 0 && again["sums"]["already"] == total as u64,
        "again: {}",
        again["sums"]
    );
    Ok(())
}

/// What `cat` prints is each file bit for bit; read from storage, as a process for each would take too long.
fn cat_gives_every_file_back(
    archive: &Archive,
    user: &str,
    folders: &BTreeMap<String, Vec<PathBuf>>,
) -> Result {
    let key = MasterKey::load(&archive.data().join("keys/master.key"))?;
    let storage = Storage::open(&archive.data(), &key, Limits::default())?;
    for (folder, paths) in folders {
        let path = FolderPath::new(format!("{user}/{folder}"))?;
        let view = storage.view(&path).with_context(|| path.to_string())?;
        let uids: Vec<_> = view.uids.iter().collect();
        ensure!(uids.len() == paths.len(), "{path}: {} messages of {} files", uids.len(), paths.len());
        let mut out = Vec::new();
        for (uid, file) in uids.into_iter().zip(paths) {
            out.clear();
            storage.cat(view.info.id, uid, &mut out)?;
            ensure!(out == std::fs::read(file)?, "{path} {uid:?}: cat differs from {}", file.display());
        }
    }
    storage.close()?;
    Ok(())
}

/// The selected mailbox's message `uid` has these bytes, but for NULs, which BODY can't carry.
fn same_but_for_nul(imap: &mut Imap, uid: u32, expected: &[u8]) -> Result {
    imap.fetch(&format!("UID FETCH {uid} BODY.PEEK[]"), |fetched| {
        let body = fetched.literal("BODY[]")?;
        ensure!(!body.contains(&0), "UID {uid}: a NUL in a literal (RFC 3501 §9: CHAR8)");
        let nul =
            expected.iter().position(|&byte| byte == 0).and_then(|at| body.get(at)).copied().unwrap_or(0);
        ensure!(body == without_nul(expected, nul), "UID {uid} differs in more than NULs");
        Ok(())
    })
}

mod heavy {
    use super::*;

    #[test]
    fn linux_man_comes_back_byte_for_byte() -> Result {
        let Some(corpus) = tests::tools::need_corpus("lists/linux-man")? else { return Ok(()) };
        let archive = Archive::with_users(&["alice"])?;
        round_trip(&archive, &corpus, "alice", "linux-man")
    }

    #[test]
    fn openbmc_comes_back_byte_for_byte() -> Result {
        let Some(corpus) = tests::tools::need_corpus("lists/openbmc")? else { return Ok(()) };
        let archive = Archive::with_users(&["bob", "eve"])?;
        round_trip(&archive, &corpus, "bob", "openbmc")?;
        // Another user sees nothing of it.
        let server = archive.serve()?;
        let mut imap = Imap::login(server.imap, "eve")?;
        let list = imap.ok("LIST \"\" \"*\"")?;
        ensure!(
            !list.iter().any(|line| String::from_utf8_lossy(line).contains("openbmc")),
            "eve sees bob's folders"
        );
        ensure!(imap.command("EXAMINE openbmc")?.1.starts_with("NO"));
        Ok(())
    }

    #[test]
    fn two_users_share_content_not_views() -> Result {
        let Some(corpus) = tests::tools::need_corpus("lists/openbmc")? else { return Ok(()) };
        let part = files(&corpus)?.first().and_then(|file| file.parent().map(Path::to_path_buf));
        let Some(part) = part else { return Ok(()) };
        let archive = Archive::with_users(&["alice", "bob"])?;
        let first = archive.archive(&part, "alice/Mail")?;
        let size = pack_bytes(&archive)?;
        let second = archive.archive(&part, "bob/Mail")?;
        ensure!(
            first["sums"]["archived"] == second["sums"]["archived"],
            "{} {}",
            first["sums"],
            second["sums"]
        );
        let grown = pack_bytes(&archive)? - size;
        ensure!(grown < size / 2, "the same content again took {grown} bytes of {size}");
        let server = archive.serve()?;
        let alice = Imap::login(server.imap, "alice")?.hashes("Mail")?;
        let bob = Imap::login(server.imap, "bob")?.hashes("Mail")?;
        ensure!(alice == bob);
        Ok(())
    }

    fn pack_bytes(archive: &Archive) -> Result<u64> {
        let packs = files(&archive.data().join("stores/0001/packs"))?;
        packs.iter().map(|pack| Ok(std::fs::metadata(pack)?.len())).sum()
    }
}
