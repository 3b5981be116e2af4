//! ESEARCH over several mailboxes (RFC 7377): the same as searching each, and nothing of what may not be read.

use crate::common::{PASSWORD, World, open};
use storage::SourceFlags;

fn fill(world: &World, folder: &str, numbers: impl Iterator<Item = usize>) {
    let flags = |n: usize| SourceFlags { flagged: n.is_multiple_of(3), ..SourceFlags::default() };
    let mails: Vec<(Vec<u8>, SourceFlags)> = numbers
        .map(|n| (format!("Subject: number {n}\r\n\r\nbody{} of it\r\n", n % 5).into_bytes(), flags(n)))
        .collect();
    let list: Vec<(&[u8], SourceFlags)> =
        mails.iter().map(|(mail, flags)| (mail.as_slice(), *flags)).collect();
    world.add(folder, &list);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_mailboxes_give_what_each_gives_alone() {
    let world = World::new();
    for n in 0..40 {
        fill(&world, &format!("alice/f{:02}/g", n % 20 + 20 * (n / 20)), n..n + 7);
    }
    world.storage.create_store(None, None).unwrap();
    for n in 0..10 {
        fill(&world, &format!("alice/f{n:02}/g"), 100 + n..104 + n);
    }
    fill(&world, "bob/x", 0..9);
    fill(&world, "carol/secret", 0..9);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    for search in [
        "ALL",
        "SUBJECT \"number 1\"",
        "BODY body3 NOT FLAGGED",
        "OR FLAGGED TEXT \"r 5\"",
        "2:3",
        "UID 5:*",
        "NOT UID 1,3 BODY ody2",
        "TEXT \"no such words\"",
    ] {
        let together = client.ok(&format!("ESEARCH IN (subscribed) {search}")).await;
        let mut alone = Vec::new();
        let mut names: Vec<String> = (0..40).map(|n| format!("f{n:02}/g")).collect();
        names.push("Other Archives/bob/x".into());
        names.sort();
        for name in names {
            let selected = client.ok(&format!("EXAMINE \"{name}\"")).await.join("\n");
            let validity =
                selected.split("[UIDVALIDITY ").nth(1).unwrap().split(']').next().unwrap().to_owned();
            let found = client.ok(&format!("UID SEARCH RETURN (ALL) {search}")).await.join("");
            if let Some((_, set)) = found.split_once(" ALL ") {
                alone.push((name, validity, set.to_owned()));
            }
        }
        let told: Vec<(String, String, String)> = together
            .iter()
            .map(|line| {
                let (head, set) = line.split_once(") UID ALL ").unwrap_or_else(|| panic!("{line}"));
                let (name, validity) =
                    head.split_once(" MAILBOX ").unwrap().1.rsplit_once(" UIDVALIDITY ").unwrap();
                (name.trim_matches('"').to_owned(), validity.to_owned(), set.to_owned())
            })
            .collect();
        assert_eq!(told, alone, "{search}");
        assert!(!together.join("").contains("secret"), "carol's archive leaves no trace");
    }
    // A right that is taken away counts at once.
    world.auth.set_right("alice", "bob", None).unwrap();
    let told =
        client.ok("ESEARCH IN (subtree \"Other Archives\" mailboxes \"Other Archives/bob/x\") ALL").await;
    assert_eq!(told, Vec::<String>::new());
    // All Mail repeats the others: only where it is named.
    assert!(!client.ok("ESEARCH IN (personal subscribed) ALL").await.join("").contains("All Mail"));
    assert_eq!(client.ok("ESEARCH IN (mailboxes \"All Mail\") RETURN (COUNT) ALL").await.len(), 1);
    let mut before = server.client().await;
    assert_eq!(before.run("ESEARCH IN (personal) ALL").await, ["BAD Log in first"]);
    before.ok(&format!("LOGIN carol \"{PASSWORD}\"")).await;
    assert_eq!(before.ok("ESEARCH IN (personal) RETURN (COUNT) ALL").await.len(), 1);
    server.stopped().await;
}
