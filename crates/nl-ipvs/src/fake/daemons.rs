//! The synchronisation daemons of a kernel in memory (`start_sync_thread` in
//! `net/netfilter/ipvs/ip_vs_sync.c`).

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU16};

use super::table::Table;
use crate::wire::IpvsMessage;
use crate::{Daemon, DaemonRole, convert, errno};

/// `IP_VS_SYNC_GROUP`.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));

/// `IP_VS_SYNC_PORT`.
const PORT: NonZeroU16 = NonZeroU16::new(8848).unwrap();

/// The MTU of each interface.
const MTU: u16 = 1500;

/// The least payload that a backup has room for.
const LEAST_OF_BACKUP: u16 = 1024;

impl Table {
    pub(super) fn start_daemon(&mut self, message: &IpvsMessage) -> Result<(), i32> {
        let daemon = Daemon::try_from(message).map_err(|_| errno::EINVAL)?;
        if daemon.group.is_some_and(|group| !group.is_multicast()) {
            return Err(errno::EINVAL);
        }
        // Synchronisation knows no real servers of another family than that of their service.
        if self.has_mixed_families() {
            return Err(errno::EINVAL);
        }
        if self.daemons.iter().any(|running| running.role == daemon.role) {
            return Err(errno::EEXIST);
        }
        self.daemons.push(with_choices(daemon));
        self.daemons.sort_by_key(|daemon| daemon.role);
        Ok(())
    }

    pub(super) fn stop_daemon(&mut self, message: &IpvsMessage) -> Result<(), i32> {
        let role: DaemonRole = convert::parse_role(message).map_err(|_| errno::EINVAL)?;
        let running = self.daemons.iter().position(|daemon| daemon.role == role);
        self.daemons.remove(running.ok_or(errno::ESRCH)?);
        Ok(())
    }
}

/// Makes the choices that the kernel makes, and limits the payload as it does.
fn with_choices(mut daemon: Daemon) -> Daemon {
    let group = daemon.group.unwrap_or(GROUP);
    // The headers of IP and UDP.
    let headers = if group.is_ipv6() { 48 } else { 28 };
    let least = if daemon.role == DaemonRole::Backup { LEAST_OF_BACKUP } else { 1 };
    let max_len = match daemon.max_len {
        Some(len) => len.get().clamp(least, u16::MAX - headers),
        None => MTU - headers,
    };
    daemon.max_len = NonZeroU16::new(max_len);
    daemon.group = Some(group);
    daemon.port = daemon.port.or(Some(PORT));
    daemon.ttl = daemon.ttl.or(NonZeroU8::new(1));
    daemon
}
