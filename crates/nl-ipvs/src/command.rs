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
        /// The address and port. In a firewall-mark service, port 0 means the packet's own. The kernel
        /// knows no scope and no flow label of an IPv6 address: they are left out.
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
                Self::AddService { key, settings } | Self::SetService { key, settings, .. },
                errno::EINVAL,
            ) if settings.client_prefix.len(key.family()).is_none() => {
                Some("the client prefix is one of the other family")
            }
            (
                Self::AddDestination { settings, .. } | Self::SetDestination { settings, .. },
                errno::ERANGE,
            ) => hint_at_range(settings),
            (Self::StartDaemon(daemon), errno::EINVAL) => {
                let is_group = daemon.group.is_none_or(|group| group.is_multicast());
                Some(if is_group { MAYBE_MIXED } else { "the group isn't a multicast address" })
            }
            (Self::AddDestination { service, address, settings }, errno::EINVAL) => {
                let is_mixed = service.family() != Family::from(address.ip());
                hint_at_address(address.ip())
                    .or_else(|| hint_at_settings(is_mixed, settings))
                    .or_else(|| hint_at_network(is_mixed, address.ip()))
            }
            // The kernel looks for a real server by its address, whatever that is.
            (Self::SetDestination { service, address, settings }, errno::EINVAL) => {
                let is_mixed = service.family() != Family::from(address.ip());
                hint_at_settings(is_mixed, settings).or(is_mixed.then_some(MAYBE_SYNCHRONISED))
            }
            (_, errno::EPERM) => Some(NEEDS_RIGHTS),
            _ => None,
        }
    }
}

/// A cause of `EINVAL` for a real server of the other family.
const MAYBE_SYNCHRONISED: &str =
    "perhaps a synchronisation daemon runs: then no real server is of the other family";

/// A cause of `EINVAL` for a daemon (`ip_vs_genl_new_daemon` in `net/netfilter/ipvs/ip_vs_ctl.c`).
const MAYBE_MIXED: &str = "perhaps a real server is of another family than its service: \
                           then no synchronisation daemon runs";

/// Suggests which number is out of range (`ip_vs_add_dest` in `net/netfilter/ipvs/ip_vs_ctl.c`).
fn hint_at_range(settings: &DestinationSettings) -> Option<&'static str> {
    if settings.weight > i32::MAX.unsigned_abs() {
        Some("the weight is at most 2147483647")
    } else if settings.lower_threshold > settings.upper_threshold {
        Some("the lower threshold is at most the upper one")
    } else {
        None
    }
}

/// The causes of `EINVAL` for an IPv4 address: without a table of local addresses the kernel takes each for a
/// broadcast address.
const MAYBE_LO: &str = "perhaps `lo` was never up in the network namespace, see `ip link show lo`, \
                        or the address is a broadcast address of the node";

/// Suggests why no host can have the address (`ip_vs_new_dest` in `net/netfilter/ipvs/ip_vs_ctl.c`).
fn hint_at_address(address: IpAddr) -> Option<&'static str> {
    let one_host = "the address of a real server is that of one host";
    match address {
        IpAddr::V4(ip) if ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified() => {
            Some(one_host)
        }
        IpAddr::V6(ip) if ip.is_multicast() || ip.is_unspecified() => Some(one_host),
        IpAddr::V4(ip) if ip.octets()[0] == 0 => {
            Some("Linux before 5.3 takes no address of 0.0.0.0/8 for that of a host")
        }
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
            Some("no host has an IPv4-mapped address: use the IPv4 address")
        }
        _ => None,
    }
}

/// Suggests which of the settings the kernel takes for invalid (`ip_vs_genl_set_cmd` and `ip_vs_add_dest` in
/// `net/netfilter/ipvs/ip_vs_ctl.c`).
fn hint_at_settings(is_mixed: bool, settings: &DestinationSettings) -> Option<&'static str> {
    if is_mixed && settings.forward != ForwardMethod::Tunnel {
        Some("a real server of the other family is reached by a tunnel only")
    } else if settings.tunnel.kind == TunnelKind::Gue && settings.tunnel.port == 0 {
        Some("a GUE tunnel has a port")
    } else {
        None
    }
}

