//! `serve`: everything opened, bound, served, and brought to a clean end.
//!
//! Invariant: `ready` is printed once every listener is bound, not before; at the end sessions got their BYE, running
//! commands are cancelled (a batch is whole or not there), the index is committed and the socket is gone.

use crate::cli::Listen;
use crate::control::server::Control;
use crate::data::{Data, Installation};
use crate::metrics::Metrics;
use crate::serving::Serving;
use crate::signals::{self, Signals};
use crate::tls::Tls;
use crate::upkeep::told;
use crate::{evidence, settings, systemd};
use anyhow::{Context, Result, anyhow, bail};
use conf::Conf;
use imapd::Inherited;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

/// Serves DATA until SIGINT or SIGTERM.
pub(crate) async fn run(data: &Data, conf: Conf, listen: Listen) -> Result<()> {
    data.owner()?;
    let Some(lock) = data.try_lock()? else {
        bail!("{} is in use: a server runs already, or another mailkeep command does", data.root().display());
    };
    let mut settings = settings::imap(&conf);
    if !listen.imap.is_empty() {
        settings.imap = listen.imap;
    }
    if !listen.imaps.is_empty() {
        settings.imaps = listen.imaps;
    }
    settings.plain_on_loopback |= listen.plain_on_loopback;
    let signals = Signals::new()?;
    let hangups = signals::hangups()?;
    let inherited = systemd::sockets()?;
    let opened = {
        let data = data.clone();
        tokio::task::spawn_blocking(move || data.open(lock, conf)).await?
    };
    let installation = Arc::new(opened?);
    let service = Service::bind(installation, settings, inherited).await?;
    let (plain, secure) = service.addresses();
    let mut out = io::stdout().lock();
    for address in plain {
        writeln!(out, "imap {address}")?;
    }
    for address in secure {
        writeln!(out, "imaps {address}")?;
    }
    for address in service.metrics.addresses() {
        writeln!(out, "metrics {address}")?;
    }
    writeln!(out, "ready")?;
    out.flush()?;
    drop(out);
    service.run(signals, Some(hangups)).await
}

/// All listeners bound, not yet serving.
pub(crate) struct Service {
    installation: Arc<Installation>,
    imap: imapd::Server,
    control: Control,
    users: Option<Control>,
    metrics: Metrics,
    serving: Serving,
}

impl Service {
    /// Binds everything.
    pub(crate) async fn bind(
        installation: Arc<Installation>,
        settings: imapd::Settings,
        inherited: Inherited,
    ) -> Result<Service> {
        let (data, conf) = (&installation.data, &installation.conf);
        let tls = Tls::new(data.resolve(&conf.tls.certificate), data.resolve(&conf.tls.key))?;
        let loaded = tls.load()?;
        tls.say_expiry(&loaded, OffsetDateTime::now_utc().unix_timestamp());
        let shown = listeners(&settings);
        let (storage, auth) = (installation.storage.clone(), installation.auth.clone());
        let imap = imapd::Server::bind_with(settings, inherited, loaded.for_listeners(), storage, auth)
            .await
            .with_context(|| format!("IMAP can't listen on {shown}"))?;
        let metrics = Metrics::bind(installation.clone(), imap.watch(), imap.pulse()).await?;
        let serving = Serving { watch: imap.watch(), tls };
        *installation.serving.lock() = Some(serving.clone());
        let control = Control::bind(installation.clone())?;
        let users = Control::bind_users(installation.clone())?;
        Ok(Service { installation, imap, control, users, metrics, serving })
    }

    /// For whoever asks systemd how it is.
    fn status(&self) -> String {
        let (plain, secure) = self.imap.addresses();
        let all = plain.iter().chain(&secure).map(ToString::to_string).collect::<Vec<_>>();
        format!("serving IMAP on {}", all.join(", "))
    }

    /// What was bound: (plain, TLS).
    pub(crate) fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        self.imap.addresses()
    }

    /// Serves until a signal comes; a second one ends the program at once. `hangups` have the certificate read again.
    pub(crate) async fn run(self, mut signals: Signals, hangups: Option<Signal>) -> Result<()> {
        let (stop, stopped) = watch::channel(false);
        let status = self.status();
        let watchdog = tokio::spawn(systemd::watchdog(self.imap.pulse(), stopped.clone()));
        let metrics = tokio::spawn(self.metrics.run(stopped.clone()));
        let reloads = tokio::spawn(reload(hangups, self.serving, status.clone(), stopped.clone()));
        let mut imap = tokio::spawn(self.imap.run(stopped.clone()));
        let heads = tokio::spawn(evidence::keep_sending(self.installation.clone(), stopped.clone()));
        let upkeep = tokio::spawn(crate::upkeep::run(Arc::clone(&self.installation), stopped.clone()));
        let schedule = tokio::spawn(crate::schedule::run(Arc::clone(&self.installation), stopped.clone()));
        let users = self.users.map(|users| tokio::spawn(users.run(stopped.clone())));
        let logins = tokio::spawn(crate::logins::keep(Arc::clone(&self.installation), stopped.clone()));
        let control = tokio::spawn(self.control.run(stopped));
        systemd::ready(&status);
        let broke = tokio::select! {
            () = signals.next() => {
                tracing::info!("a signal came; sessions and commands are brought to an end");
                None
            }
            ended = &mut imap => Some(ended),
        };
        systemd::stopping();
        stop.send_replace(true);
        tokio::spawn(async move {
            signals.next().await;
            // Batches are whole or not there: leaving at once loses nothing that was acknowledged.
            std::process::exit(1);
        });
        let served = match broke {
            Some(ended) => ended
                .map_err(anyhow::Error::from)
                .and_then(|()| Err(anyhow!("the IMAP server ended by itself"))),
            None => imap.await.map_err(anyhow::Error::from),
        };
        control.await.context("the control socket's server broke")?;
        if let Some(users) = users {
            users.await.context("the users' socket's server broke")?;
        }
        schedule.await.context("the schedule broke")?;
        heads.await.context("the sending of evidence heads broke")?;
        upkeep.await.context("the server's own work broke")?;
        logins.await.context("the keeper of logins broke")?;
        metrics.await.context("the metrics' server broke")?;
        watchdog.await.context("the watchdog's keeper broke")?;
        reloads.await.context("the reading of certificates broke")?;
        let installation = self.installation;
        tokio::task::spawn_blocking(move || installation.close()).await??;
        tracing::info!("ended");
        served
    }
}

/// Reads the certificate again whenever the signal comes.
async fn reload(hangups: Option<Signal>, serving: Serving, status: String, mut stop: watch::Receiver<bool>) {
    let Some(mut hangups) = hangups else { return };
    loop {
        tokio::select! {
            () = told(&mut stop) => return,
            came = hangups.recv() => if came.is_none() { return },
        }
        systemd::reloading();
        let serving = serving.clone();
        // What is wrong with the files stands in the log; the old ones stay in use.
        if let Err(error) = tokio::task::spawn_blocking(move || serving.reload_tls().is_ok()).await {
            tracing::error!(%error, "reading the certificate broke");
        }
        systemd::ready(&status);
    }
}

fn listeners(settings: &imapd::Settings) -> String {
    let all = settings.imap.iter().chain(&settings.imaps);
    all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
