//! A raw IMAP client: bytes out, bytes in, literals kept as they came.
//!
//! It reads only as much grammar as framing needs (lines, literals, quoted strings, the tag), so that a test compares
//! what stood on the wire. It understands no response; `Fetched` splits FETCH data items without judging them.

use crate::program::{Archive, PATIENCE};
use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};

/// One response: its bytes as they came, literals with their `{n}` CRLF in place, without the last CRLF.
pub type Response = Vec<u8>;

/// A connection in plain text.
#[derive(Debug)]
pub struct Imap {
    reader: BufReader<TcpStream>,
    next_tag: u32,
}

impl Imap {
    /// Connects and takes the greeting.
    /// # Errors
    /// No connection, or no `* OK`.
    pub fn connect(address: SocketAddr) -> crate::Result<Imap> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut imap = Imap { reader: BufReader::with_capacity(1 << 16, stream), next_tag: 1 };
        let greeting = imap.response()?;
        ensure!(greeting.starts_with(b"* OK"), "greeting {:?}", String::from_utf8_lossy(&greeting));
        Ok(imap)
    }
    /// Connects and logs a user of `Archive::with_users` in.
    /// # Errors
    /// The login is refused.
    pub fn login(address: SocketAddr, user: &str) -> crate::Result<Imap> {
        let mut imap = Imap::connect(address)?;
        imap.ok(&format!("LOGIN \"{user}\" \"{}\"", Archive::password(user)))?;
        Ok(imap)
    }
    /// A session that came by this password; none: it was refused in the words of a wrong one.
    /// # Errors
    /// The connection fails, or the answer is another one.
    pub fn enter(address: SocketAddr, user: &str, password: &str) -> crate::Result<Option<Imap>> {
        let mut imap = Imap::connect(address)?;
        let (_, said) = imap.command(&format!("LOGIN {user} \"{password}\""))?;
        if said.starts_with("OK") {
            return Ok(Some(imap));
        }
        ensure!(said.starts_with("NO [AUTHENTICATIONFAILED] "), "{said}");
        Ok(None)
    }
    /// Sends bytes as they are.
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> crate::Result {
        self.reader.get_mut().write_all(bytes)?;
        Ok(())
    }
    /// Sends a command line under a new tag, gives the tag.
    /// # Errors
    /// The connection is gone.
    pub fn begin(&mut self, command: &str) -> crate::Result<String> {
        let tag = format!("t{}", self.next_tag);
        self.next_tag += 1;
        self.send(format!("{tag} {command}\r\n").as_bytes())?;
        Ok(tag)
    }
    /// Responses up to the tagged one: (untagged, tagged without its tag).
    /// # Errors
    /// The connection ends before it.
    pub fn finish(&mut self, tag: &str) -> crate::Result<(Vec<Response>, String)> {
        let mut untagged = Vec::new();
        let start = format!("{tag} ");
        loop {
            let response = self.response().with_context(|| format!("waiting for {tag}"))?;
            if let Some(rest) = response.strip_prefix(start.as_bytes()) {
                return Ok((untagged, String::from_utf8_lossy(rest).into_owned()));
            }
            untagged.push(response);
        }
    }
    /// Runs a command to its tagged response.
    /// # Errors
    /// The connection ends before it.
    pub fn command(&mut self, command: &str) -> crate::Result<(Vec<Response>, String)> {
        let tag = self.begin(command)?;
        self.finish(&tag)
    }
    /// Runs a command that must end in OK, gives its untagged responses.
    /// # Errors
    /// NO or BAD.
    pub fn ok(&mut self, command: &str) -> crate::Result<Vec<Response>> {
        let (untagged, tagged) = self.command(command)?;
        ensure!(tagged.starts_with("OK"), "{command:.80}: {tagged}");
        Ok(untagged)
    }
    /// EXAMINE; gives the number of messages.
    /// # Errors
    /// The mailbox can't be selected.
    pub fn examine(&mut self, mailbox: &str) -> crate::Result<u32> {
        let responses = self.ok(&format!("EXAMINE {}", quoted(mailbox)))?;
        let exists = responses.iter().find_map(|response| {
            std::str::from_utf8(response).ok()?.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok()
        });
        exists.context("no EXISTS")
    }
    /// Runs a FETCH of whatever `command` asks and hands each answer to `each` as it comes.
    /// # Errors
    /// NO or BAD; what `each` says.
    pub fn fetch(&mut self, command: &str, mut each: impl FnMut(Fetched) -> crate::Result) -> crate::Result {
        let tag = self.begin(command)?;
        let start = format!("{tag} ");
        loop {
            let response = self.response().with_context(|| command.to_owned())?;
            if let Some(rest) = response.strip_prefix(start.as_bytes()) {
                ensure!(rest.starts_with(b"OK"), "{command}: {}", String::from_utf8_lossy(rest));
                return Ok(());
            }
            if let Some(fetched) = Fetched::parse(&response)? {
                each(fetched)?;
            }
        }
    }
    /// The hashes of all messages of a mailbox with their UIDs, in order; checks RFC822.SIZE against the bytes sent.
    /// # Errors
    /// The mailbox can't be read, or a size is wrong.
    pub fn hashes(&mut self, mailbox: &str) -> crate::Result<Vec<(u32, String)>> {
        let exists = self.examine(mailbox)?;
        let mut found = Vec::new();
        if exists == 0 {
            return Ok(found);
        }
        self.fetch("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[])", |fetched| {
            let body = fetched.literal("BODY[]")?;
            let size: usize = fetched.text("RFC822.SIZE")?.parse()?;
            let uid: u32 = fetched.text("UID")?.parse()?;
            ensure!(size == body.len(), "{mailbox} UID {uid}: RFC822.SIZE {size}, {} bytes sent", body.len());
            found.push((uid, crate::mail::sha256(body)));
            Ok(())
        })?;
        ensure!(found.len() == exists as usize, "{mailbox}: {exists} EXISTS, {} answers", found.len());
        Ok(found)
    }
    /// The next response, whole.
    /// # Errors
    /// The connection ends.
    pub fn response(&mut self) -> crate::Result<Response> {
        let mut bytes = Vec::new();
        loop {
            let read = self.reader.read_until(b'\n', &mut bytes)?;
            ensure!(read > 0, "the connection ended after {:?}", String::from_utf8_lossy(&bytes));
            ensure!(bytes.ends_with(b"\r\n"), "a line without CR: {:?}", String::from_utf8_lossy(&bytes));
            match announced(&bytes) {
                None => break,
                Some(length) => {
                    let got = (&mut self.reader).take(length).read_to_end(&mut bytes)?;
                    ensure!(got as u64 == length, "the connection ended in a literal of {length}");
                }
            }
        }
        bytes.truncate(bytes.len() - 2);
        Ok(bytes)
    }
    /// Reads until the server closes; gives what came.
    /// # Errors
    /// The connection breaks otherwise.
    pub fn rest(mut self) -> crate::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The length of the literal that the line at the end of `bytes` announces.
