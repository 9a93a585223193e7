//! Values as text, for tests.

use std::net::SocketAddr;

use crate::{Protocol, Vip};

/// Parses an address with a port.
pub(in crate::liveness) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Parses a VIP, such as `tcp 3.3.0.2:80`.
pub(in crate::liveness) fn vip(text: &str) -> Vip {
    let (protocol, address) = text.split_once(' ').unwrap();
    let at = at(address);
    let protocol = if protocol == "tcp" { Protocol::Tcp } else { Protocol::Udp };
    Vip { address: at.ip(), port: at.port().try_into().unwrap(), protocol }
}
