//! Packs from end to end: what is written comes back, and what was harmed is an error, never other data.

use super::disk::crash::{CrashDisk, Loss};
use super::disk::{Disk, RealDisk};
use super::packs::Unopened;
use super::*;
use crate::incoming::Content;
use crate::{Error, Incoming, Limits, MasterKey};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIR: &str = "packs";

struct Fixture {
    disk: CrashDisk,
    master: MasterKey,
    packs: Packs,
}

fn fixture() -> Fixture {
    let disk = CrashDisk::new();
    let master = MasterKey::generate().unwrap();
    let identity = StoreIdentity::create(&master, "name = \"0001\"\n".into()).unwrap();
    let packs = Packs::create(Arc::new(disk.clone()), Path::new(DIR), identity, 1 << 20);
    Fixture { disk, master, packs }
}

fn reopen(disk: &CrashDisk, master: &MasterKey) -> Result<Packs, Error> {
    Packs::open(Arc::new(disk.clone()), Path::new(DIR), master, 1 << 20)
}

fn pack_path(id: u32) -> PathBuf {
    Path::new(DIR).join(PackId(id).file_name())
}

/// Bytes that don't compress to nothing and differ everywhere.
fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"abcdefghijklmnopqrstuvwxyz \n"[(state >> 59) as usize % 28]
    };
    (0..len).map(|_| next()).collect()
}

/// Writes batch number `n`: a few chunks and a facts record; gives the chunks' addresses with what they hold.
fn write_batch(writer: &mut PackWriter, n: u64) -> Result<Held, Error> {
    let mut sink = ChunkSink::new();
    let mut held = Vec::new();
    for i in 0..6 {
        let header = text(n * 100 + i, 300);
        let body = text(n * 100 + 50 + i, 30_000);
        sink.add(Class::Header, &header);
        sink.add(Class::Body, &body);
        held.extend([header, body]);
    }
    let large = text(n, SEGMENT_BYTES + 1_000);
    sink.add_range(Class::Body, &Content::Memory(large.clone().into()), 0..large.len() as u64)?;
    held.push(large);
    let addrs = sink.finish(writer)?;
    writer.append(RecordKind::Facts, facts(n))?;
    writer.commit(n, n * 2, 1_700_000_000, None)?;
    Ok(addrs.into_iter().zip(held).collect())
}

/// Chunks' addresses with what they hold.
type Held = Vec<(ChunkAddr, Vec<u8>)>;

fn facts(n: u64) -> Vec<u8> {
    format!("facts of batch {n}").into_bytes()
}

fn read(packs: &Packs, addr: Addr) -> Result<bytes::Bytes, Error> {
    Ok(packs.pack(addr.pack)?.record(addr.offset)?.plain)
}

fn numbers(packs: &Packs, pack: PackId) -> (Vec<u64>, Option<End>) {
    let mut batches = packs.batches(pack, packs.start(pack).unwrap()).unwrap();
    let mut found = Vec::new();
    for batch in &mut batches {
        let batch = batch.unwrap();
        assert_eq!(batch.facts.len(), 1);
        assert_eq!(batch.facts[0].1, facts(batch.commit.batch));
        found.push(batch.commit.batch);
    }
    (found, batches.end())
}

#[test]
fn what_is_written_comes_back_after_reopening() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    assert_eq!(writer.id(), PackId(1));
    let mut held = write_batch(&mut writer, 1).unwrap();
    held.extend(write_batch(&mut writer, 2).unwrap());
    assert_eq!(writer.len(), f.packs.len(PackId(1)).unwrap());
    for packs in [f.packs, reopen(&f.disk.after(Loss::Drop), &f.master).unwrap()] {
        for (addr, bytes) in &held {
            let len = bytes.len() as u64;
            assert_eq!(packs.chunk(*addr, 0..len).unwrap(), bytes);
            assert_eq!(packs.chunk(*addr, 17..u64::MAX).unwrap(), &bytes[17..]);
            assert_eq!(
                packs.chunk(*addr, len - 5..len - 2).unwrap(),
                &bytes[bytes.len() - 5..bytes.len() - 2]
            );
            assert!(packs.chunk(*addr, len..len + 9).unwrap().is_empty());
        }
        assert_eq!(numbers(&packs, PackId(1)), (vec![1, 2], Some(End::Clean)));
        let header = packs.header(PackId(1)).unwrap();
        assert_eq!(
            (header.settings.as_str(), header.pack, header.replaces),
            ("name = \"0001\"\n", PackId(1), vec![])
        );
        assert_eq!(header.store, packs.identity().id);
        assert_eq!(packs.list(), [PackId(1)]);
    }
}

