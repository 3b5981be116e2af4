//! Reading ahead gives what reading alone gives: the same messages, and an error where there is one.

use super::*;

const MAILS: u64 = 300;

/// Messages of some 20 KB, some of them larger than a segment.
fn filled() -> House {
    let house = House::new();
    let storage = house.open();
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path("alice/Inbox")).unwrap();
    for n in 0..MAILS {
        let raw = mail(n, if n % 50 == 7 { 600_000 } else { 20_000 });
        batch.add(folder, prepared(&storage, &raw, b""), &from("mbox", &n.to_string())).unwrap();
    }
    batch.commit().unwrap();
    storage.close().unwrap();
    house
}

fn rows(storage: &Storage) -> Vec<Row> {
    let view = storage.view(&path("alice/Inbox")).unwrap();
    let mut rows = storage.rows(&view, &view.uids);
    let mut all = Vec::new();
    while let Some(batch) = rows.next_batch().unwrap() {
        all.extend(batch);
    }
    all
}

fn whole(message: &Message) -> Result<Vec<u8>, Error> {
    let (mut reader, mut all) = (message.reader(), Vec::new());
    while let Some(piece) = reader.next_piece()? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Waits until no thread works on it.
fn rest(ahead: &Ahead) {
    while ahead.is_running() {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_read_ahead_is_what_is_there() {
    let house = filled();
    let storage = house.open();
    let rows = rows(&storage);
    for of in [AheadOf::Headers, AheadOf::Messages] {
        for every in [1, 3, 40] {
            let ahead = storage.ahead(&rows, of);
            let mut found = 0;
            for (number, row) in rows.iter().enumerate().step_by(every) {
                if number % 2 == 0 {
                    rest(&ahead);
                }
                let alone = storage.message(row).unwrap();
                let message = ahead.message(number).inspect(|_| found += 1).unwrap_or(alone.clone());
                assert_eq!(message.hash(), alone.hash());
                assert_eq!(message.header().unwrap(), alone.header().unwrap());
                assert_eq!(whole(&message).unwrap().len() as u64, row.size);
            }
            assert!(found > 0, "nothing was read ahead");
            assert!(ahead.message(0).is_none() && ahead.message(rows.len()).is_none());
        }
    }
}

#[test]
fn it_stays_near_its_reader_and_goes_on_with_it() {
    let storage = filled().open();
    let rows = rows(&storage);
    let ahead = storage.ahead(&rows, AheadOf::Messages);
    rest(&ahead);
    let first = ahead.reached();
    assert!(first > 16 && first < rows.len(), "{first}");
    for number in 0..rows.len() {
        let before = ahead.reached();
        assert_eq!(ahead.message(number).is_some(), number < before);
        rest(&ahead);
        let held: u64 =
            rows.get(number + 1..ahead.reached()).unwrap_or_default().iter().map(|row| row.size).sum();
        assert!(held <= (4 << 20) + 700_000, "{held} bytes ahead");
    }
    assert_eq!(ahead.reached(), rows.len());
}

#[test]
fn a_damaged_block_is_told_by_who_reads_it() {
    let house = filled();
    let before = house.disk.bytes(&house.pack(1)).len();
    house.disk.damage(&house.pack(1), |bytes| bytes[before / 2] ^= 1);
    let storage = house.open();
    let rows = rows(&storage);
    let ahead = storage.ahead(&rows, AheadOf::Messages);
    let mut broken = 0;
    for (number, row) in rows.iter().enumerate() {
        rest(&ahead);
        let message = ahead.message(number).unwrap_or_else(|| storage.message(row).unwrap());
        broken += u64::from(whole(&message).is_err());
    }
    assert!(broken > 0 && broken < MAILS / 2, "{broken}");
}

#[test]
fn few_rows_and_an_end_in_the_middle() {
    let house = filled();
    let storage = house.open();
    let rows = rows(&storage);
    let few = storage.ahead(&rows[..15], AheadOf::Messages);
    assert!(!few.is_running() && few.message(3).is_none());
    let apart: Vec<Row> = rows.iter().step_by(16).copied().collect();
    assert!(apart.len() > 16 && !storage.ahead(&apart, AheadOf::Messages).is_running());
    let left = storage.ahead(&rows, AheadOf::Messages);
    drop(storage);
    assert!(!left.is_running(), "the threads end with the storage");
    assert!(left.message(rows.len() - 1).is_none());
    // The messages that it has hold the store: they go first.
    drop(left);
    drop(house.open());
}
