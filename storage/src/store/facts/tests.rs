//! Facts come back as they were written, and other bytes are refused.

use super::*;
use crate::pack::{Addr, ItemAddr, PackId};
use proptest::prelude::*;

fn chunk() -> impl Strategy<Value = ChunkAddr> {
    (any::<u32>(), any::<u64>(), any::<Option<u32>>()).prop_map(|(pack, offset, item)| {
        let record = Addr { pack: PackId(pack), offset };
        match item {
            Some(item) => ChunkAddr::Item(ItemAddr { record, item }),
            None => ChunkAddr::Large(record),
        }
    })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Side::Here),
        (chunk(), 0..u64::MAX / 2).prop_map(|(chunk, len)| Side::Chunk { chunk, len }),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        (chunk(), 0u64..1 << 40).prop_map(|(chunk, len)| Piece::Raw { chunk, len }),
        (chunk(), 0u64..1 << 40, 1u32..=MAX_BASE64_LINE / 4)
            .prop_map(|(chunk, decoded, groups)| Piece::Base64 { chunk, decoded, line: groups * 4 }),
    ]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (0..u64::MAX / 2, any::<Option<[u8; 16]>>(), any::<[u8; 32]>()).prop_map(|(leaf, salt, hash)| Evidence {
        leaf,
        salt,
        hash,
    })
}

fn a_path() -> impl Strategy<Value = FolderPath> {
    "[a-zäß字]{1,9}(/[a-z .]{1,9}){0,3}".prop_map(|path| FolderPath::new(path).unwrap())
}

fn a_uid() -> impl Strategy<Value = Uid> {
    (1..=u32::MAX).prop_map(Uid)
}

fn folder() -> impl Strategy<Value = FolderId> {
    any::<u32>().prop_map(FolderId)
}

fn mod_seq() -> impl Strategy<Value = ModSeq> {
    any::<u64>().prop_map(ModSeq)
}

fn placement() -> impl Strategy<Value = Fact> {
    let ends = prop_oneof![Just(Ends::Crlf), Just(Ends::Lf), side().prop_map(Ends::Map)];
    let ids = (folder(), a_uid(), a_uid(), any::<u32>(), mod_seq());
    let source = (any::<i64>(), any::<i16>(), 0u8..8, any::<u32>(), "\\PC{0,20}");
    (ids, source, ends, side(), evidence()).prop_map(|(ids, source, line_ends, prefix, evidence)| {
        Fact::Placement(PlacementFact {
            folder: ids.0,
            uid: ids.1,
            archive_uid: ids.2,
            msg: MsgNo(ids.3),
            mod_seq: ids.4,
            date_secs: source.0,
            zone: source.1,
            flags: flags_of(source.2),
            source: SourceId(source.3),
            occurrence: source.4,
            line_ends,
            prefix,
            evidence,
        })
    })
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (any::<u32>(), any::<[u8; 32]>(), prop::collection::vec(piece(), 0..5), any::<prop::sample::Index>())
            .prop_map(|(no, hash, pieces, cut)| {
                let size = pieces.iter().map(Piece::len).sum::<u64>();
                let header_len = cut.index(size.min(1 << 30) as usize + 1) as u64;
                Fact::Message(MessageFact {
                    no: MsgNo(no),
                    hash: ContentHash(hash),
                    size,
                    header_len,
                    pieces,
                })
            }),
        (folder(), a_path(), any::<u32>(), a_uid(), mod_seq(), a_uid()).prop_map(
            |(id, path, validity, uid_floor, mod_seq_floor, archive_uid_floor)| {
                let uid_validity = UidValidity(validity);
                Fact::Folder(FolderFact {
                    id,
                    path,
                    uid_validity,
                    uid_floor,
                    mod_seq_floor,
                    archive_uid_floor,
                })
            }
        ),
        (any::<u32>(), "\\PC{0,20}").prop_map(|(id, name)| Fact::Source { id: SourceId(id), name }),
        placement(),
        (folder(), a_uid(), "\\PC{0,20}").prop_map(|(folder, uid, occurrence)| Fact::Occurrence {
            folder,
            uid,
            occurrence
        }),
        (folder(), a_uid(), folder(), a_uid(), a_uid(), mod_seq(), evidence()).prop_map(
            |(from, from_uid, to, to_uid, archive_uid, mod_seq, evidence)| {
                Fact::Move(MoveFact { from, from_uid, to, to_uid, archive_uid, mod_seq, evidence })
            }
        ),
        (folder(), a_uid(), mod_seq(), evidence()).prop_map(|(folder, uid, mod_seq, evidence)| {
            Fact::Deletion(DeletionFact { folder, uid, mod_seq, evidence })
        }),
        (folder(), a_path(), mod_seq()).prop_map(|(folder, path, mod_seq)| Fact::Rename {
            folder,
            path,
            mod_seq
        }),
        later_fact(),
    ]
}

