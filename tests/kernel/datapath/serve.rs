//! Servers that answer with their name and the client's source, and a proxy.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its name.
    pub(super) who: String,
    /// The source of the client's packets, as seen by the server.
    pub(super) source: IpAddr,
}

impl Answer {
    fn read(text: &str) -> io::Result<Self> {
        let broken = || io::Error::other(format!("a broken answer: {text:?}"));
        let (who, source) = text.trim_end().split_once(' ').ok_or_else(broken)?;
        Ok(Self { who: who.to_owned(), source: source.parse().map_err(|_| broken())? })
    }
}

/// Serves at an address of this thread's namespace until the end of the test: answers with a line
/// `NAME SOURCE`, then echoes.
pub(super) fn serve(at: SocketAddr, name: &str, protocol: Protocol) {
    let name = name.to_owned();
    match protocol {
        Protocol::Tcp => {
            let listener = TcpListener::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let name = name.clone();
                    thread::spawn(move || greet_and_echo(stream, &name));
                }
            });
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
            thread::spawn(move || {
                let mut datagram = [0; 64];
                // An error means that the client is gone.
                loop {
                    if let Ok((_, peer)) = socket.recv_from(&mut datagram) {
                        let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
                    }
                }
            });
        }
    }
}

fn greet_and_echo(mut stream: TcpStream, name: &str) -> io::Result<()> {
    writeln!(stream, "{name} {}", stream.peer_addr()?.ip())?;
    let mut reader = stream.try_clone()?;
    io::copy(&mut reader, &mut stream).map(drop)
}

/// Docker's userland proxy: forwards clients of one address to another.
pub(super) fn proxy(at: SocketAddr, to: SocketAddr, protocol: Protocol) {
    match protocol {
        Protocol::Tcp => {
            let listener = TcpListener::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    thread::spawn(move || proxy_one(stream, to));
                }
            });
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
            thread::spawn(move || {
                let mut datagram = [0; 64];
                loop {
                    let Ok((length, peer)) = socket.recv_from(&mut datagram) else { continue };
                    if let Ok(answer) = exchange(to, &datagram[..length], PATIENCE) {
                        let _ = socket.send_to(&answer, peer);
                    }
                }
            });
        }
    }
}

fn proxy_one(client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(to)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    io::copy(&mut from_server, &mut to_client)?;
    to_client.shutdown(Shutdown::Write)
}

/// Time limit of a client: longer than two lost packets take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Connects, or sends a datagram, and reads the answer.
pub(super) fn ask(at: SocketAddr, protocol: Protocol) -> io::Result<Answer> {
    match protocol {
        Protocol::Tcp => open(at).map(|(_, answer)| answer),
        Protocol::Udp => {
            let datagram = exchange(at, b"who", PATIENCE)?;
            Answer::read(&String::from_utf8_lossy(&datagram))
        }
    }
}

/// Connects, reads the answer and keeps the connection open.
pub(super) fn open(at: SocketAddr) -> io::Result<(TcpStream, Answer)> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok((stream, Answer::read(&String::from_utf8_lossy(&line))?))
}

/// Sends a byte through an open connection and gets it back.
pub(super) fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    stream.write_all(b"x")?;
    stream.read_exact(&mut byte)
}

/// Sends a datagram through a connected socket and reads the answer.
pub(super) fn ask_through(socket: &UdpSocket) -> io::Result<Answer> {
    Answer::read(&String::from_utf8_lossy(&exchange_through(socket, b"who")?))
}

/// Sends a datagram from a new port and reads the reply.
fn exchange(at: SocketAddr, datagram: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let any: IpAddr = if at.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(at)?;
    exchange_through(&socket, datagram)
}

fn exchange_through(socket: &UdpSocket, datagram: &[u8]) -> io::Result<Vec<u8>> {
    socket.send(datagram)?;
    let mut answer = vec![0; 512];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}