pub(crate) fn announced(bytes: &[u8]) -> Option<u64> {
    let line = bytes.strip_suffix(b"}\r\n")?;
    let open = line.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
}

/// A quoted string.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Modified UTF-7 (RFC 3501 §5.1.3), written from the RFC.
#[must_use]
pub fn mutf7(name: &str) -> String {
    let mut out = String::new();
    let mut shifted = String::new();
    let flush = |shifted: &mut String, out: &mut String| {
        if !shifted.is_empty() {
            let bytes: Vec<u8> = shifted.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let coded = STANDARD_NO_PAD.encode(bytes).replace('/', ",");
            out.push_str(&format!("&{coded}-"));
            shifted.clear();
        }
    };
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            flush(&mut shifted, &mut out);
            out.push(c);
            out.push_str(if c == '&' { "-" } else { "" });
        } else {
            shifted.push(c);
        }
    }
    flush(&mut shifted, &mut out);
    out
}

/// The data items of one FETCH response.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Sequence number.
    pub number: u32,
    /// Item names as sent (`BODY[]`), with their values as sent; literals without their `{n}` CRLF.
    pub items: Vec<(String, Vec<u8>)>,
}

impl Fetched {
    /// Splits a response, none if it isn't a FETCH.
    /// # Errors
    /// A FETCH whose framing is broken.
    pub fn parse(response: &[u8]) -> crate::Result<Option<Fetched>> {
        let head = &response[..response.len().min(40)];
        let head = String::from_utf8_lossy(head);
        let Some((number, "FETCH")) = head.strip_prefix("* ").and_then(|rest| {
            let mut words = rest.split(' ');
            Some((words.next()?, words.next()?))
        }) else {
            return Ok(None);
        };
        let number = number.parse()?;
        let open = response.iter().position(|&byte| byte == b'(').context("FETCH without a list")?;
        let mut rest = &response[open + 1..];
        let mut items = Vec::new();
        loop {
            let end = name_end(rest)?;
            let name = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = rest.get(end + 1..).context("an item without a value")?;
            let (value, used) = value(rest)?;
            items.push((name, value));
            match rest.get(used) {
                Some(b' ') => rest = &rest[used + 1..],
                Some(b')') => {
                    ensure!(rest.len() == used + 1, "bytes after the list's end");
                    return Ok(Some(Fetched { number, items }));
                }
                other => bail!("{other:?} after an item"),
            }
        }
    }
    /// The value of `item` as it was sent.
    /// # Errors
    /// The server didn't send it.
    pub fn literal(&self, item: &str) -> crate::Result<&[u8]> {
        let found = self.items.iter().find(|(name, _)| name.eq_ignore_ascii_case(item));
        Ok(&found.with_context(|| format!("no {item} among {:?}", self.names()))?.1)
    }
    /// The value of `item` as text.
    /// # Errors
    /// The server didn't send it, or it isn't UTF-8.
    pub fn text(&self, item: &str) -> crate::Result<&str> {
        Ok(std::str::from_utf8(self.literal(item)?)?)
    }
    fn names(&self) -> Vec<&str> {
        self.items.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Where an item's name ends: at the blank outside of the brackets of a section.
fn name_end(bytes: &[u8]) -> crate::Result<usize> {
    let mut inside = false;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'[' => inside = true,
            b']' => inside = false,
            b' ' if !inside => return Ok(at),
            _ => {}
        }
    }
    bail!("an item's name does not end: {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]))
}

/// A value and the bytes that it takes: a literal's or quoted string's content, or an atom or list as it stands.
fn value(bytes: &[u8]) -> crate::Result<(Vec<u8>, usize)> {
    match bytes.first().context("a value is missing")? {
        b'{' => {
            let (start, length) = literal(bytes)?;
            let content = bytes.get(start..start + length).context("a literal is cut")?;
            Ok((content.to_vec(), start + length))
        }
        b'"' => {
            let end = string_end(bytes)?;
            let mut content = Vec::with_capacity(end);
            let mut escaped = false;
            for &byte in &bytes[1..end - 1] {
                escaped = byte == b'\\' && !escaped;
                if !escaped {
                    content.push(byte);
                }
            }
            Ok((content, end))
        }
        b'(' => {
            let mut depth = 0_usize;
            let mut at = 0;
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    b'"' => {
                        at += string_end(&bytes[at..])?;
                        continue;
                    }
                    b'{' => {
                        let (start, length) = literal(&bytes[at..])?;
                        at += start + length;
                        continue;
                    }
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Ok((bytes[..at].to_vec(), at));
                }
            }
            bail!("a list does not end")
        }
        _ => {
            let end = bytes.iter().position(|byte| b" )".contains(byte)).context("an atom does not end")?;
            Ok((bytes[..end].to_vec(), end))
        }
    }
}

