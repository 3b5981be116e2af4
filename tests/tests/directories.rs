//! Users from real directories: OpenLDAP's slapd, a Samba domain controller, MDaemon's list beside an IMAP server.
//!
//! The oracle is what was put into the directory. What no honest server does is in `auth/src/directory`.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;
use tests::slapd::{READER, Slapd};
use tests::tools::need_corpus;
use tests::{Archive, Imap, MailServer};

const SUFFIX: &str = "dc=example,dc=org";

/// Runs `directory …` and gives its rows.
fn directory(archive: &Archive, arguments: &[&str], input: &str) -> tests::Result<Vec<Value>> {
    let all = [&["directory"], arguments, &["--json"]].concat();
    archive.run_with(all, format!("{input}\n").as_bytes())?.ok()?.json()
}

/// Synchronises; what happened, by user.
fn sync(archive: &Archive, arguments: &[&str]) -> tests::Result<BTreeMap<String, String>> {
    let rows = directory(archive, &[&["sync"], arguments].concat(), "")?;
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    Ok(rows.iter().map(|row| (text(row, "name"), text(row, "action"))).collect())
}

fn pairs(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|&(name, action)| (name.to_owned(), action.to_owned())).collect()
}

/// Whether a login by the directory goes well.
fn logs_in(archive: &Archive, name: &str, password: &str) -> tests::Result<bool> {
    let arguments = ["directory", "test", "--try", name, "--password-stdin", "--json"];
    let rows = archive.run_with(arguments, format!("{password}\n").as_bytes())?.json()?;
    let login = rows.iter().find(|row| row["step"] == "login").context("no login was tried")?;
    Ok(login["ok"] == true)
}

fn user(archive: &Archive, name: &str) -> tests::Result<Value> {
    archive.run(["user", "show", name, "--json"])?.ok()?.json()?.into_iter().next().context("no such user")
}

/// The answer to a login over IMAP.
fn imap_login(server: &tests::Server, name: &str, password: &str) -> tests::Result<String> {
    Ok(Imap::connect(server.imap)?.command(&format!("LOGIN {name} \"{password}\""))?.1)
}

fn person(uid: &str) -> String {
    format!(
        "dn: uid={uid},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: Person {uid}\nsn: {uid}\n\
         mail: {uid}@example.org\nmail: {uid}.second@example.org\nuserPassword: {uid}'s password\n\n"
    )
}

/// So many people; groups inside groups and in a circle: every hundredth is in `tax`, which is in `legal`, which is in `tax`.
fn generated(people: usize) -> String {
    let mut ldif = format!("dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n");
    for n in 0..people {
        ldif.push_str(&person(&format!("u{n:05}")));
    }
    let dn = |uid: &str| format!("uid={uid},ou=people,{SUFFIX}");
    ldif.push_str(&format!(
        "dn: cn=tax,{SUFFIX}\nobjectClass: groupOfNames\ncn: tax\nmember: CN=Legal, {SUFFIX}\n"
    ));
    for n in (0..people).step_by(100) {
        ldif.push_str(&format!("member: {}\n", dn(&format!("u{n:05}"))));
    }
    ldif.push_str(&format!("\ndn: cn=legal,{SUFFIX}\nobjectClass: groupOfNames\ncn: legal\nmember: cn=tax,{SUFFIX}\nmember: {}\n\n", dn("u00001")));
    ldif
}

fn settings(archive: &Archive, slapd: &Slapd, base: &str, more: &[&str]) -> tests::Result {
    let (url, reader) = (format!("ldaps://{}", slapd.ldaps), slapd.reader());
    let ca = slapd.ca();
    let ca = ca.to_str().context("path")?;
    let base = [
        "set",
        "--kind",
        "ldap",
        "--server",
        &url,
        "--ca",
        ca,
        "--base",
        base,
        "--bind-dn",
        &reader,
        "--password-stdin",
        "--retry-secs",
        "0",
    ];
    directory(archive, &[&base[..], more].concat(), READER.1)?;
    Ok(())
}

