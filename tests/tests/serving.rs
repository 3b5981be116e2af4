//! The server as its administrator meets it: certificates that change, metrics and health, traces, the log, and a machine that
//! runs out of descriptors.

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::mail::example_tree;
use tests::pages::{get, page, set};
use tests::program::{PATIENCE, Server};
use tests::tools::{need_tool, skip};
use tests::{Archive, Imap, Result};

/// Starts the server on free ports; gives it and the address of its metrics, if it has one.
fn serve(archive: &Archive, shell: Option<&str>) -> Result<(Server, Option<SocketAddr>)> {
    let arguments = ["serve", "--imap", "127.0.0.1:0", "--imaps", "127.0.0.1:0"];
    let mut command = archive.command(arguments);
    if let Some(first) = shell {
        let mut within = Command::new("sh");
        within
            .arg("-c")
            .arg(format!("{first}; exec \"$0\" \"$@\""))
            .arg(command.get_program())
            .args(command.get_args());
        within.env_remove("MAILKEEP_DATA").env_remove("RUST_LOG").stdin(Stdio::null());
        command = within;
    }
    let none = "127.0.0.1:0".parse()?;
    let log = archive.scratch().join("serve.log");
    let (mut server, lines) = Server::start(command, &log, none, none)
        .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    let address = |name: &str| {
        lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<SocketAddr>().ok())
    };
    server.imap = address("imap").context("the plain address")?;
    server.imaps = address("imaps").context("the TLS address")?;
    Ok((server, address("metrics")))
}

