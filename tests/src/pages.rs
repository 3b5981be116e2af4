//! The pages that the server has for whoever watches it (/metrics, /health, /ready), and the configuration that turns them on.

use crate::Archive;
use crate::program::PATIENCE;
use anyhow::{Context, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Sets a key of the configuration, which stands in it as a comment with its default value.
/// # Errors
/// There is no such comment.
pub fn set(archive: &Archive, default: &str, line: &str) -> crate::Result {
    let path = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&path)?;
    let comment = format!("\n#{default}\n");
    ensure!(text.contains(&comment), "no line #{default}");
    std::fs::write(&path, text.replacen(&comment, &format!("\n{line}\n"), 1))?;
    Ok(())
}

/// Status and body of what is answered to a request as it stands.
/// # Errors
/// No answer, or one that is none of HTTP's.
pub fn get(from: SocketAddr, request: &str) -> crate::Result<(u16, String)> {
    let mut stream = TcpStream::connect(from)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("a head and a body")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    ensure!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    Ok((status, body.to_owned()))
}

/// Status and body of a page.
/// # Errors
/// As [`get`].
pub fn page(from: SocketAddr, path: &str) -> crate::Result<(u16, String)> {
    get(from, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}