/// Where the content of the literal at the start of `bytes` begins, and its length.
fn literal(bytes: &[u8]) -> crate::Result<(usize, usize)> {
    let close = bytes.iter().position(|&byte| byte == b'}').context("{ without }")?;
    ensure!(bytes[close + 1..].starts_with(b"\r\n"), "no CRLF after a literal's length");
    Ok((close + 3, std::str::from_utf8(&bytes[1..close])?.parse()?))
}

/// Where the quoted string at the start of `bytes` ends.
fn string_end(bytes: &[u8]) -> crate::Result<usize> {
    let mut escaped = false;
    for (at, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return Ok(at + 1),
            b'\r' | b'\n' => bail!("a line end in a quoted string"),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    bail!("a quoted string does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetch_splits_into_items() {
        let response =
            b"* 12 FETCH (UID 7 FLAGS (\\Seen \"a) \\\" b\") BODY[HEADER.FIELDS (To Cc)] {5}\r\na\r\n)x \
                         INTERNALDATE \"1-Jan-2020\" ENVELOPE (NIL ({2}\r\n)( 1)))";
        let fetched = Fetched::parse(response).unwrap().unwrap();
        assert_eq!(fetched.number, 12);
        assert_eq!(fetched.text("UID").unwrap(), "7");
        assert_eq!(fetched.literal("body[header.fields (To Cc)]").unwrap(), b"a\r\n)x");
        assert_eq!(fetched.text("INTERNALDATE").unwrap(), "1-Jan-2020");
        assert_eq!(fetched.text("ENVELOPE").unwrap(), "(NIL ({2}\r\n)( 1))");
        assert!(fetched.literal("BODY[]").is_err());
    }

    #[test]
    fn broken_framing_is_an_error() {
        for broken in [
            "* 1 FETCH (UID",
            "* 1 FETCH (UID 1",
            "* 1 FETCH (X {9}\r\nab)",
            "* 1 FETCH (X \"a)",
            "* 1 FETCH (X (a",
        ] {
            assert!(Fetched::parse(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(Fetched::parse(b"* 3 EXISTS").unwrap().is_none());
    }

    #[test]
    fn literals_are_announced_at_line_ends() {
        assert_eq!(announced(b"* 1 FETCH (BODY[] {310}\r\n"), Some(310));
        assert_eq!(announced(b"* OK {x}\r\n"), None);
        assert_eq!(announced(b"* OK {3} y\r\n"), None);
    }

    #[test]
    fn modified_utf7_is_the_rfcs() {
        // RFC 3501 §5.1.3 and RFC 2152's rule for shifted text.
        assert_eq!(mutf7("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(mutf7("Kunden & Co/Entwürfe"), "Kunden &- Co/Entw&APw-rfe");
    }
}