/// Waits until something is so; only a fault makes it wait for long.
fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result {
    let begun = Instant::now();
    while !so()? {
        ensure!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn signal(server: &Server, signal: Signal) -> Result {
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).context("process id")?;
    kill_process(pid, signal)?;
    Ok(())
}

/// What `openssl s_client` says: all of it, and whether it got a connection.
fn s_client(openssl: &Path, to: SocketAddr, arguments: &[&str]) -> Result<(String, bool)> {
    let mut child = Command::new(openssl)
        .args(["s_client", "-connect", &to.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A client that got no connection has gone.
        stdin.write_all(b"a LOGOUT\r\n").ok();
    }
    let output = child.wait_with_output()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((text, output.status.success()))
}

fn new_certificate(openssl: &Path, dir: &Path, days: &str) -> Result {
    let made = Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            days,
        ])
        .args(["-subj", "/CN=renewed", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir)
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

#[test]
fn certificates_are_read_again_and_connections_stay() -> Result {
    let Some(openssl) = need_tool("openssl")? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let (server, _) = serve(&archive, None)?;
    let mut there = Imap::login(server.imap, "alice")?;
    let shown = |server: &Server| s_client(&openssl, server.imaps, &["-showcerts"]).map(|(text, _)| text);
    ensure!(shown(&server)?.contains("mailkeep, self-signed"));
    new_certificate(&openssl, &archive.data().join("tls"), "10")?;
    ensure!(shown(&server)?.contains("mailkeep, self-signed"), "a file alone changes nothing");
    signal(&server, Signal::HUP)?;
    until("the new certificate", || {
        Ok(shown(&server)?.contains("CN = renewed") || shown(&server)?.contains("CN=renewed"))
    })?;
    ensure!(server.log()?.contains("the certificate expires soon"), "{}", server.log()?);
    // One that can't be used: the old one stays, and it is said.
    std::fs::write(archive.data().join("tls/cert.pem"), "no certificate")?;
    let refused = archive.run(["tls", "reload"])?;
    ensure!(
        refused.code() == 1 && refused.stderr.contains("the old certificate stays in use"),
        "{}",
        refused.stderr
    );
    ensure!(shown(&server)?.contains("renewed"));
    signal(&server, Signal::HUP)?;
    until("the log", || Ok(server.log()?.matches("the old ones stay in use").count() == 2))?;
    new_certificate(&openssl, &archive.data().join("tls"), "400")?;
    let told = archive.run(["tls", "reload"])?.ok()?.text();
    ensure!(told.starts_with("The certificate is in use; it expires 20"), "{told}");
    there.ok("NOOP")?;
    ensure!(server.terminate()?.success());
    let without = archive.run(["tls", "reload"])?;
    ensure!(without.code() == 2 && without.stderr.contains("no server runs"), "{}", without.stderr);
    Ok(())
}

#[test]
fn only_tls_1_2_and_1_3_and_sessions_resume() -> Result {
    let Some(openssl) = need_tool("openssl")? else { return Ok(()) };
    let archive = Archive::new()?;
    let (server, _) = serve(&archive, None)?;
    for (version, goes) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        // With the client's own rules as loose as they get, so that it is the server that refuses.
        let (text, ok) =
            s_client(&openssl, server.imaps, &[version, "-cipher", "ALL:@SECLEVEL=0", "-ign_eof"])?;
        ensure!(ok == goes && text.contains("* OK [CAPABILITY") == goes, "{version}: {text}");
    }
    let session = archive.scratch().join("session");
    let session = session.to_str().context("a path")?;
    for (version, way, mark) in
        [("-tls1_2", "-sess_out", "New, TLSv1.2"), ("-tls1_2", "-sess_in", "Reused, TLSv1.2")]
    {
        let (text, _) = s_client(&openssl, server.imaps, &[version, "-ign_eof", way, session])?;
        ensure!(text.contains(mark), "{mark}: {text}");
    }
    ensure!(server.terminate()?.success());
    Ok(())
}

/// The samples of a page, after its form has been checked against what Prometheus asks of it (text format 0.0.4): HELP and TYPE
/// before a metric's samples and once, names and labels as they may be, no sample twice, histograms that rise and end in +Inf.
fn samples(text: &str) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut current = String::new();
    ensure!(text.ends_with('\n'));
    let name_is_good = |name: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').context("help")?;
            ensure!(name_is_good(name) && !words.is_empty(), "{line}");
            current = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').context("type")?;
            ensure!(name == current && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            ensure!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            ensure!(kind != "counter" || name.ends_with("_total"), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let name = sample.split('{').next().unwrap_or_default();
            ensure!(name_is_good(name), "{line}");
            let of = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let histogram = kinds.get(&current).is_some_and(|kind| kind == "histogram");
            ensure!(
                if histogram { of == Some(current.as_str()) } else { name == current },
                "{line} under {current}"
            );
            if let Some(labels) = sample.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                let labels = labels
                    .strip_prefix('{')
                    .and_then(|l| l.strip_suffix('}'))
                    .with_context(|| line.to_owned())?;
                for label in labels.split("\",") {
                    let (key, value) = label.split_once("=\"").with_context(|| line.to_owned())?;
                    ensure!(name_is_good(key) && !value.trim_end_matches('"').contains('"'), "{line}");
                }
            }
            ensure!(found.insert(sample.to_owned(), value.parse()?).is_none(), "twice: {line}");
        }
    }
    for (sample, count) in found.iter().filter(|(sample, _)| sample.contains("_seconds_count{")) {
        let command = sample.split('"').nth(1).context("a command")?;
        let mut last = 0.0;
        for line in
            text.lines().filter(|line| line.contains("_bucket{") && line.contains(&format!("\"{command}\"")))
        {
            let n: f64 = line.rsplit(' ').next().context("a value")?.parse()?;
            ensure!(n >= last, "{line}");
            last = n;
        }
        let end = sample.replace("_count{", "_bucket{").replace('}', ",le=\"+Inf\"}");
        ensure!(found.get(&end) == Some(count) && last == *count, "{end}");
    }
    Ok(found)
}

/// Prometheus' own tool finds nothing in the page that it would mark: neither its form nor a name against the rules.
fn checked_by_promtool(page: &str) -> Result {
    let Some(promtool) = need_tool("promtool")? else { return Ok(()) };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("its input")?.write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "promtool: {said}");
    Ok(())
}

