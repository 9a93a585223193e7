//! How many there are of each: what a scrape of the metrics takes instead of the whole table.

use std::collections::BTreeMap;

use vip::{DesiredService, LabelReport, Verdict, Vip, Why};

/// What is decided, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// The tasks of each VIP.
    pub vips: BTreeMap<Vip, Servers>,
    /// The labels that aren't obeyed, by the kind of reason ([`reason`]).
    pub refused: BTreeMap<&'static str, usize>,
}

/// The tasks of one VIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Servers {
    /// Real servers that take new connections.
    pub serving: usize,
    /// Real servers that keep the connections they have, and take no new ones.
    pub draining: usize,
    /// Tasks that are no real servers, ended ones aside.
    pub left_out: usize,
}

/// The kinds of reasons why labels aren't obeyed.
pub const REASONS: [&str; 4] = ["syntax", "option", "policy", "name"];

impl Census {
    /// Counts.
    pub fn of<'a>(
        services: impl Iterator<Item = (&'a Vip, &'a DesiredService)>,
        reports: impl Iterator<Item = &'a LabelReport>,
    ) -> Self {
        let mut refused: BTreeMap<_, _> = REASONS.iter().map(|reason| (*reason, 0)).collect();
        for reason in reports.filter_map(reason) {
            *refused.entry(reason).or_default() += 1;
        }
        Self {
            vips: services.map(|(vip, service)| (*vip, Servers::of(service))).collect(),
            refused,
        }
    }
}

impl Servers {
    fn of(service: &DesiredService) -> Self {
        let selection = &service.selection;
        let serving = selection.members.values().filter(|member| member.weight > 0).count();
        Self {
            serving,
            draining: selection.members.len() - serving,
            left_out: selection.waiting().count(),
        }
    }
}

/// The kind of reason why a label isn't obeyed: few, so that they can be counted. None: it is.
#[must_use]
pub fn reason(report: &LabelReport) -> Option<&'static str> {
    match &report.verdict {
        Verdict::Obeyed | Verdict::Noted(_) => None,
        Verdict::Named(_) => Some("name"),
        // Only a label that could be read has a VIP.
        Verdict::Refused(_) if report.vip.is_some() => Some("policy"),
        Verdict::Refused(_) if report.place.key.starts_with("IPVS_") => Some("option"),
        Verdict::Refused(_) => Some("syntax"),
    }
}

/// What Marathon says of the health of a task, in a word.
#[must_use]
pub fn health(why: &Why) -> &'static str {
    match why {
        Why::Healthy => "healthy",
        Why::Unchecked => "unchecked",
        Why::Unhealthy | Why::FailOpen => "unhealthy",
        Why::Unreachable | Why::UnreachableStranger => "unreachable",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use vip::{LabelPlace, Member, Selection};

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
        LabelReport { place, vip, verdict }
    }

    #[test]
    fn labels_are_counted_by_what_can_be_done_about_them() {
        let refused = || Verdict::Refused("for some reason".into());
        let reports = [
            report("VIP_0", Some(vip()), Verdict::Obeyed),
            report("VIP_0", Some(vip()), refused()),
            report("VIP_0", None, refused()),
            report("IPVS_WEIGHT", None, refused()),
            report("VIP_1", None, Verdict::Named("a name".into())),
        ];
        let census = Census::of([].into_iter(), reports.iter());
        assert_eq!(census.refused, REASONS.map(|reason| (reason, 1)).into());
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
        let census = Census::of([(&vip(), &service)].into_iter(), [].into_iter());
        let expected = Servers { serving: 1, draining: 1, left_out: 0 };
        assert_eq!(census.vips, [(vip(), expected)].into());
    }
}
