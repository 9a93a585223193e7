//! Real servers.

use std::fmt;
use std::net::SocketAddr;

/// The way packets reach a real server (`IP_VS_CONN_F_*`, low three bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardMethod {
    /// Network address translation (`-m`).
    Masquerade,
    /// Local delivery.
    Local,
    /// Tunnelling (`-i`).
    Tunnel,
    /// Direct routing (`-g`).
    Route,
    /// Cache bypass.
    Bypass,
    /// One that this crate doesn't know.
    Other(u32),
}

impl fmt::Display for ForwardMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masquerade => f.pad("masq"),
            Self::Local => f.pad("local"),
            Self::Tunnel => f.pad("tunnel"),
            Self::Route => f.pad("route"),
            Self::Bypass => f.pad("bypass"),
            Self::Other(number) => f.pad(&format!("forward-{number}")),
        }
    }
}

/// The encapsulation of [`ForwardMethod::Tunnel`] (`IP_VS_CONN_F_TUNNEL_TYPE_*`, Linux 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TunnelKind {
    /// IP in IP.
    #[default]
    IpIp,
    /// Generic UDP encapsulation.
    Gue,
    /// Generic routing encapsulation (Linux 5.3).
    Gre,
    /// One that this crate doesn't know.
    Other(u8),
}

/// The tunnel to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tunnel {
    /// The encapsulation.
    pub kind: TunnelKind,
    /// UDP port of the far end, [`TunnelKind::Gue`] only; host byte order here.
    pub port: u16,
    /// Checksum flags (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
    pub flags: u16,
}

/// The settings of a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DestinationSettings {
    /// The way packets reach it.
    pub forward: ForwardMethod,
    /// The share of new connections, at most `i32::MAX`. With 0 it gets no new ones.
    pub weight: u32,
    /// The connections at which it gets no more; 0 is no limit.
    pub upper_threshold: u32,
    /// The connections below which it gets new ones again; 0 is three quarters of the upper
    /// threshold.
    pub lower_threshold: u32,
    /// The tunnel of [`ForwardMethod::Tunnel`].
    pub tunnel: Tunnel,
}

impl DestinationSettings {
    /// Makes settings with network address translation and without thresholds.
    #[must_use]
    pub fn masquerade(weight: u32) -> Self {
        Self {
            forward: ForwardMethod::Masquerade,
            weight,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: Tunnel::default(),
        }
    }
}

/// A real server as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The address and port. A service of one family may have tunnelled real servers of the other
    /// (Linux 3.18).
    pub address: SocketAddr,
    /// The settings.
    pub settings: DestinationSettings,
    /// Connections in an established state.
    pub active_connections: u32,
    /// All others, those in `TIME_WAIT` among them.
    pub inactive_connections: u32,
    /// Persistence templates.
    pub persistent_connections: u32,
    /// The counters and rates.
    pub stats: crate::Stats,
}