#[test]
fn headers_lie_apart_from_bodies() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let held = write_batch(&mut writer, 1).unwrap();
    let record = |n: usize| match held[n].0 {
        ChunkAddr::Item(item) => item.record,
        ChunkAddr::Large(record) => record,
    };
    assert!((2..12).step_by(2).all(|n| record(n) == record(0)), "all headers are in one block");
    assert!((1..12).step_by(2).all(|n| record(n) != record(0)));
    // Three bodies of 30,000 bytes pass the mark, so the fourth begins a block.
    assert_eq!(record(1), record(5));
    assert_ne!(record(5), record(7));
    assert!(matches!(held[12].0, ChunkAddr::Large(_)));
}

#[test]
fn chunks_of_one_kin_lie_together_in_their_order() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let mut sink = ChunkSink::new();
    let kins = [1, 2, 1, 3, 2, 1];
    let bodies: Vec<_> = (0..6).map(|n| text(n, 300)).collect();
    for (kin, body) in kins.iter().zip(&bodies) {
        sink.kin(Kin(*kin));
        sink.add(Class::Body, body);
    }
    let addrs = sink.finish(&mut writer).unwrap();
    writer.commit(1, 1, 1, None).unwrap();
    let items: Vec<_> = addrs
        .iter()
        .map(|addr| match addr {
            ChunkAddr::Item(item) => item.item,
            ChunkAddr::Large(_) => panic!("they are small"),
        })
        .collect();
    assert_eq!(items, [0, 3, 1, 5, 4, 2]);
    for (addr, body) in addrs.iter().zip(&bodies) {
        assert_eq!(f.packs.chunk(*addr, 0..300).unwrap(), &body[..]);
    }
}

#[test]
fn a_block_that_was_opened_in_part_gives_all_its_items_in_any_order() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let mut sink = ChunkSink::new();
    let bodies: Vec<_> = (0..20).map(|n| text(n, 6_000)).collect();
    for body in &bodies {
        sink.add(Class::Body, body);
    }
    let addrs = sink.finish(&mut writer).unwrap();
    writer.commit(1, 1, 1, None).unwrap();
    for first in [0, 7, 19] {
        for then in [0, 6, 8, 19] {
            let packs = reopen(&f.disk, &f.master).unwrap();
            for n in [first, then, first] {
                assert_eq!(packs.chunk(addrs[n], 0..6_000).unwrap(), &bodies[n][..]);
            }
            let ChunkAddr::Item(item) = addrs[then] else { panic!("they are small") };
            let none = ItemAddr { item: 20, ..item };
            assert!(matches!(packs.item(none), Err(Error::Corrupt { .. })));
        }
    }
}

#[test]
fn large_chunks_of_all_lengths_around_a_segment() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let lens =
        [SEGMENT_BYTES, SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES, 2 * SEGMENT_BYTES + 1, 9 * SEGMENT_BYTES - 1];
    let mut held: Vec<_> = lens.iter().map(|&len| text(len as u64, len)).collect();
    held.push(held[1].clone());
    let mut sink = ChunkSink::new();
    for bytes in &held[..lens.len()] {
        let content = Content::Memory([b"before", &bytes[..], b"after"].concat().into());
        sink.add_range(Class::Body, &content, 6..6 + bytes.len() as u64).unwrap();
    }
    sink.add(Class::Body, &held[1]);
    let addrs = sink.finish(&mut writer).unwrap();
    writer.commit(1, 1, 0, None).unwrap();
    assert!(matches!(addrs[0], ChunkAddr::Item(_)), "a chunk of a segment's size is still in a block");
    assert!(addrs[1..].iter().all(|addr| matches!(addr, ChunkAddr::Large(_))));
    for (addr, bytes) in addrs.iter().zip(&held) {
        for edge in (0..=bytes.len()).step_by(SEGMENT_BYTES).chain([bytes.len()]) {
            let (start, end) = (edge.saturating_sub(3), (edge + 3).min(bytes.len()));
            assert_eq!(f.packs.chunk(*addr, start as u64..end as u64).unwrap(), &bytes[start..end]);
        }
        assert_eq!(f.packs.chunk(*addr, 0..u64::MAX).unwrap(), bytes);
    }
}

