//! Logins by tokens of an issuer of our own making, over the real server: OAUTHBEARER and XOAUTH2, spoken by us and by curl.

use anyhow::{Context, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::process::Command;
use tests::imap::Imap;
use tests::{Archive, Result, tools};
use time::OffsetDateTime;

const ISSUER: &str = "https://login.example.org/realms/staff";

struct Issuer {
    pair: Ed25519KeyPair,
}

impl Issuer {
    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut claims = json!({
            "iss": ISSUER, "aud": ["mailkeep"], "email": "Alice@Example.org", "iat": now, "exp": now + 600,
        });
        change(&mut claims);
        let base64 = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
        let message = format!(
            "{}.{}",
            base64(json!({ "alg": "EdDSA", "kid": "k" }).to_string()),
            base64(claims.to_string())
        );
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes())))
    }
}

/// An archive with alice, whose issuer's keys lie in a file.
fn archive() -> Result<(Archive, Issuer)> {
    let archive = Archive::with_users(&["alice", "bob"])?;
    archive.run(["user", "address", "alice", "--add", "alice@example.org"])?.ok()?;
    let issuer = Issuer { pair: Ed25519KeyPair::generate().context("a key")? };
    let x = BASE64_URL_SAFE_NO_PAD.encode(issuer.pair.public_key());
    let jwks = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "use": "sig", "x": x }] });
    std::fs::write(archive.data().join("keys.json"), jwks.to_string())?;
    configure(
        &archive,
        &format!("issuer = \"{ISSUER}\"\naudiences = [\"mailkeep\"]\njwks = \"keys.json\"\n"),
    )?;
    Ok((archive, issuer))
}

fn configure(archive: &Archive, lines: &str) -> Result {
    let path = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&path)?;
    ensure!(text.contains("[auth.oauth]\n"), "the template has no section for it");
    let section = format!("[auth.oauth]\n{lines}");
    Ok(std::fs::write(&path, text.replacen("[auth.oauth]\n", &section, 1))?)
}

fn bearer(named: &str, token: &str) -> String {
    BASE64_STANDARD.encode(format!("n,{named},\x01host=localhost\x01port=143\x01auth=Bearer {token}\x01\x01"))
}

fn xoauth2(named: &str, token: &str) -> String {
    BASE64_STANDARD.encode(format!("user={named}\x01auth=Bearer {token}\x01\x01"))
}

#[test]
fn tokens_log_in_and_refusals_look_alike() -> Result {
    let (archive, issuer) = archive()?;
    let server = archive.serve()?;
    let good = issuer.token(|_| ());
    let mut imap = Imap::connect(server.imap)?;
    let (untagged, _) = imap.command("CAPABILITY")?;
    let list = String::from_utf8_lossy(&untagged.concat()).into_owned();
    ensure!(list.contains(" AUTH=OAUTHBEARER AUTH=XOAUTH2"), "{list}");
    // With the command, and on a line of its own; again and again until it expires.
    imap.ok(&format!("AUTHENTICATE OAUTHBEARER {}", bearer("a=alice@example.org", &good)))?;
    imap.ok("SELECT INBOX")?;
    let mut imap = Imap::connect(server.imap)?;
    let tag = imap.begin("AUTHENTICATE XOAUTH2")?;
    ensure!(imap.response()?.starts_with(b"+"));
    imap.send(format!("{}\r\n", xoauth2("alice", &good)).as_bytes())?;
    ensure!(imap.finish(&tag)?.1.starts_with("OK"));
    let mut imap = Imap::connect(server.imap)?;
    imap.ok(&format!("AUTHENTICATE OAUTHBEARER {}", bearer("", &good)))?;
    // A long one still fits a line.
    let long = issuer.token(|claims| claims["groups"] = "x".repeat(11_000).into());
    Imap::connect(server.imap)?.ok(&format!("AUTHENTICATE OAUTHBEARER {}", bearer("", &long)))?;

    let refused = [
        bearer("a=bob", &good),
        bearer("", &issuer.token(|claims| claims["email"] = "nobody@example.org".into())),
        bearer("", &issuer.token(|claims| claims["exp"] = 1_000.into())),
        bearer("", &issuer.token(|claims| claims["aud"] = "other".into())),
        bearer("", "eyJhbGciOiJub25lIn0.e30."),
    ];
    let mut told = Vec::new();
    for response in &refused {
        let mut imap = Imap::connect(server.imap)?;
        let tag = imap.begin(&format!("AUTHENTICATE OAUTHBEARER {response}"))?;
        let challenge = imap.response()?;
        let json =
            BASE64_STANDARD.decode(challenge.strip_prefix(b"+ ").context("a challenge")?.trim_ascii_end())?;
        let json: Value = serde_json::from_slice(&json)?;
        ensure!(json["status"] == "invalid_token", "{json}");
        ensure!(
            json["openid-configuration"] == format!("{ISSUER}/.well-known/openid-configuration"),
            "{json}"
        );
        // RFC 7628 §3.2.3: ^A, then the NO.
        imap.send(b"AQ==\r\n")?;
        told.push(imap.finish(&tag)?.1);
        // The connection is as good as before: a password still works.
        imap.ok(&format!("LOGIN alice \"{}\"", Archive::password("alice")))?;
    }
    ensure!(
        told.iter().all(|words| *words == told[0] && words.starts_with("NO [AUTHENTICATIONFAILED]")),
        "{told:?}"
    );
    let mut imap = Imap::connect(server.imap)?;
    ensure!(imap.command("AUTHENTICATE OAUTHBEARER AAAA")?.1.starts_with("BAD"));
    // A user without the right, and one who is let in by the token's audit line.
    archive.run(["user", "revoke", "alice", "--privilege", "imap"])?.ok()?;
    let mut imap = Imap::connect(server.imap)?;
    let tag = imap.begin(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2("alice@example.org", &good)))?;
    ensure!(imap.response()?.starts_with(b"+ "));
    imap.send(b"\r\n")?;
    ensure!(imap.finish(&tag)?.1.starts_with("NO [AUTHENTICATIONFAILED]"));
    ensure!(server.log()?.contains("another audience") && !server.log()?.contains(&good));
    ensure!(server.terminate()?.success());
    let log = archive.run(["audit", "list", "--kind", "login", "--json"])?.ok()?.text();
    ensure!(
        log.contains("imap.login OAUTHBEARER") && log.contains("\"refused\"") && !log.contains(&good[..20]),
        "{log}"
    );
    Ok(())
}

