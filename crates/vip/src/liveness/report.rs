//! What the prober tells.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{HostVerdict, ProbeStatus, Refusal};

/// News from the prober.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProbeReport {
    /// News about hosts, each once, in the order of their addresses.
    pub verdicts: Vec<HostVerdict>,
    /// The hosts of these that are in use again without an answer.
    pub unheard: BTreeSet<IpAddr>,
    /// The hosts that have answered for the first time.
    pub heard: BTreeSet<IpAddr>,
    /// The refusals of real servers that clients met, in the order of time.
    pub refusals: Vec<Refusal>,
    /// The state of the probing.
    pub status: ProbeStatus,
}

/// The number of refusals in a report that waits; the others are left out.
const MOST_REFUSALS: usize = 256;

impl ProbeReport {
    /// Adds a newer report: of each host only the last verdict counts, and all refusals do.
    pub fn merge(&mut self, newer: Self) {
        for verdict in &newer.verdicts {
            self.unheard.remove(&verdict.host);
        }
        self.unheard.extend(newer.unheard);
        let verdicts = std::mem::take(&mut self.verdicts).into_iter().chain(newer.verdicts);
        let last: BTreeMap<_, _> = verdicts.map(|verdict| (verdict.host, verdict)).collect();
        self.verdicts = last.into_values().collect();
        self.heard.extend(newer.heard);
        self.refusals.extend(newer.refusals);
        self.refusals.truncate(MOST_REFUSALS);
        self.status = newer.status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::{Evidence, Silence};

    #[test]
    fn the_last_verdict_on_a_host_counts() {
        let verdict = |last: u8, silence| {
            let (silent_for, echoes) = (std::time::Duration::ZERO, 0);
            let evidence = Evidence { silent_for, echoes, connects: 0, others_answering: 1 };
            HostVerdict { host: [10, 0, 0, last].into(), silence, evidence }
        };
        let report = |verdicts: &[HostVerdict], watched| ProbeReport {
            verdicts: verdicts.to_vec(),
            status: ProbeStatus { watched, ..ProbeStatus::default() },
            ..ProbeReport::default()
        };
        let suspected = Some(Silence::Suspected);
        let mut merged = report(&[verdict(1, suspected), verdict(3, suspected)], 3);
        merged.merge(report(&[verdict(1, None), verdict(2, suspected)], 4));
        let last = [verdict(1, None), verdict(2, suspected), verdict(3, suspected)];
        assert_eq!(merged, report(&last, 4));
        let unheard = |last: u8| [IpAddr::from([10, 0, 0, last])].into();
        merged.merge(ProbeReport { unheard: unheard(3), ..report(&[verdict(3, None)], 4) });
        assert_eq!(merged.unheard, unheard(3));
        merged.merge(report(&[verdict(3, suspected)], 4));
        assert_eq!(merged.unheard, [].into());
    }
}
