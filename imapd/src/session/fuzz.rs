//! The session under fuzz: the golden dialogues' commands, mutated by someone who knows the grammar.
//!
//! Invariants, for any bytes in any pieces: nothing panics; what comes out is well-formed responses, each untagged, a
//! continuation, or tagged OK, NO or BAD; what is held stays under [`MOST_HELD`]; a session that isn't closed answers the next
//! command; nothing changes the archive. An execution depends on its number alone: MAILKEEP_SEED=N begins with that one.

mod changes;

use super::*;
use crate::gate::Gate;
use crate::queue::Queue;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use storage::card::Zoned;
use storage::{FolderPath, Incoming, Limits, MasterKey, NewPlacement, Prepared, SourceFlags};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;

/// Executions of a short round.
const SHORT: u64 = 40_000;
/// Time of a long one.
const LONG: Duration = Duration::from_secs(20 * 60);
/// DESIGN section 9: memory per connection; the session's unread input and the answer in the making are most of it.
const MOST_HELD: usize = 1 << 20;
/// One piece of an answer: a chunk, and what a single row or piece of a message adds to it.
const MOST_OUT: usize = CHUNK + (512 << 10);
/// Steps that the answers to one input may take; the fixture's mail is small.
const MOST_STEPS: usize = 100_000;

/// Words that mean something somewhere, also those of extensions that aren't offered.
const WORDS: &[&str] = &[
    "ALL",
    "ANSWERED",
    "BCC",
    "BEFORE",
    "BODY",
    "BODY[]",
    "BODY.PEEK[HEADER.FIELDS (",
    "BODY.PEEK[2.1.MIME]<0.10>",
    "BODY[1.HEADER]",
    "BODY[TEXT]<4294967295.1>",
    "BODYSTRUCTURE",
    "BINARY[1]",
    "BINARY.PEEK[1]<0.1>",
    "BINARY.SIZE[1]",
    "CAPABILITY",
    "CHANGEDSINCE 0",
    "CHANGEDSINCE 18446744073709551615",
    "CHARSET",
    "CHILDINFO",
    "CHILDREN",
    "COMPRESS DEFLATE",
    "CONDSTORE",
    "COUNT",
    "DEEP",
    "DELETED",
    "DISPLAYFROM",
    "EMAILID",
    "ENABLE",
    "ENVELOPE",
    "ESEARCH IN (personal)",
    "EXAMINE",
    "FAST",
    "FETCH",
    "FLAGS",
    "FROM",
    "FULL",
    "FUZZY",
    "GETACL",
    "GETMETADATA (DEPTH infinity)",
    "HEADER",
    "HEADER.FIELDS.NOT",
    "HIGHESTMODSEQ",
    "IDLE",
    "IMAP4rev2",
    "INBOX",
    "inboxes",
    "INTERNALDATE",
    "KEYWORD",
    "LARGER",
    "LIST",
    "LISTRIGHTS",
    "LSUB",
    "MACRO",
    "MAX",
    "MAXSIZE",
    "MESSAGES",
    "MIN",
    "MODSEQ 0",
    "MYRIGHTS",
    "NIL",
    "NOOP",
    "NOT",
    "NOTIFY SET (selected (MessageNew (UID) MessageExpunge))",
    "OLD",
    "OLDER",
    "ON",
    "OR",
    "PARTIAL 1:-1",
    "PARTIAL -1:-4294967295",
    "PREVIEW (LAZY)",
    "QRESYNC (1 2)",
    "RECENT",
    "RECURSIVEMATCH",
    "REFERENCES",
    "RELEVANCY",
    "REMOTE",
    "RETURN ()",
    "RETURN (SAVE ALL)",
    "REVERSE",
    "RFC822",
    "RFC822.HEADER",
    "RFC822.SIZE",
    "SAVEDATE",
    "SEARCH",
    "SEEN",
    "SELECT",
    "selected",
    "SENTON 31-Feb-2024",
    "SINCE \" 1-Jan-1970\"",
    "SIZE",
    "SMALLER 0",
    "SORT",
    "SPECIAL-USE",
    "STATUS",
    "STORE",
    "SUBJECT",
    "SUBSCRIBED",
    "TEXT",
    "THREAD",
    "THREADID",
    "TO",
    "UID",
    "UIDBATCHES 500 1:2",
    "UIDONLY",
    "UIDVALIDITY",
    "UNAUTHENTICATE",
    "UNCHANGEDSINCE",
    "UNDELETED",
    "UNSELECT",
    "UTF-8",
    "UTF8=ACCEPT",
    "VANISHED",
    "YOUNGER",
    "\"\"",
    "\"\\\\\\\"\"",
    "\"Gr\u{fc}\u{df}e\"",
    "\"unclosed",
    "$",
    "%",
    "*",
    "*:*",
    "0",
    "1:*",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "-1",
    "1,1,1,1",
    "&-",
    "&AAA-",
    "&2D0-",
    "Entw&APw-rfe &- mehr",
    "Other Archives/carol/Secret",
    "Other Archives/bob/Closed/Deep",
    "../..",
    "/",
    "~{3+}\r\na\u{0}b",
    "{0}\r\n",
    "{0+}\r\n",
    "{1}\r\n",
    "{3+}\r\nabc",
    "{12+}\r\na NOOP\r\nb NO",
    "{70000+}\r\n",
    "{4294967296}\r\n",
    "{99999999999999999999}\r\n",
    "\r\n",
    "\n",
    "\r",
    "DONE\r\n",
    "(",
    ")",
    "((((",
    "[",
    "]",
    "<0.1>",
    "\\Seen",
    "\\",
];

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x696d_6170)
    }
    fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, among: usize) -> usize {
        usize::try_from(self.any() % among.max(1) as u64).unwrap()
    }
    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
    fn of<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The commands of each golden dialogue, literals and the lines of IDLE and SASL with them.