#[test]
fn five_thousand_people() -> tests::Result {
    let Some(slapd) = Slapd::with("five thousand people", SUFFIX, &generated(5_000))? else { return Ok(()) };
    let archive = Archive::new()?;
    settings(&archive, &slapd, SUFFIX, &[])?;
    let begun = Instant::now();
    let first = sync(&archive, &[])?;
    let after_first = begun.elapsed();
    ensure!(first.len() == 5_000 && first.values().all(|action| action == "created"), "{} rows", first.len());
    let again = Instant::now();
    ensure!(sync(&archive, &[])?.is_empty(), "a second run changed something");
    println!("5,000 people: first run {after_first:?}, second {:?}", again.elapsed());
    let one = user(&archive, "u00100")?;
    assert_eq!(one["groups"], serde_json::json!(["legal", "tax"]));
    assert_eq!(one["addresses"], serde_json::json!(["u00100@example.org", "u00100.second@example.org"]));
    assert_eq!((&one["mode"], &one["fullName"]), (&"directory".into(), &"Person u00100".into()));
    // Only a group's members stay; that is more than half, which must be meant.
    directory(&archive, &["set", "--group", "legal", "--gone", "remove"], "")?;
    let dry = sync(&archive, &["--dry-run"])?;
    let refused = archive.run(["directory", "sync"])?;
    ensure!(refused.code() == 1 && refused.stderr.contains("--accept-loss"), "{}", refused.stderr);
    assert_eq!(dry, sync(&archive, &["--accept-loss"])?);
    ensure!(dry.len() == 4_949 && dry.values().all(|action| action == "removed"), "{} rows", dry.len());
    ensure!(user(&archive, "u00001").is_ok() && user(&archive, "u00002").is_err(), "the wrong ones went");
    Ok(())
}

#[test]
fn logins_are_asked_of_the_directory() -> tests::Result {
    let Some(mut slapd) = Slapd::with("logins by LDAP", SUFFIX, &generated(5))? else { return Ok(()) };
    let archive = Archive::with_users(&["own"])?;
    settings(&archive, &slapd, SUFFIX, &[])?;
    // The first server is away.
    let dead = format!("ldaps://{}", tests::program::free_port()?);
    let live = format!("ldaps://{}", slapd.ldaps);
    directory(
        &archive,
        &["set", "--server", &dead, "--server", &live, "--bind-dn", &slapd.reader(), "--password-stdin"],
        READER.1,
    )?;
    sync(&archive, &[])?;
    for (name, password, right) in [
        ("u00001", "u00001's password", true),
        ("u00001", "u00002's password", false),
        ("u00001", " ", false),
        ("own", "own's password", false),
        ("*", "u00001's password", false),
        ("u00001)(uid=*", "u00001's password", false),
    ] {
        assert_eq!(logs_in(&archive, name, password)?, right, "{name} {password}");
    }
    let server = archive.serve()?;
    let good = |answer: &str| answer.starts_with("OK");
    ensure!(good(&imap_login(&server, "u00002", "u00002's password")?), "the first login");
    for (name, password) in [
        ("u00002", "wrong"),
        ("u00002", ""),
        ("nobody", "u00002's password"),
        ("\"*)(uid=u00002\"", "u00002's password"),
    ] {
        let answer = imap_login(&server, name, password)?;
        ensure!(answer.starts_with("NO [AUTHENTICATIONFAILED]"), "{name}: {answer}");
    }
    // What was right a moment ago is believed for its time; all else needs the directory.
    slapd.kill()?;
    let answer = imap_login(&server, "u00003", "u00003's password")?;
    ensure!(answer.starts_with("NO [UNAVAILABLE]") && answer.contains("directory"), "{answer}");
    ensure!(
        good(&imap_login(&server, "own", "own's password")?),
        "a password that is kept here needs no directory"
    );
    slapd.restart()?;
    ensure!(good(&imap_login(&server, "u00003", "u00003's password")?), "after the restart");
    // A new password counts at once for who wasn't remembered, and one who is gone is remembered no longer.
    slapd.modify(&format!("dn: uid=u00004,ou=people,{SUFFIX}\nchangetype: modify\nreplace: userPassword\nuserPassword: a new one\n"))?;
    ensure!(!good(&imap_login(&server, "u00004", "u00004's password")?), "the old password");
    ensure!(good(&imap_login(&server, "u00004", "a new one")?), "the new password");
    slapd.modify(&format!("dn: uid=u00003,ou=people,{SUFFIX}\nchangetype: delete\n"))?;
    directory(&archive, &["set", "--gone", "disable"], "")?;
    assert_eq!(sync(&archive, &[])?, pairs(&[("u00003", "disabled")]));
    ensure!(!good(&imap_login(&server, "u00003", "u00003's password")?), "one who is gone");
    let audit = archive.run(["audit"])?.ok()?.text();
    ensure!(audit.contains("directory.sync") && !audit.contains(READER.1), "{audit}");
    ensure!(!server.log()?.contains("'s password"), "a password is in the log");
    Ok(())
}