#[test]
fn a_part_of_a_large_chunk_opens_only_its_own_segments() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let bytes = text(1, 4 * SEGMENT_BYTES + 7);
    let mut sink = ChunkSink::new();
    sink.add_large(&Content::Memory(bytes.clone().into()), 0..bytes.len() as u64);
    let addr = sink.finish(&mut writer).unwrap()[0];
    writer.commit(1, 1, 0, None).unwrap();
    let all = f.packs.salvage(PackId(1), f.packs.start(PackId(1)).unwrap()).unwrap();
    let segments: Vec<_> = all.map(Result::unwrap).filter(|r| r.kind == RecordKind::Segment).collect();
    assert_eq!(segments.len(), 5);
    f.disk.damage(&pack_path(1), |pack| {
        for segment in segments.iter().filter(|segment| segment.addr != segments[2].addr) {
            pack[segment.addr.offset as usize + 70] ^= 1;
        }
    });
    let (start, end) = (2 * SEGMENT_BYTES as u64, 3 * SEGMENT_BYTES as u64);
    assert_eq!(f.packs.chunk(addr, start..end).unwrap(), &bytes[start as usize..end as usize]);
    assert!(matches!(f.packs.chunk(addr, start..end + 1), Err(Error::Corrupt { .. })));
    assert!(matches!(f.packs.chunk(addr, start - 1..end), Err(Error::Corrupt { .. })));
}

#[test]
fn records_in_another_place_are_errors() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let one = writer.append(RecordKind::Facts, text(1, 500)).unwrap();
    let two = writer.append(RecordKind::Facts, text(1, 500)).unwrap();
    writer.commit(1, 1, 0, None).unwrap();
    let path = pack_path(1);
    let whole = f.disk.bytes(&path);
    let (first, second) = (one.offset as usize, two.offset as usize);
    let len = second - first;
    let fresh = || reopen(&f.disk, &f.master).unwrap();
    let refused = |addr| assert!(matches!(read(&fresh(), addr), Err(Error::Corrupt { .. })), "{addr:?}");

    // The same words sealed twice are of one length, so they can change places.
    f.disk.damage(&path, |pack| {
        let (a, b) = pack.split_at_mut(second);
        a[first..].swap_with_slice(&mut b[..len]);
    });
    refused(one);
    refused(two);
    f.disk.damage(&path, |pack| *pack = whole.clone());
    assert_eq!(read(&fresh(), one).unwrap(), text(1, 500));
    refused(Addr { offset: one.offset + 1, ..one });
    refused(Addr { offset: u64::from(u32::MAX), ..one });
    assert!(matches!(read(&fresh(), Addr { pack: PackId(2), ..one }), Err(Error::Missing { .. })));

    // A pack under another pack's name, and a record in another pack at the same offset.
    f.disk.put(&pack_path(2), &whole);
    assert!(matches!(fresh().unopened(), [Unopened { pack: PackId(2), error: Error::Corrupt { .. }, .. }]));
    let other = fresh();
    let mut writer = other.new_pack().unwrap();
    assert_eq!(writer.id(), PackId(3), "a number that a file has is not given again");
    let there = writer.append(RecordKind::Facts, text(1, 500)).unwrap();
    writer.commit(2, 2, 0, None).unwrap();
    assert_eq!(there.offset, one.offset);
    f.disk.damage(&pack_path(3), |pack| {
        pack[first..second].copy_from_slice(&whole[first..second]);
    });
    refused(there);
}