fn corpus() -> Vec<Vec<Vec<u8>>> {
    let mut files: Vec<_> = std::fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut dialogues = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let mut commands: Vec<Vec<u8>> = Vec::new();
        let mut goes_on = false;
        for line in text.lines() {
            let Some(sent) = line.strip_prefix("C: ").or_else(|| line.strip_prefix("C+ ")) else { continue };
            match commands.last_mut() {
                Some(last) if goes_on => {
                    last.extend_from_slice(b"\r\n");
                    last.extend_from_slice(sent.as_bytes());
                }
                _ => commands.push(sent.as_bytes().to_vec()),
            }
            goes_on = sent.ends_with('}');
        }
        dialogues.push(commands);
    }
    assert!(dialogues.iter().map(Vec::len).sum::<usize>() > 300, "the dialogues are missing");
    dialogues
}

/// Where tokens begin and end.
fn tokens(command: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, byte) in command.iter().enumerate() {
        let is_space = matches!(byte, b' ' | b'(' | b')' | b'\r' | b'\n');
        match (is_space, start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                found.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|from| (from, command.len())));
    found
}

fn replace(command: &mut Vec<u8>, (from, to): (usize, usize), with: &[u8]) {
    command.splice(from..to, with.iter().copied());
}

/// Changes a command in one way.
fn mutate(dice: &mut Dice, command: &mut Vec<u8>, dialogues: &[Vec<Vec<u8>>]) {
    let tokens = tokens(command);
    if tokens.is_empty() {
        return command.extend_from_slice(dice.of(WORDS).as_bytes());
    }
    let token = *dice.of(&tokens);
    let at = dice.below(command.len() + 1);
    match dice.below(17) {
        0..3 => replace(command, token, dice.of(WORDS).as_bytes()),
        3 => replace(command, (at, at), format!(" {} ", dice.of(WORDS)).as_bytes()),
        4 => replace(command, token, b""),
        5 => {
            let again = command[token.0..token.1].to_vec();
            replace(command, (token.1, token.1), &[b" ", again.as_slice()].concat());
        }
        // A token of another command.
        6 | 7 => {
            let dialogue = dice.of(dialogues);
            let other = dice.of(dialogue);
            let taken = self::tokens(other);
            if let Some(&(from, to)) = taken.get(dice.below(taken.len())) {
                replace(command, token, &other[from..to]);
            }
        }
        // The rest of another command.
        8 => {
            let dialogue = dice.of(dialogues);
            let other = dice.of(dialogue);
            let taken = self::tokens(other);
            if let Some(&(from, _)) = taken.get(dice.below(taken.len())) {
                replace(command, (token.0, command.len()), &other[from..]);
            }
        }
        9 => {
            let with = if dice.one_in(2) {
                vec![u8::try_from(dice.below(256)).unwrap()]
            } else {
                vec![*dice.of(b"\0\r\n\"\\(){}[]<>*%+~&\x7f\x80\xc3\xff")]
            };
            let end = (at + dice.below(2)).min(command.len());
            replace(command, (at, end), &with);
        }
        10 => command.truncate(at),
        // A token as a literal, its length right, or not quite.
        11 | 12 => {
            let text = command[token.0..token.1].to_vec();
            let len = (text.len() + if dice.one_in(4) { dice.below(5) } else { 2 }).saturating_sub(2);
            let plus = if dice.one_in(3) { "" } else { "+" };
            let literal = [format!("{{{len}{plus}}}\r\n").as_bytes(), &text].concat();
            replace(command, token, &literal);
        }
        13 => {
            let number =
                [0, 1, 2, 5, 255, 256, 65_535, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX];
            replace(command, token, dice.of(&number).to_string().as_bytes());
        }
        // Depth, at and around the bound.
        14 => {
            let deep = [1, 8, 31, 32, 33, 1_000][dice.below(6)];
            let (open, close) = (b"(".repeat(deep), b")".repeat(deep - dice.below(2)));
            replace(command, (token.1, token.1), &close);
            replace(command, (token.0, token.0), &open);
        }
        // The same many times over, up to past the line's bound.
        15 => {
            let again = [b" ", &command[token.0..token.1]].concat();
            let most = 80_000 / again.len().max(1);
            let times = [2, 33, 1_025, most][dice.below(4)].min(most);
            replace(command, (token.1, token.1), &again.repeat(times));
        }
        _ => {
            let quoted = format!("\"{}\"", String::from_utf8_lossy(&command[token.0..token.1]));
            replace(command, token, quoted.as_bytes());
        }
    }
}

