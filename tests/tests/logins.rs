//! What fail2ban reads of the log of the real program.

use std::fs;
use std::process::Command;
use tests::tools::need_tool;

const LINES: [(&str, bool); 9] = [
    (
        r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from=192.0.2.7 how="PLAIN" user="alice" why="wrong password""#,
        true,
    ),
    (
        r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from=2001:db8::7 how="SCRAM-SHA-256" user="(unknown)" why="unknown user""#,
        true,
    ),
    (
        r#"{"timestamp":"2026-11-30T23:33:24.123456Z","level":"WARN","message":"login failed","from":"192.0.2.7","how":"LOGIN","user":"alice","why":"wrong password","target":"mailkeep::login"}"#,
        true,
    ),
    (
        r#"Nov 30 23:33:24 host mailkeep[77]: 2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from=192.0.2.9 how="PLAIN" user="alice" why="wrong password""#,
        true,
    ),
    (
        r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login failed from="here" how="command" user="alice" why="wrong password""#,
        false,
    ),
    (
        r#"2026-11-30T23:33:24.123456Z  INFO imapd: session ended user="x login failed from=192.0.2.8 how=" ip=192.0.2.7"#,
        false,
    ),
    (r#"2026-11-30T23:33:24.123456Z  WARN mailkeep::login: login refused from=192.0.2.7 how="PLAIN""#, false),
    (
        r#"2026-11-30T23:33:24.123456Z DEBUG auth::login: logged in user="alice" from=Some(192.0.2.7) how="PLAIN""#,
        false,
    ),
    (r#"2026-11-30T23:33:24.123456Z  INFO mailkeep: ended"#, false),
];

#[test]
fn fail2ban_finds_failed_logins_and_nothing_else() {
    let Some(tool) = need_tool("fail2ban-regex").unwrap() else { return };
    let dir = tempfile::tempdir().unwrap();
    let filter = dir.path().join("mailkeep.conf");
    let printed =
        Command::new(tests::program::binary().unwrap()).args(["unit", "fail2ban-filter"]).output().unwrap();
    fs::write(&filter, printed.stdout).unwrap();
    for (line, found) in LINES {
        let log = dir.path().join("log");
        fs::write(&log, format!("{line}\n")).unwrap();
        let out = Command::new(&tool).arg(&log).arg(&filter).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let expected = if found { "1 matched" } else { "0 matched" };
        assert!(text.contains(expected), "{line}\n{text}");
    }
}
