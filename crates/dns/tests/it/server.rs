//! The server with real sockets, on loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use dns::{Event, Responder, Server, Sockets, UpstreamSource};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use tokio::sync::oneshot;

use crate::client::{describe, query, responder};

const NAME: &str = "mysql.marathon.l4lb.thisdcos.directory.";

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(60);

/// A running server, stopped at the end.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) responder: Arc<Responder>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Starts a server on a free port.
    pub(crate) fn start(responder: Responder, upstreams: UpstreamSource) -> Self {
        // TCP and UDP of one port.
        let (address, sockets) = loop {
            let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            if let Ok(sockets) = Sockets::bind_addresses(&[free]) {
                break (free, sockets);
            }
        };
        let responder = Arc::new(responder);
        let server = Server::new(responder.clone(), sockets, upstreams);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let stopped = async { drop(stopped.await) };
            runtime.block_on(server.serve_until(stopped)).unwrap();
        });
        Self { address, responder, stop: Some(stop), thread: Some(thread) }
    }

    /// Asks over UDP.
    pub(crate) fn ask(&self, message: &Message) -> Message {
        let socket = self.udp_client();
        socket.send(&message.to_vec().unwrap()).unwrap();
        receive(&socket)
    }

    pub(crate) fn udp_client(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket
    }

    pub(crate) fn tcp_client(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn start() -> Running {
    Running::start(responder(), UpstreamSource::Files(Vec::new()))
}

pub(crate) fn receive(socket: &UdpSocket) -> Message {
    let mut reply = [0; 4096];
    let length = socket.recv(&mut reply).unwrap();
    Message::from_vec(&reply[..length]).unwrap()
}

/// Puts the length before a message.
pub(crate) fn framed(message: &Message) -> Vec<u8> {
    let message = message.to_vec().unwrap();
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message.as_slice()].concat()
}

pub(crate) fn read_tcp(stream: &mut TcpStream) -> Message {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).unwrap();
    Message::from_vec(&reply).unwrap()
}

/// Returns whether the server closes the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn it_answers_over_udp_and_tcp() {
    let server = start();
    let asked = query(NAME, RecordType::A);
    assert_eq!(describe(&server.ask(&asked)), "ok aa 11.0.0.3 5");
    let mut stream = server.tcp_client();
    // Two queries in one segment, and a third in pieces.
    stream.write_all(&framed(&asked).repeat(2)).unwrap();
    assert_eq!(describe(&read_tcp(&mut stream)), "ok aa 11.0.0.3 5");
    assert_eq!(describe(&read_tcp(&mut stream)), "ok aa 11.0.0.3 5");
    for byte in framed(&asked) {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(describe(&read_tcp(&mut stream)), "ok aa 11.0.0.3 5");
    assert_eq!(server.responder.counters.read_count(Event::Tcp), 3);
}

#[test]
fn a_client_that_is_slow_or_mute_or_speaks_nonsense_harms_nobody() {
    let server = start();
    let asked = query(NAME, RecordType::A);
    let mut mute = server.tcp_client();
    let mut slow = server.tcp_client();
    slow.write_all(&framed(&asked)[..9]).unwrap();
    let mut nonsense = server.tcp_client();
    nonsense.write_all(b"\x00\x0bGET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(describe(&server.ask(&asked)), "ok aa 11.0.0.3 5");
    let mut good = server.tcp_client();
    good.write_all(&framed(&asked)).unwrap();
    assert_eq!(describe(&read_tcp(&mut good)), "ok aa 11.0.0.3 5");
    assert!(is_closed(&mut nonsense));
    assert!(is_closed(&mut mute));
    assert!(is_closed(&mut slow));
    assert!(is_closed(&mut good));
}

#[test]
fn the_connection_that_was_idle_for_longest_makes_room() {
    let server = start();
    let asked = framed(&query(NAME, RecordType::A));
    let mut clients: Vec<_> = (0..caps::NAME_CONNECTIONS).map(|_| server.tcp_client()).collect();
    for client in &mut clients {
        client.write_all(&asked).unwrap();
        read_tcp(client);
    }
    let mut last = server.tcp_client();
    last.write_all(&asked).unwrap();
    read_tcp(&mut last);
    // The second was asked before the first was closed, or both are idle for too long by now.
    assert!(is_closed(&mut clients[0]));
}

#[test]
fn queries_are_answered_during_a_flood_of_garbage() {
    let server = start();
    let noise = server.udp_client();
    let mut random = 1_u64;
    for length in (0..600).cycle().take(20_000) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let garbage: Vec<_> = (0..length).map(|n| random.rotate_left(n).to_le_bytes()[3]).collect();
        let _ = noise.send(&garbage);
    }
    // The socket may be full for a moment: a client asks again.
    let socket = server.udp_client();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let asked = query(NAME, RecordType::A).to_vec().unwrap();
    let answered = (0..100).any(|_| {
        socket.send(&asked).unwrap();
        socket.recv(&mut [0; 512]).is_ok()
    });
    assert!(answered);
}

#[test]
fn an_address_may_be_listened_on_before_it_is_bound_but_never_all() {
    let unbound: IpAddr = "198.51.100.77".parse().unwrap();
    let sockets = Sockets::bind_addresses(&[SocketAddr::new(unbound, 53535)]).unwrap();
    assert_eq!(sockets.list_addresses().unwrap().len(), 1);
    for all in ["0.0.0.0:53535", "[::]:53535"] {
        let error = Sockets::bind_addresses(&[all.parse().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("stands for all addresses"), "{error}");
    }
}

#[test]
fn a_port_that_somebody_has_is_named() {
    let server = start();
    let error = Sockets::bind_addresses(&[server.address]).unwrap_err().to_string();
    let port = server.address.port().to_string();
    assert!(error.contains("another program listens on port") && error.contains(&port), "{error}");
}
