//! Counts of real servers and refused labels, for the metrics: a scrape doesn't copy the whole table.

use std::collections::BTreeMap;

use vip::label::RefusalKind;
use vip::{DesiredService, LabelReport, Vip};

/// Counts of real servers and refused labels: what the sources want, not what the kernel has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VipCounts {
    /// The tasks of each VIP.
    pub vips: BTreeMap<Vip, TaskCounts>,
    /// The number of refused labels of each kind, 0 included.
    pub refused: BTreeMap<RefusalKind, usize>,
    /// The number of names in each state, 0 included; see [`NAME_STATES`](vip::naming::NAME_STATES).
    pub names: BTreeMap<&'static str, usize>,
}

/// The numbers of tasks of one VIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskCounts {
    /// Real servers that take new connections.
    pub serving: usize,
    /// Real servers with weight 0, whatever the reason.
    pub weightless: usize,
    /// Tasks that are no real servers and haven't ended.
    pub left_out: usize,
}

impl VipCounts {
    /// Counts the tasks of all services, the refused labels and the names.
    pub fn count_all<'a>(
        services: impl Iterator<Item = (&'a Vip, &'a DesiredService)>,
        reports: impl Iterator<Item = &'a LabelReport>,
        names: BTreeMap<&'static str, usize>,
    ) -> Self {
        let mut refused = BTreeMap::from(RefusalKind::ALL.map(|kind| (kind, 0)));
        for kind in reports.filter_map(|report| report.verdict.refusal_kind()) {
            *refused.entry(kind).or_default() += 1;
        }
        Self {
            vips: services.map(|(vip, service)| (*vip, TaskCounts::count_tasks(service))).collect(),
            refused,
            names,
        }
    }
}

impl TaskCounts {
    fn count_tasks(service: &DesiredService) -> Self {
        let selection = &service.selection;
        let serving = selection.members.values().filter(|member| member.weight > 0).count();
        Self {
            serving,
            weightless: selection.members.len() - serving,
            left_out: selection.waiting_tasks().count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use vip::label::{LabelRefusal, ValueError, read_port};
    use vip::{LabelPlace, Member, Selection, Verdict, Why, policy};

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
    fn servers_are_counted_by_whether_they_take_new_connections() {
        let member = |weight, why| Member {
            weight,
            source: "m".into(),
            app: "/web".into(),
            task: "t".into(),
            why,
            local: None,
            silent: None,
        };
        let mut selection = Selection::default();
        selection.members.insert("10.0.0.1:1".parse().unwrap(), member(1, Why::Healthy));
        selection.members.insert("10.0.0.2:1".parse().unwrap(), member(0, Why::Draining));
        let service = DesiredService {
            options: vip::label::Options::default(),
            apps: vec!["/web".into()],
            incomplete: false,
            selection,
        };
        let census =
            VipCounts::count_all([(&vip(), &service)].into_iter(), [].into_iter(), BTreeMap::new());
        let expected = TaskCounts { serving: 1, weightless: 1, left_out: 0 };
        assert_eq!(census.vips, [(vip(), expected)].into());
    }
}
