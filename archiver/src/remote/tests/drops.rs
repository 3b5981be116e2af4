//! POP3 maildrops: left on the server, known by unique id, deleted by rule; ids missing or repeated; connections cut.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub(super) struct Model {
    /// Unique id and bytes.
    pub(super) mails: Vec<(String, Vec<u8>)>,
    no_uidl: bool,
    /// The connection ends after so many bytes; once.
    cut: Option<usize>,
    /// This message never arrives whole.
    breaks: Option<usize>,
    sent: usize,
    retrieved: u64,
}

pub(super) struct Server {
    model: Arc<Mutex<Model>>,
    port: u16,
    closed: Arc<AtomicBool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Server {
    pub(super) fn start(model: Model) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (model, closed) = (Arc::new(Mutex::new(model)), Arc::new(AtomicBool::new(false)));
        let (shared, end) = (Arc::clone(&model), Arc::clone(&closed));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                stream.set_nodelay(true).unwrap();
                std::thread::spawn(move || {
                    // None: the connection is over, which is what many tests are about.
                    session(&stream, &shared);
                    drop(stream.shutdown(std::net::Shutdown::Both));
                });
            }
        });
        Server { model, port, closed }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.model.lock().unwrap())
    }

    pub(super) fn account(&self) -> Account {
        Account { protocol: Protocol::Pop3, ..Account::at(self.port) }
    }
}

fn say(mut stream: &TcpStream, model: &Mutex<Model>, text: &[u8]) -> Option<()> {
    let (most, end) = {
        let mut model = model.lock().unwrap();
        let most = model.cut.map_or(text.len(), |cut| cut.min(text.len()));
        let end = model.cut.is_some_and(|cut| cut <= text.len());
        model.cut = model.cut.filter(|_| !end).map(|cut| cut - most);
        model.sent += most;
        (most, end)
    };
    stream.write_all(&text[..most]).ok()?;
    (!end).then_some(())
}

fn session(stream: &TcpStream, shared: &Mutex<Model>) -> Option<()> {
    let mut input = BufReader::new(stream);
    let mails = shared.lock().unwrap().mails.clone();
    let mut marked = HashSet::new();
    say(stream, shared, b"+OK model <1@x>\r\n")?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut words = line.split_whitespace();
        let (command, arg) = (words.next()?, words.next().and_then(|arg| arg.parse::<usize>().ok()));
        match command {
            "CAPA" => say(stream, shared, b"+OK\r\nUIDL\r\nUSER\r\n.\r\n")?,
            "UIDL" if shared.lock().unwrap().no_uidl => say(stream, shared, b"-ERR no\r\n")?,
            "UIDL" | "LIST" => {
                let mut text = "+OK\r\n".to_owned();
                for (number, (id, bytes)) in mails.iter().enumerate() {
                    let what = if command == "UIDL" { id.clone() } else { bytes.len().to_string() };
                    text.push_str(&format!("{} {what}\r\n", number + 1));
                }
                say(stream, shared, (text + ".\r\n").as_bytes())?;
            }
            "RETR" => {
                let bytes = &mails[arg? - 1].1;
                shared.lock().unwrap().retrieved += 1;
                let breaks = shared.lock().unwrap().breaks;
                let mut out = b"+OK\r\n".to_vec();
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    if line.starts_with(b".") {
                        out.push(b'.');
                    }
                    out.extend_from_slice(line);
                }
                if breaks == arg {
                    say(stream, shared, &out[..out.len() / 2])?;
                    return None;
                }
                out.extend_from_slice(b".\r\n");
                say(stream, shared, &out)?;
            }
            "DELE" => {
                marked.insert(mails[arg? - 1].0.clone());
                say(stream, shared, b"+OK\r\n")?;
            }
            "QUIT" => {
                shared.lock().unwrap().mails.retain(|(id, _)| !marked.contains(id));
                say(stream, shared, b"+OK\r\n")?;
                return None;
            }
            _ => say(stream, shared, b"+OK\r\n")?,
        }
    }
}

