//! The process of a task: a server that identifies itself, or the keeper of a program.
//!
//! The simulator starts it and keeps its standard input open. When that ends, the simulator has
//! died, and the task ends, too: nothing is left running.

mod identity;
mod keeper;
mod ready;
mod tcp;
mod udp;

use std::fmt;
use std::io::{self, Read};
use std::net::{AddrParseError, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use ready::READY;
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use identity::Identity;
use ready::report_ready;

/// Environment variable with the time that a task serves after SIGTERM, in milliseconds.
const STOP_DELAY: &str = "SIM_STOP_DELAY_MS";

/// The transport protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A TCP listener.
    Tcp,
    /// A UDP socket.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A socket to serve on, written `tcp/10.0.0.1:31000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(Transport, SocketAddr);

/// A text that does not describe a socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// No slash.
    #[error("expected tcp/ADDRESS:PORT")]
    NoTransport,
    /// An unknown protocol.
    #[error("`{0}` is neither tcp nor udp")]
    UnknownTransport(String),
    /// An address that can't be parsed.
    #[error("`{text}`: {error}")]
    BadAddress {
        /// The text of the address.
        text: String,
        /// Why it can't be parsed.
        error: AddrParseError,
    },
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (transport, text) = text.split_once('/').ok_or(ListenError::NoTransport)?;
        let transport = match transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            other => return Err(ListenError::UnknownTransport(other.to_owned())),
        };
        let address: SocketAddr = text
            .parse()
            .map_err(|error| ListenError::BadAddress { text: text.to_owned(), error })?;
        Ok(Self(transport, address))
    }
}

/// A task, as the simulator starts it.
#[derive(Debug, clap::Args)]
pub struct Task {
    /// Path of the app
    #[arg(long)]
    app: String,
    /// Id of the task
    #[arg(long)]
    task: String,
    /// Name of the agent
    #[arg(long)]
    host: String,
    /// Address to serve on
    #[arg(long, value_name = "tcp|udp/ADDRESS:PORT")]
    listen: Vec<Listen>,
    /// Program to run instead of the server
    #[arg(last = true)]
    argv: Vec<String>,
}

impl Task {
    /// Runs until the task ends, SIGTERM arrives, or the simulator is gone.
    ///
    /// # Errors
    /// When a port can't be bound or a program can't be started.
    pub async fn run(self) -> io::Result<ExitCode> {
        let mut terminate = signal(SignalKind::terminate())?;
        let orphaned = watch_stdin();
        if !self.argv.is_empty() {
            return keeper::keep_program(&self.argv, terminate, orphaned).await;
        }
        let identity = Arc::new(Identity { app: self.app, task: self.task, host: self.host });
        for listen in self.listen {
            serve_socket(listen, &identity).await.map_err(|error| {
                io::Error::other(format!("cannot serve on {}/{}: {error}", listen.0, listen.1))
            })?;
        }
        report_ready()?;
        tokio::select! {
            _ = orphaned => {}
            _ = terminate.recv() => {
                let delay = std::env::var(STOP_DELAY).ok().and_then(|delay| delay.parse().ok());
                tokio::time::sleep(Duration::from_millis(delay.unwrap_or(0))).await;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn serve_socket(
    Listen(transport, address): Listen,
    identity: &Arc<Identity>,
) -> io::Result<()> {
    match transport {
        Transport::Tcp => {
            let listener = match TcpListener::bind(address).await {
                Err(_) if address.ip().is_unspecified() => {
                    TcpListener::bind(any_ipv4(address)).await?
                }
                bound => bound?,
            };
            tokio::spawn(tcp::serve_tcp(listener, Arc::clone(identity)));
        }
        Transport::Udp => {
            let socket = match UdpSocket::bind(address).await {
                Err(_) if address.ip().is_unspecified() => {
                    UdpSocket::bind(any_ipv4(address)).await?
                }
                bound => bound?,
            };
            tokio::spawn(udp::serve_udp(socket, Arc::clone(identity)));
        }
    }
    Ok(())
}

/// Returns the address with `0.0.0.0`, for a machine without IPv6, where `::` can't be bound.
fn any_ipv4(address: SocketAddr) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()))
}

/// Waits until standard input ends, in a thread of its own: the runtime would wait for one of its
/// own threads at exit.
fn watch_stdin() -> oneshot::Receiver<()> {
    let (gone, orphaned) = oneshot::channel();
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(io::stdin().read(&mut ignored), Ok(read) if read > 0) {}
        let _ = gone.send(());
    });
    orphaned
}
