//! The name server: its threads and tasks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::forwarder::Forwarder;
use crate::responder::Responder;
use crate::sockets::Sockets;
use crate::tcp::{Connections, TcpService};
use crate::udp::{ForwardRequest, UdpService};
use crate::upstreams::UpstreamSource;

/// The longest time that queries which were taken from a socket have for their answers at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// How long it waits for those of upstream servers.
const LAST_FORWARDED: Duration = Duration::from_secs(1);

/// A name server that is ready to answer.
#[derive(Debug)]
pub struct Server {
    responder: Arc<Responder>,
    sockets: Sockets,
    upstreams: UpstreamSource,
}

impl Server {
    /// Makes a server of its parts. `upstreams` are asked if the responder forwards.
    #[must_use]
    pub fn new(responder: Arc<Responder>, sockets: Sockets, upstreams: UpstreamSource) -> Self {
        Self { responder, sockets, upstreams }
    }

    /// Answers until `stop` is ready.
    ///
    /// # Errors
    /// When a thread can't be started, or a socket can't be used.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let own = self.sockets.list_addresses()?;
        let Self { responder, sockets, upstreams } = self;
        let upstreams = match responder.forwards {
            true => upstreams,
            false => UpstreamSource::Files(Vec::new()),
        };
        let forwarder = Arc::new(Forwarder::new(responder.clone(), upstreams, own));
        let service = Arc::new(TcpService {
            responder: responder.clone(),
            forwarder: forwarder.clone(),
            connections: Mutex::new(Connections::default()),
        });
        let mut accepting = Vec::new();
        for listener in sockets.tcp {
            listener.set_nonblocking(true)?;
            let accept = service.clone().accept_connections(TcpListener::from_std(listener)?);
            accepting.push(tokio::spawn(accept));
        }
        let (forward, requests) = mpsc::channel(caps::FORWARDED_QUERIES);
        tokio::spawn(forwarder.clone().forward_requests(requests));
        let threads = UdpThreads::start(sockets.udp, &responder, &forward)?;
        stop.await;
        accepting.iter().for_each(tokio::task::JoinHandle::abort);
        // Meanwhile what was forwarded is answered. A successor never hears of it.
        tokio::task::spawn_blocking(|| threads.stop_threads()).await?;
        let _ = tokio::time::timeout(LAST_FORWARDED, forwarder.wait_until_idle()).await;
        tracing::info!("{}", responder.counters.describe_counts());
        Ok(())
    }
}

/// The threads that answer over UDP.
struct UdpThreads {
    is_stopping: Arc<AtomicBool>,
    addresses: Vec<SocketAddr>,
    /// Closed when all threads have ended.
    ended: std::sync::mpsc::Receiver<()>,
}

impl UdpThreads {
    fn start(
        sockets: Vec<UdpSocket>,
        responder: &Arc<Responder>,
        forward: &mpsc::Sender<ForwardRequest>,
    ) -> io::Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let mut addresses = Vec::new();
        let (ending, ended) = channel();
        for socket in sockets {
            socket.set_nonblocking(false)?;
            addresses.push(socket.local_addr()?);
            let service = UdpService {
                socket: Arc::new(socket),
                responder: responder.clone(),
                forward: forward.clone(),
                is_stopping: is_stopping.clone(),
            };
            let ending: Sender<()> = ending.clone();
            thread::Builder::new().name("udp".into()).spawn(move || {
                service.run_thread();
                drop(ending);
            })?;
        }
        Ok(Self { is_stopping, addresses, ended })
    }

    /// Lets every thread answer what it has taken from its socket. What is still in the socket is
    /// left for our successor, to whom systemd gives the same socket.
    fn stop_threads(self) {
        self.is_stopping.store(true, Ordering::Release);
        for address in &self.addresses {
            // An empty datagram wakes the thread. It comes back from no other machine.
            let any: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let _ = UdpSocket::bind(any).and_then(|socket| socket.send_to(&[], address));
        }
        let end = Instant::now() + LAST_ANSWERS;
        let left = || end.saturating_duration_since(Instant::now());
        while !matches!(
            self.ended.recv_timeout(left()),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)
        ) {}
    }
}
