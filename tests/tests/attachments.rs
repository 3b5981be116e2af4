//! Attachments' text from mbox to SEARCH with the real program: found, kept, told when it fails, erased.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tests::{Archive, Imap, Result, office};

/// An mbox of these messages.
fn mbox(archive: &Archive, name: &str, messages: &[Vec<u8>]) -> Result<PathBuf> {
    let mut all = Vec::new();
    for message in messages {
        all.extend_from_slice(b"From a@example.org Mon Nov  2 10:00:00 2026\n");
        all.extend_from_slice(message);
        all.push(b'\n');
    }
    let path = archive.scratch().join(name);
    std::fs::write(&path, all)?;
    Ok(path)
}

fn search(imap: &mut Imap, key: &str) -> Result<String> {
    let lines = imap.ok(&format!("UID SEARCH {key}"))?;
    let found = lines.iter().map(|line| String::from_utf8_lossy(line).trim().to_owned());
    let found = found.into_iter().find_map(|line| Some(line.strip_prefix("* SEARCH")?.trim().to_owned()));
    found.context("no answer")
}

fn failed(archive: &Archive) -> Result<Vec<Value>> {
    archive.run(["index", "status", "--failed", "--json"])?.ok()?.json()
}

fn configure(archive: &Archive, text: &str) -> Result {
    let path = archive.data().join("mailkeep.toml");
    let before = std::fs::read_to_string(&path)?.replace("[attachments]", "[attachments]\n#");
    std::fs::write(&path, before.replace("[attachments]\n#", &format!("[attachments]\n{text}\n#")))?;
    Ok(())
}

fn holders(dir: &Path, word: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in tests::mail::files(dir)? {
        if std::fs::read(&file)?.windows(word.len()).any(|at| at == word.as_bytes()) {
            found.push(file);
        }
    }
    Ok(found)
}

const OCTETS: &str = "application/octet-stream";
const PDF: &str = "application/pdf";
const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

#[test]
fn words_in_attachments_are_found_whatever_becomes_of_the_index() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let document = office::docx("Die Abschlussrechnung\nliegt bei")?;
    let zipped = office::zip(&[("inner/offer.pdf", &office::pdf("Quotation for turbines"))])?;
    let messages = [
        office::message("first", &[("letter.docx", DOCX, &document)]),
        office::message("second", &[("scan.pdf", PDF, &office::pdf("Invoice qpdfneedle 2026"))]),
        office::message("third", &[("all.zip", OCTETS, &zipped), ("same.docx", OCTETS, &document)]),
        office::message("fourth", &[]),
    ];
    let source = mbox(&archive, "mail.mbox", &messages)?;
    let run = archive.archive(&source, "alice/Inbox")?;
    ensure!(run["sums"]["archived"] == 4 && run["sums"]["failed"] == 0, "{run}");
    let ask = |archive: &Archive| -> Result {
        let server = archive.serve()?;
        let mut imap = Imap::login(server.imap, "alice")?;
        imap.examine("INBOX")?;
        for (key, expected) in [
            ("BODY abschlussrechnung", "1 3"),
            ("BODY schlussrech", "1 3"),
            ("TEXT \"abschlussrechnung liegt\"", "1 3"),
            ("BODY pdfneed", "2"),
            ("BODY \"quotation for turb\"", "3"),
            ("BODY offer.pdf", "3"),
            ("BODY turbines NOT BODY invoice", "3"),
            ("NOT BODY abschlussrechnung", "2 4"),
            ("SUBJECT abschlussrechnung", ""),
        ] {
            let found = search(&mut imap, key)?;
            ensure!(found == expected, "{key}: {found:?}, not {expected:?}");
        }
        ensure!(server.terminate()?.success());
        Ok(())
    };
    ask(&archive)?;
    let status = archive.run(["index", "status", "--json"])?.ok()?.json()?;
    ensure!(status[0]["attachments"]["text"] == 4 && status[0]["attachments"]["failed"] == 0, "{status:?}");
    ensure!(failed(&archive)?.is_empty());
    let store = archive.data().join("stores/0001");
    std::fs::remove_dir_all(store.join("index"))?;
    ask(&archive)?;
    std::fs::remove_file(store.join("index.texts"))?;
    ask(&archive)?;
    archive.run(["index", "rebuild", "--attachments"])?.ok()?;
    ask(&archive)?;
    archive.run(["verify"])?.ok()?;
    // What is erased leaves nothing.
    archive.run(["message", "delete", "alice/Inbox", "2", "--yes"])?.ok()?;
    ensure!(!holders(&store, "qpdfneedle")?.is_empty());
    archive.run(["store", "compact", "0001"])?.ok()?;
    ensure!(
        holders(&archive.data(), "qpdfneedle")?.is_empty(),
        "{:?}",
        holders(&archive.data(), "qpdfneedle")?
    );
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    imap.examine("INBOX")?;
    ensure!(search(&mut imap, "BODY pdfneed")?.is_empty() && search(&mut imap, "BODY schlussrech")? == "1 3");
    Ok(())
}

