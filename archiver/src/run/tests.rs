//! What a run has visible while its source stalls.

use super::*;
use crate::Format;
use crate::testing::Installation;
use crate::walk::{Found, SourceFolder};
use parking_lot::Mutex;
use std::io::Read;
use std::sync::mpsc;
use storage::{FolderPath, Limits, SourceFlags};

/// Where a hung test gives up; nothing is measured by it.
const HANG: Duration = Duration::from_secs(60);

/// A message whose source stalls in the middle of it, until it is told to go on.
struct Stalling<'s> {
    rest: &'s [u8],
    go_on: Option<mpsc::Receiver<()>>,
}

impl Read for Stalling<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if let Some(go_on) = self.go_on.take() {
            go_on.recv_timeout(HANG).expect("what came before shows while the source stalls");
        }
        self.rest.read(buf)
    }
}

/// Three messages come, then the source stalls in the fourth: the three are committed and told of, and the run's account has
/// them, before the source says another byte.
#[test]
fn what_came_before_a_source_stalls_is_visible() {
    let house = Installation::new(Limits::default());
    let (archiver, storage) = (&house.archiver, &house.storage);
    let into = FolderPath::new("alice/F").unwrap();
    let (say, go_on) = mpsc::sync_channel(1);
    let (there, looking) = (storage.clone(), into.clone());
    let mut seen_when_told = Vec::new();
    let (tell, told) = mpsc::channel();
    let subscription = storage.subscribe(move |_| {
        let count = there.view(&looking).map_or(0, |view| view.info.messages);
        // Whoever has hung up was told enough.
        tell.send(count).ok();
        if count == 3 {
            say.try_send(()).ok();
        }
    });
    let go_on = Mutex::new(Some(go_on));
    let read = |sink: &mut dyn Sink| {
        let source = SourceFolder {
            root: None,
            source: "test".into(),
            levels: Vec::new(),
            format: Format::Mboxo,
            given: true,
        };
        let folder = sink.folder(source);
        for n in 0..4_usize {
            let mail = format!("Subject: {n}\r\n\r\nbody\r\n");
            let go_on = if n == 3 { go_on.lock().take() } else { None };
            let mut content = Stalling { rest: mail.as_bytes(), go_on };
            sink.message(Found {
                folder,
                place: n.to_string(),
                occurrence: n.to_string(),
                prefix: Vec::new(),
                content: &mut content,
                date: None,
                modified: InternalDate { secs: 0, zone: 0 },
                flags: SourceFlags::default(),
            })?;
        }
        Ok(())
    };
    let job = DiskJob {
        source: "test".into(),
        turn: Source::Name("test".into()),
        into: into.clone(),
        who: "local:test".into(),
        deleted_too: false,
        measure: &|_| 0,
        read: &read,
    };
    let run = archive_disk(archiver, &job, &|_| {}, &Cancel::default()).unwrap();
    drop(subscription);
    assert_eq!((run.sums.seen, run.sums.archived), (4, 4), "{run:?}");
    seen_when_told.extend(told.try_iter());
    assert!(seen_when_told.contains(&3), "told after the third, before the fourth: {seen_when_told:?}");
    assert_eq!(seen_when_told.last(), Some(&4));
}
