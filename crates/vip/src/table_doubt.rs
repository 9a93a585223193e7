//! A doubt about services of the table that no app claims.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::{ObservedService, Vip};

/// A doubt about the marked services that no app claims: they are so many that the sources may list
/// too little, so they stay. What isn't a matter of this doubt goes all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableDoubt {
    /// VIPs that were claimed in this run and are no longer: a source has told so.
    pub lapsed: BTreeSet<Vip>,
    /// Real servers whose places belong to tasks that are listed.
    pub taken: BTreeSet<SocketAddr>,
}

impl TableDoubt {
    /// Tells whether a service that no app claims stays. It doesn't once the places of all its real
    /// servers belong to other tasks.
    pub(crate) fn keeps(&self, vip: &Vip, held: &ObservedService) -> bool {
        let is_taken = |server| self.taken.contains(server);
        let is_replaced = !held.servers.is_empty() && held.servers.keys().all(is_taken);
        !self.lapsed.contains(vip) && !is_replaced
    }
}
