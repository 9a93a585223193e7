//! Whether the kernel has a scheduler, by asking for a service that it refuses in any case.

use std::net::{Ipv6Addr, SocketAddr};

use nl_ipvs::{Command, Family, Ipvs, Scheduler, ServiceKey, ServiceSettings, errno};

use crate::KernelError;

/// The block of addresses that lead nowhere (RFC 6666), and the port that discards (RFC 863).
const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0x7670)), 9);

/// `None`: the kernel doesn't tell.
///
/// `ip_vs_add_service` looks for the scheduler, its module among the loadable ones, before it looks
/// at the prefix length of a persistent client. That of an IPv6 service can't be 0, so nothing is
/// made.
pub(super) fn has_scheduler(ipvs: &mut Ipvs, name: &str) -> Result<Option<bool>, KernelError> {
    let Ok(scheduler) = Scheduler::new(name) else { return Ok(Some(false)) };
    let mut settings = ServiceSettings::new(Family::Inet6, scheduler);
    settings.prefix_len = 0;
    let command = Command::AddService { key: ServiceKey::tcp(NOWHERE), settings };
    let answers = ipvs.batch(&[command]).map_err(|error| KernelError::Ipvs {
        doing: format!("ask for the scheduler {name}"),
        error,
    })?;
    Ok(match answers.first() {
        Some(Err(refusal)) if refusal.errno() == errno::EINVAL => Some(true),
        Some(Err(refusal)) if refusal.errno() == errno::ENOENT => Some(false),
        _ => None,
    })
}
