//! Golden dialogues: `tests/data/NN-name.txt`, each a connection to the same fixture (see `common`).
//!
//! `C: ` is sent with CRLF; `C+ ` is sent in one piece with the next line; `S: ` must come exactly (`…` stands for any
//! text in it; a byte above 127 is shown as that Latin-1 character); `S: (closed)`: the server has closed. `#` begins a
//! comment; a first line `# before login` leaves the login to the dialogue, one with `archive: words` or `archive: rfc` plays it on that module's archive. With UPDATE_DIALOGUES=1 the answers are
//! written anew, to be read before they are committed.

use crate::common::{Client, IN_PROGRESS, World, data, open};
use std::path::Path;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialogues() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let words = crate::words::archive();
    let words_server = words.serve(crate::words::settings()).await;
    let rfc = crate::rfc::archive();
    let rfc_server = rfc.serve(crate::rfc::settings()).await;
    let mut files: Vec<_> = std::fs::read_dir(data())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the dialogues are missing");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let server = match first.split_once("archive: ") {
            Some((_, "words")) => &words_server,
            Some((_, "rfc")) => &rfc_server,
            _ => &server,
        };
        let client =
            if first.starts_with("# before login") { server.client().await } else { server.alice().await };
        if std::env::var_os("UPDATE_DIALOGUES").is_some() {
            std::fs::write(&file, update(client, &text).await).unwrap();
        } else {
            play(client, &text, &file).await;
        }
    }
    server.stopped().await;
    words_server.stopped().await;
    rfc_server.stopped().await;
}

async fn play(mut client: Client<TcpStream>, text: &str, file: &Path) {
    let mut unsent = String::new();
    for (n, line) in text.lines().enumerate() {
        let place = format!("{}:{}", file.display(), n + 1);
        if let Some(more) = line.strip_prefix("C+ ") {
            unsent += &format!("{more}\r\n");
        } else if let Some(last) = line.strip_prefix("C: ") {
            client.send(std::mem::take(&mut unsent) + last + "\r\n").await;
        } else if line == "S: (closed)" {
            assert_eq!(client.line().await, None, "{place}");
            return;
        } else if let Some(expected) = line.strip_prefix("S: ").or_else(|| (line == "S:").then_some("")) {
            let mut found = client.line().await.unwrap_or_else(|| panic!("{place}: closed"));
            while found.starts_with(IN_PROGRESS) {
                found = client.line().await.unwrap_or_else(|| panic!("{place}: closed"));
            }
            let same = match expected.split_once('…') {
                Some((start, end)) => {
                    found.len() >= start.len() + end.len() && found.starts_with(start) && found.ends_with(end)
                }
                None => found == expected,
            };
            assert!(same, "{place}\nexpected {expected:?}\nfound    {found:?}");
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{place}: {line}");
        }
    }
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"], "{}: there was more", file.display());
}

async fn update(mut client: Client<TcpStream>, text: &str) -> String {
    let mut out = String::new();
    let mut unsent = String::new();
    let mut tags = Vec::new();
    let mut literal = false;
    for line in text.lines().filter(|l| !l.starts_with("S:")) {
        out += &format!("{line}\n");
        let (more, last) = (line.strip_prefix("C+ "), line.strip_prefix("C: "));
        let Some(sent) = more.or(last) else { continue };
        unsent += &format!("{sent}\r\n");
        if !literal {
            tags.push(sent.split(' ').next().unwrap_or_default().to_owned());
        }
        literal |= sent.ends_with("+}");
        if more.is_some() || sent.ends_with("+}") {
            continue;
        }
        client.send(std::mem::take(&mut unsent)).await;
        while !tags.is_empty() {
            let Some(line) = client.line().await else {
                out += "S: (closed)\n";
                return out;
            };
            out += if line.is_empty() { "S:" } else { "S: " };
            out += &format!("{}\n", without_chance(&line));
            if tags.first().is_some_and(|t| {
                line.starts_with(&format!("{t} ")) || (line.starts_with("* BAD ") && t != "*")
            }) {
                tags.remove(0);
                literal = false;
            }
            if line.starts_with("+ ") {
                literal = true;
                break;
            }
        }
    }
    if text.ends_with("S: (closed)\n") {
        for line in client.rest().await {
            out += &format!("S: {line}\n");
        }
        out += "S: (closed)\n";
    }
    out
}

/// What differs from run to run or release to release is left open.
fn without_chance(line: &str) -> String {
    for word in ["UIDVALIDITY ", "\"version\" "] {
        if let Some((start, end)) = line.split_once(word) {
            let value = end.find([' ', ']', ')']).unwrap_or(end.len());
            return format!("{start}{word}\u{2026}{}", &end[value..]);
        }
    }
    line.to_owned()
}
