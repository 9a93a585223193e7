//! Detection of IPVS schedulers, by requests for a service that the kernel always refuses.

use std::net::{Ipv6Addr, SocketAddr};

use nl_ipvs::{Command, Family, Ipvs, Scheduler, ServiceKey, ServiceSettings, errno};

use crate::KernelError;

/// An address of the discard-only block (RFC 6666) with the discard port (RFC 863).
const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0x7670)), 9);

/// Asks the kernel for a scheduler; `None` if the answer doesn't tell.
///
/// `ip_vs_add_service` looks up the scheduler, loading its module if needed, before it checks the
/// prefix length for persistent clients. 0 is invalid for an IPv6 service, so none is created.
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
