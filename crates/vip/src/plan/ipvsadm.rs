//! Plans as `ipvsadm` commands.

use nl_ipvs::{
    DestinationSettings, ForwardMethod, ServiceFlags, ServiceKey, ServiceSettings, TunnelKind,
};

use super::Op;
use crate::Vip;

/// Returns the arguments of the equivalent `ipvsadm` command, as `ipvsadm -R` reads them; `None`
/// for operations on anything but IPVS.
#[must_use]
pub fn ipvsadm_args(op: &Op) -> Option<String> {
    Some(match op {
        Op::AddService { vip, settings } => {
            format!("-A {}{}", service_args(vip), service_options(settings))
        }
        Op::SetService { vip, settings, .. } => {
            format!("-E {}{}", service_args(vip), service_options(settings))
        }
        Op::DeleteService { vip, .. } => format!("-D {}", service_args(vip)),
        Op::AddServer { vip, server, settings } => {
            format!("-a {} -r {server}{}", service_args(vip), server_options(settings))
        }
        Op::SetServer { vip, server, settings, .. } => {
            format!("-e {} -r {server}{}", service_args(vip), server_options(settings))
        }
        Op::DeleteServer { vip, server } => format!("-d {} -r {server}", service_args(vip)),
        Op::SetTable { .. }
        | Op::AddElement { .. }
        | Op::DeleteElement { .. }
        | Op::DeleteTable { .. }
        | Op::InsertRule { .. }
        | Op::DeleteRule { .. }
        | Op::CreateLink
        | Op::RaiseLink
        | Op::SetTimeouts { .. }
        | Op::Bind { .. }
        | Op::Rebind { .. }
        | Op::SetRoute { .. }
        | Op::ForgetFlows { .. }
        | Op::Unbind { .. }
        | Op::DeleteLink => return None,
    })
}

fn service_args(vip: &Vip) -> String {
    let flag = match ServiceKey::from(*vip) {
        ServiceKey::Address { protocol: nl_ipvs::Protocol::UDP, .. } => "-u",
        _ => "-t",
    };
    format!("{flag} {}", vip.socket_addr())
}

fn service_options(settings: &ServiceSettings) -> String {
    let mut text = String::new();
    if let Some(scheduler) = &settings.scheduler {
        text += &format!(" -s {scheduler}");
    }
    if settings.flags.contains(ServiceFlags::PERSISTENT) {
        text += &format!(" -p {}", settings.timeout);
    }
    let flags = [
        (ServiceFlags::SCHED_1, "flag-1"),
        (ServiceFlags::SCHED_2, "flag-2"),
        (ServiceFlags::SCHED_3, "flag-3"),
    ];
    let set: Vec<_> =
        flags.iter().filter(|(flag, _)| settings.flags.contains(*flag)).map(|(_, n)| *n).collect();
    if !set.is_empty() {
        text += &format!(" -b {}", set.join(","));
    }
    text
}

fn server_options(settings: &DestinationSettings) -> String {
    let method = match settings.forward {
        ForwardMethod::Tunnel => "-i",
        ForwardMethod::Route => "-g",
        _ => "-m",
    };
    let mut text = format!(" {method} -w {}", settings.weight);
    if settings.upper_threshold > 0 {
        text += &format!(" -x {}", settings.upper_threshold);
    }
    if settings.lower_threshold > 0 {
        text += &format!(" -y {}", settings.lower_threshold);
    }
    if settings.forward == ForwardMethod::Tunnel && settings.tunnel.kind == TunnelKind::Gue {
        text += &format!(" --tun-type gue --tun-port {}", settings.tunnel.port);
    }
    text
}
