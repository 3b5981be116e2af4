//! A mail relay that takes one mail: what the program sends by SMTP (RFC 5321).

use crate::Result;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

/// Waits for a client and gives the text of the mail that it hands over.
/// # Errors
/// The connection breaks.
pub fn take_mail(relay: &TcpListener) -> Result<String> {
    let (mut stream, _) = relay.accept()?;
    let lines = BufReader::new(stream.try_clone()?).lines();
    stream.write_all(b"220 relay\r\n")?;
    let mut text = String::new();
    let mut data = false;
    for line in lines {
        let line = line?;
        let answer: &[u8] = match line.as_str() {
            "QUIT" => return Ok(text),
            "." => {
                data = false;
                b"250 taken\r\n"
            }
            "DATA" => {
                data = true;
                b"354 go on\r\n"
            }
            _ if data => {
                text.push_str(&line);
                text.push('\n');
                continue;
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer)?;
    }
    Ok(text)
}
