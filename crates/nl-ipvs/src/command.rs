use std::net::SocketAddr;

use crate::{
    Daemon, DaemonRole, DestinationSettings, ServiceFlags, ServiceKey, ServiceSettings, Timeouts,
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
    StopDaemon(DaemonRole),
}
