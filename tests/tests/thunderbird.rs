//! Thunderbird itself, without a screen: it logs in over TLS, shows the tree and a message, has every message's source, and searches
//! on the server. What it says is compared with what a raw client sees.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tests::imap::mutf7;
use tests::served::Served;
use tests::{Result, scripts, tools};

const MAILBOX: &str = "Sample/Lists/boatbuilders";
const NEEDLE: &str = "oakum";

/// The numbers in a list.
fn uids(value: &Value) -> Result<BTreeSet<u32>> {
    let list = value.as_array().context("a list")?;
    list.iter().map(|uid| Ok(u32::try_from(uid.as_u64().context("a number")?)?)).collect()
}

mod heavy {
    use super::*;

    #[test]
    fn thunderbird_shows_reads_and_searches() -> Result {
        let Some(thunderbird) = tools::need_tool("thunderbird")? else { return Ok(()) };
        if !scripts::need_module("marionette_driver")? {
            return Ok(());
        }
        let Some(mut command) = scripts::python("with_thunderbird.py")? else { return Ok(()) };
        let served = Served::open()?;
        let home = served.home()?;
        let bodies = served.bodies(MAILBOX)?;
        let (host, port) = (served.server.imaps.ip().to_string(), served.server.imaps.port().to_string());
        command.arg(thunderbird).arg(&home).args([&host, &port]);
        command.arg(served.archive.data().join("tls/cert.pem")).args(["alice", MAILBOX]);
        command.arg(bodies.len().to_string()).arg(NEEDLE);
        let said = scripts::run_with(command, &home, format!("{}\n", served.password()).as_bytes())?;
        let said: Value = serde_json::from_slice(&said)?;

        // The tree: all mailboxes, and the levels between them.
        let listed = said["folders"].as_array().context("folders")?;
        let listed: BTreeSet<&str> = listed.iter().filter_map(Value::as_str).collect();
        // With IMAP4rev2 and UTF8=ACCEPT names are UTF-8.
        let listed: BTreeSet<String> = listed
            .into_iter()
            .map(|name| if name.is_ascii() { name.to_owned() } else { mutf7(name) })
            .collect();
        for mailbox in served.mailboxes() {
            ensure!(listed.contains(&mailbox), "{mailbox} is not among {listed:?}");
        }
        ensure!(listed.contains("INBOX") && listed.contains("All Mail") && listed.contains("Sample/Lists"));
        ensure!(mutf7("Entwürfe") == "Entw&APw-rfe");
        // It offers neither to delete nor to file: it has asked for the rights.
        ensure!(
            said["writable"] == serde_json::json!({ "delete": false, "file": false }),
            "{}",
            said["writable"]
        );

        // Every message, byte for byte.
        let source = said["source"].as_object().context("source")?;
        let mut read = BTreeMap::new();
        for (uid, hash) in source {
            read.insert((MAILBOX.to_owned(), uid.parse()?), hash.as_str().context("a hash")?.to_owned());
        }
        let there: BTreeMap<_, _> = served
            .mail
            .iter()
            .filter(|((name, _), _)| name == MAILBOX)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        ensure!(read == there, "{} messages, {} in the archive, or other bytes", read.len(), there.len());
        let subjects = said["subjects"].as_array().context("subjects")?;
        ensure!(subjects.len() == bodies.len(), "{} of {} subjects", subjects.len(), bodies.len());

        // The message that the window shows has the text that the archive has.
        let (uid, text) = (&said["shown"][0], said["shown"][1].as_str().context("text")?);
        let uid = u32::try_from(uid.as_u64().context("UID")?)?;
        let body = String::from_utf8_lossy(bodies.get(&uid).context("the message")?).into_owned();
        let (_, body) = body.split_once("\r\n\r\n").context("a body")?;
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = body
            .lines()
            .filter(|line| !line.starts_with('>'))
            .map(squeezed)
            .max_by_key(String::len)
            .context("a line")?;
        ensure!(line.len() > 20 && squeezed(text).contains(&line), "{line:?} is not in {text:?}");

        // Search on the server, and the quick filter over what it has.
        let found: BTreeSet<u32> = served.search(MAILBOX, &format!("BODY {NEEDLE}"))?.into_iter().collect();
        ensure!(!found.is_empty() && uids(&said["found"])? == found, "{} is not {found:?}", said["found"]);
        let titled: BTreeSet<u32> =
            served.search(MAILBOX, &format!("SUBJECT {NEEDLE}"))?.into_iter().collect();
        ensure!(
            !titled.is_empty() && uids(&said["filtered"])? == titled,
            "{} is not {titled:?}",
            said["filtered"]
        );
        Ok(())
    }
}