/// Those of changes, of single instance, of evidence and of compaction.
fn later_fact() -> impl Strategy<Value = Fact> {
    let kind = prop::sample::select(vec![PLACEMENT, MOVE, DELETION]);
    prop_oneof![
        (folder(), a_uid(), mod_seq(), a_uid()).prop_map(|(folder, uid, mod_seq, archive_uid)| {
            Fact::Floors(FloorsFact { folder, uid, mod_seq, archive_uid })
        }),
        (folder(), mod_seq()).prop_map(|(folder, mod_seq)| Fact::FolderGone { folder, mod_seq }),
        any::<u32>().prop_map(|no| Fact::Erased { no: MsgNo(no) }),
        (folder(), "\\PC{0,40}", mod_seq()).prop_map(|(folder, text, mod_seq)| Fact::Comment {
            folder,
            text,
            mod_seq
        }),
        (kind, folder(), a_uid(), a_uid(), mod_seq(), evidence()).prop_map(
            |(kind, folder, uid, archive_uid, mod_seq, evidence)| {
                Fact::Tombstone(TombstoneFact { kind, folder, uid, archive_uid, mod_seq, evidence })
            }
        ),
        (any::<[u8; 32]>(), chunk(), any::<u64>()).prop_map(|(hash, chunk, len)| Fact::Part(PartFact {
            hash,
            chunk,
            len
        })),
        (any::<[u8; 16]>(), any::<u64>(), any::<u64>(), any::<[[u8; 32]; 4]>()).prop_map(
            |(store, size, time, [root, key, first, second])| {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&first);
                signature[32..].copy_from_slice(&second);
                Fact::Head(HeadFact { store: StoreId(store), size, time, root, key, signature })
            }
        ),
        any::<u64>().prop_map(|batch| Fact::Compacted { batch }),
    ]
}

proptest! {
    #[test]
    fn facts_come_back(facts in prop::collection::vec(fact(), 0..12)) {
        let records = encode_all(&facts);
        let mut back = Vec::new();
        for record in &records {
            back.extend(decode_all(record).unwrap());
        }
        prop_assert_eq!(back, facts);
    }

    #[test]
    fn a_cut_record_is_refused(facts in prop::collection::vec(fact(), 1..4), cut in any::<prop::sample::Index>()) {
        let record = encode_all(&facts).remove(0);
        let short = &record[..cut.index(record.len())];
        // Cut between two facts it is a record of fewer, which the record's seal tells apart.
        if let Some(some) = decode_all(short) {
            prop_assert!(some.len() < facts.len() && facts.starts_with(&some));
        }
    }

    #[test]
    fn other_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), tag in 1u8..17) {
        let mut record = vec![FACTS_VERSION, tag];
        put_bytes(&mut record, &bytes);
        if let Some(facts) = decode_all(&record) {
            // One encoding each: what is understood would be written like that.
            let same = encode_all(&facts).remove(0);
            prop_assert_eq!(decode_all(&same).unwrap(), facts);
        }
        decode_all(&bytes);
    }
}

#[test]
fn records_of_facts_are_cut_at_their_bound() {
    let facts: Vec<Fact> =
        (0..40).map(|n| Fact::Source { id: SourceId(n), name: "x".repeat(MAX_NAME) }).collect();
    let records = encode_all(&facts);
    assert!(records.len() > 1);
    assert!(records.iter().all(|record| record.len() < RECORD_BYTES + MAX_NAME + 100));
    let back: Vec<Fact> = records.iter().flat_map(|record| decode_all(record).unwrap()).collect();
    assert_eq!(back, facts);
    assert!(encode_all(&[]).is_empty());
}

#[test]
fn a_tombstone_stands_for_what_has_a_leaf_only() {
    for kind in 0..=u8::MAX {
        let evidence = Evidence { leaf: 1, salt: None, hash: [2; 32] };
        let (folder, uid, archive_uid, mod_seq) = (FolderId(1), Uid(1), Uid(1), ModSeq(1));
        let fact = Fact::Tombstone(TombstoneFact { kind, folder, uid, archive_uid, mod_seq, evidence });
        let back = decode_all(&encode_all(&[fact])[0]);
        assert_eq!(back.is_some(), [PLACEMENT, MOVE, DELETION].contains(&kind), "{kind}");
    }
}

#[test]
fn a_base64_line_has_a_bound() {
    let piece = |line| {
        let chunk = ChunkAddr::Large(Addr { pack: PackId(1), offset: 2 });
        let mut out = Vec::new();
        put_pieces(&mut out, &[Piece::Base64 { chunk, decoded: 3, line }]);
        read_pieces(&mut Reader::new(&out), 4)
    };
    assert!(piece(MAX_BASE64_LINE).is_some());
    assert!(piece(MAX_BASE64_LINE + 4).is_none());
    assert!(piece(75).is_none() && piece(0).is_none());
}

#[test]
fn the_leafs_hash_is_as_the_format_says() {
    let evidence = Evidence::new(3, [7; 16], PlacementFact::LEAF, b"fields");
    let by_hand: [u8; 32] = Sha256::digest([&[0][..], &[7; 16], &[4], b"fields"].concat()).into();
    assert_eq!(evidence.hash, by_hand);
    assert!(evidence.holds(PlacementFact::LEAF, b"fields"));
    assert!(!evidence.holds(PlacementFact::LEAF, b"other"));
    assert!(
        Evidence { salt: None, ..evidence }.holds(PlacementFact::LEAF, b"other"),
        "destroyed with the content"
    );
}
