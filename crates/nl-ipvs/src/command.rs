use std::net::SocketAddr;

use crate::{
    Daemon, DaemonRole, DestinationSettings, KernelError, ServiceFlags, ServiceKey,
    ServiceSettings, Timeouts, errno,
};

/// One change to the kernel's IPVS table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Make a service. `EEXIST` if it is there; `ENOENT` if the kernel has no such scheduler.
    AddService {
        /// What it will be known by.
        key: ServiceKey,
        /// What it will be like.
        settings: ServiceSettings,
    },
    /// Change a service. `ESRCH` if it isn't there.
    ///
    /// A change of the scheduler refuses new connections for a moment, so don't send a service
    /// that already is as it should be.
    SetService {
        /// Which.
        key: ServiceKey,
        /// What it will be like; all of it but the flags replaces what was.
        settings: ServiceSettings,
        /// Those flags that are written. The others stay as they are.
        flags_mask: ServiceFlags,
    },
    /// Delete a service and its real servers. `ESRCH` if it isn't there.
    DeleteService {
        /// Which.
        key: ServiceKey,
    },
    /// Add a real server. `ESRCH` without the service, `EEXIST` if it is there.
    AddDestination {
        /// To which service.
        service: ServiceKey,
        /// Where it listens. Port 0 is the service's own, for firewall-mark services.
        address: SocketAddr,
        /// How it is used.
        settings: DestinationSettings,
    },
    /// Change a real server. `ESRCH` without the service, `ENOENT` without the real server.
    SetDestination {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        address: SocketAddr,
        /// How it is used from now on.
        settings: DestinationSettings,
    },
    /// Delete a real server. `ESRCH` without the service, `ENOENT` without the real server.
    DeleteDestination {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        address: SocketAddr,
    },
    /// Zero the counters of one service and its real servers, or of everything.
    Zero(Option<ServiceKey>),
    /// Delete every service of the network namespace, whoever made it.
    Flush,
    /// Set timeouts; those that are 0 stay as they are.
    SetTimeouts(Timeouts),
    /// Start a synchronisation daemon. `EEXIST` if one of its role runs.
    StartDaemon(Daemon),
    /// Stop a synchronisation daemon. `ESRCH` if none of its role runs.
    ///
    /// One that has not begun to run yet is stopped without an answer, so that waiting for it
    /// times out: the kernel's thread then returns `EINTR`, which netlink never reports.
    StopDaemon(DaemonRole),
}

impl Command {
    /// What most likely is behind a refusal of this command, where its number alone misleads.
    #[must_use]
    pub fn hint(&self, refusal: &KernelError) -> Option<&'static str> {
        match (self, refusal.errno()) {
            (Self::AddService { .. } | Self::SetService { .. }, errno::ENOENT) => Some(
                "the kernel has no such scheduler or persistence engine: \
                 load it with `modprobe ip_vs_NAME`",
            ),
            (Self::AddDestination { .. }, errno::EINVAL) => Some(
                "the kernel takes no real server in a network namespace whose `lo` was never up: \
                 see `ip link show lo`",
            ),
            (_, errno::EPERM) => Some("IPVS wants CAP_NET_ADMIN in the initial user namespace"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_given_where_the_number_alone_misleads() {
        let service = ServiceKey::Fwmark { family: crate::Family::Inet, mark: 1 };
        let address = SocketAddr::from(([10, 0, 0, 1], 80));
        let settings = DestinationSettings::masquerade(1);
        let add = Command::AddDestination { service, address, settings };
        let hint = |command: &Command, errno| command.hint(&KernelError::new(errno));
        assert!(hint(&add, errno::EINVAL).is_some_and(|hint| hint.contains("`lo`")));
        assert!(hint(&Command::Flush, errno::EPERM).is_some());
        assert_eq!(hint(&add, errno::EEXIST), None);
        assert_eq!(hint(&Command::DeleteDestination { service, address }, errno::ENOENT), None);
    }
}