#[test]
fn protected_in_each_way() -> tests::Result {
    let Some(slapd) = Slapd::with("TLS and StartTLS", SUFFIX, &generated(3))? else { return Ok(()) };
    let archive = Archive::new()?;
    let (plain, tls) = (format!("ldap://{}", slapd.ldap), format!("ldaps://{}", slapd.ldaps));
    for (more, well) in [
        (vec!["--server", tls.as_str()], true),
        (vec!["--server", plain.as_str()], true),
        (vec!["--server", plain.as_str(), "--starttls", "false", "--system-trust"], true),
        (vec!["--server", tls.as_str(), "--system-trust"], false),
        (vec!["--server", tls.as_str(), "--fingerprint", &"00".repeat(32)], false),
    ] {
        let reader = slapd.reader();
        let ca = slapd.ca();
        let mut all = vec!["directory", "set", "--base", SUFFIX, "--bind-dn", &reader, "--password-stdin"];
        if !more.iter().any(|word| word.ends_with("trust") || word.ends_with("fingerprint")) {
            all.extend(["--ca", ca.to_str().context("path")?]);
        }
        all.extend(&more);
        archive.run_with(all, format!("{}\n", READER.1).as_bytes())?.ok()?;
        let tested = archive.run(["directory", "test", "--json"])?;
        assert_eq!(tested.status.success(), well, "{more:?}: {}", tested.text());
        ensure!(tested.text().contains("3 entries") == well, "{more:?}: {}", tested.text());
    }
    let refused = archive.run_with(
        ["directory", "set", "--server", "ldap://192.0.2.1", "--starttls", "false", "--password-stdin"],
        b"x\n",
    )?;
    ensure!(refused.code() != 0 && refused.stderr.contains("without TLS"), "{}", refused.stderr);
    // Other servers don't get the password that was kept for these.
    let refused = archive.run(["directory", "set", "--server", "ldaps://192.0.2.1"])?;
    ensure!(refused.stderr.contains("given anew"), "{}", refused.stderr);
    Ok(())
}

/// The LDIF of a public test directory, with groups of an own class.
#[test]
fn planet_express() -> tests::Result {
    let Some(ldif) = need_corpus("ldif/rroemhild-openldap/data")? else { return Ok(()) };
    let mut names: Vec<_> =
        fs::read_dir(&ldif)?.map(|entry| Ok(entry?.path())).collect::<tests::Result<_>>()?;
    names.sort();
    let all: Vec<String> = names.iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
    let Some(slapd) = Slapd::with("Planet Express", "dc=planetexpress,dc=com", &all.join("\n\n"))? else {
        return Ok(());
    };
    let archive = Archive::new()?;
    settings(&archive, &slapd, "dc=planetexpress,dc=com", &["--group", "ship_crew"])?;
    assert_eq!(
        sync(&archive, &[])?,
        pairs(&[("fry", "created"), ("bender", "created"), ("leela", "created")])
    );
    assert_eq!(user(&archive, "fry")?["groups"], serde_json::json!(["ship_crew"]));
    directory(&archive, &["set", "--group", ""], "")?;
    let rest = sync(&archive, &[])?;
    ensure!(rest.get("professor").is_some_and(|action| action == "created"), "{rest:?}");
    ensure!(logs_in(&archive, "fry", "fry")? && !logs_in(&archive, "fry", "leela")?, "Fry's password");
    Ok(())
}