#[test]
fn addresses_of_another_kind_are_errors() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let held = write_batch(&mut writer, 1).unwrap();
    let facts = writer.append(RecordKind::Facts, facts(2)).unwrap();
    writer.commit(2, 2, 0, None).unwrap();
    let (ChunkAddr::Item(item), ChunkAddr::Large(map)) = (held[0].0, held[12].0) else {
        panic!("other kinds")
    };
    let wrong = [
        ChunkAddr::Item(ItemAddr { item: 6, ..item }),
        ChunkAddr::Item(ItemAddr { record: map, item: 0 }),
        ChunkAddr::Item(ItemAddr { record: facts, item: 0 }),
        ChunkAddr::Large(item.record),
        ChunkAddr::Large(facts),
    ];
    for addr in wrong {
        assert!(matches!(f.packs.chunk(addr, 0..1), Err(Error::Corrupt { .. })), "{addr:?}");
    }
}

#[test]
fn a_pack_that_is_cut_anywhere_has_its_first_batches() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let start = f.packs.start(PackId(1)).unwrap();
    let mut ends = vec![start];
    for n in 1..=3 {
        writer.append(RecordKind::Facts, facts(n)).unwrap();
        ends.push(writer.commit(n, n, 0, None).unwrap());
    }
    let whole = f.disk.bytes(&pack_path(1));
    assert_eq!(ends[3], whole.len() as u64);
    for cut in 0..=whole.len() {
        f.disk.damage(&pack_path(1), |pack| *pack = whole[..cut].to_vec());
        let opened = reopen(&f.disk, &f.master);
        if (cut as u64) < start {
            assert!(matches!(opened, Err(Error::Corrupt { .. })), "cut at {cut}");
            continue;
        }
        let (found, end) = numbers(&opened.unwrap(), PackId(1));
        let whole_batches = ends.iter().filter(|&&end| end <= cut as u64).count() - 1;
        assert_eq!(found, (1..=whole_batches as u64).collect::<Vec<_>>(), "cut at {cut}");
        let clean = ends.contains(&(cut as u64));
        assert_eq!(end, Some(if clean { End::Clean } else { End::Torn { at: ends[whole_batches] } }));
    }
}

#[test]
fn writing_goes_on_where_a_pack_ended() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    write_batch(&mut writer, 1).unwrap();
    drop(writer);
    let packs = reopen(&f.disk, &f.master).unwrap();
    let last = packs.batches(PackId(1), packs.start(PackId(1)).unwrap()).unwrap().last().unwrap().unwrap();
    let mut writer = packs.resume(PackId(1), Some(last.tag)).unwrap();
    let held = write_batch(&mut writer, 2).unwrap();
    assert_eq!(numbers(&packs, PackId(1)), (vec![1, 2], Some(End::Clean)));
    assert_eq!(packs.chunk(held[1].0, 0..9).unwrap(), &held[1].1[..9]);
    // From a watermark the predecessor is not known, and is not asked for.
    assert_eq!(packs.batches(PackId(1), last.next).unwrap().count(), 1);

    // A commit that names another predecessor is no successor.
    let packs = reopen(&f.disk, &f.master).unwrap();
    let mut writer = packs.resume(PackId(1), Some(last.tag)).unwrap();
    write_batch(&mut writer, 3).unwrap();
    let found: Vec<_> = packs.batches(PackId(1), packs.start(PackId(1)).unwrap()).unwrap().take(9).collect();
    assert!(matches!(found[..], [Ok(_), Ok(_), Err(Error::Corrupt { .. })]), "an error ends the walk");
}

#[test]
fn salvage_finds_everything_around_the_damage() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    (1..=3).for_each(|n| drop(write_batch(&mut writer, n).unwrap()));
    let start = f.packs.start(PackId(1)).unwrap();
    let all: Vec<_> = f.packs.salvage(PackId(1), start).unwrap().map(Result::unwrap).collect();
    let whole = f.disk.bytes(&pack_path(1));
    for hurt in 0..all.len() {
        // In turn: a bit of the content, the header's length field, the whole record.
        let (from, next) = (all[hurt].addr.offset as usize, all[hurt].next as usize);
        f.disk.damage(&pack_path(1), |pack| {
            pack.copy_from_slice(&whole);
            match hurt % 3 {
                0 => pack[from + 70] ^= 4,
                1 => pack[from + 41] ^= 1,
                _ => pack[from..next].fill(0),
            }
        });
        let found = f.packs.salvage(PackId(1), start).unwrap().map(Result::unwrap);
        let got: Vec<_> = found.map(|r| (r.addr, r.kind, r.plain, r.next)).collect();
        let rest = (0..all.len()).filter(|&n| n != hurt).map(|n| &all[n]);
        let want: Vec<_> = rest.map(|r| (r.addr, r.kind, r.plain.clone(), r.next)).collect();
        assert!(got == want, "record {hurt}");
    }
}

