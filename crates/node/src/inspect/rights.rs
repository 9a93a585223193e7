//! The rights of this process.

use std::fs;

/// `CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_SYS_MODULE` of `linux/capability.h`.
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const SYS_MODULE: u32 = 16;

/// The capabilities of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// `CapEff` of `/proc/self/status`.
    effective: u64,
    /// The process is in the initial user namespace. IPVS ignores capabilities in another one.
    pub initial_user_namespace: bool,
}

impl Rights {
    /// Reads the rights of this process. `None`: `/proc` doesn't tell.
    #[must_use]
    pub fn read_own() -> Option<Self> {
        let status = fs::read_to_string("/proc/thread-self/status").ok()?;
        let map = fs::read_to_string("/proc/thread-self/uid_map").unwrap_or_default();
        Self::parse(&status, &map)
    }

    fn parse(status: &str, uid_map: &str) -> Option<Self> {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        let effective = u64::from_str_radix(line.trim(), 16).ok()?;
        // The initial namespace maps every user to itself: see user_namespaces(7).
        let map: Vec<_> = uid_map.split_whitespace().collect();
        let initial_user_namespace = map.is_empty() || map == ["0", "0", "4294967295"];
        Some(Self { effective, initial_user_namespace })
    }

    /// Returns true with `CAP_NET_ADMIN`, the only capability that vipd can't do without.
    #[must_use]
    pub fn net_admin(&self) -> bool {
        self.effective >> NET_ADMIN & 1 == 1
    }

    /// Returns true with `CAP_NET_RAW`, which ICMP echoes take.
    #[must_use]
    pub fn net_raw(&self) -> bool {
        self.effective >> NET_RAW & 1 == 1
    }

    /// Returns true with `CAP_SYS_MODULE`, which loading kernel modules takes.
    #[must_use]
    pub fn sys_module(&self) -> bool {
        self.effective >> SYS_MODULE & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_bit_by_bit() {
        let root = Rights::parse("Name:\tx\nCapEff:\t000001ffffffffff\n", "0 0 4294967295\n");
        let root = root.unwrap();
        assert!(root.net_admin() && root.sys_module() && root.initial_user_namespace);
        let agent = Rights::parse("CapEff:\t0000000000001000\n", "").unwrap();
        assert!(agent.net_admin() && !agent.net_raw() && !agent.sys_module());
        let prober = Rights::parse("CapEff:\t0000000000003000\n", "").unwrap();
        assert!(prober.net_admin() && prober.net_raw());
        let nobody = Rights::parse("CapEff:\t0000000000000000\n", "").unwrap();
        assert!(!nobody.net_admin());
        assert_eq!(Rights::parse("Name:\tx\n", ""), None);
    }

    #[test]
    fn a_rootless_container_is_told_by_its_map() {
        let rights = Rights::parse("CapEff:\t000001ffffffffff\n", "0 1000 1\n1 100000 65536\n");
        assert!(!rights.unwrap().initial_user_namespace);
    }
}