#[test]
fn a_list_of_mdaemon_and_an_imap_server() -> tests::Result {
    let Some(mail) =
        MailServer::with_users("logins by IMAP", &["akeller@contoso.example", "bnovak@contoso.example"])?
    else {
        return Ok(());
    };
    let archive = Archive::new()?;
    let list = archive.scratch().join("USERLIST.DAT");
    let line = |mailbox: &str, flags: &str| {
        format!(
            "{:<45}{mailbox:<30}{:<30}{:<90}{:<20}{flags:<10}{:>4}{:>6}\r\n",
            "contoso.example", "Full Name", "C:\\", "x", 0, 0
        )
    };
    fs::write(
        &list,
        line("akeller", "YNYNNNNNNN") + &line("bnovak", "YNINNNNNNN") + &line("gone", "YNCNNNNNNN"),
    )?;
    let url = format!("imap://{}", mail.imap);
    let list = list.to_str().context("path")?;
    directory(
        &archive,
        &[
            "set",
            "--kind",
            "mdaemon",
            "--userlist",
            list,
            "--server",
            &url,
            "--starttls",
            "false",
            "--login-as",
            "address",
        ],
        "",
    )?;
    assert_eq!(sync(&archive, &[])?, pairs(&[("akeller", "created"), ("bnovak", "created")]));
    ensure!(logs_in(&archive, "akeller", "akeller@contoso.example's password")?, "the right password");
    ensure!(!logs_in(&archive, "akeller", "bnovak@contoso.example's password")?, "another one's password");
    Ok(())
}

#[test]
fn the_list_of_mdaemon_in_the_corpus() -> tests::Result {
    let Some(folder) = need_corpus("mdaemon/synthetic-public")? else { return Ok(()) };
    let truth: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("USERLIST.truth.json"))?)?;
    let archive = Archive::new()?;
    let list = folder.join("USERLIST.DAT");
    let list: &Path = &list;
    directory(
        &archive,
        &[
            "set",
            "--kind",
            "mdaemon",
            "--userlist",
            list.to_str().context("path")?,
            "--name-attribute",
            "address",
        ],
        "",
    )?;
    let made = sync(&archive, &[])?;
    let enabled: Vec<&Value> = truth.iter().filter(|one| one["disabled"] == false).collect();
    assert_eq!(made.len(), enabled.len(), "{made:?}");
    for one in enabled {
        let name = one["email"].as_str().context("an address")?;
        assert_eq!(user(&archive, name)?["fullName"], one["full_name"], "{name}");
    }
    Ok(())
}

/// What takes long.
mod heavy {
    use super::*;
    use tests::samba::{ADMINISTRATOR, BASE, Samba, unicode_password};

    fn account(name: &str, more: &str) -> String {
        format!(
            "dn: CN=Person {name},CN=Users,{BASE}\nchangetype: add\nobjectClass: user\nsAMAccountName: {name}\ndisplayName: Person {name}\n\
             userPrincipalName: {name}@ad.example.test\nunicodePwd:: {}\n{more}\n",
            unicode_password(&format!("Pass-word.{name}"))
        )
    }

