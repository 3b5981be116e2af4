//! A model IMAP server: mailboxes in memory, on a port of its own, which can lie in many ways and lose its connections.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone)]
pub(super) struct Mail {
    pub(super) bytes: Vec<u8>,
    pub(super) flags: Vec<String>,
    pub(super) mod_seq: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
    pub(super) mod_seq: u64,
    pub(super) mails: BTreeMap<u32, Mail>,
    /// UIDs that went, with their mod-sequence.
    pub(super) gone: Vec<(u32, u64)>,
}

impl Default for Mailbox {
    fn default() -> Mailbox {
        Mailbox { uid_validity: 1, uid_next: 1, mod_seq: 1, mails: BTreeMap::new(), gone: Vec::new() }
    }
}

impl Mailbox {
    pub(super) fn add(&mut self, bytes: &[u8]) -> u32 {
        self.mod_seq += 1;
        let (uid, mod_seq) = (self.uid_next, self.mod_seq);
        self.uid_next += 1;
        self.mails.insert(uid, Mail { bytes: bytes.to_vec(), flags: Vec::new(), mod_seq });
        uid
    }
    pub(super) fn remove(&mut self, uid: u32) -> Option<Mail> {
        self.mod_seq += 1;
        self.gone.push((uid, self.mod_seq));
        self.mails.remove(&uid)
    }
}

/// How the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lie {
    #[default]
    None,
    /// 4 GB announced for a message, and bytes without end.
    HugeLiteral(u32),
    WrongSizes,
    BackwardsAndTwice,
    ExistsFlood,
    ByeInLiteral(u32),
    Hang(u32),
    WrongUids,
    NoFor(u32),
    BadFor(u32),
    /// Every n-th command is answered NO [UNAVAILABLE].
    Busy(u32),
    Preauth,
    EndlessList,
    Nuls,
    EndlessLine,
    NoUidValidity,
    NoSearch,
    SearchLacks(u32),
    SearchWithoutEnd,
    DeepParentheses,
    Silent,
    /// Every UID has another INTERNALDATE.
    OtherDates,
    /// Every n-th command is answered NO with these words.
    Later(u32, &'static str),
    /// Commands after the login are answered NO or BAD by chance, as the seed has it.
    ByChance(u64),
    /// The login, or opening a mailbox, is answered with a referral to this port.
    ReferredLogin(u16),
    ReferredMailbox(u16),
    /// Lines of a text, and flags of a message, as long as this.
    LongLine(usize),
    ManyFlags(usize),
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) boxes: BTreeMap<String, Mailbox>,
    pub(super) lie: Lie,
    /// What is offered besides IMAP4rev1.
    pub(super) capabilities: String,
    /// The connection that is open ends after so many bytes from the server; then none does any more.
    pub(super) cut: Option<usize>,
    pub(super) commands: Vec<String>,
    /// Bodies that were sent.
    pub(super) bodies: u64,
    /// Bytes that were sent.
    pub(super) sent: usize,
    /// UIDs that were expunged, by mailbox.
    pub(super) expunged: Vec<(String, u32)>,
    pub(super) logins: u32,
    /// So many more commands that open a mailbox end the connection instead.
    pub(super) drops: u32,
    /// Asked before a message is expunged, with its bytes.
    pub(super) may_go: Option<MayGo>,
}

/// Whether a message may go.
pub(super) struct MayGo(pub(super) Box<Asked>);

type Asked = dyn Fn(&[u8]) -> bool + Send;

impl std::fmt::Debug for MayGo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MayGo")
    }
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) model: Arc<Mutex<Model>>,
    pub(super) port: u16,
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
                let shared = Arc::clone(&shared);
                // A client that hangs up is what many tests are about.
                std::thread::spawn(move || Session::new(stream.unwrap(), shared).run());
            }
        });
        Server { model, port, closed }
    }
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.model.lock().unwrap())
    }
}

struct Session {
    input: BufReader<TcpStream>,
    output: TcpStream,
    model: Arc<Mutex<Model>>,
    selected: Option<String>,
    qresync: bool,
    count: u32,
}

/// The connection is over.
struct Over;

type Done = Result<(), Over>;

