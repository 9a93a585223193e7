//! The IPVS commands that operations stand for. Pure.

use nl_ipvs::{Command, ServiceFlags, ServiceKey, errno};
use vip::Op;

/// Converts an operation to its command; `None` for one that doesn't concern IPVS.
pub(super) fn ipvs_command(op: &Op) -> Option<Command> {
    Some(match op {
        Op::AddService { vip, settings } => {
            Command::AddService { key: ServiceKey::from(*vip), settings: settings.clone() }
        }
        Op::SetService { vip, settings, .. } => Command::SetService {
            key: ServiceKey::from(*vip),
            settings: settings.clone(),
            flags_mask: ServiceFlags::ALL,
        },
        Op::DeleteService { vip, .. } => Command::DeleteService { key: ServiceKey::from(*vip) },
        Op::AddServer { vip, server, settings } => Command::AddDestination {
            service: ServiceKey::from(*vip),
            address: *server,
            settings: *settings,
        },
        Op::SetServer { vip, server, settings, .. } => Command::SetDestination {
            service: ServiceKey::from(*vip),
            address: *server,
            settings: *settings,
        },
        Op::DeleteServer { vip, server } => {
            Command::DeleteDestination { service: ServiceKey::from(*vip), address: *server }
        }
        Op::SetTimeouts { timeouts, .. } => Command::SetTimeouts(*timeouts),
        Op::SetTable { .. }
        | Op::AddElement { .. }
        | Op::DeleteElement { .. }
        | Op::DeleteTable { .. }
        | Op::InsertRule { .. }
        | Op::DeleteRule { .. }
        | Op::CreateLink
        | Op::RaiseLink
        | Op::DeleteLink
        | Op::Bind { .. }
        | Op::Rebind { .. }
        | Op::SetRoute { .. }
        | Op::ForgetFlows { .. }
        | Op::Unbind { .. } => return None,
    })
}

/// Returns a remedy for the kernel's refusal where the errno alone doesn't suggest it.
pub(super) fn refusal_hint(op: &Op, number: i32) -> Option<String> {
    match (op, number) {
        (Op::AddService { settings, .. } | Op::SetService { settings, .. }, errno::ENOENT) => {
            let scheduler = settings.scheduler.as_ref()?;
            Some(format!("the kernel has no scheduler {scheduler}: `modprobe ip_vs_{scheduler}`"))
        }
        (Op::AddServer { server, .. }, errno::EINVAL) if server.is_ipv4() => Some(
            "it may be a broadcast address of this node, or `lo` was never up in this network \
                 namespace: `ip link set lo up`"
                .to_owned(),
        ),
        (Op::AddServer { .. }, errno::EINVAL) => Some(
            "the kernel takes no link-local, multicast or IPv4-mapped address for a real server"
                .to_owned(),
        ),
        _ => None,
    }
}