#[test]
fn what_can_not_be_read_costs_no_message_and_is_listed() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    configure(&archive, "max_inflated_bytes = 100000000\nmax_file_bytes = 2000000")?;
    let empty = b"<i></i>".repeat(150_000);
    let layer = office::zip(&[("a.html", &empty), ("b.html", &empty)])?;
    let names: Vec<String> = (0..100).map(|n| format!("{n}.zip")).collect();
    let layers: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &layer[..])).collect();
    let bomb = office::zip(&layers)?;
    let endless = office::xlsx("<c/>", 30_000_000)?;
    let large = vec![b'x'; 2_000_001];
    let good = office::docx("needle in a haystack")?;
    let messages = [
        office::message("bomb", &[("bomb.zip", OCTETS, &bomb)]),
        office::message("good", &[("good.docx", DOCX, &good)]),
        office::message("endless", &[("endless.xlsx", OCTETS, &endless)]),
        office::message("broken", &[("\u{1b}[31mred.pdf", PDF, b"%PDF-1.7 no more")]),
        office::message("large", &[("large.txt", OCTETS, &large)]),
        office::message("last", &[("last.rtf", "application/rtf", br"{\rtf1 last words}")]),
    ];
    let source = mbox(&archive, "mail.mbox", &messages)?;
    let run = archive.archive(&source, "alice/Inbox")?;
    ensure!(run["sums"]["archived"] == 6 && run["sums"]["failed"] == 0, "{run}");
    let list = failed(&archive)?;
    let rows: Vec<String> = list
        .iter()
        .map(|row| format!("{} {} {} {}", row["folder"], row["uid"], row["format"], row["reason"]))
        .collect();
    ensure!(rows.len() == 4, "{rows:?}");
    for (row, uid, format, why) in [
        (&rows[0], 1, "zip", "it inflates to more than 100000000 bytes"),
        (&rows[1], 3, "xlsx", "it inflates to more than 100000000 bytes"),
        (&rows[2], 4, "pdf", "PDF"),
        (&rows[3], 5, "plain", "it has more than 2000000 bytes"),
    ] {
        let begins = format!("\"alice/Inbox\" {uid} \"{format}\" ");
        ensure!(row.starts_with(&begins) && row.contains(why), "{row}");
    }
    ensure!(list[2]["fileName"] == "\u{1b}[31mred.pdf", "{}", list[2]);
    let shown = archive.run(["index", "status", "--failed"])?.ok()?.text();
    ensure!(shown.contains("red.pdf") && !shown.contains('\u{1b}'), "{shown:?}");
    let status = archive.run(["index", "status", "--json"])?.ok()?.json()?;
    ensure!(status[0]["attachments"]["failed"] == 4 && status[0]["attachments"]["text"] == 2, "{status:?}");
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    imap.examine("INBOX")?;
    ensure!(search(&mut imap, "BODY haystack")? == "2" && search(&mut imap, "BODY \"last words\"")? == "6");
    ensure!(search(&mut imap, "ALL")? == "1 2 3 4 5 6");
    Ok(())
}

#[test]
fn types_are_a_setting_that_changes_nothing_of_what_was_read() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let message = |n: u32| {
        let pdf = office::pdf(&format!("pdfwords {n}"));
        office::message(&format!("m{n}"), &[("a.pdf", PDF, &pdf), ("b.rtf", OCTETS, br"{\rtf1 rtfwords}")])
    };
    let ask = |archive: &Archive| -> Result<(String, String)> {
        let server = archive.serve()?;
        let mut imap = Imap::login(server.imap, "alice")?;
        imap.examine("INBOX")?;
        Ok((search(&mut imap, "BODY pdfword")?, search(&mut imap, "BODY rtfword")?))
    };
    configure(&archive, "types = [\"rtf\"]")?;
    archive.archive(&mbox(&archive, "one.mbox", &[message(1)])?, "alice/Inbox")?;
    ensure!(ask(&archive)? == (String::new(), "1".to_owned()));
    let path = archive.data().join("mailkeep.toml");
    let conf = std::fs::read_to_string(&path)?;
    std::fs::write(&path, conf.replace("types = [\"rtf\"]", "types = [\"pdf\"]"))?;
    archive.archive(&mbox(&archive, "two.mbox", &[message(2)])?, "alice/Inbox")?;
    ensure!(ask(&archive)? == ("2".to_owned(), "1 2".to_owned()), "equal files are read once");
    let status = archive.run(["index", "status", "--json"])?.ok()?.json()?;
    ensure!(status[0]["attachments"]["off"] == 1 && status[0]["attachments"]["text"] == 3, "{status:?}");
    archive.run(["index", "rebuild", "--attachments"])?.ok()?;
    ensure!(ask(&archive)? == ("1 2".to_owned(), String::new()));
    std::fs::write(&path, conf.replace("types = [\"rtf\"]", "types = [\"tiff\"]"))?;
    let refused = archive.run(["index", "status"])?;
    ensure!(
        refused.code() == 1 && refused.stderr.contains("\"tiff\" is none of pdf, "),
        "{}",
        refused.stderr
    );
    Ok(())
}
