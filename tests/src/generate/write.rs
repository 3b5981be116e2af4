//! Generated messages as files: one mbox, a Maildir tree, or one file a message.
//!
//! Invariant: what a reader of the format takes out are the generator's bytes.

use super::{Generator, Mail};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// All of `numbers` in one mbox (of no dialect: no line needs quoting); gives its bytes.
/// # Errors
/// The file can't be written.
pub fn write_mbox(
    generator: &Generator,
    numbers: impl IntoIterator<Item = u64>,
    file: &Path,
) -> crate::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let mut bytes = 0;
    for number in numbers {
        let mail = generator.message(number);
        let first = format!("From {} {}\n", mail.sender, super::text::asctime(mail.secs));
        out.write_all(first.as_bytes())?;
        out.write_all(&mail.bytes)?;
        out.write_all(b"\n")?;
        bytes += (first.len() + mail.bytes.len() + 1) as u64;
    }
    out.flush()?;
    Ok(bytes)
}

/// One file a message, in a directory for every thousand of them.
/// # Errors
/// The directory can't be written.
pub fn write_eml(
    generator: &Generator,
    numbers: impl IntoIterator<Item = u64>,
    dir: &Path,
) -> crate::Result<u64> {
    let mut known = BTreeSet::new();
    write_each(generator, numbers, |number, _| {
        let dir = dir.join(format!("{:06}", number / 1_000));
        if known.insert(dir.clone()) {
            std::fs::create_dir_all(&dir)?;
        }
        Ok(dir.join(format!("{number:09}.eml")))
    })
}

/// A Maildir with a folder for each that the messages name; every third message is unread (in `new`).
/// # Errors
/// The directory can't be written.
pub fn write_maildir(
    generator: &Generator,
    numbers: impl IntoIterator<Item = u64>,
    dir: &Path,
) -> crate::Result<u64> {
    let mut known = BTreeSet::new();
    write_each(generator, numbers, |number, mail| {
        let folder = dir.join(format!(".{}", mail.folder.replace('/', ".")));
        if known.insert(folder.clone()) {
            for folder in [dir, &folder] {
                for name in ["cur", "new", "tmp"] {
                    std::fs::create_dir_all(folder.join(name))?;
                }
            }
        }
        let name = format!("{}.{number:09}.host", mail.secs);
        Ok(if number % 3 == 0 {
            folder.join("new").join(name)
        } else {
            let flags = ["S", "RS", "FS", "FRS"][number as usize % 4];
            folder.join("cur").join(format!("{name}:2,{flags}"))
        })
    })
}

fn write_each(
    generator: &Generator,
    numbers: impl IntoIterator<Item = u64>,
    mut file: impl FnMut(u64, &Mail) -> crate::Result<PathBuf>,
) -> crate::Result<u64> {
    let mut bytes = 0;
    for number in numbers {
        let mail = generator.message(number);
        std::fs::write(file(number, &mail)?, &mail.bytes)?;
        bytes += mail.bytes.len() as u64;
    }
    Ok(bytes)
}