/// What a client sends in an execution.
fn input(dice: &mut Dice, dialogues: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut sent = Vec::new();
    let dialogue = dice.of(dialogues);
    let first = dice.below(dialogue.len());
    for n in 0..1 + dice.below(6) {
        let mut command = if dice.one_in(3) {
            let other = dice.of(dialogues);
            dice.of(other).clone()
        } else {
            dialogue[(first + n) % dialogue.len()].clone()
        };
        for _ in 0..dice.below(4) {
            mutate(dice, &mut command, dialogues);
        }
        sent.extend_from_slice(&command);
        sent.extend_from_slice(if dice.one_in(40) { b"\n" } else { b"\r\n" });
    }
    if dice.one_in(10) {
        sent.truncate(dice.below(sent.len()));
    }
    sent
}

/// How a session stands after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It wants more.
    Open,
    /// It has ended.
    Closed,
    /// TLS, or another layer, would begin: what follows isn't the session's.
    Handed,
}

/// One session with what it said.
struct Client<'w> {
    world: &'w Fuzzed,
    session: Session,
    out: Vec<u8>,
    stands: Stands,
}

/// What all executions share.
struct Fuzzed {
    world: Arc<World>,
    gate: Gate,
    queue: Queue,
    _dir: tempfile::TempDir,
}

