//! The PROXY protocol, versions 1 and 2 (haproxy's specification of 2020-03-05): a proxy says for whom it connects.
//!
//! Invariant: not one byte behind the header is read, and a header is bounded. Only listed addresses are asked for one; that is
//! the caller's business, and so is the time. Of version 2's extensions none is read, its checksum neither (§2.2.3 leaves that to the
//! receiver): TCP has one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How a version 2 header begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// A version 1 header, with its line end, is at most so long.
const MAX_LINE: usize = 107;
/// What stands behind version 2's first 16 bytes: addresses, and extensions that nobody here reads.
const MAX_REST: usize = 2_048;

/// For whom the proxy connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// For this client.
    Client(IpAddr),
    /// For somebody whose address it can't say.
    Unknown,
    /// For itself, as when it looks whether the server is there.
    Itself,
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads the header.
/// # Errors
/// There is none, or it makes no sense.
pub(super) async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Origin> {
    // Both versions have more bytes than this.
    let mut start = [0; 12];
    from.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return second(from).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(wrong("the connection does not begin with a PROXY header"));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        if line.len() >= MAX_LINE {
            return Err(wrong("the PROXY header is too long"));
        }
        line.push(from.read_u8().await?);
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| wrong("the PROXY header does not end with CRLF"))?;
    first(line)
}

/// Version 1 (§2.1): `PROXY TCP4 192.0.2.1 192.0.2.2 12345 143`.
fn first(line: &[u8]) -> io::Result<Origin> {
    // "the receiver must ignore anything presented before the CRLF".
    if line.strip_prefix(b"PROXY UNKNOWN").is_some_and(|rest| rest.is_empty() || rest.starts_with(b" ")) {
        return Ok(Origin::Unknown);
    }
    let line = std::str::from_utf8(line).map_err(|_| wrong("the PROXY header is no ASCII"))?;
    let words: Vec<&str> = line.split(' ').collect();
    // An IPv6 address may end like an IPv4 one: proxies that listen on both write `::ffff:192.0.2.1`.
    let client = match words.as_slice() {
        ["PROXY", "TCP4", from, to, a, b] if is_port(a) && is_port(b) && to.parse::<Ipv4Addr>().is_ok() => {
            from.parse().map(IpAddr::V4)
        }
        ["PROXY", "TCP6", from, to, a, b] if is_port(a) && is_port(b) && to.parse::<Ipv6Addr>().is_ok() => {
            from.parse().map(IpAddr::V6)
        }
        _ => return Err(wrong("the PROXY header makes no sense")),
    };
    client.map(Origin::Client).map_err(|_| wrong("a PROXY header's address"))
}

/// 0 to 65535; "heading zeroes are not permitted".
fn is_port(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit())
        && (word == "0" || !word.starts_with('0'))
        && word.parse::<u16>().is_ok()
}

