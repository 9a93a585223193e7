//! `vipd relay`: reads a Marathon once for many agents.
//!
//! Reading Marathon from every node is the wrong way beyond a thousand nodes. A relay reads it as an
//! agent does (`core/`) and passes on what it believes (`crates/relay`). Relays know nothing of
//! each other, elect nobody and store nothing: each agent follows one of them, and goes to another
//! when it falls silent.

mod backlog;
mod core;
mod counts;
#[cfg(test)]
mod fleet;
mod hub;
mod incidents;
mod listener;
mod notices;
mod pace;
mod rights;
mod routes;
mod stream;
mod waiting;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use marathon::client::Client;
use relay::Epoch;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::core::RelayCore;
use crate::config::{Marathon, RelaySettings};
use counts::Counts;
use hub::Hub;
use listener::Limits;
use pace::Pace;
use routes::Shared;

/// A relay that listens.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    settings: RelaySettings,
    client: Arc<Client>,
    hub: Arc<Hub>,
}

impl Relay {
    /// Starts to listen. `node` and `start` tell this run from others.
    ///
    /// # Errors
    /// When the address can't be listened on, or the client of Marathon can't be made.
    pub async fn bind(
        settings: RelaySettings,
        marathon: &Marathon,
        node: &str,
        start: u64,
    ) -> Result<Self> {
        let client = Client::new(&marathon.client_config())
            .with_context(|| format!("cannot create an HTTP client for {}", marathon.name))?;
        let at = settings.listen;
        let listener = TcpListener::bind(at).await.with_context(|| {
            format!("cannot listen on {at}: set [relay] listen to a free address")
        })?;
        let urls = NonZeroUsize::new(marathon.urls.len()).unwrap_or(NonZeroUsize::MIN);
        let core = RelayCore::new(Epoch::new(node, start), urls, settings.relays, start);
        Ok(Self {
            listener,
            settings,
            client: Arc::new(client),
            hub: Hub::new(core, &marathon.name),
        })
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    /// When the system doesn't tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Follows Marathon and serves agents for ever.
    pub async fn run(self) {
        let Self { listener, settings, client, hub } = self;
        let (connections, per_address) =
            (fit_to_open_files(settings.max_clients), settings.clients_per_address);
        let counts = Arc::new(Counts { room: connections, ..Counts::default() });
        let shared = Arc::new(Shared {
            hub: Arc::clone(&hub),
            counts: Arc::clone(&counts),
            token: settings.token,
            is_local: settings.listen.ip().is_loopback(),
            has_tls: settings.tls.is_some(),
            snapshots: Arc::new(Semaphore::new(caps::RELAY_SNAPSHOTS)),
            requests_pace: Pace::new(caps::RELAY_REQUESTS.max(per_address), Duration::from_secs(1)),
            snapshots_pace: Pace::new(per_address, Duration::from_secs(5)),
        });
        let limits = Limits { connections, per_address };
        let tls = settings.tls.map(Into::into);
        let serve = listener::serve_forever(listener, tls, routes::routes(shared), limits, counts);
        tokio::select! {
            () = hub.follow(client) => {}
            () = serve => {}
        }
    }
}

/// The open files that a relay needs beside the connections of agents: to read Marathon, above all.
const OTHER_FILES: u64 = 64;

/// Raises the limit of open files as far as this process may. Returns as many of these connections as that
/// leaves room for.
fn fit_to_open_files(connections: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let Some(files) = limit.current else { return connections };
    let room = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    if room < connections {
        tracing::warn!(
            "this process may open {files} files, so that at most {room} agents can connect, not \
             {connections}: raise its limit of open files (LimitNOFILE, ulimit -n)"
        );
    }
    connections.min(room)
}