impl Session {
    fn new(stream: TcpStream, model: Arc<Mutex<Model>>) -> Session {
        // Answers are written in small pieces, which must not wait for each other.
        stream.set_nodelay(true).unwrap();
        let input = BufReader::new(stream.try_clone().unwrap());
        Session { input, output: stream, model, selected: None, qresync: false, count: 0 }
    }

    fn say(&mut self, bytes: &[u8]) -> Done {
        let (most, end) = {
            let mut model = self.model.lock().unwrap();
            let most = model.cut.map_or(bytes.len(), |cut| cut.min(bytes.len()));
            let end = model.cut.is_some_and(|cut| cut <= bytes.len());
            if end {
                model.cut = None;
            } else if let Some(cut) = &mut model.cut {
                *cut -= bytes.len();
            }
            model.sent += most;
            (most, end)
        };
        let written = self.output.write_all(&bytes[..most]);
        if end || written.is_err() {
            drop(self.output.shutdown(std::net::Shutdown::Both));
            return Err(Over);
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> Done {
        self.say(format!("{text}\r\n").as_bytes())
    }

    fn lie(&self) -> Lie {
        self.model.lock().unwrap().lie
    }

    /// Sends the same without end, or until the client has had enough.
    fn endless(&mut self, bytes: &[u8]) -> Done {
        loop {
            self.say(bytes)?;
        }
    }

    fn run(mut self) {
        if self.talk().is_err() {
            drop(self.output.shutdown(std::net::Shutdown::Both));
        }
    }

    fn talk(&mut self) -> Done {
        match self.lie() {
            Lie::Silent => self.hang()?,
            Lie::Preauth => self.line("* PREAUTH who are you")?,
            Lie::Nuls => self.line("* OK \0\0[ALERT]\0 nul\0 \x1b[31m")?,
            _ => self.line("* OK model")?,
        }
        loop {
            let mut line = Vec::new();
            match self.input.read_until(b'\n', &mut line) {
                Ok(read) if read > 0 => {}
                _ => return Err(Over),
            }
            while line.ends_with(b"}\r\n") {
                let text = String::from_utf8_lossy(&line).into_owned();
                let open = text.rfind('{').unwrap();
                let length: usize = text[open + 1..text.len() - 3].trim_end_matches('+').parse().unwrap();
                if !text.contains("+}") {
                    self.line("+ go on")?;
                }
                let mut literal = vec![0; length];
                if self.input.read_exact(&mut literal).is_err() {
                    return Err(Over);
                }
                line.truncate(open);
                line.push(b'"');
                line.extend(literal);
                line.push(b'"');
                if self.input.read_until(b'\n', &mut line).is_err() {
                    return Err(Over);
                }
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (tag, rest) = text.split_once(' ').unwrap();
            self.count += 1;
            let number = {
                let mut model = self.model.lock().unwrap();
                model.commands.push(rest.to_owned());
                model.commands.len() as u64
            };
            if let Lie::Busy(every) = self.lie()
                && self.count.is_multiple_of(every)
            {
                self.line(&format!("{tag} NO [UNAVAILABLE] try again in 1 milliseconds"))?;
                continue;
            }
            if let Lie::Later(every, words) = self.lie()
                && self.count.is_multiple_of(every)
            {
                self.line(&format!("{tag} NO {words}"))?;
                continue;
            }
            if let Lie::ByChance(seed) = self.lie()
                && !["CAPABILITY", "LOGIN", "LOGOUT"].iter().any(|word| rest.starts_with(word))
                && let Some(word) = by_chance(seed, number)
            {
                self.line(&format!("{tag} {word} not today"))?;
                continue;
            }
            if rest == "LOGOUT" {
                self.line("* BYE")?;
                self.line(&format!("{tag} OK"))?;
                return Err(Over);
            }
            match self.command(rest) {
                Ok(Ok(())) => self.line(&format!("{tag} OK done"))?,
                Ok(Err(no)) => self.line(&format!("{tag} {no}"))?,
                Err(Over) => return Err(Over),
            }
        }
    }

    /// Never says anything again; ends with the client.
    fn hang(&mut self) -> Done {
        let mut rest = Vec::new();
        drop(self.input.read_to_end(&mut rest));
        Err(Over)
    }

    fn command(&mut self, command: &str) -> Result<Result<(), String>, Over> {
        let upper = command.to_ascii_uppercase();
        let lie = self.lie();
        if upper == "CAPABILITY" {
            let more = self.model.lock().unwrap().capabilities.clone();
            self.line(&format!("* CAPABILITY IMAP4rev1 {more}"))?;
        } else if upper.starts_with("LOGIN") {
            self.model.lock().unwrap().logins += 1;
            if let Lie::ReferredLogin(port) = lie {
                return Ok(Err(format!("NO [REFERRAL imap://alice@127.0.0.1:{port}/] elsewhere")));
            }
        } else if upper.starts_with("ENABLE") {
            self.qresync = upper.contains("QRESYNC");
            self.line("* ENABLED QRESYNC")?;
        } else if upper.starts_with("LIST") {
            return self.list(lie, upper.contains("STATUS")).map(Ok);
        } else if upper.starts_with("STATUS") {
            let name = quoted(command);
            let Some(status) = self.status(&name) else { return Ok(Err("NO no such mailbox".into())) };
            self.line(&status)?;
        } else if upper.starts_with("EXAMINE") || upper.starts_with("SELECT") {
            return self.select(command, lie);
        } else if upper.starts_with("UID SEARCH") {
            return self.search(&upper, lie);
        } else if upper.starts_with("UID FETCH") {
            return self.fetch(&upper, lie);
        } else if upper.starts_with("UID STORE") {
            let uids = self.uids(upper.split(' ').nth(2).unwrap());
            self.selected(|mailbox, _| {
                for uid in uids {
                    mailbox.mails.get_mut(&uid).unwrap().flags.push("\\Deleted".into());
                }
            });
        } else if upper.contains("EXPUNGE") {
            let named = upper.strip_prefix("UID EXPUNGE ").map(|set| self.uids(set));
            self.selected(|mailbox, expunged| {
                let marked: Vec<u32> = mailbox
                    .mails
                    .iter()
                    .filter(|(uid, mail)| {
                        mail.flags.iter().any(|flag| flag == "\\Deleted")
                            && named.as_ref().is_none_or(|named| named.contains(uid))
                    })
                    .map(|(uid, _)| *uid)
                    .collect();
                for uid in marked {
                    mailbox.remove(uid);
                    expunged.push(uid);
                }
            });
        } else if upper != "NOOP" {
            return Ok(Err("BAD what?".into()));
        }
        Ok(Ok(()))
    }

    fn selected<T>(&self, work: impl FnOnce(&mut Mailbox, &mut Vec<u32>) -> T) -> T {
        let mut model = self.model.lock().unwrap();
        let name = self.selected.clone().unwrap();
        let mut expunged = Vec::new();
        let mut gone = Mailbox::default();
        let before = model.boxes.get(&name).cloned();
        let done = work(model.boxes.get_mut(&name).unwrap_or(&mut gone), &mut expunged);
        for (uid, may_go) in expunged.iter().zip(model.may_go.iter().cycle()) {
            let bytes = &before.as_ref().unwrap().mails[uid].bytes;
            assert!((may_go.0)(bytes), "a message is deleted that is not archived");
        }
        model.expunged.extend(expunged.into_iter().map(|uid| (name.clone(), uid)));
        done
    }

    /// The UIDs of a set that are there.
    fn uids(&self, set: &str) -> Vec<u32> {
        self.selected(|mailbox, _| {
            let top = mailbox.mails.keys().last().copied().unwrap_or(0);
            let number = |text: &str| if text == "*" { top } else { text.parse::<u32>().unwrap() };
            let spans: Vec<(u32, u32)> = set
                .split(',')
                .map(|span| {
                    let (a, b) = span.split_once(':').unwrap_or((span, span));
                    let (a, b) = (number(a), number(b));
                    (a.min(b), a.max(b))
                })
                .collect();
            let within = |uid: &u32| spans.iter().any(|(a, b)| (a..=b).contains(&uid));
            mailbox.mails.keys().copied().filter(within).collect()
        })
    }

    fn status(&self, name: &str) -> Option<String> {
        let model = self.model.lock().unwrap();
        let mailbox = model.boxes.get(name)?;
        let Mailbox { uid_validity, uid_next, mod_seq, mails, .. } = mailbox;
        let messages = mails.len();
        Some(format!(
            "* STATUS \"{name}\" (MESSAGES {messages} UIDNEXT {uid_next} UIDVALIDITY {uid_validity} HIGHESTMODSEQ {mod_seq})"
        ))
    }

    fn list(&mut self, lie: Lie, status: bool) -> Done {
        if lie == Lie::EndlessList {
            let mut number = 0;
            loop {
                number += 1;
                self.line(&format!("* LIST () \"/\" folder{number}"))?;
            }
        }
        if lie == Lie::EndlessLine {
            self.say(b"* LIST () \"/\" ")?;
            return self.endless(&[b'x'; 65_536]);
        }
        if lie == Lie::DeepParentheses {
            self.line(&format!("* STATUS \"x\" (X {}", "(".repeat(100_000)))?;
        }
        let names: Vec<String> = self.model.lock().unwrap().boxes.keys().cloned().collect();
        for name in names {
            let special = match name.as_str() {
                "Trash" => "\\Trash",
                _ => "",
            };
            self.line(&format!("* LIST ({special}) \"/\" \"{name}\""))?;
            if status && let Some(status) = self.status(&name) {
                self.line(&status)?;
            }
        }
        Ok(())
    }

    fn select(&mut self, command: &str, lie: Lie) -> Result<Result<(), String>, Over> {
        let name = quoted(command);
        let Some(mailbox) = self.model.lock().unwrap().boxes.get(&name).cloned() else {
            return Ok(Err("NO no such mailbox".into()));
        };
        if let Lie::ReferredMailbox(port) = lie {
            return Ok(Err(format!("NO [REFERRAL imap://alice@127.0.0.1:{port}/INBOX] elsewhere")));
        }
        let drops = self.model.lock().unwrap().drops;
        if drops > 0 {
            self.model.lock().unwrap().drops = drops - 1;
            return Err(Over);
        }
        self.selected = Some(name);
        if let Lie::LongLine(bytes) = lie {
            self.line(&format!("* OK {}", "x".repeat(bytes - 7)))?;
        }
        if lie == Lie::ExistsFlood {
            self.endless(&b"* 5 EXISTS\r\n".repeat(1_000))?;
        }
        self.line(&format!("* {} EXISTS", mailbox.mails.len()))?;
        if lie != Lie::NoUidValidity {
            self.line(&format!("* OK [UIDVALIDITY {}] x", mailbox.uid_validity))?;
        }
        self.line(&format!("* OK [UIDNEXT {}] x", mailbox.uid_next))?;
        self.line(&format!("* OK [HIGHESTMODSEQ {}] x", mailbox.mod_seq))?;
        if self.qresync
            && let Some((_, args)) = command.split_once("(QRESYNC (")
        {
            let mut numbers =
                args.trim_end_matches(')').split(' ').map(|number| number.parse::<u64>().unwrap());
            let (validity, since) = (numbers.next().unwrap(), numbers.next().unwrap());
            if validity == u64::from(mailbox.uid_validity) {
                let gone: Vec<String> = mailbox
                    .gone
                    .iter()
                    .filter(|(_, mod_seq)| *mod_seq > since)
                    .map(|(uid, _)| uid.to_string())
                    .collect();
                if !gone.is_empty() {
                    self.line(&format!("* VANISHED (EARLIER) {}", gone.join(",")))?;
                }
                for (at, (uid, mail)) in mailbox.mails.iter().enumerate() {
                    if mail.mod_seq > since {
                        let (seq, mod_seq) = (at + 1, mail.mod_seq);
                        self.line(&format!("* {seq} FETCH (UID {uid} FLAGS () MODSEQ ({mod_seq}))"))?;
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    fn search(&mut self, upper: &str, lie: Lie) -> Result<Result<(), String>, Over> {
        if lie == Lie::NoSearch {
            return Ok(Err("NO can't search".into()));
        }
        if lie == Lie::SearchWithoutEnd {
            self.say(b"* SEARCH")?;
            self.endless(&b" 1 3".repeat(10_000))?;
        }
        let keys = upper.strip_prefix("UID SEARCH ").unwrap();
        let extended = keys.starts_with("RETURN (ALL) ");
        let keys = keys.trim_start_matches("RETURN (ALL) ");
        let mut uids = self.uids(keys.strip_prefix("UID ").unwrap_or("1:*"));
        if let Lie::SearchLacks(lacks) = lie {
            uids.retain(|uid| *uid != lacks);
        }
        let uids: Vec<String> = uids.iter().map(ToString::to_string).collect();
        match (extended, uids.is_empty()) {
            (true, true) => self.line("* ESEARCH (TAG \"x\") UID")?,
            (true, false) => self.line(&format!("* ESEARCH (TAG \"x\") UID ALL {}", uids.join(",")))?,
            (false, _) => self.line(&format!("* SEARCH {}", uids.join(" ")))?,
        }
        Ok(Ok(()))
    }

    fn fetch(&mut self, upper: &str, lie: Lie) -> Result<Result<(), String>, Over> {
        let mut words = upper.splitn(4, ' ').skip(2);
        let mut uids = self.uids(words.next().unwrap());
        let items = words.next().unwrap();
        let body = items.contains("BODY.PEEK[]");
        let seqs: HashMap<u32, usize> =
            self.selected(|mailbox, _| mailbox.mails.keys().copied().zip(1..).collect());
        if lie == Lie::BackwardsAndTwice {
            let all = uids.clone();
            uids.reverse();
            uids.extend(all);
        }
        for uid in uids {
            match lie {
                Lie::NoFor(bad) if body && bad == uid => return Ok(Err("NO that one is broken".into())),
                Lie::BadFor(bad) if body && bad == uid => return Ok(Err("BAD internal error".into())),
                Lie::Hang(bad) if body && bad == uid => self.hang()?,
                _ => {}
            }
            let Some(mail) = self.selected(|mailbox, _| mailbox.mails.get(&uid).cloned()) else { continue };
            let shown = if lie == Lie::WrongUids && body { uid + 1_000_000 } else { uid };
            self.say(format!("* {} FETCH (UID {shown}", seqs.get(&uid).unwrap()).as_bytes())?;
            if items.contains("FLAGS") {
                let mut flags = mail.flags.clone();
                if let Lie::ManyFlags(count) = lie {
                    flags = (0..count).map(|n| format!("f{n}")).collect();
                }
                self.say(format!(" FLAGS ({})", flags.join(" ")).as_bytes())?;
            }
            if items.contains("INTERNALDATE") {
                let second = if lie == Lie::OtherDates { uid % 60 } else { 25 };
                self.say(format!(" INTERNALDATE \"17-Jul-1996 02:44:{second:02} -0700\"").as_bytes())?;
            }
            if items.contains("EMAILID") {
                let id = hex::encode(Sha256::digest(&mail.bytes));
                self.say(format!(" EMAILID (M{id})").as_bytes())?;
            }
            if items.contains("RFC822.SIZE") {
                let size = mail.bytes.len() + if lie == Lie::WrongSizes { 17 } else { 0 };
                self.say(format!(" RFC822.SIZE {size}").as_bytes())?;
            }
            if items.contains("BODY.PEEK[HEADER]") {
                let end = mail.bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                self.say(format!(" BODY[HEADER] {{{end}}}\r\n").as_bytes())?;
                self.say(&mail.bytes[..end])?;
            }
            if body {
                self.model.lock().unwrap().bodies += 1;
                if lie == Lie::HugeLiteral(uid) {
                    self.say(b" BODY[] {4294967296}\r\n")?;
                    self.endless(&[b'x'; 65_536])?;
                }
                self.say(format!(" BODY[] {{{}}}\r\n", mail.bytes.len()).as_bytes())?;
                if lie == Lie::ByeInLiteral(uid) {
                    self.say(&mail.bytes[..mail.bytes.len() / 2])?;
                    self.line("\r\n* BYE")?;
                    return Err(Over);
                }
                self.say(&mail.bytes)?;
            }
            self.line(")")?;
        }
        Ok(Ok(()))
    }
}

/// The first quoted string of a command.
fn quoted(command: &str) -> String {
    let mut out = String::new();
    let mut chars = command.split_once('"').unwrap().1.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => out.extend(chars.next()),
            char => out.push(char),
        }
    }
    out
}

/// NO, BAD, or most of the time nothing, by seed and number of the command.
fn by_chance(seed: u64, number: u64) -> Option<&'static str> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&Sha256::digest([seed.to_be_bytes(), number.to_be_bytes()].concat())[..8]);
    match u64::from_be_bytes(bytes) % 8 {
        0 => Some("NO"),
        1 => Some("BAD"),
        _ => None,
    }
}
