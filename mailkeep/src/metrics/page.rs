//! The page of metrics, in Prometheus' text format 0.0.4.
//!
//! Invariant: every metric has its HELP and TYPE before its first sample, labels come from fixed lists and from stores'
//! numbers, and their values are escaped.

use super::ready::free;
use crate::data::Installation;
use archiver::State;
use imapd::watch::{BUCKETS_MICROS, Snapshot};
use std::fmt::Display;
use std::time::Duration;

/// The text so far.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP mailkeep_{name} {help}\n# TYPE mailkeep_{name} {kind}\n"));
    }
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(&format!("mailkeep_{name}"));
        for (n, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.0.push_str(&format!("{}{label}=\"{text}\"", if n == 0 { '{' } else { ',' }));
        }
        self.0.push_str(&format!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// The whole page. Blocking.
pub(super) fn write(installation: &Installation, imap: &Snapshot, up: Duration) -> String {
    let mut page = Page(String::with_capacity(64 << 10));
    page.head("build_info", "gauge", "The program's version.");
    page.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.one("uptime_seconds", "gauge", "Time since the server began to serve.", up.as_secs_f64());
    sessions(&mut page, imap);
    commands(&mut page, imap);
    logins(&mut page, imap);
    runs(&mut page, installation);
    stores(&mut page, installation);
    process(&mut page);
    page.0
}

fn sessions(page: &mut Page, imap: &Snapshot) {
    page.head("imap_sessions", "gauge", "Connections that are there now; kinds overlap.");
    for (kind, n) in [
        ("all", imap.sessions),
        ("logged_in", imap.logged_in),
        ("tls", imap.tls_sessions),
        ("compressed", imap.compressed),
        ("at_work", imap.at_work),
    ] {
        page.sample("imap_sessions", &[("kind", kind)], n);
    }
    page.one("imap_sessions_total", "counter", "Connections that were accepted.", imap.sessions_begun);
    page.head("imap_sessions_ended_total", "counter", "Connections that have ended, by reason.");
    for (reason, n) in &imap.ended {
        page.sample("imap_sessions_ended_total", &[("reason", reason)], n);
    }
    page.one(
        "imap_accept_errors_total",
        "counter",
        "Connections that could not be accepted.",
        imap.accept_errors,
    );
    page.head("imap_bytes_total", "counter", "Bytes from (in) and to (out) clients, compressed, before TLS.");
    page.sample("imap_bytes_total", &[("direction", "in")], imap.bytes_in);
    page.sample("imap_bytes_total", &[("direction", "out")], imap.bytes_out);
    page.one(
        "imap_messages_fetched_total",
        "counter",
        "Messages of which FETCH told something.",
        imap.messages,
    );
    page.one("imap_messages_scanned_total", "counter", "Messages that searches had to read.", imap.scanned);
}

fn commands(page: &mut Page, imap: &Snapshot) {
    page.head(
        "imap_commands_total",
        "counter",
        "Commands by name and end; cut: by BYE or with the connection.",
    );
    for command in &imap.commands {
        for (end, n) in [("ok", command.ok), ("no", command.no), ("bad", command.bad), ("cut", command.cut)] {
            // Counters of what never happened would make the page ten times as long.
            if n > 0 {
                page.sample("imap_commands_total", &[("command", &command.name), ("end", end)], n);
            }
        }
    }
    let name = "imap_command_duration_seconds";
    page.head(name, "histogram", "From a command's arrival to the end of its answer.");
    for command in
        imap.commands.iter().filter(|command| command.ok + command.no + command.bad + command.cut > 0)
    {
        let mut sum = 0;
        let bounds =
            BUCKETS_MICROS.iter().map(|&bound| seconds(bound).to_string()).chain(["+Inf".to_owned()]);
        for (bound, n) in bounds.zip(&command.buckets) {
            sum += n;
            page.sample(&format!("{name}_bucket"), &[("command", &command.name), ("le", &bound)], sum);
        }
        page.sample(&format!("{name}_sum"), &[("command", &command.name)], seconds(command.micros));
        page.sample(&format!("{name}_count"), &[("command", &command.name)], sum);
    }
}

fn logins(page: &mut Page, imap: &Snapshot) {
    page.head(
        "logins_total",
        "counter",
        "Logins by end; again: those that were ok without hashing the password.",
    );
    for (end, n) in [
        ("ok", imap.logins_ok),
        ("again", imap.logins_again),
        ("failed", imap.logins_failed),
        ("delayed", imap.logins_delayed),
        ("refused", imap.logins_refused),
    ] {
        page.sample("logins_total", &[("end", end)], n);
    }
}

fn runs(page: &mut Page, installation: &Installation) {
    let archiver::Totals { sums, states } = match installation.archiver.totals() {
        Ok(totals) => totals,
        Err(error) => {
            tracing::warn!(%error, "the runs can't be read for the metrics");
            return;
        }
    };
    page.head("archive_runs", "gauge", "Archiving runs, by how they stand.");
    for (state, name) in [
        (State::Running, "running"),
        (State::Succeeded, "succeeded"),
        (State::CompletedWithErrors, "completed_with_errors"),
        (State::Failed, "failed"),
        (State::Cancelled, "cancelled"),
    ] {
        page.sample("archive_runs", &[("state", name)], states.get(&state).copied().unwrap_or(0));
    }
    page.head("archive_messages_total", "counter", "Messages of all runs, by what became of them.");
    for (end, n) in [
        ("seen", sums.seen),
        ("archived", sums.archived),
        ("already", sums.already),
        ("moved", sums.moved),
        ("filtered", sums.filtered),
        ("failed", sums.failed),
        ("deleted", sums.deleted),
    ] {
        page.sample("archive_messages_total", &[("end", end)], n);
    }
    page.one("archive_bytes_total", "counter", "Bytes of mail that all runs archived.", sums.bytes);
}

fn stores(page: &mut Page, installation: &Installation) {
    let stores = installation.storage.stores();
    let latched = installation.storage.latched();
    page.head("store_up", "gauge", "1: the store can be read.");
    for store in &stores {
        let labels = [("store", store.number.as_str()), ("state", &store.state.to_string())];
        page.sample("store_up", &labels, u8::from(store.trouble.is_none()));
    }
    page.head("store_latched", "gauge", "1: the store takes no more mail since a write failed.");
    for store in &stores {
        let is = latched.iter().any(|(number, _)| *number == store.number);
        page.sample("store_latched", &[("store", &store.number)], u8::from(is));
    }
    for (name, help, of) in [
        ("store_messages", "Messages in the store.", (|s| s.messages) as fn(&storage::StoreInfo) -> u64),
        ("store_mail_bytes", "Bytes of these messages, as mail clients see them.", |s| s.message_bytes),
        ("store_pack_bytes", "Bytes of the store's packs on disk.", |s| s.pack_bytes),
        ("store_database_bytes", "Bytes of the store's database on disk.", |s| s.database_bytes),
        ("store_index_bytes", "Bytes of the store's search index on disk.", |s| s.index_bytes),
        ("store_index_tail_messages", "Messages that the index lacks still.", |s| s.index_tail),
    ] {
        page.head(name, "gauge", help);
        for store in &stores {
            page.sample(name, &[("store", &store.number)], of(store));
        }
    }
    page.head("store_free_bytes", "gauge", "Free room where the store lies.");
    for store in &stores {
        if let Ok(free) = free(&store.path) {
            page.sample("store_free_bytes", &[("store", &store.number)], free);
        }
    }
}

/// What the system says of this process; nothing where it says nothing.
fn process(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    if let Some(kib) = held.and_then(|held| held.trim().trim_end_matches(" kB").parse::<u64>().ok()) {
        page.one("process_resident_memory_bytes", "gauge", "Memory that the process holds.", kib * 1_024);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is read here.
        page.one("process_open_fds", "gauge", "Open files and sockets.", open.count().saturating_sub(1));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(limit) = limit {
        page.one("process_max_fds", "gauge", "As many files and sockets may be open.", limit);
    }
    let tasks = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    if let Ok(tasks) = tasks {
        page.one("process_threads", "gauge", "Threads.", tasks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_samples_stand_alone() {
        let mut page = Page(String::new());
        page.one("x_total", "counter", "Help.", 7);
        page.head("y", "gauge", "Help.");
        page.sample("y", &[("a", "b\\c\"d\ne"), ("f", "")], 0.25);
        assert_eq!(
            page.0,
            "# HELP mailkeep_x_total Help.\n# TYPE mailkeep_x_total counter\nmailkeep_x_total 7\n\
             # HELP mailkeep_y Help.\n# TYPE mailkeep_y gauge\nmailkeep_y{a=\"b\\\\c\\\"d\\ne\",f=\"\"} 0.25\n"
        );
    }
}
