//! Connections to a relay: their number, their time limits and TLS.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use marathon::client::with_sources;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::counts::Counts;
use super::pace::counted_address;
use super::stream::LastTaken;

/// The longest time for TLS to begin.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest time for the headers of a request.
const HEADERS: Duration = Duration::from_secs(5);

/// The pause after a connection that could not be accepted: it waits, and so would the next try.
const PAUSE: Duration = Duration::from_secs(1);

/// The most connections, in all and from one address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) per_address: usize,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// It is a program on this very host.
    pub(super) is_here: bool,
}

impl Peer {
    /// `local` is the address of this end. The network never delivers a packet from the address that it
    /// goes to, so only a program of this host can connect from it.
    fn new(address: IpAddr, local: Option<IpAddr>) -> Self {
        Self { address, is_here: address.is_loopback() || local == Some(address) }
    }
}

/// The connections that are open, by address.
#[derive(Debug, Default)]
struct Open {
    by_address: BTreeMap<IpAddr, usize>,
    count: usize,
}

/// A place among the open connections.
struct Seat {
    open: Arc<Mutex<Open>>,
    /// As it is counted.
    address: IpAddr,
    counts: Arc<Counts>,
}

impl Seat {
    /// Takes a place. None: there are too many connections.
    fn take(
        open: &Arc<Mutex<Open>>,
        address: IpAddr,
        limits: Limits,
        counts: &Arc<Counts>,
    ) -> Option<Self> {
        let mut all = open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = all.by_address.get(&address).copied().unwrap_or_default();
        if all.count >= limits.connections || of_address >= limits.per_address {
            return None;
        }
        all.count += 1;
        *all.by_address.entry(address).or_default() += 1;
        counts.connections.fetch_add(1, Ordering::Relaxed);
        Some(Self { open: Arc::clone(open), address, counts: Arc::clone(counts) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.counts.connections.fetch_sub(1, Ordering::Relaxed);
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        all.count = all.count.saturating_sub(1);
        if let Some(of_address) = all.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                all.by_address.remove(&self.address);
            }
        }
    }
}

/// Accepts and serves connections for ever. One too many is closed at once: its agent goes to another
/// relay, and the agents that are served stay.
pub(super) async fn serve_forever(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    counts: Arc<Counts>,
) {
    let open = Arc::default();
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (connection, peer) = match accepted {
            Ok(accepted) => accepted,
            // Most likely the process has no free file descriptor.
            Err(error) => {
                counts.refused.count_unlogged();
                tracing::warn!("a connection can't be accepted: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let address = canonical_address(peer);
        let Some(seat) = Seat::take(&open, counted_address(address), limits, &counts) else {
            counts.note_refused(address, "there are too many connections, in all or from there");
            continue;
        };
        let _ = connection.set_nodelay(true);
        let peer = Peer::new(address, connection.local_addr().map(canonical_address).ok());
        let (tls, router, counts) = (tls.clone(), router.clone(), Arc::clone(&counts));
        connections.spawn(async move {
            serve_connection(connection, peer, tls, router, &counts).await;
            drop(seat);
        });
    }
}

fn canonical_address(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}

async fn serve_connection(
    connection: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    router: Router,
    counts: &Counts,
) {
    // In boxes, since a connection without TLS would have the room of one with it.
    match tls {
        None => Box::pin(serve_requests(connection, peer, router)).await,
        Some(tls) => Box::pin(serve_with_tls(connection, peer, tls, router, counts)).await,
    }
}

async fn serve_with_tls(
    connection: TcpStream,
    peer: Peer,
    tls: TlsAcceptor,
    router: Router,
    counts: &Counts,
) {
    let failed = |why: &str| {
        counts.handshakes.note("TLS could not begin with", peer.address, why);
    };
    let handshake = async {
        // A health check of TCP says nothing.
        if matches!(connection.peek(&mut [0]).await, Ok(0) | Err(_)) {
            return Ok(None);
        }
        tls.accept(connection).await.map(Some)
    };
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(Some(connection))) => serve_requests(connection, peer, router).await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => failed(&with_sources(&error)),
        Err(_) => failed("it took too long"),
    }
}

async fn serve_requests(
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
) {
    let taken = Arc::new(LastTaken::default());
    // Not layers of the router: those would have all of its routes in memory again for each connection.
    let (routes, of_connection) = (TowerToHyperService::new(router), Arc::clone(&taken));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(Arc::clone(&of_connection));
        routes.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(16 << 10);
    let connection = builder.serve_connection(TokioIo::new(connection), service);
    tokio::select! {
        // The client may close the connection at any time.
        _ = connection => {}
        () = taken.wait_for_lag() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_host_is_told_from_others() {
        let is_here = |peer: &str, local: &str| {
            Peer::new(peer.parse().unwrap(), Some(local.parse().unwrap())).is_here
        };
        assert!(is_here("127.0.0.1", "127.0.0.1"));
        assert!(is_here("::1", "::1"));
        assert!(is_here("10.0.0.11", "10.0.0.11"));
        assert!(!is_here("10.0.0.12", "10.0.0.11"));
        assert!(!Peer::new("10.0.0.11".parse().unwrap(), None).is_here);
    }

    /// Whoever has one address of IPv6 has 2^64 of them.
    #[test]
    fn connections_of_one_network_of_ipv6_share_a_limit() {
        let (open, counts) = (Arc::default(), Arc::default());
        let limits = Limits { connections: 10, per_address: 2 };
        let take = |address: &str| {
            Seat::take(&open, counted_address(address.parse().unwrap()), limits, &counts)
        };
        let seats = [take("2001:db8:1:2::1"), take("2001:db8:1:2:ffff::2")];
        assert!(seats.iter().all(Option::is_some));
        assert!(take("2001:db8:1:2::3").is_none());
        assert!(take("2001:db8:1:3::1").is_some(), "another network");
        drop(seats);
        assert!(take("2001:db8:1:2::3").is_some());
        let four = [take("10.0.0.1"), take("10.0.0.2"), take("10.0.0.3")];
        assert!(four.iter().all(Option::is_some));
    }
}