impl Fuzzed {
    fn new() -> Fuzzed {
        let dir = tempfile::tempdir().unwrap();
        let key = MasterKey::generate().unwrap();
        let limits = Limits::default();
        Storage::create(dir.path(), &key, &limits).unwrap();
        let storage = Storage::open(dir.path(), &key, limits).unwrap();
        let database = redb::Database::create(dir.path().join("master.redb")).unwrap();
        let auth = Auth::open(Arc::new(database)).unwrap();
        for user in ["alice", "bob", "carol"] {
            auth.add(user, &zeroize::Zeroizing::new("correct horse battery".to_owned()), false).unwrap();
        }
        auth.set_right("alice", "bob", Some(auth::Level::Read)).unwrap();
        auth.set_right("alice", "bob/Closed", Some(auth::Level::None)).unwrap();
        let mail = |name: &str| std::fs::read(data().join("mail").join(name)).unwrap();
        let (plain, nested, odd) = (mail("1-plain.eml"), mail("2-nested.eml"), mail("3-odd.eml"));
        let nul: &[u8] = b"Subject: nul\r\n\r\na\0b\r\n";
        let long = [b"Subject: long\r\n\r\n".as_slice(), &b"0123456789abcdef\r\n".repeat(6_000)].concat();
        for (path, messages) in [
            ("alice/Inbox", vec![plain.as_slice(), &nested, &odd, nul, b""]),
            ("alice/Entw\u{fc}rfe & mehr", vec![&plain, &long]),
            ("alice/Outlook/Sent/2023", vec![&plain, &nested]),
            ("alice/Empty", vec![]),
            ("bob/Inbox", vec![&odd]),
            ("bob/Closed/Deep", vec![b"Subject: hidden\r\n\r\ncarved out of what alice reads\r\n"]),
            ("carol/Secret", vec![b"Subject: hidden\r\n\r\nnobody but carol reads this\r\n"]),
        ] {
            let mut batch = storage.batch(&Cancel::default()).unwrap();
            let folder = batch.folder(&FolderPath::new(path).unwrap()).unwrap();
            for (n, raw) in messages.into_iter().enumerate() {
                let incoming = Incoming::read(raw, Vec::new(), storage.limits()).unwrap();
                let date = Zoned { secs: 837_596_665 + 60 * n as i64, zone: -420 };
                let occurrence = n.to_string();
                let placement = NewPlacement {
                    date,
                    flags: SourceFlags::default(),
                    source: path,
                    occurrence: &occurrence,
                };
                batch.add(folder, Prepared::new(incoming, storage.limits()), &placement).unwrap();
            }
            batch.commit().unwrap();
        }
        // Many bad commands a session, so that more than the first twenty are looked at.
        let settings = Settings { max_bad: 1_000, plain_on_loopback: true, ..Settings::default() };
        let gate = Gate::new(&settings);
        let queue = Queue::new(settings.max_searches);
        let watch = Watch::new(Arc::new(no_tls()).into());
        Fuzzed { world: Arc::new(World { settings, storage, auth, watch }), gate, queue, _dir: dir }
    }

    /// Everybody's folders and messages.
    fn mail(&self) -> Vec<String> {
        let storage = &self.world.storage;
        let mut all = Vec::new();
        for user in ["alice", "bob", "carol"] {
            for info in storage.folders_of(user) {
                let view = storage.view(&info.path).unwrap();
                all.push(format!("{} {:?}", info.path, view.uids.iter().collect::<Vec<_>>()));
            }
        }
        all
    }

    fn client(&self, user: Option<&str>) -> Client<'_> {
        let address = IpAddr::from([127, 0, 0, 1]);
        let place = self.gate.enter(address).unwrap();
        let peer = Peer { ip: address, proxied: false };
        let mut session = Session::new(Arc::clone(&self.world), peer, false, place, Arc::default());
        if let Some(user) = user {
            session.logged_in(user.to_owned(), auth::Credential::Token);
        }
        Client { world: self, session, out: Vec::new(), stands: Stands::Open }
    }
}

/// Settings for handshakes that never happen.
fn no_tls() -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()))
}

impl Client<'_> {
    /// Sends a piece and takes all answers.
    fn send(&mut self, piece: &[u8]) {
        if self.stands != Stands::Open {
            return;
        }
        self.session.input(piece);
        let cancel = Cancel::default();
        for _ in 0..MOST_STEPS {
            let Step { mut out, next } = self.session.step(&cancel);
            assert!(out.len() <= MOST_OUT, "a step gave {} bytes", out.len());
            self.out.append(&mut out);
            match next {
                // Nobody waits here after a wrong password.
                Next::More | Next::Login => {}
                // What comes compressed isn't fuzzed here: the session sees the same bytes.
                Next::Compress => {
                    let unread = self.session.take_unread();
                    self.session.input(&unread);
                }
                Next::Queue => {
                    let user = self.session.user.clone().unwrap();
                    self.session.take_turn(self.world.queue.enter(&user).try_recv().unwrap());
                }
                Next::Read | Next::Idle | Next::Watch => {
                    let held = self.session.frame.held();
                    assert!(held <= MOST_HELD, "{held} bytes are held");
                    return;
                }
                Next::Close => return self.stands = Stands::Closed,
                _ => return self.stands = Stands::Handed,
            }
        }
        panic!("no end of answers");
    }

    /// Brings a command that is half there to its end: by line ends, which also fill a literal.
    fn complete(&mut self) {
        let fill = b"\r\n".repeat(1 << 12);
        for _ in 0..64 {
            if self.stands != Stands::Open || !self.session.is_partial() {
                return;
            }
            self.send(&fill);
        }
    }
}

