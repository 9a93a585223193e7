//! The changes that can be made to the IPVS table.

use std::net::{IpAddr, SocketAddr};

use crate::{
    Daemon, DaemonRole, DestinationSettings, Error, Family, ForwardMethod, KernelError,
    ServiceFlags, ServiceKey, ServiceSettings, Timeouts, TunnelKind, errno,
};

/// The cause of `EPERM`.
pub(crate) const NEEDS_RIGHTS: &str = "IPVS needs CAP_NET_ADMIN in the initial user namespace";

/// One change to the kernel's IPVS table, for [`Ipvs::apply`](crate::Ipvs::apply) and
/// [`Ipvs::batch`](crate::Ipvs::batch).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Command {
    /// Add a service. `EEXIST` if it exists; `ENOENT` if the kernel lacks the scheduler.
    AddService {
        /// The service's key.
        key: ServiceKey,
        /// The service's settings.
        settings: ServiceSettings,
    },
    /// Change a service. `ESRCH` if it doesn't exist.
    ///
    /// A change of the scheduler refuses new connections for a moment, so don't send a service that
    /// is right already.
    SetService {
        /// The service's key.
        key: ServiceKey,
        /// The new settings. All of them except the flags replace the old ones.
        settings: ServiceSettings,
        /// The flags to write. The others stay unchanged.
        flags_mask: ServiceFlags,
    },
    /// Delete a service and its real servers. `ESRCH` if it doesn't exist.
    DeleteService {
        /// The service's key.
        key: ServiceKey,
    },
    /// Add a real server. `ESRCH` without the service, `EEXIST` if the real server exists.
    AddDestination {
        /// The key of its service.
        service: ServiceKey,
        /// The address and port. In a firewall-mark service, port 0 means the packet's own.
        address: SocketAddr,
        /// The real server's settings.
        settings: DestinationSettings,
    },
    /// Change a real server. `ESRCH` without the service, `ENOENT` without the real server.
    SetDestination {
        /// The key of its service.
        service: ServiceKey,
        /// The address and port.
        address: SocketAddr,
        /// The new settings.
        settings: DestinationSettings,
    },
    /// Delete a real server. `ESRCH` without the service, `ENOENT` without the real server.
    DeleteDestination {
        /// The key of its service.
        service: ServiceKey,
        /// The address and port.
        address: SocketAddr,
    },
    /// Zero the counters of one service and its real servers, or all counters.
    Zero(Option<ServiceKey>),
    /// Delete every service of the network namespace, whoever made it.
    Flush,
    /// Set timeouts. A timeout of 0 stays unchanged.
    SetTimeouts(Timeouts),
    /// Start a synchronisation daemon. `EEXIST` if one of the same role runs.
    StartDaemon(Daemon),
    /// Stop a synchronisation daemon. `ESRCH` if none of the role runs.
    ///
    /// If the daemon hasn't begun to run yet, it is stopped without an answer and the request times
    /// out: the kernel's thread returns `EINTR`, which netlink never reports.
    StopDaemon(DaemonRole),
}

impl Command {
    /// Makes an error of the kernel's refusal of this command, as [`Ipvs::apply`](crate::Ipvs::apply) does,
    /// with a [hint](Self::hint).
    #[must_use]
    pub fn refusal_error(&self, refusal: KernelError) -> Error {
        Error::Refused { doing: self.doing(), hint: self.hint(&refusal), source: refusal }
    }

    /// Returns the command as a verb phrase.
    fn doing(&self) -> &'static str {
        match self {
            Self::AddService { .. } => "add a service",
            Self::SetService { .. } => "change a service",
            Self::DeleteService { .. } => "delete a service",
            Self::AddDestination { .. } => "add a real server",
            Self::SetDestination { .. } => "change a real server",
            Self::DeleteDestination { .. } => "delete a real server",
            Self::Zero(_) => "zero counters",
            Self::Flush => "delete all services",
            Self::SetTimeouts(_) => "set the timeouts of IPVS",
            Self::StartDaemon(_) => "start a synchronisation daemon",
            Self::StopDaemon(_) => "stop a synchronisation daemon",
        }
    }

    /// Suggests the likely cause of a refusal of this command where the errno alone misleads.
    #[must_use]
    pub fn hint(&self, refusal: &KernelError) -> Option<&'static str> {
        match (self, refusal.errno()) {
            (Self::AddService { .. } | Self::SetService { .. }, errno::ENOENT) => Some(
                "the kernel has no such scheduler or persistence engine: \
                 load it with `modprobe ip_vs_NAME`",
            ),
            (
                Self::AddDestination { service, address, settings }
                | Self::SetDestination { service, address, settings },
                errno::EINVAL,
            ) => hint_at_destination(service, *address, settings),
            (_, errno::EPERM) => Some(NEEDS_RIGHTS),
            _ => None,
        }
    }
}

/// Suggests why the kernel takes a real server for an invalid one (`ip_vs_new_dest` and `ip_vs_add_dest` in
/// `net/netfilter/ipvs/ip_vs_ctl.c`).
fn hint_at_destination(
    service: &ServiceKey,
    address: SocketAddr,
    settings: &DestinationSettings,
) -> Option<&'static str> {
    let is_tunnelled = settings.forward == ForwardMethod::Tunnel;
    if settings.tunnel.kind == TunnelKind::Gue && settings.tunnel.port == 0 {
        return Some("a GUE tunnel has a port");
    }
    if service.family() != Family::from(address.ip()) && !is_tunnelled {
        return Some("a real server of the other family is reached by a tunnel only");
    }
    let is_unicast = match address.ip() {
        IpAddr::V4(ip) => !(ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified()),
        IpAddr::V6(ip) => !(ip.is_multicast() || ip.is_unspecified()),
    };
    if !is_unicast {
        return Some("the address of a real server is that of one host");
    }
    Some(
        "the kernel takes no real server in a network namespace whose `lo` was never up: \
         see `ip link show lo`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tunnel, TunnelFlags};

    #[test]
    fn a_hint_is_given_where_the_number_alone_misleads() {
        let service = ServiceKey::fwmark(crate::Family::Inet, std::num::NonZeroU32::MIN);
        let address = SocketAddr::from(([10, 0, 0, 1], 80));
        let settings = DestinationSettings::masquerade(1);
        let add = Command::AddDestination { service, address, settings };
        let hint = |command: &Command, errno| command.hint(&KernelError::new(errno));
        assert!(hint(&add, errno::EINVAL).is_some_and(|hint| hint.contains("`lo`")));
        assert!(hint(&Command::Flush, errno::EPERM).is_some());
        let error = add.refusal_error(KernelError::new(errno::EINVAL)).to_string();
        assert!(error.contains("refused to add a real server") && error.contains("`lo`"));
        assert_eq!(hint(&add, errno::EEXIST), None);

        let invalid = |address: &str, settings| {
            let address = address.parse().unwrap();
            let command = Command::AddDestination { service, address, settings };
            hint(&command, errno::EINVAL).unwrap()
        };
        let gue = DestinationSettings::tunnel(Tunnel::gue(0, TunnelFlags(0)), 1);
        assert!(invalid("10.0.0.1:80", gue).contains("GUE"));
        assert!(invalid("[fd00::1]:80", settings).contains("other family"));
        assert!(invalid("224.0.0.1:80", settings).contains("one host"));
        assert_eq!(hint(&Command::DeleteDestination { service, address }, errno::ENOENT), None);
    }
}