/// Version 2 (§2.2), from its 13th byte on.
async fn second<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Origin> {
    let (command, family) = (from.read_u8().await?, from.read_u8().await?);
    let len = usize::from(from.read_u16().await?);
    if len > MAX_REST {
        return Err(wrong("the PROXY header is too long"));
    }
    let mut rest = vec![0; len];
    from.read_exact(&mut rest).await?;
    let cut = || wrong("the PROXY header's addresses are cut");
    match (command, family) {
        // "discard the protocol block including the family which is ignored".
        (0x20, _) => Ok(Origin::Itself),
        (0x21, 0x11) => {
            let v4 = rest.get(..12).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(cut)?;
            Ok(Origin::Client(IpAddr::from(*v4)))
        }
        (0x21, 0x21) => {
            let v6 = rest.get(..36).and_then(|rest| rest.first_chunk::<16>()).ok_or_else(cut)?;
            Ok(Origin::Client(IpAddr::from(*v6)))
        }
        // No address of TCP's: unspecified, UDP or a UNIX socket, which count as unspecified for who doesn't know them.
        (0x21, other) if other >> 4 <= 3 && other & 15 <= 2 => Ok(Origin::Unknown),
        _ => Err(wrong("the PROXY header's version, command or family is none that is known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend([command, family]);
        out.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        out.extend_from_slice(rest);
        out
    }

    #[tokio::test]
    async fn headers_of_both_versions_and_not_a_byte_more() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 0, 143];
        let six: Vec<u8> =
            "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().into_iter().chain([0; 20]).collect();
        let client = |text: &str| Some(Origin::Client(text.parse().unwrap()));
        let with_extensions = |n: usize| v2(0x21, 0x11, &[&four[..], &vec![7; n]].concat());
        let unknown = Some(Origin::Unknown);
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE - 16));
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE - 15));
        for (header, expected) in [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 258 143\r\n".to_vec(), client("192.0.2.1")),
            (b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n".to_vec(), client("2001:db8::1")),
            (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n".to_vec(), client("::ffff:192.0.2.1")),
            (b"PROXY TCP6 2001:DB8::a 0:0:0:0:0:0:0:1 1 2\r\n".to_vec(), client("2001:db8::a")),
            (
                b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(),
                client("255.255.255.255"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), unknown),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), unknown),
            (b"PROXY UNKNOWN \xff\r \0\r\n".to_vec(), unknown),
            (longest.into_bytes(), unknown),
            (b"PROXY UNKNOWNS\r\n".to_vec(), None),
            (b"PROXY UNKNOWN x\ny\r\n".to_vec(), None),
            (b"PROXY  TCP4 192.0.2.1 192.0.2.2 258 143\r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 258 143 \r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 258 0143\r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 +258 143\r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2  143\r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.01 192.0.2.2 258 143\r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.1 2001:db8::1 258 143\r\n".to_vec(), None),
            (b"PROXY TCP6 192.0.2.1 ::1 258 143\r\n".to_vec(), None),
            (b"PROXY UDP4 192.0.2.1 192.0.2.2 258 143\r\n".to_vec(), None),
            (too_long.into_bytes(), None),
            (b"PROXY TCP4 2001:db8::1 192.0.2.2 258 143\r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 258 65536\r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 258\r\n".to_vec(), None),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 258 143\n".to_vec(), None),
            (b"proxy TCP4 192.0.2.1 192.0.2.2 258 143\r\n".to_vec(), None),
            (b"a1 CAPABILITY\r\n".to_vec(), None),
            (v2(0x21, 0x11, &four), client("192.0.2.1")),
            (v2(0x21, 0x21, &six), client("2001:db8::1")),
            (v2(0x20, 0x00, &[]), Some(Origin::Itself)),
            (v2(0x20, 0x11, &four), Some(Origin::Itself)),
            (v2(0x20, 0xff, b"whatever"), Some(Origin::Itself)),
            (v2(0x21, 0x00, b"whatever"), unknown),
            (v2(0x21, 0x12, &four), unknown),
            (v2(0x21, 0x22, &six), unknown),
            (v2(0x21, 0x31, &[0; 216]), unknown),
            (v2(0x21, 0x32, &[]), unknown),
            (v2(0x21, 0x10, &four), unknown),
            (with_extensions(MAX_REST - 12), client("192.0.2.1")),
            (with_extensions(MAX_REST - 11), None),
            (v2(0x21, 0x11, &four[..11]), None),
            (v2(0x21, 0x21, &six[..35]), None),
            (v2(0x21, 0x13, &four), None),
            (v2(0x21, 0x41, &four), None),
            (v2(0x22, 0x11, &four), None),
            (v2(0x31, 0x11, &four), None),
        ] {
            let bytes = [&header[..], b"a NOOP\r\n"].concat();
            let mut rest = bytes.as_slice();
            let found = read(&mut rest).await.ok();
            assert_eq!(found, expected, "{header:?}");
            if found.is_some() {
                assert_eq!(rest, b"a NOOP\r\n", "{header:?}");
            }
            for cut in 0..header.len() {
                assert!(read(&mut &header[..cut]).await.is_err(), "cut at {cut}: {header:?}");
            }
        }
    }
}
