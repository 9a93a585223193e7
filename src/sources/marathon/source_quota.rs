//! The caps of one Marathon: of the virtual services, real servers and reports of all its workloads.
//! Workloads that would exceed them are not served, until others leave room.

use std::collections::{BTreeMap, BTreeSet};

use marathon::WorkloadKey;
use vip::controller::AppClaims;
use vip::naming::NamedClaim;

/// The load that a workload is for every node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    vips: usize,
    servers: usize,
    reports: usize,
}

impl Load {
    pub(super) fn new(app: &AppClaims, reports: usize) -> Self {
        let named = app.named.iter().map(NamedClaim::unplaced);
        let claims = || app.claims.iter().chain(named.clone());
        let servers = claims().map(|claim| claim.candidates.len()).sum();
        // Definitions of two versions claim mostly the same ones.
        let vips = claims().map(|claim| (&claim.name, claim.vip)).collect::<BTreeSet<_>>().len();
        Self { vips, servers, reports }
    }
}

/// The parts of a workload that there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admission {
    pub(super) claims: bool,
    pub(super) reports: bool,
}

/// The loads of all workloads.
#[derive(Debug, Default)]
pub(super) struct SourceQuota {
    admitted: BTreeMap<WorkloadKey, Load>,
    /// Those that there was no room for.
    waiting: BTreeMap<WorkloadKey, Load>,
    total: Load,
    /// There is more room than when the waiting ones were refused.
    has_freed: bool,
}

impl SourceQuota {
    /// Replaces the load of a workload, and decides what there is room for.
    pub(super) fn admit(&mut self, key: &WorkloadKey, load: Load) -> Admission {
        self.release(key);
        let Load { vips, servers, reports } = self.total;
        let admission = Admission {
            claims: vips + load.vips <= caps::SOURCE_VIPS
                && servers + load.servers <= caps::SOURCE_SERVERS,
            reports: reports + load.reports <= caps::SOURCE_REPORTS,
        };
        let mut admitted = load;
        if !admission.claims {
            self.waiting.insert(key.clone(), load);
            (admitted.vips, admitted.servers) = (0, 0);
        }
        if !admission.reports {
            admitted.reports = 0;
        }
        if admitted != Load::default() {
            self.total.vips += admitted.vips;
            self.total.servers += admitted.servers;
            self.total.reports += admitted.reports;
            self.admitted.insert(key.clone(), admitted);
        }
        admission
    }

    /// Removes the load of a workload.
    pub(super) fn release(&mut self, key: &WorkloadKey) {
        self.waiting.remove(key);
        if let Some(load) = self.admitted.remove(key) {
            self.total.vips -= load.vips;
            self.total.servers -= load.servers;
            self.total.reports -= load.reports;
            self.has_freed |= load.vips > 0;
        }
    }

    /// Takes the workloads that there may be room for by now.
    pub(super) fn take_admissible(&mut self) -> Vec<WorkloadKey> {
        if !std::mem::take(&mut self.has_freed) {
            return Vec::new();
        }
        let Load { mut vips, mut servers, .. } = self.total;
        let found = self.waiting.iter().filter(|(_, load)| {
            let fits = vips + load.vips <= caps::SOURCE_VIPS
                && servers + load.servers <= caps::SOURCE_SERVERS;
            if fits {
                vips += load.vips;
                servers += load.servers;
            }
            fits
        });
        found.map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marathon::Kind;

    fn key(id: &str) -> WorkloadKey {
        WorkloadKey { kind: Kind::App, id: id.into() }
    }

    #[test]
    fn what_is_too_much_waits_and_costs_the_others_nothing() {
        let mut quota = SourceQuota::default();
        let half = Load { vips: caps::SOURCE_VIPS / 2, servers: 1, reports: caps::SOURCE_REPORTS };
        let whole = Admission { claims: true, reports: true };
        assert_eq!(quota.admit(&key("/a"), half), whole);
        let admission = quota.admit(&key("/b"), half);
        assert_eq!(admission, Admission { claims: true, reports: false });
        let one = Load { vips: 1, ..Load::default() };
        let refused = Admission { claims: false, reports: true };
        assert_eq!(quota.admit(&key("/c"), one), refused);
        assert_eq!(quota.take_admissible(), []);
        assert_eq!(quota.admit(&key("/a"), one), whole);
        assert_eq!(quota.take_admissible(), [key("/c")]);
        assert_eq!(quota.admit(&key("/c"), one), whole);
        for id in ["/a", "/b", "/c"] {
            quota.release(&key(id));
        }
        assert_eq!(quota.total, Load::default());
    }
}