#[test]
fn metrics_health_and_readiness() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 30)?;
    archive.archive(&source, "alice/Import")?;
    set(&archive, "listen = []", "listen = [\"127.0.0.1:0\"]")?;
    let (server, metrics) = serve(&archive, None)?;
    let metrics = metrics.context("the metrics' address")?;
    let mut imap = Imap::login(server.imap, "alice")?;
    let exists = imap.examine("Import")?;
    imap.ok("UID FETCH 1:* (FLAGS)")?;
    imap.command("NO-SUCH-COMMAND with {text} \"in it\"")?;
    imap.command("LOGIN alice wrong")?;
    let (status, text) = page(metrics, "/metrics")?;
    ensure!(status == 200);
    let found = samples(&text).with_context(|| text.clone())?;
    checked_by_promtool(&text)?;
    for (sample, expected) in [
        ("mailkeep_imap_sessions{kind=\"logged_in\"}", 1.0),
        ("mailkeep_imap_commands_total{command=\"EXAMINE\",end=\"ok\"}", 1.0),
        ("mailkeep_imap_commands_total{command=\"unknown\",end=\"bad\"}", 1.0),
        ("mailkeep_imap_command_duration_seconds_count{command=\"UID FETCH\"}", 1.0),
        ("mailkeep_imap_messages_fetched_total", f64::from(exists)),
        ("mailkeep_logins_total{end=\"ok\"}", 1.0),
        ("mailkeep_archive_messages_total{end=\"archived\"}", f64::from(exists)),
        ("mailkeep_archive_runs{state=\"succeeded\"}", 1.0),
        ("mailkeep_store_up{store=\"0001\",state=\"current\"}", 1.0),
        ("mailkeep_store_latched{store=\"0001\"}", 0.0),
    ] {
        ensure!(found.get(sample) == Some(&expected), "{sample}: {:?}\n{text}", found.get(sample));
    }
    for sample in
        ["mailkeep_process_resident_memory_bytes", "mailkeep_process_open_fds", "mailkeep_uptime_seconds"]
    {
        ensure!(found.get(sample).is_some_and(|&n| n > 0.0), "{sample}");
    }
    ensure!(!text.contains("NO-SUCH"), "what clients send makes no label");
    ensure!(page(metrics, "/health")? == (200, "alive\n".into()));
    ensure!(page(metrics, "/ready")? == (200, "ready\n".into()), "{:?}", page(metrics, "/ready")?);
    ensure!(page(metrics, "/")?.0 == 404 && page(metrics, "/metrics/../x")?.0 == 404);
    ensure!(
        get(metrics, "POST /metrics HTTP/1.1\r\n\r\n")?.0 == 405
            && get(metrics, "a1 LOGOUT\r\n\r\n")?.0 == 400
    );
    ensure!(server.terminate()?.success());
    // No disk has so much room.
    set(&archive, "min_free_bytes = 1073741824", "min_free_bytes = 1099511627776")?;
    let (server, metrics) = serve(&archive, None)?;
    let (status, why) = page(metrics.context("the metrics' address")?, "/ready")?;
    ensure!(status == 503 && why.contains("bytes are free"), "{status} {why}");
    ensure!(server.terminate()?.success());
    Ok(())
}

#[test]
fn a_trace_by_command_stands_in_the_audit_log() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 3)?;
    archive.archive(&source, "alice/Import")?;
    let (server, _) = serve(&archive, None)?;
    let mut imap = Imap::login(server.imap, "alice")?;
    let mut tracing = archive.command(["trace", "alice", "--minutes", "5"]).spawn()?;
    let mut lines = BufReader::new(tracing.stdout.take().context("standard output")?).lines();
    let first = lines.next().context("a first line")??;
    ensure!(first.contains("tracing \"alice\""), "{first}");
    imap.examine("Import")?;
    imap.ok("UID FETCH 1:* (ENVELOPE BODY.PEEK[])")?;
    let mut seen = String::new();
    for line in lines.by_ref() {
        let line = line?;
        seen = seen + &line + "\n";
        if line.ends_with("OK FETCH done") {
            break;
        }
    }
    ensure!(seen.contains(" C: t2 EXAMINE \"Import\"") && seen.contains("ENVELOPE (\"...\""), "{seen}");
    ensure!(!seen.contains("Subject") && !seen.contains("password"), "{seen}");
    tests::program::signal(&tracing, Signal::INT)?;
    let ended = tests::program::wait(&mut tracing)?;
    ensure!(ended.success(), "{ended}");
    let audit = archive.run(["audit", "--json"])?.ok()?.json()?;
    let traces: Vec<_> = audit
        .iter()
        .filter(|line| line["what"].as_str().is_some_and(|w| w.starts_with("imap.trace")))
        .collect();
    ensure!(
        traces.len() == 2 && traces[0]["result"] == "begins" && traces[1]["result"] == "ok",
        "{traces:?}"
    );
    for (wrong, code) in
        [(["trace", "nobody", "--minutes", "1"], 1), (["trace", "alice", "--minutes", "0"], 2)]
    {
        let refused = archive.run(wrong)?;
        ensure!(refused.code() == code, "{wrong:?}: {} {}", refused.code(), refused.stderr);
    }
    ensure!(server.terminate()?.success());
    Ok(())
}