pub(super) fn mails(count: usize) -> Vec<(String, Vec<u8>)> {
    let dotted = |n: usize| [mail(n), b".\r\n..two\r\nend\r\n".to_vec()].concat();
    (0..count).map(|n| (format!("id{n}"), dotted(n))).collect()
}

fn all(mails: &[(String, Vec<u8>)]) -> Vec<ContentHash> {
    sorted(&mails.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>())
}

#[test]
fn archived_once_and_left_there() {
    let (house, server) = (House::new(), Server::start(Model { mails: mails(5), ..Model::default() }));
    let (account, rules) = (server.account(), Plain::default());
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (5, 0, 0, 0, 0)), "{:?}", house.reasons(&run));
    assert_eq!(house.folders()["alice/mail/Inbox"], all(&mails(5)));
    server.with(|model| {
        model.mails.push(("new".into(), mail(77)));
        // Another message with the bytes of one that is there.
        model.mails.push(("copy".into(), mails(1)[0].1.clone()));
        model.retrieved = 0;
    });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (2, 5, 0, 0, 0)));
    assert_eq!(server.with(|model| (model.retrieved, model.mails.len())), (2, 7));
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 7, 0, 0, 0)));
}

#[test]
fn ids_that_are_missing_or_repeated() {
    for no_uidl in [true, false] {
        let mut mails = mails(4);
        for (id, _) in &mut mails {
            *id = "same".into();
        }
        mails.push(("same".into(), mails[0].1.clone()));
        let (house, server) =
            (House::new(), Server::start(Model { mails: mails.clone(), no_uidl, ..Model::default() }));
        let (account, rules) = (server.account(), Plain::default());
        let run = house.run(&[account.job(&rules)], &quick());
        assert_eq!((run.state, sums(&run)), (State::Succeeded, (5, 0, 0, 0, 0)));
        assert_eq!(house.folders()["alice/mail/Inbox"], all(&mails));
        let run = house.run(&[account.job(&rules)], &quick());
        assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 5, 0, 0, 0)));
    }
}

#[test]
fn a_message_that_never_arrives_hurts_no_other() {
    let model = Model { mails: mails(5), breaks: Some(2), ..Model::default() };
    let (house, server) = (House::new(), Server::start(model));
    let (account, rules) = (server.account(), Plain::default());
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::CompletedWithErrors, (4, 0, 0, 0, 1)));
    server.with(|model| model.breaks = None);
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (1, 4, 0, 0, 0)));
}

#[test]
fn cuts_cost_nothing_but_time() {
    let server = Server::start(Model { mails: mails(2), ..Model::default() });
    let (house, rules) = (House::new(), Plain::default());
    house.run(&[server.account().job(&rules)], &quick());
    let whole = server.with(|model| model.sent);
    for cut in 0..whole {
        let server = Server::start(Model { mails: mails(2), cut: Some(cut), ..Model::default() });
        let mut account = server.account();
        account.into = FolderPath::new(format!("cut/{cut}")).unwrap();
        let mut job = account.job(&rules);
        job.key = format!("pop3:alice@{cut}");
        let run = house.run(&[job], &quick());
        assert_eq!(
            (run.state, sums(&run)),
            (State::Succeeded, (2, 0, 0, 0, 0)),
            "{cut}: {:?}",
            house.reasons(&run)
        );
        assert_eq!(house.folder(&format!("cut/{cut}/Inbox")), all(&mails(2)));
    }
}

#[test]
fn deleted_by_rule_once_it_is_read_back() {
    let (house, server) = (House::new(), Server::start(Model { mails: mails(3), ..Model::default() }));
    let account = server.account();
    let mut rules =
        Plain { deletion: Some(Deletion { dry_run: true, ..Deletion::default() }), ..Plain::default() };
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!(
        (run.sums.archived, run.sums.deleted, house.archiver.deletions(run.id).unwrap().len()),
        (3, 0, 3)
    );
    rules.forbidden.insert(hash(&mails(1)[0].1));
    rules.deletion = Some(Deletion::default());
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, run.sums.already, run.sums.deleted), (State::Succeeded, 3, 2));
    assert_eq!(server.with(|model| model.mails.len()), 1);
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, run.sums.already, run.sums.deleted), (State::Succeeded, 1, 0));
}
