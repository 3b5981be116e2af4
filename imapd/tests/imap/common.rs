//! A server on a real socket over a real storage in a scratch directory, and a client that speaks raw lines.

use imapd::{Server, Settings};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::card::Zoned;
use storage::{
    Cancel, FolderPath, Incoming, Limits, MasterKey, NewPlacement, Prepared, SourceFlags, Storage, UidRanges,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs};
use tokio_rustls::{TlsConnector, client::TlsStream};
use zeroize::Zeroizing;

/// What a search that takes long says meanwhile.
pub(crate) const IN_PROGRESS: &str = "* OK [INPROGRESS (";

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Where a hung test gives up; nothing is measured by it.
const HANG: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) storage: Storage,
    pub(crate) auth: auth::Auth,
    server_tls: Arc<ServerConfig>,
    client_tls: Arc<ClientConfig>,
    key: MasterKey,
    dir: tempfile::TempDir,
}

pub(crate) struct Running {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) watch: imapd::watch::Watch,
    pub(crate) pulse: imapd::Pulse,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl World {
    /// Users alice, bob and carol (who reads nothing but her own); alice may read bob's archive.
    pub(crate) fn new() -> World {
        World::with(Limits::default())
    }

    /// As [`World::new`]; a store is full after so many messages.
    pub(crate) fn filling_stores_of(messages: u64) -> World {
        World::with(Limits { max_store_messages: messages, ..Limits::default() })
    }

    fn with(limits: Limits) -> World {
        let dir = tempfile::tempdir().unwrap();
        let master = MasterKey::generate().unwrap();
        Storage::create(dir.path(), &master, &limits).unwrap();
        let storage = Storage::open(dir.path(), &master, limits).unwrap();
        let auth =
            auth::Auth::open(Arc::new(redb::Database::create(dir.path().join("master.redb")).unwrap()))
                .unwrap();
        for user in ["alice", "bob", "carol"] {
            auth.add(user, &Zeroizing::new(PASSWORD.to_owned()), false).unwrap();
        }
        auth.set_right("alice", "bob", Some(auth::Level::Read)).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key =
            tokio_rustls::rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let server_tls = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client_tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (server_tls, client_tls) = (Arc::new(server_tls), Arc::new(client_tls));
        World { storage, auth, server_tls, client_tls, key: master, dir }
    }

    /// The same, opened again while the disk of the first store is away.
    pub(crate) fn without_the_first_store(self) -> World {
        self.storage.close().unwrap();
        let World { storage, auth, server_tls, client_tls, key, dir } = self;
        drop(storage);
        std::fs::rename(dir.path().join("stores/0001"), dir.path().join("away")).unwrap();
        let storage = Storage::open(dir.path(), &key, Limits::default()).unwrap();
        World { storage, auth, server_tls, client_tls, key, dir }
    }

    /// Gives a user a level on a folder, or takes the rule.
    pub(crate) fn right(&self, user: &str, folder: &str, level: impl Into<Option<auth::Level>>) {
        self.auth.set_right(user, folder, level.into()).unwrap();
    }

    /// Adds messages to a folder in one batch (none: the folder alone). Dates rise by a minute from 17-Jul-1996 02:44:25 -0700.
    pub(crate) fn add(&self, path: &str, messages: &[(&[u8], SourceFlags)]) {
        let mut batch = self.storage.batch(&Cancel::default()).unwrap();
        let folder = batch.folder(&FolderPath::new(path).unwrap()).unwrap();
        for (n, (raw, flags)) in messages.iter().enumerate() {
            let incoming = Incoming::read(*raw, Vec::new(), self.storage.limits()).unwrap();
            let message = Prepared::new(incoming, self.storage.limits());
            let date = Zoned { secs: 837_596_665 + 60 * n as i64, zone: -420 };
            let occurrence = n.to_string();
            let placement = NewPlacement { date, flags: *flags, source: path, occurrence: &occurrence };
            batch.add(folder, message, &placement).unwrap();
        }
        batch.commit().unwrap();
    }

    /// Adds so many messages of their own to a folder: `Subject: 0 of FOLDER`, and `body 0`.
    pub(crate) fn fill(&self, folder: &str, count: usize) {
        let mails: Vec<Vec<u8>> = (0..count)
            .map(|n| format!("Subject: {n} of {folder}\r\n\r\nbody {n}\r\n").into_bytes())
            .collect();
        let list: Vec<(&[u8], SourceFlags)> =
            mails.iter().map(|mail| (mail.as_slice(), SourceFlags::default())).collect();
        self.add(folder, &list);
    }

    /// Deletes a folder's messages of these UIDs.
    pub(crate) fn delete(&self, folder: &str, first: u32, last: u32) {
        let uids = UidRanges::from_spans([(first, last)]);
        self.storage.delete_messages(&path(folder), &uids, &Cancel::default(), &mut |_, _| ()).unwrap();
    }

    /// The fixture that the dialogues speak about.
    pub(crate) fn with_fixture() -> World {
        let world = World::new();
        let mail = |name: &str| std::fs::read(data().join("mail").join(name)).unwrap();
        let none = SourceFlags::default();
        let all = SourceFlags { answered: true, flagged: true, forwarded: true };
        let nul = b"Subject: nul\r\n\r\na\0b\r\n".as_slice();
        world.add(
            "alice/Inbox",
            &[
                (&mail("1-plain.eml"), none),
                (&mail("2-nested.eml"), all),
                (&mail("3-odd.eml"), none),
                (nul, none),
            ],
        );
        world.add("alice/INBOX", &[(&mail("1-plain.eml"), none)]);
        world.add("alice", &[(&mail("1-plain.eml"), none)]);
        world.add("alice/Entw\u{fc}rfe & mehr", &[(&mail("1-plain.eml"), none)]);
        world.add("alice/Outlook/Sent/2023", &[(&mail("1-plain.eml"), none), (&mail("2-nested.eml"), none)]);
        world.add("alice/Empty", &[]);
        world.add("alice/All Mail", &[]);
        world.add("bob/Inbox", &[(&mail("3-odd.eml"), none)]);
        world.add("carol/Secret", &[(&mail("1-plain.eml"), none)]);
        world
    }

    pub(crate) async fn serve(&self, settings: Settings) -> Running {
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let settings = Settings { imap: vec![free], imaps: vec![free], ..settings };
        let server =
            Server::bind(settings, Arc::clone(&self.server_tls), self.storage.clone(), self.auth.clone())
                .await
                .unwrap();
        let (plain, tls) = server.addresses();
        let (watch, pulse) = (server.watch(), server.pulse());
        let (stop, stopped) = watch::channel(false);
        Running { plain: plain[0], tls: tls[0], watch, pulse, stop, task: tokio::spawn(server.run(stopped)) }
    }

    pub(crate) async fn tls<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> TlsStream<S> {
        self.try_tls(stream).await.unwrap()
    }

    pub(crate) async fn try_tls<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> std::io::Result<TlsStream<S>> {
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::clone(&self.client_tls)).connect(name, stream).await
    }

    /// What a server of this world needs for TLS.
    pub(crate) fn server_tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server_tls)
    }
}