/// Suggests which state of the network namespace forbids a new real server that is valid in itself.
fn hint_at_network(is_mixed: bool, address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            Some("a link-local address is that of a real server only if it is the node's own")
        }
        _ if is_mixed => Some(MAYBE_SYNCHRONISED),
        IpAddr::V4(_) => Some(MAYBE_LO),
        IpAddr::V6(_) => None,
    }
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

        assert_eq!(hint(&Command::DeleteDestination { service, address }, errno::ENOENT), None);
    }

    #[test]
    fn a_value_that_the_command_shows_to_be_wrong_is_named() {
        use crate::{ClientPrefix, InterfaceName};

        let key: ServiceKey = "10.96.0.1:80/tcp".parse().unwrap();
        let address = "10.0.0.1:80".parse().unwrap();
        let of_prefix = |client_prefix| Command::AddService {
            key,
            settings: ServiceSettings {
                client_prefix,
                ..ServiceSettings::new("rr".parse().unwrap())
            },
        };
        let of_server = |settings| Command::SetDestination { service: key, address, settings };
        let of_group = |group: Option<&str>| {
            let lo = InterfaceName::new("lo").unwrap();
            let mut daemon = Daemon::new(DaemonRole::Master, lo, 1);
            daemon.group = group.map(|group| group.parse().unwrap());
            Command::StartDaemon(daemon)
        };
        let weight = DestinationSettings::masquerade(u32::MAX);
        let thresholds = DestinationSettings::masquerade(1).with_thresholds(1, 2);
        let valid = DestinationSettings::masquerade(1).with_thresholds(2, 1);
        let table = [
            (of_prefix(ClientPrefix::v6(64).unwrap()), errno::EINVAL, "client prefix"),
            (of_prefix(ClientPrefix::v4(24).unwrap()), errno::EINVAL, ""),
            (of_server(weight), errno::ERANGE, "weight"),
            (of_server(thresholds), errno::ERANGE, "lower threshold"),
            (of_server(valid), errno::ERANGE, ""),
            (of_group(Some("10.0.0.1")), errno::EINVAL, "multicast"),
            (of_group(Some("224.0.0.82")), errno::EINVAL, "another family"),
            (of_group(None), errno::EINVAL, "another family"),
            (of_group(None), errno::EEXIST, ""),
        ];
        for (command, errno, named) in table {
            let hint = command.hint(&KernelError::new(errno)).unwrap_or_default();
            assert!(hint.contains(named), "{command:?}: {hint}");
            assert_eq!(hint.is_empty(), named.is_empty(), "{command:?}: {hint}");
        }
    }

    #[test]
    fn an_invalid_real_server_gets_no_cause_that_cannot_be_its() {
        let masquerade = DestinationSettings::masquerade(1);
        let ipip = DestinationSettings::tunnel(Tunnel::ipip(), 1);
        let gue = DestinationSettings::tunnel(Tunnel::gue(0, TunnelFlags(0)), 1);
        let (v4, v6) = ("10.96.0.1:80/tcp", "[fd00::1]:80/tcp");
        // The beginnings of the hints for an addition and for a change; none if empty.
        let table = [
            (v4, "10.0.0.1:80", masquerade, "perhaps `lo` was never up", ""),
            (v4, "0.1.2.3:80", masquerade, "Linux before 5.3", ""),
            (v4, "0.0.0.0:80", masquerade, "the address of a real server", ""),
            (v4, "224.0.0.1:80", masquerade, "the address of a real server", ""),
            (v4, "255.255.255.255:80", masquerade, "the address of a real server", ""),
            (v4, "10.0.0.1:80", gue, "a GUE tunnel", "a GUE tunnel"),
            (
                v4,
                "[fd00::2]:80",
                masquerade,
                "a real server of the other",
                "a real server of the other",
            ),
            (v4, "[fd00::2]:80", ipip, "perhaps a synchronisation", "perhaps a synchronisation"),
            (v6, "[fd00::2]:80", masquerade, "", ""),
            (v6, "[ff02::1]:80", masquerade, "the address of a real server", ""),
            (v6, "[fe80::1]:80", masquerade, "a link-local address", ""),
            (v6, "[::ffff:10.0.0.1]:80", masquerade, "no host has an IPv4-mapped", ""),
            (v6, "10.0.0.1:80", ipip, "perhaps a synchronisation", "perhaps a synchronisation"),
            (v6, "0.0.0.0:80", ipip, "the address of", "perhaps a synchronisation"),
            (
                v4,
                "[fe80::1]:80",
                masquerade,
                "a real server of the other",
                "a real server of the other",
            ),
            (v4, "[fe80::1]:80", ipip, "a link-local address", "perhaps a synchronisation"),
        ];
        for (service, address, settings, added, changed) in table {
            let (service, address) = (service.parse().unwrap(), address.parse().unwrap());
            let commands = [
                (Command::AddDestination { service, address, settings }, added),
                (Command::SetDestination { service, address, settings }, changed),
            ];
            for (command, beginning) in commands {
                let hint = command.hint(&KernelError::new(errno::EINVAL)).unwrap_or_default();
                assert!(
                    hint.starts_with(beginning) && hint.is_empty() == beginning.is_empty(),
                    "{command:?}: {hint}"
                );
            }
        }
    }
}
