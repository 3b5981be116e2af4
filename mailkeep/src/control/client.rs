//! The client's side of the socket: sends a command and hands its events on.

use super::login::Request;
use super::wire;
use crate::command::{Event, Failure};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};

/// Events between the socket and the output.
const QUEUE: usize = 64;

/// A connection to a server, if one listens there.
pub(crate) async fn connect(socket: &Path) -> Result<Option<UnixStream>> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    let (address, _directory) = wire::address(socket)?;
    match UnixStream::connect(address).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), ConnectionRefused | NotFound) => Ok(None),
        Err(error) => Err(error).with_context(|| socket.display().to_string()),
    }
}

/// Sends the command; its events arrive on the channel. `cancel` closes the sending side, which asks the server to stop.
pub(crate) async fn send(
    stream: UnixStream,
    request: &Request,
    cancel: Arc<Notify>,
) -> Result<mpsc::Receiver<Event>> {
    let (read, mut write) = stream.into_split();
    wire::write_line(&mut write, request).await.context("the server closed the connection")?;
    let (events, received) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut read = BufReader::new(read);
        let mut asked = false;
        loop {
            let line = wire::read_line(&mut read, wire::MAX_EVENT_BYTES);
            tokio::pin!(line);
            let line = loop {
                tokio::select! {
                    line = &mut line => break line,
                    () = cancel.notified(), if !asked => {
                        asked = true;
                        // A failure means that the server is gone; the next read says so.
                        write.shutdown().await.ok();
                    }
                }
            };
            let event = match line {
                Ok(None) => return,
                Ok(Some(line)) => {
                    serde_json::from_slice(&line).context("the server's answer is not understood")
                }
                Err(error) => Err(error),
            };
            let last = event.is_err();
            let event = event.unwrap_or_else(|error| Event::Failure(Failure::from(error)));
            if events.send(event).await.is_err() || last {
                return;
            }
        }
    });
    Ok(received)
}
