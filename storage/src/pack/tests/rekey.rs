//! A new master key: whatever a crash keeps or drops of the new pack, one of the two keys opens all records.

use super::*;

/// Every chunk of every pack reads back.
fn reads(packs: &Packs, held: &[Held]) {
    for (addr, bytes) in held.iter().flatten() {
        assert_eq!(packs.chunk(*addr, 0..u64::MAX).unwrap(), bytes);
    }
}

#[test]
fn one_new_header_opens_all_packs_and_the_old_ones_stay() {
    let f = fixture();
    let mut held = Vec::new();
    for n in 1..3 {
        held.push(write_batch(&mut f.packs.new_pack().unwrap(), n).unwrap());
    }
    let before: Vec<_> = (1..3).map(|id| f.disk.bytes(&pack_path(id))).collect();
    let new = MasterKey::generate().unwrap();
    assert!(matches!(reopen(&f.disk, &new), Err(Error::WrongKey { .. })));
    let packs = reopen(&f.disk, &f.master).unwrap();
    assert!(packs.opens_with(&f.master) && !packs.opens_with(&new));
    let mut writer = packs.rekey(&new).unwrap();
    assert!(packs.opens_with(&new) && !packs.opens_with(&f.master));
    held.push(write_batch(&mut writer, 3).unwrap());
    // Both keys open all of it until the old headers are gone.
    for key in [&new, &f.master] {
        let packs = reopen(&f.disk.after(Loss::Drop), key).unwrap();
        assert_eq!(packs.list(), [PackId(1), PackId(2), PackId(3)]);
        assert!(packs.unopened().is_empty() && packs.opens_with(key));
        reads(&packs, &held);
    }
    assert_eq!(before, (1..3).map(|id| f.disk.bytes(&pack_path(id))).collect::<Vec<_>>(), "never rewritten");
    let disk = f.disk.after(Loss::Keep);
    for id in 1..3 {
        disk.remove(&pack_path(id)).unwrap();
    }
    assert!(matches!(reopen(&disk, &f.master), Err(Error::WrongKey { .. })));
    reads(&reopen(&disk, &new).unwrap(), &held[2..]);
    // Further packs are begun under the new key.
    drop(packs.new_pack().unwrap());
    assert!(reopen(&f.disk, &new).unwrap().header(PackId(4)).is_ok());
}

#[test]
fn a_key_that_brings_the_one_before_opens_whatever_a_crash_left() {
    let new = MasterKey::generate().unwrap();
    // Its syncs: the file, its name.
    for sync in 0..=2 {
        for loss in (0..6).map(Loss::Tear).chain([Loss::Keep, Loss::Drop]) {
            let f = fixture();
            let held = write_batch(&mut f.packs.new_pack().unwrap(), 1).unwrap();
            f.disk.crash_at_sync(sync);
            let done = f.packs.rekey(&new).is_ok();
            assert_eq!(done, sync == 2);
            let disk = f.disk.after(loss);
            let both = new.clone().with_older(f.master.clone());
            let packs = reopen(&disk, &both).unwrap();
            reads(&packs, std::slice::from_ref(&held));
            assert!(packs.opens_with(&both) || !done);
            // Again, where it was cut.
            drop(packs.rekey(&both).unwrap());
            let disk = disk.after(Loss::Drop);
            for key in [&new, &both, &f.master] {
                let packs = reopen(&disk, key).unwrap();
                reads(&packs, std::slice::from_ref(&held));
                assert!(packs.opens_with(key));
            }
        }
    }
}

#[test]
fn a_store_that_cant_be_written_opens_by_its_key_wrapped_elsewhere() {
    let f = fixture();
    let held = [write_batch(&mut f.packs.new_pack().unwrap(), 1).unwrap()];
    let new = MasterKey::generate().unwrap();
    let stale = f.packs.wrapped_by(&f.master).unwrap();
    let open = |wrapped: &[u8; super::super::crypt::WRAPPED_BYTES]| {
        Packs::open_with(Arc::new(f.disk.clone()), Path::new(DIR), &new, Some(wrapped), 1 << 20)
    };
    assert!(matches!(open(&stale), Err(Error::WrongKey { .. })));
    let packs = reopen(&f.disk, &new.clone().with_older(f.master.clone())).unwrap();
    assert!(!packs.opens_with(&new), "the old key opened it");
    let wrapped = packs.wrapped_by(&new).unwrap();
    let packs = open(&wrapped).unwrap();
    assert!(!packs.opens_with(&new));
    reads(&packs, &held);
    let mut bent = wrapped;
    bent[20] ^= 1;
    assert!(matches!(open(&bent), Err(Error::WrongKey { .. })));
}
