//! Connections to a VIP and its real servers, several at a time, within a bounded time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;
use vip::Protocol;

use super::facts::{Outcome, Timed};

/// The time that a TCP connection has: enough for a SYN that is lost once and again.
const TCP_PATIENCE: Duration = Duration::from_secs(4);
/// The time that an ICMP error has to come back.
const UDP_PATIENCE: Duration = Duration::from_millis(800);

/// Measures how long it takes.
pub async fn measure<T>(work: impl Future<Output = T>) -> Timed<T> {
    let begun = Instant::now();
    let result = work.await;
    Timed { result, took: begun.elapsed() }
}

/// Tries to connect to all of them at the same time; over IPv4 from this address, if the node has it.
pub async fn connect_all(
    servers: &[SocketAddr],
    protocol: Protocol,
    source: Option<Ipv4Addr>,
) -> Vec<(SocketAddr, Timed<Outcome>)> {
    let each = servers.iter().map(async |server| {
        let source = source.filter(|_| server.is_ipv4());
        (*server, connect_from(source, *server, protocol).await)
    });
    join_all(each).await
}

/// Tries to connect.
pub async fn connect(address: SocketAddr, protocol: Protocol) -> Timed<Outcome> {
    connect_from(None, address, protocol).await
}

async fn connect_from(
    source: Option<Ipv4Addr>,
    address: SocketAddr,
    protocol: Protocol,
) -> Timed<Outcome> {
    measure(async {
        let outcome = match protocol {
            Protocol::Tcp => match timeout(TCP_PATIENCE, open(source, address)).await {
                Ok(connected) => connected.map(|_| Outcome::Connected),
                Err(_) => Ok(Outcome::Silent),
            },
            Protocol::Udp => send_datagram(source, address).await,
        };
        outcome.unwrap_or_else(|error| outcome_of(&error))
    })
    .await
}

async fn open(source: Option<Ipv4Addr>, address: SocketAddr) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(address).await };
    let socket = TcpSocket::new_v4()?;
    match socket.bind((source, 0).into()) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            TcpStream::connect(address).await
        }
        bound => {
            bound?;
            socket.connect(address).await
        }
    }
}

/// Sends an empty datagram, and waits for the ICMP error that a closed port causes.
async fn send_datagram(source: Option<Ipv4Addr>, address: SocketAddr) -> io::Result<Outcome> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = match source {
        Some(source) => match UdpSocket::bind((source, 0)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                UdpSocket::bind((any, 0)).await?
            }
            bound => bound?,
        },
        None => UdpSocket::bind((any, 0)).await?,
    };
    socket.connect(address).await?;
    socket.send(&[]).await?;
    match timeout(UDP_PATIENCE, socket.recv(&mut [0; 1])).await {
        Ok(Ok(_)) => Ok(Outcome::Connected),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(Outcome::Unproven),
    }
}

fn outcome_of(error: &io::Error) -> Outcome {
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => Outcome::Refused,
        Some(Errno::NETUNREACH) => Outcome::NoRoute,
        Some(Errno::HOSTUNREACH) => Outcome::Unreachable,
        Some(Errno::PERM | Errno::ACCESS) => Outcome::Forbidden,
        Some(Errno::TIMEDOUT) => Outcome::Silent,
        _ => Outcome::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcome(address: SocketAddr, protocol: Protocol) -> Outcome {
        connect(address, protocol).await.result
    }

    #[tokio::test]
    async fn a_listener_is_told_from_a_closed_port() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(outcome(address, Protocol::Tcp).await, Outcome::Connected);
        drop(listener);
        assert_eq!(outcome(address, Protocol::Tcp).await, Outcome::Refused);

        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(outcome(address, Protocol::Udp).await, Outcome::Unproven);
        drop(socket);
        assert_eq!(outcome(address, Protocol::Udp).await, Outcome::Refused);
    }

    /// Or a real server that admits only the address that clients have could look closed.
    #[tokio::test]
    async fn a_real_server_is_tried_from_the_address_that_clients_have_there() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = [listener.local_addr().unwrap()];
        for (source, expected) in [("127.0.0.9", "127.0.0.9"), ("192.0.2.1", "127.0.0.1")] {
            let source = Some(source.parse().unwrap());
            let tried = connect_all(&servers, Protocol::Tcp, source).await;
            assert_eq!(tried[0].1.result, Outcome::Connected);
            assert_eq!(listener.accept().await.unwrap().1.ip().to_string(), expected);
        }
    }

    #[test]
    fn errors_are_told_apart() {
        for (errno, expected) in [
            (Errno::CONNREFUSED, Outcome::Refused),
            (Errno::NETUNREACH, Outcome::NoRoute),
            (Errno::HOSTUNREACH, Outcome::Unreachable),
            (Errno::PERM, Outcome::Forbidden),
            (Errno::TIMEDOUT, Outcome::Silent),
        ] {
            assert_eq!(outcome_of(&errno.into()), expected);
        }
    }
}
