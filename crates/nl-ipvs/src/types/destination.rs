//! Real servers.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::parse_error::parse_number;
use super::{Tunnel, Unrecognized};
use crate::{ParseError, Stats};

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
    /// One that this crate doesn't know: see [`from_bits`](Self::from_bits).
    Other(Unrecognized),
}

impl ForwardMethod {
    /// `IP_VS_CONN_F_FWD_MASK`.
    const MASK: u8 = 7;

    /// Converts the kernel's connection flags, of which the low three bits are the method.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        match bits.to_le_bytes()[0] & Self::MASK {
            0 => Self::Masquerade,
            1 => Self::Local,
            2 => Self::Tunnel,
            3 => Self::Route,
            4 => Self::Bypass,
            other => Self::Other(Unrecognized::new(other)),
        }
    }

    /// Returns the kernel's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Masquerade => 0,
            Self::Local => 1,
            Self::Tunnel => 2,
            Self::Route => 3,
            Self::Bypass => 4,
            Self::Other(other) => other.number(),
        }
    }
}

/// Formats as `masq`, `local`, `tunnel`, `route`, `bypass` or `forward-5`.
impl fmt::Display for ForwardMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masquerade => f.pad("masq"),
            Self::Local => f.pad("local"),
            Self::Tunnel => f.pad("tunnel"),
            Self::Route => f.pad("route"),
            Self::Bypass => f.pad("bypass"),
            Self::Other(other) => f.pad(&format!("forward-{}", other.number())),
        }
    }
}

/// Parses what [`Display`](fmt::Display) writes.
impl FromStr for ForwardMethod {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = || {
            let number: u8 = parse_number(text.strip_prefix("forward-")?)?;
            (number <= Self::MASK).then(|| Self::from_bits(number.into()))
        };
        match text {
            "masq" => Ok(Self::Masquerade),
            "local" => Ok(Self::Local),
            "tunnel" => Ok(Self::Tunnel),
            "route" => Ok(Self::Route),
            "bypass" => Ok(Self::Bypass),
            _ => number().ok_or_else(|| {
                ParseError::new(text, "a forwarding method: masq, local, tunnel, route or bypass")
            }),
        }
    }
}

/// The settings of a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
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
    /// The tunnel of [`ForwardMethod::Tunnel`]. The kernel keeps it with other methods too.
    pub tunnel: Tunnel,
}

impl DestinationSettings {
    /// Makes settings without thresholds.
    #[must_use]
    pub const fn new(forward: ForwardMethod, weight: u32) -> Self {
        Self { forward, weight, upper_threshold: 0, lower_threshold: 0, tunnel: Tunnel::ipip() }
    }

    /// Makes settings with network address translation (`ipvsadm -m`).
    #[must_use]
    pub const fn masquerade(weight: u32) -> Self {
        Self::new(ForwardMethod::Masquerade, weight)
    }

    /// Makes settings with direct routing (`ipvsadm -g`).
    #[must_use]
    pub const fn route(weight: u32) -> Self {
        Self::new(ForwardMethod::Route, weight)
    }

    /// Makes settings with a tunnel (`ipvsadm -i`).
    #[must_use]
    pub const fn tunnel(tunnel: Tunnel, weight: u32) -> Self {
        let settings = Self::new(ForwardMethod::Tunnel, weight);
        Self { tunnel, ..settings }
    }

    /// Returns whether the kernel has to be told of the tunnel. It takes none for IP in IP.
    pub(crate) fn has_tunnel(&self) -> bool {
        self.forward == ForwardMethod::Tunnel || self.tunnel != Tunnel::ipip()
    }

    /// Sets the thresholds: at `upper` connections it gets no more, below `lower` again.
    #[must_use]
    pub const fn with_thresholds(self, upper: u32, lower: u32) -> Self {
        Self { upper_threshold: upper, lower_threshold: lower, ..self }
    }
}

/// A real server as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Destination {
    /// The address and port. A service of one family may have tunnelled real servers of the other
    /// (Linux 3.18). The kernel has no room for the scope and the flow label of an IPv6 address.
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
    pub stats: Stats,
}

impl Destination {
    /// Makes a real server that nobody has connected to.
    #[must_use]
    pub fn new(address: SocketAddr, settings: DestinationSettings) -> Self {
        Self {
            address,
            settings,
            active_connections: 0,
            inactive_connections: 0,
            persistent_connections: 0,
            stats: Stats::default(),
        }
    }
}
