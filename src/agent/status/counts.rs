//! Counts of real servers and refused labels, for the metrics: a scrape doesn't copy the whole table.

use std::collections::BTreeMap;

use vip::label::RefusalKind;
use vip::{LabelReport, Vip, VipCount, VipState};

/// Counts of real servers and refused labels: what the sources want, not what the kernel has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VipCounts {
    /// Each VIP that apps claim.
    pub vips: BTreeMap<Vip, VipCount>,
    /// The number of refused labels of each kind, 0 included.
    pub refused: BTreeMap<RefusalKind, usize>,
    /// The number of names in each state, 0 included; see [`NAME_STATES`](vip::naming::NAME_STATES).
    pub names: BTreeMap<&'static str, usize>,
}

impl VipCounts {
    /// Counts the refused labels, beside the VIPs and names that were counted.
    pub fn count_all<'a>(
        vips: impl Iterator<Item = (Vip, VipCount)>,
        reports: impl Iterator<Item = &'a LabelReport>,
        names: BTreeMap<&'static str, usize>,
    ) -> Self {
        let mut refused = BTreeMap::from(RefusalKind::ALL.map(|kind| (kind, 0)));
        for kind in reports.filter_map(|report| report.verdict.refusal_kind()) {
            *refused.entry(kind).or_default() += 1;
        }
        Self { vips: vips.collect(), refused, names }
    }

    /// Counts the VIPs in each state.
    #[must_use]
    pub fn count_states(&self) -> BTreeMap<VipState, usize> {
        let mut counts = BTreeMap::from(VipState::ALL.map(|state| (state, 0)));
        for vip in self.vips.values() {
            *counts.entry(vip.state).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use vip::label::{LabelRefusal, ValueError, read_port};
    use vip::{LabelPlace, TaskCounts, Verdict, policy};

    use super::*;

    fn vip() -> Vip {
        Vip {
            address: [3, 3, 0, 6].into(),
            port: 80.try_into().unwrap(),
            protocol: vip::Protocol::Tcp,
        }
    }

    fn report(key: &str, vip: Option<Vip>, verdict: Verdict) -> LabelReport {
        let place = LabelPlace {
            app: "/web".into(),
            port: Some(0),
            path: "$".into(),
            key: key.into(),
            occurrence: 0,
            value: "x".into(),
        };
        LabelReport { source: None, place, vip, name: None, verdict }
    }

    #[test]
    fn labels_are_counted_by_what_can_be_done_about_them() {
        let misspelt_option = read_port(&[("ipvs_weight", "2")], &[]).bad_options.remove(0);
        let misplaced = LabelRefusal::Misplaced("belongs elsewhere".into());
        let own = policy::AddressRefusal::OwnAddress([3, 3, 0, 6].into());
        let reports = [
            report("VIP_0", Some(vip()), Verdict::Obeyed),
            report("VIP_0", Some(vip()), Verdict::refused(own)),
            report("VIP_0", None, Verdict::refused(ValueError::MissingPort)),
            report("VIP_0", None, Verdict::refused(misplaced)),
            report("ipvs_weight", None, Verdict::refused(misspelt_option.error)),
            report(
                "VIP_1",
                None,
                Verdict::refused(vip::label::LabelRefusal::Unplaced("a name".into())),
            ),
            report("VIP_2", None, Verdict::refused(LabelRefusal::Capped("one of too many".into()))),
        ];
        let census = VipCounts::count_all([].into_iter(), reports.iter(), BTreeMap::new());
        assert_eq!(census.refused, RefusalKind::ALL.map(|kind| (kind, 1)).into());
    }

    #[test]
    fn every_state_of_vips_is_counted_even_if_no_vip_is_in_it() {
        let tasks = TaskCounts { serving: 1, ..TaskCounts::default() };
        let count = VipCount { state: VipState::Serving, tasks, is_suspended: false };
        let vips = [(vip(), count)].into_iter();
        let counts = VipCounts::count_all(vips, [].into_iter(), BTreeMap::new()).count_states();
        assert_eq!(counts.len(), VipState::ALL.len());
        assert_eq!((counts[&VipState::Serving], counts[&VipState::Refusing]), (1, 0));
    }
}
