//! Which virtual services of the kernel are ours.
//!
//! The mark is a scheduler flag that no scheduler of any kernel uses. It lives in the kernel's
//! own table, so it survives our death, the loss of the interface and a change of configuration.

use nl_ipvs::{ServiceFlags, ServiceKey, ServiceSettings};

use crate::{Observed, Vip};

/// The flag that marks a virtual service as vipd's; `ipvsadm` shows it as `flag-3`.
pub const MARK: ServiceFlags = ServiceFlags::SCHED_3;

/// Whose a virtual service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It carries our mark.
    Ours,
    /// It carries no mark, but its address is ours, since it is bound on our interface or holds
    /// a service that is marked: when its VIP is wanted, it is ours and an `ipvsadm -E` or `-R`
    /// took the mark.
    LostMark,
    /// Somebody else's: never changed, never deleted.
    Foreign,
}

/// Whose the service `key` is, whether wanted or not.
#[must_use]
pub fn owner(key: &ServiceKey, settings: &ServiceSettings, observed: &Observed) -> Owner {
    let Some(vip) = Vip::from_key(key) else { return Owner::Foreign };
    if settings.flags.contains(MARK) {
        Owner::Ours
    } else if observed.is_our_address(vip.address) {
        Owner::LostMark
    } else {
        Owner::Foreign
    }
}
