//! The HTTP server of the agent: read-only on a TCP address, by default on the loopback interface;
//! and with `hold`, `release`, `accept` and `reassign` on a Unix socket that only its owner may open.
//!
//! It runs on a thread of its own, so that it answers even while the event loop is stuck.

pub(crate) mod answer;
mod api;
pub mod client;
mod events;
pub(crate) mod guard;
mod hold;
pub(crate) mod metrics;
mod page;
mod reader;
mod routes;
mod serve;
mod state;
mod untaken;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use node::folder::{FileId, Folder, split_path};
use rustix::fs::Mode;
use tokio::net::{TcpListener, UnixListener, UnixSocket, UnixStream};
use tokio::sync::oneshot;

use crate::agent::event_loop::Handle;
use crate::config::{Config, Marathon};
use reader::Reader;
use state::AdminState;

pub use hold::HoldFiles;
pub use reader::Open;

/// The connections to the socket that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// The running servers.
#[derive(Debug)]
pub struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
    socket_id: FileId,
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
        let (unix, socket_id) = listen_on(&config.agent.socket).await.with_context(|| {
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
        Ok(Self { stop: Some(stop), thread: Some(thread), socket, socket_id, address })
    }

    /// Returns the TCP address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the servers, and removes the socket if it is still theirs.
    pub fn stop(mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = remove_socket(&self.socket, self.socket_id);
    }
}

/// Listens on a Unix socket that only its owner may use. Replaces one that nobody listens on, and
/// nothing else.
async fn listen_on(path: &Path) -> Result<(std::os::unix::net::UnixListener, FileId)> {
    let (folder, name) = split_path(path)?;
    let folder = Folder::create(folder, 0o755)?;
    if let Some(socket) = folder.find_socket(name)? {
        let answer = UnixStream::connect(socket.connect_path());
        match tokio::time::timeout(Duration::from_secs(1), answer).await {
            // The lock is ours, and so may be the directory: then one that a run of root's left is, too.
            Ok(Err(error))
                if error.kind() == io::ErrorKind::ConnectionRefused
                    || error.kind() == io::ErrorKind::PermissionDenied && folder.is_own() =>
            {
                remove_socket(path, socket.id())?;
            }
            Ok(Ok(_)) | Err(_) => bail!("another process already listens there"),
            Ok(Err(error)) => return Err(error).context("another program's socket is there"),
        }
    }
    let socket = UnixSocket::new_stream()?;
    // The socket's file is created with these rights, so it never has others.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(path)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    Ok((listener, folder.identify(name)?))
}

/// Removes this very socket.
fn remove_socket(path: &Path, id: FileId) -> io::Result<()> {
    let (folder, name) = split_path(path)?;
    let folder = Folder::open(folder)?;
    match folder.find_socket(name)?.is_some_and(|socket| socket.id() == id) {
        true => folder.remove_file(name),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_on_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/agent.sock");
        let (_first, id) = listen_on(&path).await.unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        let error = listen_on(&path).await.unwrap_err().to_string();
        assert!(error.contains("already listens"), "{error}");
        fs::remove_file(&path).unwrap();
        let (_listener, other) = listen_on(&path).await.unwrap();
        // An agent that stops leaves the socket of another one alone.
        remove_socket(&path, id).unwrap();
        assert!(path.exists());
        remove_socket(&path, other).unwrap();
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(listen_on(&path).await.unwrap());
    }

    #[tokio::test]
    async fn whatever_is_no_socket_of_an_agent_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "important").unwrap();
        fs::create_dir(path("directory")).unwrap();
        symlink(path("file"), path("link")).unwrap();
        symlink(path("missing"), path("dangling")).unwrap();
        let _datagrams = std::os::unix::net::UnixDatagram::bind(path("datagrams")).unwrap();
        for (name, why) in [
            ("file", "a regular file, not a socket"),
            ("directory", "a directory, not a socket"),
            ("link", "a symbolic link, not a socket"),
            ("dangling", "a symbolic link, not a socket"),
            ("datagrams", "another program's socket"),
        ] {
            let error = listen_on(&path(name)).await.unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
            assert!(path(name).symlink_metadata().is_ok(), "{name}");
        }
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "important");
        assert!(!path("missing").exists());
    }
}
