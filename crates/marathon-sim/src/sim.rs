//! Starting and stopping a simulated cluster.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api;
use crate::config::Config;
use crate::run::{self, Shared};

/// A simulated cluster.
#[derive(Debug)]
pub struct Sim;

/// Why a cluster doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API can't listen.
    #[error("cannot listen on {address} for the API: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to run tasks on.
    #[error("the cluster has no agents: give at least one")]
    NoAgents,
    /// `time_scale` is no positive number.
    #[error("the time scale is {0}: give a positive number, 1 for real time")]
    TimeScale(f64),
}

impl Sim {
    /// Starts a cluster. It serves when this returns.
    ///
    /// # Errors
    /// An address that can't be listened on, or a `config` that makes no sense.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        if config.agents.is_empty() {
            return Err(StartError::NoAgents);
        }
        if !(config.time_scale.is_finite() && config.time_scale > 0.0) {
            return Err(StartError::TimeScale(config.time_scale));
        }
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared::new(config, format!("http://{addr}")));
        let (stop, stopped) = watch::channel(false);
        let server = axum::serve(listener, api::service(Arc::clone(&shared)));
        let main = tokio::spawn(async move {
            tokio::select! {
                // Serving ends with an error only; tasks without an API are of no use.
                _ = server => {}
                () = run::reconcile(shared, stopped) => {}
            }
        });
        Ok(Handle { addr, stop, main })
    }
}

/// A running cluster. When it is dropped, its processes are killed.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    main: JoinHandle<()>,
}

impl Handle {
    /// Where the API listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The API's address as a URL, with no slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Ends every process and waits until they have ended.
    pub async fn shutdown(mut self) {
        // Errors mean that the cluster has ended already.
        let _ = self.stop.send(true);
        let _ = (&mut self.main).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.main.abort();
    }
}
