//! What a running agent tells over HTTP, on the loopback; and what it lets itself be told, on a
//! Unix socket that only its owner may open.
//!
//! It has a thread and a runtime of its own: it answers when the agent's loop stands still.

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

/// The servers, until stopped.
#[derive(Debug)]
pub struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
    address: SocketAddr,
}

impl Admin {
    /// Begins to listen. To be called within a runtime.
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
            format!("cannot answer on {listen}: set [agent] listen to an address that is free")
        })?;
        tcp.set_nonblocking(true)?;
        let address = tcp.local_addr()?;
        let unix = listen_on(&config.agent.socket).await.with_context(|| {
            let socket = config.agent.socket.display();
            format!("cannot listen on {socket}: set [agent] socket to a place that is writable")
        })?;
        let reader = Reader::start(open_kernel).context("cannot start a thread")?;
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
                    () = serve::serve(tcp, routes::read_only(state.clone())) => {}
                    () = serve::serve(unix, routes::all(state)) => {}
                    _ = stopped => {}
                }
            });
        })?;
        let socket = config.agent.socket.clone();
        Ok(Self { stop: Some(stop), thread: Some(thread), socket, address })
    }

    /// Where it answers to all of this node.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and removes the socket.
    pub fn stop(mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// Listens on a Unix socket in the place of one that nobody listens on any more.
async fn listen_on(path: &Path) -> Result<std::os::unix::net::UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let answer = tokio::time::timeout(Duration::from_secs(1), UnixStream::connect(path)).await;
    if matches!(answer, Ok(Ok(_))) {
        bail!("something listens there already");
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
