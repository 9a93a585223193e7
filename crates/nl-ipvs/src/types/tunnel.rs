//! The tunnel to a real server.

use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

use super::Unrecognized;
use super::parse_error::parse_number;
use crate::ParseError;

/// The encapsulation of [`ForwardMethod::Tunnel`](crate::ForwardMethod::Tunnel)
/// (`IP_VS_CONN_F_TUNNEL_TYPE_*`, Linux 5.2).
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
    /// One that this crate doesn't know: see [`from_number`](Self::from_number).
    Other(Unrecognized),
}

impl TunnelKind {
    /// Converts the kernel's number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::IpIp,
            1 => Self::Gue,
            2 => Self::Gre,
            other => Self::Other(Unrecognized::new(other)),
        }
    }

    /// Returns the kernel's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::IpIp => 0,
            Self::Gue => 1,
            Self::Gre => 2,
            Self::Other(other) => other.number(),
        }
    }
}

/// Formats as `ipip`, `gue`, `gre` or `tunnel-3`.
impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpIp => f.pad("ipip"),
            Self::Gue => f.pad("gue"),
            Self::Gre => f.pad("gre"),
            Self::Other(other) => f.pad(&format!("tunnel-{}", other.number())),
        }
    }
}

/// Parses what [`Display`](fmt::Display) writes.
impl FromStr for TunnelKind {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = || parse_number(text.strip_prefix("tunnel-")?).map(Self::from_number);
        match text {
            "ipip" => Ok(Self::IpIp),
            "gue" => Ok(Self::Gue),
            "gre" => Ok(Self::Gre),
            _ => number().ok_or_else(|| ParseError::new(text, "a tunnel: ipip, gue or gre")),
        }
    }
}

/// The checksum flags of a tunnel (`IP_VS_TUNNEL_ENCAP_FLAG_*`, Linux 5.3), for GUE and GRE only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TunnelFlags(pub u16);

impl TunnelFlags {
    /// No checksum.
    pub const NO_CHECKSUM: Self = Self(0);
    /// A checksum.
    pub const CHECKSUM: Self = Self(1);
    /// Remote checksum offload, GUE only.
    pub const REMOTE_CHECKSUM: Self = Self(2);
}

impl BitOr for TunnelFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The tunnel to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Tunnel {
    /// The encapsulation.
    pub kind: TunnelKind,
    /// UDP port of the far end, [`TunnelKind::Gue`] only; host byte order here.
    pub port: u16,
    /// Checksum flags.
    pub flags: TunnelFlags,
}

impl Tunnel {
    /// Makes an IP-in-IP tunnel, the only one before Linux 5.2.
    #[must_use]
    pub const fn ipip() -> Self {
        Self { kind: TunnelKind::IpIp, port: 0, flags: TunnelFlags::NO_CHECKSUM }
    }

    /// Makes a GUE tunnel to a UDP port.
    #[must_use]
    pub const fn gue(port: u16, flags: TunnelFlags) -> Self {
        Self { kind: TunnelKind::Gue, port, flags }
    }

    /// Makes a GRE tunnel.
    #[must_use]
    pub const fn gre(flags: TunnelFlags) -> Self {
        Self { kind: TunnelKind::Gre, port: 0, flags }
    }
}