#[test]
fn magic_in_contents_does_not_mislead_salvage() {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let start = writer.len();
    writer.commit(1, 1, 0, None).unwrap();
    f.disk.damage(&pack_path(1), |pack| {
        let record = pack[start as usize..].to_vec();
        // A copy of a good record at a place that isn't its own, magic cut by the window's edge, and junk.
        pack.extend_from_slice(&record);
        pack.resize(start as usize + (1 << 20) - 1, 0xb1);
        pack.extend_from_slice(b"\xb1mkR\xb1mkR");
        pack.extend_from_slice(&record::MAGIC[..3]);
    });
    assert_eq!(f.packs.salvage(PackId(1), start).unwrap().map(Result::unwrap).count(), 1);
}

#[test]
fn a_crash_at_any_sync_loses_nothing_acknowledged() {
    let losses = [Loss::Keep, Loss::Drop].into_iter().chain((0..12).map(Loss::Tear));
    for loss in losses {
        for crash_at in 0.. {
            let f = fixture();
            f.disk.crash_at_sync(crash_at);
            let mut acknowledged = Vec::new();
            let mut held = Vec::new();
            if let Ok(mut writer) = f.packs.new_pack() {
                for n in 1..=3 {
                    let Ok(written) = write_batch(&mut writer, n) else {
                        assert!(matches!(write_batch(&mut writer, n), Err(Error::Latched { .. })));
                        break;
                    };
                    acknowledged.push(n);
                    held.extend(written);
                }
            }
            if !f.disk.crashed() {
                assert_eq!(acknowledged, [1, 2, 3]);
                assert!(crash_at > 3, "the test crashed nowhere");
                break;
            }
            let disk = f.disk.after(loss);
            let packs = match reopen(&disk, &f.master) {
                Ok(packs) => packs,
                Err(_) if acknowledged.is_empty() => continue,
                Err(error) => panic!("{loss:?} at sync {crash_at}: {error}"),
            };
            let (found, end) = numbers(&packs, PackId(1));
            assert!(found.starts_with(&acknowledged), "{loss:?} at sync {crash_at}: {found:?}");
            assert!(found.len() <= acknowledged.len() + 1);
            for (addr, bytes) in &held {
                assert_eq!(packs.chunk(*addr, 0..u64::MAX).unwrap(), bytes);
            }
            // Whatever the end: writing goes on, in a new pack where it must.
            let mut writer = match end {
                Some(End::Clean) if found.is_empty() => packs.resume(PackId(1), None).unwrap(),
                Some(End::Clean) => {
                    let all = packs.batches(PackId(1), packs.start(PackId(1)).unwrap()).unwrap();
                    packs.resume(PackId(1), Some(all.last().unwrap().unwrap().tag)).unwrap()
                }
                _ => packs.new_pack().unwrap(),
            };
            write_batch(&mut writer, 9).unwrap();
            assert_eq!(numbers(&packs, writer.id()).0.last(), Some(&9));
        }
    }
}

#[test]
fn a_failure_at_any_call_latches_and_loses_nothing() {
    let run = |f: &Fixture| {
        let mut acknowledged = Vec::new();
        let Ok(mut writer) = f.packs.new_pack() else { return acknowledged };
        let mut failed = false;
        for n in 1..=3 {
            match write_batch(&mut writer, n) {
                Ok(_) => acknowledged.push(n),
                Err(Error::Latched { .. }) => assert!(failed),
                Err(_) => assert!(!std::mem::replace(&mut failed, true)),
            }
            assert!(!failed || acknowledged.last() != Some(&n), "a batch after the failure");
        }
        acknowledged
    };
    let f = fixture();
    assert_eq!(run(&f), [1, 2, 3]);
    let calls = f.disk.calls();
    for fail_at in 0..calls {
        let f = fixture();
        f.disk.fail_at_call(fail_at);
        let acknowledged = run(&f);
        assert!(acknowledged.len() < 3, "call {fail_at} did not matter");
        if let Ok(packs) = reopen(&f.disk.after(Loss::Drop), &f.master) {
            assert!(numbers(&packs, PackId(1)).0.starts_with(&acknowledged));
        } else {
            assert!(acknowledged.is_empty());
        }
    }
}