/// The server starts without the issuer, passwords count, and tokens have to come again later.
#[test]
fn an_issuer_that_is_away_stops_nobody_but_tokens() -> Result {
    let (archive, issuer) = archive()?;
    std::fs::remove_file(archive.data().join("keys.json"))?;
    let server = archive.serve()?;
    let response = bearer("", &issuer.token(|_| ()));
    let mut imap = Imap::connect(server.imap)?;
    let told = imap.command(&format!("AUTHENTICATE OAUTHBEARER {response}"))?.1;
    ensure!(told.starts_with("NO [UNAVAILABLE]"), "{told}");
    imap.ok(&format!("LOGIN alice \"{}\"", Archive::password("alice")))?;
    ensure!(server.log()?.contains("logins by tokens have to wait"), "{}", server.log()?);
    ensure!(server.terminate()?.success());
    Ok(())
}

#[test]
fn no_issuer_no_tokens() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let server = archive.serve()?;
    let mut imap = Imap::connect(server.imap)?;
    let (untagged, _) = imap.command("CAPABILITY")?;
    ensure!(!String::from_utf8_lossy(&untagged.concat()).contains("OAUTH"));
    ensure!(imap.command("AUTHENTICATE XOAUTH2 AAAA")?.1.starts_with("NO [CANNOT]"));
    Ok(())
}

#[test]
fn curl_logs_in_by_both_mechanisms() -> Result {
    let Some(curl) = tools::need_tool("curl")? else { return Ok(()) };
    let (archive, issuer) = archive()?;
    let server = archive.serve()?;
    let certificate = archive.data().join("tls/cert.pem");
    let run = |mechanism: &str, token: &str| {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--show-error", "--max-time", "60", "--user", "alice@example.org"]);
        command.args(["--login-options", &format!("AUTH={mechanism}"), "--oauth2-bearer", token]);
        command.arg("--cacert").arg(&certificate).arg(format!("imaps://{}/", server.imaps));
        command.output()
    };
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        let output = run(mechanism, &issuer.token(|_| ()))?;
        ensure!(output.status.success(), "{mechanism}: {}", String::from_utf8_lossy(&output.stderr));
        ensure!(String::from_utf8_lossy(&output.stdout).contains("INBOX"), "{mechanism}");
        let output =
            run(mechanism, &issuer.token(|claims| claims["iss"] = "https://evil.example.org".into()))?;
        // 67: "The user name, password, or similar was not accepted".
        ensure!(
            output.status.code() == Some(67),
            "{mechanism}: {:?} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
