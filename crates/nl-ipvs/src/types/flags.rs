//! Flags of virtual services.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};
use std::str::FromStr;

use crate::ParseError;

/// The flags of a virtual service (`IP_VS_SVC_F_*` in `linux/ip_vs.h`).
///
/// `IP_VS_SVC_F_HASHED` is the kernel's own bookkeeping: it is never in here, so that a service is
/// read back with the flags that were set. Every other bit is carried, also one that this crate
/// doesn't know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServiceFlags(u32);

/// `IP_VS_SVC_F_HASHED`: the service is in the kernel's table. A new service that had it would be
/// taken to be there already, and never be inserted.
const HASHED: u32 = 0x2;

impl ServiceFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Every flag, known or not: as a mask.
    pub const ALL: Self = Self(!HASHED);
    /// Clients stick to their real server for the service's timeout.
    pub const PERSISTENT: Self = Self(0x1);
    /// Each packet is scheduled by itself (UDP only).
    pub const ONE_PACKET: Self = Self(0x4);
    /// First scheduler flag: `sh-fallback`, `mh-fallback`.
    pub const SCHED_1: Self = Self(0x8);
    /// Second scheduler flag: `sh-port`, `mh-port`.
    pub const SCHED_2: Self = Self(0x10);
    /// Third scheduler flag: no scheduler of any kernel uses it.
    pub const SCHED_3: Self = Self(0x20);

    /// The known flags with the names that `ipvsadm` uses.
    const NAMES: [(Self, &'static str); 5] = [
        (Self::PERSISTENT, "persistent"),
        (Self::ONE_PACKET, "ops"),
        (Self::SCHED_1, "flag-1"),
        (Self::SCHED_2, "flag-2"),
        (Self::SCHED_3, "flag-3"),
    ];

    /// Makes flags from the kernel's number. The kernel's own flag is left out.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & !HASHED)
    }

    /// Returns the kernel's number.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns true if every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Lists the names of the known flags that are set, as `ipvsadm` writes them: `persistent`,
    /// `ops`, `flag-1`, `flag-2`, `flag-3`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = Self::NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag));
        set.map(|(_, name)| name)
    }

    /// Returns the flags that have no name.
    fn unknown(self) -> u32 {
        Self::NAMES.iter().fold(self.0, |rest, (flag, _)| rest & !flag.0)
    }
}

impl BitOr for ServiceFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ServiceFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for ServiceFlags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for ServiceFlags {
    type Output = Self;
    fn not(self) -> Self {
        Self::from_bits(!self.0)
    }
}

/// Formats as the names, joined by commas: `persistent,flag-2`. Unknown flags are a number, no flag
/// is `none`.
impl fmt::Display for ServiceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<String> = self.names().map(str::to_owned).collect();
        if self.unknown() != 0 {
            names.push(format!("{:#x}", self.unknown()));
        }
        match names.is_empty() {
            true => f.pad("none"),
            false => f.pad(&names.join(",")),
        }
    }
}

/// Parses a hexadecimal number without a sign.
fn parse_hexadecimal(digits: &str) -> Option<u32> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_number.then(|| u32::from_str_radix(digits, 16).ok())?
}

/// Parses what [`Display`](fmt::Display) writes.
impl FromStr for ServiceFlags {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            ParseError::new(text, "service flags: persistent, ops, flag-1, flag-2, flag-3 or none")
        };
        if text == "none" {
            return Ok(Self::NONE);
        }
        let flag = |name: &str| match Self::NAMES.iter().find(|(_, known)| *known == name) {
            Some((flag, _)) => Some(*flag),
            None => parse_hexadecimal(name.strip_prefix("0x")?).map(Self::from_bits),
        };
        text.split(',')
            .try_fold(Self::NONE, |flags, name| Ok(flags | flag(name).ok_or_else(error)?))
    }
}

impl fmt::Debug for ServiceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceFlags({self})")
    }
}