    /// One domain for all of it, since making one takes its time.
    #[test]
    fn active_directory() -> tests::Result {
        let Some(mut samba) = Samba::start("Active Directory")? else { return Ok(()) };
        let enabled = "userAccountControl: 512\n";
        let mail = "proxyAddresses: smtp:old@example.test\nproxyAddresses: SMTP:Anna.Keller@example.test\nmail: anna.keller@example.test\n";
        samba.modify(
            &[
                account("akeller", &format!("{enabled}{mail}")),
                account("bob", enabled),
                account("off", "userAccountControl: 514\n"),
                account("outside", enabled),
            ]
            .join("\n"),
        )?;
        let group = |name: &str, members: &[String]| {
            let members: String = members.iter().map(|member| format!("member: {member}\n")).collect();
            format!(
                "dn: CN={name},CN=Users,{BASE}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\n{members}\n"
            )
        };
        let dn = |name: &str| format!("CN={name},CN=Users,{BASE}");
        samba.modify(&group("Inner", &[dn("Person akeller"), dn("Person off")]))?;
        samba.modify(&group("Outer", &[dn("Inner"), dn("Person bob")]))?;

        let archive = Archive::new()?;
        let (url, fingerprint) = (format!("ldaps://{}", samba.address), samba.fingerprint()?);
        directory(
            &archive,
            &[
                "set",
                "--kind",
                "active-directory",
                "--server",
                &url,
                "--fingerprint",
                &fingerprint,
                "--base",
                BASE,
                "--bind-dn",
                ADMINISTRATOR.0,
                "--password-stdin",
                "--retry-secs",
                "0",
                "--group",
                "outer",
                "--gone",
                "remove",
            ],
            ADMINISTRATOR.1,
        )?;
        assert_eq!(sync(&archive, &[])?, pairs(&[("akeller", "created"), ("bob", "created")]));
        let anna = user(&archive, "akeller")?;
        assert_eq!(anna["groups"], serde_json::json!(["Inner", "Outer"]));
        assert_eq!(anna["addresses"], serde_json::json!(["anna.keller@example.test", "old@example.test"]));
        assert_eq!(anna["aliases"], serde_json::json!(["akeller@ad.example.test"]));
        ensure!(sync(&archive, &[])?.is_empty(), "a second run changed something");
        ensure!(logs_in(&archive, "akeller", "Pass-word.akeller")?, "the right password");
        ensure!(!logs_in(&archive, "akeller", "Pass-word.bob")?, "another one's password");

        let server = archive.serve()?;
        samba.kill()?;
        let answer = imap_login(&server, "bob", "Pass-word.bob")?;
        ensure!(answer.starts_with("NO [UNAVAILABLE]"), "{answer}");
        let refused = archive.run(["directory", "sync"])?;
        ensure!(refused.code() == 1 && refused.stderr.contains("can't be reached"), "{}", refused.stderr);
        samba.restart()?;
        let answer = imap_login(&server, "bob", "Pass-word.bob")?;
        ensure!(answer.starts_with("OK"), "{answer}");

        // Renamed, with a new password; disabled; out of the group.
        let change = |name: &str, what: &str| format!("dn: {}\nchangetype: modify\n{what}\n", dn(name));
        let password = unicode_password("Changed.Pass-2");
        samba.modify(&change("Person akeller", &format!("replace: sAMAccountName\nsAMAccountName: anna\n-\nreplace: unicodePwd\nunicodePwd:: {password}\n")))?;
        samba.modify(&format!(
            "dn: {}\nchangetype: modrdn\nnewrdn: CN=Anna K\ndeleteoldrdn: 1\n",
            dn("Person akeller")
        ))?;
        assert_eq!(sync(&archive, &[])?, pairs(&[("anna", "renamed")]));
        ensure!(logs_in(&archive, "anna", "Changed.Pass-2")?, "the new name and password");
        samba.modify(&change("Person bob", "replace: userAccountControl\nuserAccountControl: 514\n"))?;
        assert_eq!(sync(&archive, &[])?, pairs(&[("bob", "disabled")]));
        let answer = imap_login(&server, "bob", "Pass-word.bob")?;
        ensure!(answer.starts_with("NO [AUTHENTICATIONFAILED]"), "{answer}");
        samba.modify(&change("Person bob", "replace: userAccountControl\nuserAccountControl: 512\n"))?;
        assert_eq!(sync(&archive, &[])?, pairs(&[("bob", "enabled")]));
        samba.modify(&format!("dn: {}\nchangetype: delete\n", dn("Person bob")))?;
        assert_eq!(sync(&archive, &[])?, pairs(&[("bob", "removed")]));
        Ok(())
    }
}
