//! `serve`: everything opened, bound, served, and brought to a clean end.
//!
//! Invariant: `ready` is printed once every listener is bound, not before; at the end sessions got their BYE, running
//! commands are cancelled (a batch is whole or not there), the index is committed and the socket is gone.

use crate::cli::Listen;
use crate::control::server::Control;
use crate::data::{Data, Installation};
use crate::signals::Signals;
use crate::{evidence, settings, tls};
use anyhow::{Context, Result, anyhow, bail};
use conf::Conf;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
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
    let opened = {
        let data = data.clone();
        tokio::task::spawn_blocking(move || data.open(lock, conf)).await?
    };
    let installation = Arc::new(opened?);
    let service = Service::bind(installation, settings).await?;
    let (plain, secure) = service.addresses();
    let mut out = io::stdout().lock();
    for address in plain {
        writeln!(out, "imap {address}")?;
    }
    for address in secure {
        writeln!(out, "imaps {address}")?;
    }
    writeln!(out, "ready")?;
    out.flush()?;
    drop(out);
    service.run(signals).await
}

/// All listeners bound, not yet serving.
pub(crate) struct Service {
    installation: Arc<Installation>,
    imap: imapd::Server,
    control: Control,
}

impl Service {
    /// Binds everything.
    pub(crate) async fn bind(installation: Arc<Installation>, settings: imapd::Settings) -> Result<Service> {
        let (data, conf) = (&installation.data, &installation.conf);
        let tls = tls::load(&data.resolve(&conf.tls.certificate), &data.resolve(&conf.tls.key))?;
        let shown = listeners(&settings);
        let (storage, auth) = (installation.storage.clone(), installation.auth.clone());
        let imap = imapd::Server::bind(settings, tls, storage, auth)
            .await
            .with_context(|| format!("IMAP can't listen on {shown}"))?;
        let control = Control::bind(installation.clone())?;
        Ok(Service { installation, imap, control })
    }

    /// What was bound: (plain, TLS).
    pub(crate) fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        self.imap.addresses()
    }

    /// Serves until a signal comes; a second one ends the program at once.
    pub(crate) async fn run(self, mut signals: Signals) -> Result<()> {
        let (stop, stopped) = watch::channel(false);
        let mut imap = tokio::spawn(self.imap.run(stopped.clone()));
        let heads = tokio::spawn(evidence::keep_sending(self.installation.clone(), stopped.clone()));
        let upkeep = tokio::spawn(crate::upkeep::run(Arc::clone(&self.installation), stopped.clone()));
        let control = tokio::spawn(self.control.run(stopped));
        let broke = tokio::select! {
            () = signals.next() => {
                tracing::info!("a signal came; sessions and commands are brought to an end");
                None
            }
            ended = &mut imap => Some(ended),
        };
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
        heads.await.context("the sending of evidence heads broke")?;
        upkeep.await.context("the server's own work broke")?;
        let installation = self.installation;
        tokio::task::spawn_blocking(move || installation.close()).await??;
        tracing::info!("ended");
        served
    }
}

fn listeners(settings: &imapd::Settings) -> String {
    let all = settings.imap.iter().chain(&settings.imaps);
    all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