#[test]
fn a_torn_header_of_a_new_pack_is_passed_over() {
    let f = fixture();
    write_batch(&mut f.packs.new_pack().unwrap(), 1).unwrap();
    drop(f.packs.new_pack().unwrap());
    let disk = f.disk.after(Loss::Keep);
    disk.damage(&pack_path(2), |pack| pack.truncate(40));
    let packs = reopen(&disk, &f.master).unwrap();
    assert_eq!(packs.list(), [PackId(1)]);
    assert_eq!(packs.unopened().iter().map(|u| u.pack).collect::<Vec<_>>(), [PackId(2)]);
    assert_eq!(packs.new_pack().unwrap().id(), PackId(3));
}

#[test]
fn another_key_another_store_no_pack() {
    let f = fixture();
    write_batch(&mut f.packs.new_pack().unwrap(), 1).unwrap();
    let other = MasterKey::generate().unwrap();
    assert!(matches!(reopen(&f.disk, &other), Err(Error::WrongKey { .. })));
    assert!(matches!(reopen(&CrashDisk::new(), &f.master), Err(Error::Missing { .. })));
    let identity = StoreIdentity::create(&f.master, String::new()).unwrap();
    let stranger = CrashDisk::new();
    let packs = Packs::create(Arc::new(stranger.clone()), Path::new(DIR), identity, 0);
    drop((packs.new_pack().unwrap(), packs.new_pack().unwrap()));
    f.disk.put(&pack_path(2), &stranger.bytes(&pack_path(2)));
    let packs = reopen(&f.disk, &f.master).unwrap();
    assert!(matches!(packs.unopened(), [Unopened { pack: PackId(2), error: Error::Corrupt { .. }, .. }]));
}

#[test]
fn on_a_real_disk_the_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let packs_dir = dir.path().join("packs");
    RealDisk.create_dir(&packs_dir).unwrap();
    let master = MasterKey::generate().unwrap();
    let identity = StoreIdentity::create(&master, String::new()).unwrap();
    let packs = Packs::create(Arc::new(RealDisk), &packs_dir, identity, 1 << 20);
    let held = write_batch(&mut packs.new_pack().unwrap(), 1).unwrap();
    std::fs::write(packs_dir.join("notes.txt"), "not a pack").unwrap();
    let packs = Packs::open(Arc::new(RealDisk), &packs_dir, &master, 1 << 20).unwrap();
    for (addr, bytes) in &held {
        assert_eq!(packs.chunk(*addr, 0..u64::MAX).unwrap(), bytes);
    }
    use std::os::unix::fs::MetadataExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&packs_dir), mode(&packs.path(PackId(1)))), (0o700, 0o600));
    let raw = std::fs::read(packs.path(PackId(1))).unwrap();
    let needle = &held[0].1[..20];
    assert!(memchr::memmem::find(&raw, needle).is_none(), "mail in the clear");
}

#[test]
fn file_names_of_packs() {
    assert_eq!(PackId(1).file_name(), "00000001.pack");
    assert_eq!(PackId::from_file_name("00000001.pack"), Some(PackId(1)));
    assert_eq!(PackId::from_file_name(&PackId(u32::MAX).file_name()), Some(PackId(u32::MAX)));
    for other in ["00000000.pack", "1.pack", "+0000001.pack", "00000001.pack~", "x.pack", "4294967296.pack"] {
        assert_eq!(PackId::from_file_name(other), None, "{other}");
    }
}