/// Splits what was said into responses, complaining about whatever isn't one. A session may break off when it closes.
fn responses(out: &[u8], ascii: bool, closed: bool) -> Result<Vec<Vec<u8>>, String> {
    let mut all = Vec::new();
    let mut rest = out;
    'responses: while !rest.is_empty() {
        let mut response = Vec::new();
        loop {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if closed {
                    break 'responses;
                }
                return Err(format!("half a line: {}", rest.escape_ascii()));
            };
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            let Some(line) = line.strip_suffix(b"\r\n") else {
                return Err(format!("a line without CR: {}", line.escape_ascii()));
            };
            let wrong = |b: &u8| matches!(b, 0 | b'\r') || (ascii && !b.is_ascii());
            if line.iter().any(wrong) {
                return Err(format!("bytes that may not stand in a line: {}", line.escape_ascii()));
            }
            response.extend_from_slice(line);
            let Some(open) = line.ends_with(b"}").then(|| memchr::memrchr(b'{', line)).flatten() else {
                break;
            };
            let Ok(len) = String::from_utf8_lossy(&line[open + 1..line.len() - 1]).parse::<usize>() else {
                break;
            };
            if rest.len() < len {
                if closed {
                    break 'responses;
                }
                return Err(format!("a literal of {len} is cut"));
            }
            let (literal, after) = rest.split_at(len);
            if !line[..open].ends_with(b"~") && literal.contains(&0) {
                return Err("a NUL in a literal".to_owned());
            }
            rest = after;
        }
        let untagged = response.starts_with(b"* ") || response.starts_with(b"+ ");
        let mut words = response.split(|&b| b == b' ');
        let tagged = words.next().is_some_and(|tag| !tag.is_empty())
            && words.next().is_some_and(|word| [b"OK".as_slice(), b"NO", b"BAD"].contains(&word));
        if !untagged && !tagged {
            return Err(format!("no response: {}", response.escape_ascii()));
        }
        all.push(response);
    }
    Ok(all)
}

/// One execution: what was sent is in `sent` even if it panics. Gives how many commands ended in OK, and how many otherwise.
fn execute(fuzzed: &Fuzzed, dialogues: &[Vec<Vec<u8>>], number: u64, sent: &mut Vec<u8>) -> (usize, usize) {
    let mut dice = Dice::new(number);
    // A login hashes a password on purpose slowly: few executions begin before it.
    let user = if dice.one_in(200) { None } else { Some("alice") };
    let mut client = fuzzed.client(user);
    if user.is_some() {
        let mailbox = ["INBOX", "Empty", "\"All Mail\"", "Outlook/Sent/2023", ""][dice.below(5)];
        if !mailbox.is_empty() {
            client.send(format!("s SELECT {mailbox}\r\n").as_bytes());
        }
    }
    *sent = input(&mut dice, dialogues);
    match dice.below(4) {
        0 if sent.len() < 2_000 => sent.chunks(1).for_each(|piece| client.send(piece)),
        1 => {
            let mut rest = sent.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + dice.below(rest.len()));
                client.send(piece);
                rest = after;
            }
        }
        // As the network hands them over.
        _ => sent.chunks(64 << 10).for_each(|piece| client.send(piece)),
    }
    client.complete();
    // Whatever has been enabled, strings may be UTF-8 from then on.
    let lower = sent.to_ascii_lowercase();
    let ascii = memchr::memmem::find(&lower, b"enable").is_none();
    let said = responses(&client.out, ascii, client.stands == Stands::Closed).unwrap();
    for hidden in ["nobody but carol", "carol/Secret", "carved out", "bob/Closed"] {
        assert!(
            memchr::memmem::find(&client.out, hidden.as_bytes()).is_none()
                || memchr::memmem::find(sent, hidden.as_bytes()).is_some(),
            "mail shows that may not be read"
        );
    }
    let ended = |words: &[&[u8]]| {
        let word =
            |response: &&Vec<u8>| response.split(|&b| b == b' ').nth(1).is_some_and(|w| words.contains(&w));
        said.iter().filter(|response| !response.starts_with(b"* ")).filter(word).count()
    };
    let counts = (ended(&[b"OK"]), ended(&[b"NO", b"BAD"]));
    match client.stands {
        Stands::Handed => {}
        Stands::Closed => {
            let bye = said.iter().any(|response| response.starts_with(b"* BYE "));
            assert!(bye, "it closed without BYE");
        }
        // A literal of which not all came is swallowed for as long as it takes.
        Stands::Open if client.session.is_partial() => {}
        Stands::Open => {
            client.out.clear();
            // The line may still belong to SASL or IDLE.
            if client.session.mode != Mode::Command {
                client.send(b"DONE\r\n");
            }
            client.send(b"sentinel NOOP\r\n");
            let said = responses(&client.out, false, client.stands == Stands::Closed).unwrap();
            let last = said.last().map(Vec::as_slice).unwrap_or_default();
            assert!(
                last.starts_with(b"sentinel OK") || last.starts_with(b"* BYE"),
                "the next command gets {}",
                last.escape_ascii()
            );
        }
    }
    counts
}