#[test]
fn the_log_has_one_line_a_session_and_no_secret() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    set(&archive, "format = \"text\"", "format = \"json\"")?;
    let (server, _) = serve(&archive, None)?;
    let mut imap = Imap::login(server.imap, "alice")?;
    imap.command("LOGIN")?;
    imap.begin("LOGOUT")?;
    imap.rest()?;
    let mut other = Imap::connect(server.imap)?;
    for name in ["alice", "some\u{1b}body"] {
        other.command(&format!("LOGIN {{{}+}}\r\n{name} \"a secret\"", name.len()))?;
    }
    drop(other);
    let ended = |server: &Server| -> Result<Vec<serde_json::Value>> {
        let log = server.log()?;
        let lines: Vec<serde_json::Value> =
            log.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
        Ok(lines
            .into_iter()
            .filter(|line| line["message"].as_str().is_some_and(|m| m.starts_with("session ended")))
            .collect())
    };
    until("two sessions in the log", || Ok(ended(&server)?.len() == 2))?;
    let lines = ended(&server)?;
    let line = lines.iter().find(|line| line["message"] == "session ended").context("alice's session")?;
    ensure!(line["user"] == "\"alice\"" && line["ip"] == "127.0.0.1" && line["tls"] == "none", "{line}");
    ensure!(line["commands"] == 3 && line["messages"] == 0 && line["reason"] == "logged out", "{line}");
    ensure!(line["bytes_in"].as_u64() > Some(30) && line["bytes_out"].as_u64() > Some(100), "{line}");
    let log = server.log()?;
    ensure!(log.matches("login failed").count() == 2 && log.contains("\\\"alice\\\""), "{log}");
    ensure!(
        !log.contains("secret")
            && !log.contains("'s password")
            && !log.contains("body")
            && !log.contains('\u{1b}'),
        "{log}"
    );
    ensure!(server.terminate()?.success());
    Ok(())
}

/// As many connections as descriptors: the server stays, and serves again once some have ended.
#[test]
fn without_descriptors_it_waits_and_goes_on() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    set(&archive, "max_before_login_per_address = 50", "max_before_login_per_address = 1000")?;
    let (server, _) = serve(&archive, Some("ulimit -n 64"))?;
    let mut connections = Vec::new();
    for _ in 0..100 {
        // The kernel takes them all; the server can't.
        connections.push(TcpStream::connect(server.imap)?);
    }
    until("a failed accept in the log", || Ok(server.log()?.contains("a connection could not be accepted")))?;
    drop(connections);
    let mut imap = Imap::login(server.imap, "alice")?;
    imap.ok("NOOP")?;
    ensure!(server.terminate()?.success());
    Ok(())
}

fn resident(server: &Server) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("VmRSS")? * 1_024)
}

/// Five thousand sessions in IDLE, each of which hears the end; the server raises its limit of descriptors by itself.
#[test]
fn five_thousand_idle_connections_are_small() -> Result {
    const MANY: u64 = 5_000;
    /// Socket, session and task, without TLS.
    const MAX_BYTES_EACH: u64 = 24 << 10;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < MANY + 200) {
        return skip("5,000 idle connections", "this machine allows fewer descriptors");
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let archive = Archive::with_users(&["alice"])?;
    set(&archive, "max_connections_per_user = 250", "max_connections_per_user = 100000")?;
    set(&archive, "max_connections_per_address = 2000", "max_connections_per_address = 100000")?;
    let (server, _) = serve(&archive, Some("ulimit -S -n 256"))?;
    let mut all = Vec::new();
    let mut before = 0;
    for n in 0..MANY {
        let mut imap = Imap::login(server.imap, "alice")?;
        imap.begin("IDLE")?;
        ensure!(imap.response()? == b"+ idling");
        all.push(imap);
        if n == 200 {
            before = resident(&server)?;
        }
    }
    let each = resident(&server)?.saturating_sub(before) / (MANY - 201);
    ensure!(each <= MAX_BYTES_EACH, "{each} bytes for each connection");
    server.ask_to_end()?;
    for mut imap in all {
        let bye = imap.response()?;
        ensure!(bye.starts_with(b"* BYE"), "{}", String::from_utf8_lossy(&bye));
    }
    if !server.wait()?.success() {
        bail!("the server ended badly");
    }
    Ok(())
}