/// A pack of one batch of small things, its bytes, and what its chunks hold.
fn small_pack() -> (Fixture, Vec<u8>, Held) {
    let f = fixture();
    let mut writer = f.packs.new_pack().unwrap();
    let mut sink = ChunkSink::new();
    let chunks = [text(1, 50), Vec::new(), text(2, 400), text(3, 3)];
    for chunk in &chunks {
        sink.add(Class::Body, chunk);
    }
    let large = text(4, 100);
    sink.add_large(&Content::Memory(large.clone().into()), 0..100);
    let addrs = sink.finish(&mut writer).unwrap();
    writer.append(RecordKind::Facts, facts(1)).unwrap();
    writer.commit(1, 1, 0, None).unwrap();
    let bytes = f.disk.bytes(&pack_path(1));
    (f, bytes, addrs.into_iter().zip(chunks.into_iter().chain([large])).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn harmed_bytes_are_never_other_data(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let (f, whole, held) = small_pack();
        let at = at.index(whole.len());
        f.disk.damage(&pack_path(1), |pack| if cut { pack.truncate(at) } else { pack[at] ^= 1 << bit });
        let Ok(packs) = reopen(&f.disk, &f.master) else { return Ok(()) };
        let mut wrong = 0;
        for (addr, bytes) in &held {
            match packs.chunk(*addr, 0..u64::MAX) {
                Ok(got) => prop_assert_eq!(&got, bytes),
                Err(Error::Corrupt { .. } | Error::Version { .. }) => wrong += 1,
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        // Some record is harmed, so the batch is not complete.
        let batches: Vec<_> = packs.batches(PackId(1), packs.start(PackId(1)).unwrap()).unwrap().collect();
        prop_assert!(batches.iter().all(Result::is_err), "{wrong} chunks were refused");
    }

    #[test]
    fn addresses_come_back(pack in 1u32.., offset in any::<u64>(), item in any::<u32>(), large in any::<bool>()) {
        let record = Addr { pack: PackId(pack), offset };
        let addr = if large { ChunkAddr::Large(record) } else { ChunkAddr::Item(ItemAddr { record, item }) };
        let mut out = Vec::new();
        addr.encode(&mut out);
        let mut from = varint::Reader::new(&out);
        prop_assert_eq!(ChunkAddr::decode(&mut from), Some(addr));
        prop_assert!(from.is_empty());
        prop_assert_eq!(ChunkAddr::decode(&mut varint::Reader::new(&out[..out.len() - 1])), None);
    }

    #[test]
    fn chunks_of_any_length_come_back(
        lens in prop::collection::vec((0usize..3_000, any::<bool>()), 0..80),
        odd in prop::collection::vec(
            (prop::sample::select(vec![0, 1, 131_072, 262_144, 262_145, 600_000]), any::<bool>()),
            0..3,
        ),
        spooled in any::<bool>(), cache in prop::sample::select(vec![0usize, 100_000, 4 << 20]),
    ) {
        let f = fixture();
        let mut writer = f.packs.new_pack().unwrap();
        let mut sink = ChunkSink::new();
        let lens: Vec<_> = lens.into_iter().chain(odd).collect();
        // Line ends would make the canonical bytes more than these.
        let total = lens.iter().map(|(len, _)| len).sum();
        let whole: Vec<u8> = text(5, total).into_iter().map(|b| b.max(b' ')).collect();
        let limits = Limits { spool_above_bytes: if spooled { 0 } else { usize::MAX }, ..Limits::default() };
        let content = Incoming::read(&whole[..], Vec::new(), &limits).unwrap().content;
        let mut at = 0;
        let mut ranges = Vec::new();
        for (len, header) in lens {
            let range = at..at + len as u64;
            at = range.end;
            let class = if header { Class::Header } else { Class::Body };
            prop_assert_eq!(sink.add_range(class, &content, range.clone()).unwrap(), Handle(ranges.len()));
            ranges.push(range);
        }
        let addrs = sink.finish(&mut writer).unwrap();
        writer.commit(1, 1, 0, None).unwrap();
        let packs = Packs::open(Arc::new(f.disk.clone()), Path::new(DIR), &f.master, cache).unwrap();
        prop_assert_eq!(addrs.len(), ranges.len());
        for (addr, range) in addrs.into_iter().zip(ranges) {
            prop_assert_eq!(packs.chunk(addr, 0..u64::MAX).unwrap(), content.read(range).unwrap());
        }
    }
}

mod rekey;