#[test]
fn any_dialogue_is_answered_or_closed_in_bounded_memory() {
    let fuzzed = Fuzzed::new();
    let dialogues = corpus();
    let before = fuzzed.mail();
    let first = std::env::var("MAILKEEP_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let long = std::env::var_os("MAILKEEP_LONG").is_some_and(|v| v == "1");
    let begun = Instant::now();
    let mut number = first.unwrap_or(if long { SHORT } else { 0 });
    let enough = |number: u64| {
        if long { begun.elapsed() > LONG } else { number - first.unwrap_or(0) >= SHORT }
    };
    let (mut taken, mut refused) = (0, 0);
    while !enough(number) {
        let mut sent = Vec::new();
        let done = catch_unwind(AssertUnwindSafe(|| execute(&fuzzed, &dialogues, number, &mut sent)));
        let Ok((ok, not)) = done else { panic!("MAILKEEP_SEED={number}: {}", sent.escape_ascii()) };
        (taken, refused) = (taken + ok, refused + not);
        number += 1;
    }
    // A mutator that makes only nonsense, or none, would find nothing.
    assert!(taken > refused / 4 && refused > taken / 4, "{taken} commands were taken, {refused} were not");
    assert_eq!(fuzzed.mail(), before, "the archive has changed");
    // How far a long round came is its result.
    let ran = number - first.unwrap_or(if long { SHORT } else { 0 });
    eprintln!(
        "{ran} executions, {:.0} a second; {taken} commands taken, {refused} refused",
        ran as f64 / begun.elapsed().as_secs_f64().max(f64::EPSILON)
    );
}

#[test]
fn a_mutator_that_does_nothing_would_be_seen() {
    let dialogues = corpus();
    let changed = (0..200)
        .filter(|&number| {
            let mut dice = Dice::new(number);
            let mut command = dialogues[0][0].clone();
            mutate(&mut dice, &mut command, &dialogues);
            command != dialogues[0][0]
        })
        .count();
    assert!(changed > 150, "{changed} of 200 mutations change something");
    for (bytes, complaint) in [
        ("* OK x", "half a line"),
        ("x\r\n", "no response"),
        ("a MAYBE x\r\n", "no response"),
        ("* 1 FETCH (X {9}\r\nab)\r\n", "is cut"),
        ("* 1 FETCH (X {1}\r\n\0)\r\n", "a NUL"),
        ("* OK \u{fc}\r\n", "may not stand"),
        ("* OK\n", "without CR"),
    ] {
        let found = responses(bytes.as_bytes(), true, false).unwrap_err();
        assert!(found.contains(complaint), "{bytes}: {found}");
    }
    assert_eq!(responses(b"* A {3}\r\nx\r\n B\r\n+ go\r\nt1 OK done\r\n", true, false).unwrap().len(), 3);
}
