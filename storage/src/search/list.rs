//! The list of the index's segments: one small file, replaced in one step, that says what counts.
//!
//! Invariant: what the list names is durable before the list is; a file that it doesn't name is a rest. Its last line has the
//! checksum of those before.

use super::segment::{SegmentMeta, file_names};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The file's name.
pub(crate) const LIST: &str = "segments";
const DRAFT: &str = "segments.new";
/// Says that reading failed, and that the next opening should read all.
const SUSPECT: &str = "suspect";
const TITLE: &str = "mailkeep search index 2";

/// What counts in an index's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    /// What the units were made by.
    pub(super) versions: String,
    /// The serial number that the next segment gets.
    pub(super) next: u64,
    /// Rising by message number, without a gap from 0 on.
    pub(super) segments: Vec<SegmentMeta>,
}

impl List {
    fn encode(&self) -> String {
        let mut text = format!("{TITLE}\n{}\nnext {}\n", self.versions, self.next);
        for SegmentMeta { serial, messages: (from, to), bytes: [terms, docs, positions] } in &self.segments {
            text += &format!("segment {serial} {from} {to} {terms} {docs} {positions}\n");
        }
        let sum = crc32fast::hash(text.as_bytes());
        text + &format!("end {sum:08x}\n")
    }

    /// Reads it; an error says what is wrong with it.
    fn decode(text: &str) -> Result<List, String> {
        let (body, end) = text.rsplit_once("end ").ok_or("it has no end")?;
        if end.trim_end() != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return Err("its list fails its checksum".to_owned());
        }
        let mut lines = body.lines();
        if lines.next() != Some(TITLE) {
            return Err("its list is of another version".to_owned());
        }
        let versions = lines.next().unwrap_or_default().to_owned();
        let number =
            |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok()).ok_or("a number is missing");
        let next = number(lines.next().and_then(|line| line.strip_prefix("next ")))?;
        let mut segments: Vec<SegmentMeta> = Vec::new();
        for line in lines {
            let mut words = line.split(' ').skip(1);
            let mut numbers = [0; 6];
            for place in &mut numbers {
                *place = number(words.next())?;
            }
            let [serial, from, to, terms, docs, positions] = numbers;
            let messages =
                u32::try_from(from).ok().zip(u32::try_from(to).ok()).ok_or("a number is too large")?;
            if messages.0 != segments.last().map_or(0, |last| last.messages.1) || messages.0 >= messages.1 {
                return Err("its segments don't follow one another".to_owned());
            }
            segments.push(SegmentMeta { serial, messages, bytes: [terms, docs, positions] });
        }
        Ok(List { versions, next, segments })
    }

    /// The list in `dir`; none: there is none.
    pub(super) fn load(dir: &Path) -> Result<Option<List>, String> {
        match std::fs::read(dir.join(LIST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
            Ok(bytes) => List::decode(std::str::from_utf8(&bytes).map_err(|e| e.to_string())?).map(Some),
        }
    }

    /// Writes it, durable on return.
    pub(super) fn save(&self, dir: &Path) -> io::Result<()> {
        let draft = dir.join(DRAFT);
        let mut file = File::create(&draft)?;
        file.write_all(self.encode().as_bytes())?;
        file.sync_all()?;
        // The segments' own entries in the directory must not come after the list.
        File::open(dir)?.sync_all()?;
        std::fs::rename(draft, dir.join(LIST))?;
        File::open(dir)?.sync_all()
    }
}

/// Removes rests: segments that `list` doesn't name, and what says something of an index that was there before. An empty list
/// begins anew: then all goes.
pub(super) fn tidy(dir: &Path, list: &List) -> io::Result<()> {
    let known: Vec<String> = list.segments.iter().flat_map(|segment| file_names(segment.serial)).collect();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        let rest = matches!(kind, "terms" | "docs" | "positions") || name == DRAFT || name == SUSPECT;
        if name != LIST && !known.iter().any(|known| known == name) && (rest || list.segments.is_empty()) {
            remove(&entry)?;
        }
    }
    Ok(())
}

fn remove(entry: &std::fs::DirEntry) -> io::Result<()> {
    let path = entry.path();
    if entry.file_type()?.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}

/// Removes a segment's files.
pub(super) fn remove_segment(dir: &Path, serial: u64) -> io::Result<()> {
    for name in file_names(serial) {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Notes that reading failed.
pub(super) fn suspect(dir: &Path) -> io::Result<()> {
    std::fs::write(dir.join(SUSPECT), "")
}

/// Whether reading failed since all was read last.
pub(super) fn is_suspect(dir: &Path) -> bool {
    dir.join(SUSPECT).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let segment = |serial, from, to| SegmentMeta { serial, messages: (from, to), bytes: [1, 2, serial] };
        List { versions: "text 1".into(), next: 9, segments: vec![segment(7, 0, 5), segment(3, 5, 6)] }
    }

    #[test]
    fn a_list_comes_back_and_a_changed_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(List::load(dir.path()).unwrap(), None);
        list().save(dir.path()).unwrap();
        assert_eq!(List::load(dir.path()).unwrap(), Some(list()));
        let text = list().encode();
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            std::fs::write(dir.path().join(LIST), &bytes).unwrap();
            assert!(List::load(dir.path()).is_err(), "{at}");
            std::fs::write(dir.path().join(LIST), &text[..at]).unwrap();
            assert!(List::load(dir.path()).is_err(), "{at}");
        }
        let gap = List { segments: list().segments[1..].to_vec(), ..list() };
        gap.save(dir.path()).unwrap();
        assert!(List::load(dir.path()).unwrap_err().contains("follow"));
    }

    #[test]
    fn what_the_list_does_not_name_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        list().save(dir.path()).unwrap();
        let names = |serial| file_names(serial).map(|name| dir.path().join(name));
        for path in [names(7), names(3), names(8)].concat() {
            std::fs::write(path, "x").unwrap();
        }
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        suspect(dir.path()).unwrap();
        assert!(is_suspect(dir.path()));
        tidy(dir.path(), &list()).unwrap();
        assert!(!is_suspect(dir.path()));
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        left.sort();
        let mut expected = [names(3), names(7)].concat();
        expected.extend([dir.path().join(LIST), other.clone()]);
        expected.sort();
        assert_eq!(left, expected);
        remove_segment(dir.path(), 7).unwrap();
        remove_segment(dir.path(), 7).unwrap();
        assert!(!names(7)[0].exists());
        tidy(dir.path(), &List { segments: Vec::new(), ..list() }).unwrap();
        assert!(!other.exists() && !names(3)[0].exists() && dir.path().join(LIST).exists(), "begun anew");
    }
}
