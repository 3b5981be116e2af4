//! Lines of JSON, bounded; and addresses of sockets whose path is too long for the system.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Longest line that a server sends: 64 KiB of bytes in base64, or a row (a run's account may name many folders).
pub(super) const MAX_EVENT_BYTES: usize = 64 << 20;

/// The longest path that every system takes as a socket's address.
const MAX_ADDRESS_BYTES: usize = 100;

/// The next line without its end, `None` at the end of the stream.
/// # Errors
/// A line of more than `most` bytes, or one that is cut by the end.
pub(super) async fn read_line(
    from: &mut (impl AsyncBufRead + Unpin),
    most: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let mut line = Zeroizing::new(Vec::new());
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    from.take(bound).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() >= most => bail!("a line on the socket is longer than {most} bytes"),
        Some(_) => bail!("the connection ended in the middle of a line"),
    }
}

/// Sends one value as a line.
pub(super) async fn write_line(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> Result<()> {
    let mut line = Zeroizing::new(serde_json::to_vec(value)?);
    line.push(b'\n');
    to.write_all(&line).await?;
    Ok(to.flush().await?)
}

/// An address for the socket at `path`: the path, or a short way to it through the open directory (keep the second value
/// while the address is used).
pub(super) fn address(path: &Path) -> Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= MAX_ADDRESS_BYTES {
        return Ok((path.to_owned(), None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{}: no path for a socket", path.display());
    };
    let directory = File::open(parent).with_context(|| parent.display().to_string())?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((short, Some(directory)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8], most: usize) -> Vec<std::result::Result<Vec<u8>, ()>> {
        let mut from = bytes;
        let mut lines = Vec::new();
        loop {
            match read_line(&mut from, most).await {
                Ok(Some(line)) => lines.push(Ok(line.to_vec())),
                Ok(None) => return lines,
                Err(_) => {
                    lines.push(Err(()));
                    return lines;
                }
            }
        }
    }

    #[tokio::test]
    async fn lines_are_bounded_and_whole() {
        assert_eq!(lines(b"", 4).await, []);
        assert_eq!(lines(b"abcd\n\nef\n", 4).await, [Ok(b"abcd".to_vec()), Ok(vec![]), Ok(b"ef".to_vec())]);
        assert_eq!(lines(b"abcde\n", 4).await, [Err(())]);
        assert_eq!(lines(b"abc", 4).await, [Err(())]);
    }

    #[tokio::test]
    async fn a_socket_with_a_long_path_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("control.sock");
        let (at, _open) = address(&path).unwrap();
        let listener = tokio::net::UnixListener::bind(&at).unwrap();
        assert!(path.exists());
        let (at, _open) = address(&path).unwrap();
        let (client, server) = tokio::join!(tokio::net::UnixStream::connect(&at), listener.accept());
        assert!(client.is_ok() && server.is_ok());
        assert_eq!(address(Path::new("/short")).unwrap().0, Path::new("/short"));
    }
}
