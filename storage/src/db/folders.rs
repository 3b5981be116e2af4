//! The row of a folder: path, UIDVALIDITY, UIDs, counters.

use crate::pack::varint::{Reader, put, put_bytes};
use crate::store::state::Folder;
use crate::{FolderId, FolderInfo, FolderPath, ModSeq, Uid, UidRanges, UidValidity};
use std::sync::Arc;

/// Lays a folder out.
pub(crate) fn encode(view: &Folder) -> Vec<u8> {
    let info = &view.info;
    let mut out = Vec::with_capacity(64);
    put_bytes(&mut out, info.path.as_str().as_bytes());
    put(&mut out, u64::from(info.uid_validity.0));
    put(&mut out, u64::from(info.uid_next.0));
    put(&mut out, info.bytes);
    put(&mut out, info.highest_mod_seq.0);
    put(&mut out, view.path_since.0);
    out.push(u8::from(view.gone));
    let mut last = 0;
    for (first, end) in view.uids.spans() {
        put(&mut out, u64::from(first - last));
        put(&mut out, u64::from(end - first));
        last = end;
    }
    out
}

/// Reads a folder; `None` when the bytes are none.
pub(crate) fn decode(id: FolderId, bytes: &[u8]) -> Option<Folder> {
    let mut from = Reader::new(bytes);
    let path = FolderPath::new(std::str::from_utf8(from.bytes()?).ok()?).ok()?;
    let uid_validity = UidValidity(u32::try_from(from.varint()?).ok()?);
    let uid_next = Uid(u32::try_from(from.varint()?).ok()?);
    let (bytes, highest_mod_seq) = (from.varint()?, ModSeq(from.varint()?));
    let path_since = ModSeq(from.varint()?);
    let gone = match from.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut spans = Vec::new();
    let mut last = 0u32;
    while !from.is_empty() {
        let first = last.checked_add(u32::try_from(from.varint()?).ok()?)?;
        let end = first.checked_add(u32::try_from(from.varint()?).ok()?)?;
        spans.push((first, end));
        last = end;
    }
    let uids = Arc::new(UidRanges::from_spans(spans));
    let messages = uids.len();
    Some(Folder {
        info: FolderInfo { id, path, uid_validity, uid_next, messages, bytes, highest_mod_seq },
        uids,
        path_since,
        gone,
        comment: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_folder_comes_back(
            spans in prop::collection::vec((1u32..5_000, 0u32..9), 0..30),
            numbers in any::<(u32, u32, u64, u64, u64, bool)>(),
            path in "[a-zäß]{1,9}(/[a-z .字]{1,9}){0,3}",
        ) {
            let uids = Arc::new(UidRanges::from_spans(spans.into_iter().map(|(a, n)| (a, a + n))));
            let info = FolderInfo {
                id: FolderId(7),
                path: FolderPath::new(path).unwrap(),
                uid_validity: UidValidity(numbers.0),
                uid_next: Uid(numbers.1),
                messages: uids.len(),
                bytes: numbers.2,
                highest_mod_seq: ModSeq(numbers.3),
            };
            let folder = Folder { info, uids, path_since: ModSeq(numbers.4), gone: numbers.5, comment: None };
            prop_assert_eq!(decode(FolderId(7), &encode(&folder)), Some(folder));
        }

        #[test]
        fn other_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(view) = decode(FolderId(1), &bytes) {
                prop_assert_eq!(view.uids.len(), view.info.messages);
            }
        }
    }
}