impl Running {
    /// Waits until the server's figures are so; only a fault makes it wait for long.
    pub(crate) async fn until(&self, so: impl Fn(&imapd::watch::Snapshot) -> bool) {
        let begun = std::time::Instant::now();
        while !so(&self.watch.snapshot()) {
            assert!(begun.elapsed() < HANG, "{:?}", self.watch.snapshot());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    /// How many connections have ended for that reason.
    pub(crate) fn ended(&self, reason: &str) -> u64 {
        ended(&self.watch.snapshot(), reason)
    }
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }
    pub(crate) async fn stopped(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(HANG, self.task).await.expect("the server stops").unwrap();
    }
    pub(crate) async fn client(&self) -> Client<TcpStream> {
        let mut client = Client::new(TcpStream::connect(self.plain).await.unwrap());
        client.greeting = client.line().await.unwrap_or_default();
        client
    }
    pub(crate) async fn alice(&self) -> Client<TcpStream> {
        self.user("alice").await
    }
    pub(crate) async fn user(&self, name: &str) -> Client<TcpStream> {
        let mut client = self.client().await;
        client.ok(&format!("LOGIN {name} \"{PASSWORD}\"")).await;
        client
    }
}

/// How many connections have ended for that reason.
pub(crate) fn ended(snapshot: &imapd::watch::Snapshot, reason: &str) -> u64 {
    snapshot.ended.iter().find(|(label, _)| *label == reason).expect("a reason that there is").1
}

/// A folder's path.
pub(crate) fn path(text: &str) -> FolderPath {
    FolderPath::new(text).unwrap()
}

/// Passwords without TLS, as all clients here come from loopback.
pub(crate) fn open() -> Settings {
    Settings { plain_on_loopback: true, ..Settings::default() }
}

pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) greeting: String,
    read: Vec<u8>,
    tag: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Client<S> {
        Client { stream, greeting: String::new(), read: Vec::new(), tag: 0 }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 65_536];
        match tokio::time::timeout(HANG, self.stream.read(&mut piece)).await.expect("an answer or an end") {
            Ok(n) if n > 0 => {
                self.read.extend_from_slice(&piece[..n]);
                true
            }
            _ => false,
        }
    }

    /// The next line without its end; none once the connection is closed.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").expect("lines end with CRLF");
                // 8-bit bytes are shown one for one, so that dialogues can name them.
                return Some(line.iter().map(|&b| char::from(b)).collect());
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "half a line at the end: {:?}", self.read);
                return None;
            }
        }
    }

    pub(crate) async fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.read.len() < n {
            assert!(self.more().await, "closed before {n} bytes");
        }
        self.read.drain(..n).collect()
    }

    /// All lines up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = self.line().await {
            all.push(line);
        }
        all
    }

    /// Runs a command: its untagged lines, then the tagged one without its tag.
    pub(crate) async fn run(&mut self, command: &str) -> Vec<String> {
        self.tag += 1;
        self.send(format!("t{} {command}\r\n", self.tag)).await;
        self.answer().await
    }

    /// Runs commands in one go: of each what [`Client::run`] gives.
    pub(crate) async fn run_all(&mut self, commands: &[String]) -> Vec<Vec<String>> {
        let first = self.tag + 1;
        let tagged = commands.iter().zip(first..).map(|(command, tag)| format!("t{tag} {command}\r\n"));
        self.send(tagged.collect::<String>()).await;
        let mut answers = Vec::new();
        for _ in commands {
            self.tag += 1;
            answers.push(self.answer().await);
        }
        answers
    }

    /// The answer to the command that has the last tag.
    async fn answer(&mut self) -> Vec<String> {
        let tag = format!("t{} ", self.tag);
        let mut all = Vec::new();
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("an answer behind {all:?}"));
            if let Some(end) = line.strip_prefix(&tag) {
                all.push(end.to_owned());
                return all;
            }
            // How far a search is may be told at any time, on a machine that is busy.
            if !line.starts_with(IN_PROGRESS) {
                all.push(line);
            }
        }
    }

    /// Runs a command that ends the connection.
    pub(crate) async fn run_to_end(&mut self, command: &str) -> Vec<String> {
        self.send(format!("e {command}\r\n")).await;
        self.rest().await
    }

    /// All bytes up to the end of the connection.
    pub(crate) async fn rest_of_bytes(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Reads whatever comes until the connection ends.
    pub(crate) async fn drain(&mut self) {
        while self.more().await {
            self.read.clear();
        }
    }

    pub(crate) async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut all = self.run(command).await;
        let end = all.pop().unwrap();
        assert!(end.starts_with("OK"), "{command}: {end}");
        all
    }
}
