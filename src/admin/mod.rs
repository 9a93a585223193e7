//! The HTTP server of the agent: read-only on a TCP address, by default on the loopback interface;
//! and with `hold`, `release`, `accept` and `reassign` on a Unix socket that only its owner may open.
//!
//! It runs on a thread of its own, so that it answers even while the event loop is stuck.

mod answer;
mod api;
pub mod client;
mod events;
mod hold;
mod metrics;
mod page;
mod reader;
mod routes;
mod serve;
mod state;
mod untaken;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::oneshot;

use crate::agent::event_loop::Handle;
use crate::config::{Config, Marathon};
use reader::Reader;
use state::AdminState;

pub use hold::read_hold;
pub use reader::Open;

/// The running servers.
#[derive(Debug)]
pub struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
    address: SocketAddr,
}

impl Admin {
    /// Starts to listen. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When an address or the socket can't be listened on.
    pub async fn start(
        config: &Config,
        marathons: &[Marathon],
        open_kernel: Open,
        handle: Handle,
    ) -> Result<Self> {
        let listen = config.agent.listen;
        let tcp = std::net::TcpListener::bind(listen).with_context(|| {
            format!("cannot listen on {listen}: set [agent] listen to a free address")
        })?;
        tcp.set_nonblocking(true)?;
        let address = tcp.local_addr()?;
        let unix = listen_on(&config.agent.socket).await.with_context(|| {
            let socket = config.agent.socket.display();
            format!("cannot listen on {socket}: set [agent] socket to a writable place")
        })?;
        let reader =
            Reader::start(open_kernel).context("cannot start the thread that reads the kernel")?;
        let shown = config.redacted_json(marathons);
        let state = AdminState::new(config, shown, handle, reader);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(async move {
                let (Ok(tcp), Ok(unix)) =
                    (TcpListener::from_std(tcp), UnixListener::from_std(unix))
                else {
                    return;
                };
                tokio::select! {
                    () = serve::serve_forever(tcp, routes::read_only(state.clone())) => {}
                    () = serve::serve_forever(unix, routes::all_routes(state)) => {}
                    _ = stopped => {}
                }
            });
        })?;
        let socket = config.agent.socket.clone();
        Ok(Self { stop: Some(stop), thread: Some(thread), socket, address })
    }

    /// Returns the TCP address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the servers, and removes the socket.
    pub fn stop(mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// Listens on a Unix socket; replaces one that nobody listens on.
async fn listen_on(path: &Path) -> Result<std::os::unix::net::UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let answer = tokio::time::timeout(Duration::from_secs(1), UnixStream::connect(path)).await;
    if matches!(answer, Ok(Ok(_))) {
        bail!("another process already listens there");
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
