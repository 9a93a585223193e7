//! The sockets of the name server, of our own making or inherited from systemd.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use listenfd::ListenFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// How many connections wait to be accepted.
const BACKLOG: i32 = 64;

/// Sockets that queries come in by.
#[derive(Debug, Default)]
pub struct Sockets {
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: Vec<TcpListener>,
}

/// The reason why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// All addresses of the node.
    #[error(
        "{0} stands for all addresses of this node: name the ones to listen on, such as \
         198.51.100.1, or anybody could use this node as a resolver"
    )]
    AllAddresses(SocketAddr),
    /// Somebody else has the port.
    #[error(
        "another program listens on port {} of {}: `ss -lnp 'sport = :{}'` shows which; stop it, \
         or choose another address with --listen",
        .0.port(), .0.ip(), .0.port()
    )]
    InUse(SocketAddr),
    /// A port below 1024 without the right to it.
    #[error(
        "only root and programs with CAP_NET_BIND_SERVICE may listen on port {}; \
         vipd-dns.socket hands the socket to a name server without rights",
        .0.port()
    )]
    NotAllowed(SocketAddr),
    /// Another error of the kernel.
    #[error("cannot listen on {address}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// The error.
        source: io::Error,
    },
    /// What systemd handed over can't be used.
    #[error("cannot use the sockets of systemd")]
    Inherited(#[source] io::Error),
}

impl Sockets {
    /// Listens on addresses, whether they are bound in this kernel already or not.
    ///
    /// # Errors
    /// When one of them can't be had.
    pub fn bind_addresses(addresses: &[SocketAddr]) -> Result<Self, SocketError> {
        let mut sockets = Self::default();
        for address in addresses {
            check_address(*address)?;
            let explain = |errno| match errno {
                Errno::ADDRINUSE => SocketError::InUse(*address),
                Errno::ACCESS | Errno::PERM => SocketError::NotAllowed(*address),
                errno => SocketError::Io { address: *address, source: errno.into() },
            };
            let udp = bind_socket(*address, SocketType::DGRAM).map_err(explain)?;
            let tcp = bind_socket(*address, SocketType::STREAM).map_err(explain)?;
            sockets.udp.push(udp.into());
            sockets.tcp.push(tcp.into());
        }
        Ok(sockets)
    }

    /// Takes the sockets that systemd opened for us. `None` if it opened none.
    ///
    /// # Errors
    /// When one of them is no UDP or TCP socket, or listens on all addresses.
    pub fn take_inherited() -> Result<Option<Self>, SocketError> {
        let mut inherited = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..inherited.len() {
            // The wrong kind is an error, which leaves it there for the other.
            if let Ok(Some(udp)) = inherited.take_udp_socket(index) {
                sockets.udp.push(udp);
            } else if let Some(tcp) =
                inherited.take_tcp_listener(index).map_err(SocketError::Inherited)?
            {
                sockets.tcp.push(tcp);
            }
        }
        for address in sockets.list_addresses().map_err(SocketError::Inherited)? {
            check_address(address)?;
        }
        Ok((inherited.len() > 0).then_some(sockets))
    }

    /// Lists the addresses, without repetition.
    ///
    /// # Errors
    /// When the kernel doesn't tell.
    pub fn list_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let udp = self.udp.iter().map(UdpSocket::local_addr);
        let tcp = self.tcp.iter().map(TcpListener::local_addr);
        let mut addresses = udp.chain(tcp).collect::<io::Result<Vec<_>>>()?;
        addresses.sort();
        addresses.dedup();
        Ok(addresses)
    }
}

/// Refuses the addresses that stand for all: replies could leave from another address than was asked,
/// and strangers could ask.
fn check_address(address: SocketAddr) -> Result<(), SocketError> {
    match address.ip().is_unspecified() {
        true => Err(SocketError::AllAddresses(address)),
        false => Ok(()),
    }
}

fn bind_socket(address: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    match address.ip() {
        IpAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
        IpAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
    }
    if kind == SocketType::STREAM {
        // Connections of our predecessor may still be closing.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}
