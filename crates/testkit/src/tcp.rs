//! TCP clients with a port of their choice.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::sockopt::{ReuseAddr, SendTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
};
use nix::sys::time::TimeVal;

/// Connects from a local port, also from one that an earlier connection elsewhere has left in
/// `TIME_WAIT`.
///
/// # Errors
/// When the port is taken, nobody answers in time, or the connection is refused.
pub fn connect_from(port: u16, to: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let (family, from): (_, SocketAddr) = match to {
        SocketAddr::V4(_) => (AddressFamily::Inet, ([0; 4], port).into()),
        SocketAddr::V6(_) => (AddressFamily::Inet6, ([0_u16; 8], port).into()),
    };
    let client = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&client, ReuseAddr, &true)?;
    let seconds = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
    setsockopt(&client, SendTimeout, &TimeVal::new(seconds, 0))?;
    bind(client.as_raw_fd(), &storage(from))?;
    connect(client.as_raw_fd(), &storage(to))?;
    let stream = TcpStream::from(client);
    stream.set_read_timeout(Some(within))?;
    Ok(stream)
}

fn storage(address: SocketAddr) -> SockaddrStorage {
    address.into()
}
