//! The process behind every task: a server that says who it is, or a keeper of a program.
//!
//! It is started by the simulator with its standard input held open. When that ends, the
//! simulator has died, and so does the task: nothing is left running.

mod identity;
mod keeper;
mod ready;
mod tcp;
mod udp;

use std::fmt;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
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

/// Environment variable: how long to go on serving after SIGTERM, in milliseconds.
const STOP_DELAY: &str = "SIM_STOP_DELAY_MS";

/// What a task serves with.
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

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (transport, address) = text.split_once('/').ok_or("expected tcp/ADDRESS:PORT")?;
        let transport = match transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            other => return Err(format!("`{other}` is neither tcp nor udp")),
        };
        Ok(Self(transport, address.parse().map_err(|error| format!("`{address}`: {error}"))?))
    }
}

/// A task, as the simulator starts it.
#[derive(Debug, clap::Args)]
pub struct Task {
    /// Path of its app
    #[arg(long)]
    app: String,
    /// Its id
    #[arg(long)]
    task: String,
    /// Name of its agent
    #[arg(long)]
    host: String,
    /// Where to serve
    #[arg(long, value_name = "tcp|udp/ADDRESS:PORT")]
    listen: Vec<Listen>,
    /// Run this instead
    #[arg(last = true)]
    argv: Vec<String>,
}

impl Task {
    /// Runs until the task ends, is told to by SIGTERM, or the simulator is gone.
    ///
    /// # Errors
    /// A port that can't be bound, a program that can't be started.
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

/// For a machine without IPv6, where `::` can't be bound.
fn any_ipv4(address: SocketAddr) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()))
}

/// Resolves when standard input ends. A thread of its own reads it: the runtime's would have to
/// be waited for at exit.
fn watch_stdin() -> oneshot::Receiver<()> {
    let (gone, orphaned) = oneshot::channel();
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(io::stdin().read(&mut ignored), Ok(read) if read > 0) {}
        let _ = gone.send(());
    });
    orphaned
}
