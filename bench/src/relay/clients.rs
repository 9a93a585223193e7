//! Thousands of connections in one thread, which count what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

/// The time without a byte after which nothing more is expected.
const QUIET: Duration = Duration::from_millis(150);
/// The longest wait for bytes that have to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// The request of an agent.
const REQUEST: &str = "GET /v1/stream HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\
                       accept-encoding: gzip\r\n\r\n";

/// One connection, and what has come on it since the last mark.
struct Client {
    socket: TcpStream,
    bytes: u64,
    /// When the latest byte came.
    at: Option<Instant>,
}

/// What has come on all connections since the last mark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// The bytes of each connection, at least and at most.
    pub(crate) bytes: (u64, u64),
    /// When the first and the last byte came.
    pub(crate) times: (Instant, Instant),
}

/// Connections from an address each.
pub(crate) struct Clients {
    epoll: OwnedFd,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    first: Option<Instant>,
    /// The reads of the first connection: for comparison the same is written in the same pieces.
    pieces: Vec<Vec<u8>>,
}

/// Returns the loopback address of a connection: a relay takes only so many from one.
fn source_address(number: usize) -> IpAddr {
    let byte = |number: usize| u8::try_from(number % 250 + 1).unwrap();
    Ipv4Addr::new(127, 1, byte(number / 250), byte(number)).into()
}

fn connect_from(source: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Shakes hands, and returns the encrypted request. What comes back is counted, not read.
fn shake_hands(socket: &mut TcpStream, tls: &Arc<ClientConfig>) -> Vec<u8> {
    let name = "localhost".try_into().unwrap();
    let mut connection = ClientConnection::new(Arc::clone(tls), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(socket).unwrap();
    }
    connection.writer().write_all(REQUEST.as_bytes()).unwrap();
    let mut request = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut request).unwrap();
    }
    request
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
            clients: Vec::new(),
            buffer: vec![0; 1 << 20],
            first: None,
            pieces: Vec::new(),
        }
    }

    /// Opens connections, with TLS or without, and returns the requests that are to be sent on them.
    pub(crate) fn connect(
        &mut self,
        to: SocketAddr,
        count: usize,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Vec<Vec<u8>> {
        let from = self.clients.len();
        (from..from + count)
            .map(|number| {
                let mut socket = connect_from(source_address(number), to);
                let request = match tls {
                    None => REQUEST.into(),
                    Some(tls) => shake_hands(&mut socket, tls),
                };
                socket.set_nonblocking(true).unwrap();
                let data = epoll::EventData::new_u64(number as u64);
                epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN).unwrap();
                self.clients.push(Client { socket, bytes: 0, at: None });
                request
            })
            .collect()
    }

    /// Sends the requests on the latest connections.
    pub(crate) fn send_requests(&mut self, requests: &[Vec<u8>]) {
        let from = self.clients.len() - requests.len();
        for (client, request) in self.clients[from..].iter_mut().zip(requests) {
            client.socket.write_all(request).unwrap();
        }
    }

    /// Begins to count anew.
    pub(crate) fn mark(&mut self) {
        self.first = None;
        self.pieces.clear();
        for client in &mut self.clients {
            (client.bytes, client.at) = (0, None);
        }
    }

    /// Returns what the first connection has read since the last mark.
    pub(crate) fn pieces(&self) -> &[Vec<u8>] {
        &self.pieces
    }

    /// Waits until each of the latest connections has this many bytes, and no more come for a moment.
    pub(crate) fn until_quiet(&mut self, latest: usize, bytes: u64) -> Arrival {
        let end = Instant::now() + PATIENCE;
        let from = self.clients.len() - latest;
        loop {
            let has_come = self.wait(QUIET);
            if !has_come && self.clients[from..].iter().all(|client| client.bytes >= bytes) {
                return self.arrival(from);
            }
            assert!(Instant::now() < end, "{:?} have come", self.arrival(from));
        }
    }

    fn arrival(&self, from: usize) -> Arrival {
        let clients = &self.clients[from..];
        let bytes = clients.iter().map(|client| client.bytes);
        let bytes = (bytes.clone().min().unwrap(), bytes.max().unwrap());
        let last = clients.iter().filter_map(|client| client.at).max();
        let now = Instant::now();
        Arrival { bytes, times: (self.first.unwrap_or(now), last.unwrap_or(now)) }
    }

    /// Waits for bytes and reads them. Returns whether some have come.
    pub(crate) fn wait(&mut self, at_most: Duration) -> bool {
        let mut events = Vec::with_capacity(1024);
        let limit = Timespec::try_from(at_most).unwrap();
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&limit)).unwrap();
        let at = Instant::now();
        for event in &events {
            let number = usize::try_from(event.data.u64()).unwrap();
            self.read_from(number, at);
        }
        !events.is_empty()
    }

    fn read_from(&mut self, number: usize, at: Instant) {
        let client = &mut self.clients[number];
        match client.socket.read(&mut self.buffer) {
            Ok(0) => panic!("connection {number} was closed"),
            Ok(read) => {
                self.first.get_or_insert(at);
                client.bytes += read as u64;
                client.at = Some(at);
                if number == 0 {
                    self.pieces.push(self.buffer[..read].to_vec());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("connection {number}: {error}"),
        }
    }
}
