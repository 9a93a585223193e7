//! Flags of virtual services.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// The flags of a virtual service (`IP_VS_SVC_F_*` in `linux/ip_vs.h`).
///
/// [`HASHED`](Self::HASHED) is the kernel's own bookkeeping and set in every dump. Compare flags
/// after [`settable`](Self::settable), which removes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServiceFlags(pub u32);

impl ServiceFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Clients stick to their real server for the service's timeout.
    pub const PERSISTENT: Self = Self(0x1);
    /// The service is in the kernel's table; never set by a client.
    pub const HASHED: Self = Self(0x2);
    /// Each packet is scheduled by itself (UDP only).
    pub const ONE_PACKET: Self = Self(0x4);
    /// First scheduler flag: `sh-fallback`, `mh-fallback`.
    pub const SCHED_1: Self = Self(0x8);
    /// Second scheduler flag: `sh-port`, `mh-port`.
    pub const SCHED_2: Self = Self(0x10);
    /// Third scheduler flag: no scheduler of any kernel uses it.
    pub const SCHED_3: Self = Self(0x20);

    /// Returns true if every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the flags without those that only the kernel sets.
    #[must_use]
    pub const fn settable(self) -> Self {
        Self(self.0 & !Self::HASHED.0)
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
        Self(!self.0)
    }
}

impl fmt::Debug for ServiceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceFlags({:#x})", self.0)
    }
}
