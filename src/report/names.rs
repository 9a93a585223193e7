//! The names of VIPs for `vipd names`. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vip::naming::{Choice, NameFacts, NameSettings, VipName};
use vip::{Family, Line, Sign};

/// Names with their addresses on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamesReport {
    /// The names, those with a problem first.
    pub names: Vec<NameReport>,
    /// The zones that a DNS name may have.
    pub zones: Vec<String>,
}

/// A name with its addresses on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameReport {
    /// The name without its zone.
    pub name: VipName,
    /// The DNS name in the first zone.
    pub dns: String,
    /// Its addresses, at most one of each family.
    pub addresses: BTreeSet<IpAddr>,
    /// The apps that claim it; none if its addresses are only kept for it.
    pub apps: Vec<String>,
    /// The seconds since it has its addresses.
    pub age_seconds: u64,
    /// The seconds for which its addresses are kept for it, if no app claims it.
    pub kept_seconds: Option<u64>,
    /// `hash`, `pinned`, `displaced` or `remembered`; `none` without an address.
    pub choice: &'static str,
    /// The name that has the address of its hash.
    pub displaced_by: Option<VipName>,
    /// Why it isn't served, or why other nodes may have another address for it, with the cure.
    pub problem: Option<String>,
}

/// A label that the agent reports, as `/v1/labels` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedLabel {
    /// Its app.
    pub app: String,
    /// Its name, if it has one.
    pub name: Option<VipName>,
    /// Its value, as `3.3.0.6:3306` or `/mysql:3306`.
    #[serde(default)]
    pub value: String,
    /// Whether it is obeyed.
    pub ok: bool,
    /// The reason why it isn't, or not exactly.
    pub reason: Option<String>,
}

impl ReportedLabel {
    /// Returns whether its app or its VIP is called so.
    #[must_use]
    pub fn means(&self, text: &str) -> bool {
        self.app.trim_matches('/') == text.trim_matches('/') || self.value == text
    }

    /// Says what it lacks.
    #[must_use]
    pub fn to_sentence(&self) -> String {
        format!("{} {}: {}", self.app, self.value, self.reason.as_deref().unwrap_or_default())
    }
}

impl NamesReport {
    /// Makes the report of the names that match a text: a part of a name or of an app's id, or an
    /// address. `labels` tell which names are refused.
    #[must_use]
    pub fn new(
        facts: &[NameFacts],
        labels: &[ReportedLabel],
        settings: &NameSettings,
        what: Option<&str>,
    ) -> Self {
        let reports = facts.iter().map(|facts| NameReport::new(facts, settings));
        let mut reports: BTreeMap<_, _> =
            reports.map(|report| (report.name.clone(), report)).collect();
        for label in labels.iter().filter(|label| !label.ok) {
            let Some(name) = &label.name else { continue };
            let report =
                reports.entry(name.clone()).or_insert_with(|| NameReport::bare(name, settings));
            report.note_refused(label);
        }
        let is_wanted = |report: &NameReport| what.is_none_or(|what| report.matches(what));
        let mut names: Vec<_> = reports.into_values().filter(is_wanted).collect();
        names.sort_by_key(|report| report.problem.is_none());
        Self { names, zones: settings.zones().to_vec() }
    }

    /// Returns the names and the apps that claim them.
    #[must_use]
    pub fn known_names(&self) -> Vec<String> {
        let names = self.names.iter();
        names
            .flat_map(|report| [report.name.to_string()].into_iter().chain(report.apps.clone()))
            .collect()
    }

    /// Tells whether other nodes may have another address for a name.
    #[must_use]
    pub fn has_trouble(&self) -> bool {
        self.names.iter().any(|report| report.problem.is_some())
    }

    /// Writes it for people.
    #[must_use]
    pub fn to_lines(&self) -> Vec<Line> {
        let mut widths = [0; 4];
        for report in &self.names {
            for (width, cell) in widths.iter_mut().zip(report.cells()) {
                *width = cell.chars().count().max(*width);
            }
        }
        self.names.iter().flat_map(|report| report.to_lines(widths)).collect()
    }

    /// Sums it up.
    #[must_use]
    pub fn summary_line(&self) -> String {
        let troubles = self.names.iter().filter(|report| report.problem.is_some()).count();
        let kept = self.names.iter().filter(|report| report.kept_seconds.is_some()).count();
        let names = count_noun(self.names.len(), "name");
        let zone = self.zones.first().map(String::as_str).unwrap_or_default();
        format!(
            "{names} in {zone}, {kept} kept without an app, {}",
            count_noun(troubles, "problem")
        )
    }
}

impl NameReport {
    fn new(facts: &NameFacts, settings: &NameSettings) -> Self {
        let displaced_by = match &facts.choice {
            Choice::Displaced { by } => Some(by.clone()),
            Choice::Hash | Choice::Pinned | Choice::Remembered => None,
        };
        Self {
            dns: settings.dns_name(&facts.name),
            name: facts.name.clone(),
            addresses: facts.addresses.clone(),
            apps: facts.apps.clone(),
            age_seconds: facts.age_ms / 1000,
            kept_seconds: facts.kept_ms.map(|left| left / 1000),
            choice: facts.choice.word(),
            displaced_by,
            problem: find_problem(facts, settings),
        }
    }

    /// Makes the report of a name without an address.
    fn bare(name: &VipName, settings: &NameSettings) -> Self {
        Self {
            dns: settings.dns_name(name),
            name: name.clone(),
            addresses: BTreeSet::new(),
            apps: Vec::new(),
            age_seconds: 0,
            kept_seconds: None,
            choice: "none",
            displaced_by: None,
            problem: None,
        }
    }

    /// Notes that a label with this name is refused.
    fn note_refused(&mut self, label: &ReportedLabel) {
        if !self.apps.contains(&label.app) {
            self.apps.push(label.app.clone());
        }
        let reason = label.reason.as_deref().unwrap_or_default();
        self.problem = Some(format!("refused: {reason}"));
    }

    fn matches(&self, what: &str) -> bool {
        let text = what.to_ascii_lowercase();
        let is_address = || text.parse().is_ok_and(|address| self.addresses.contains(&address));
        self.name.as_str().contains(&text)
            || self.dns == text.trim_end_matches('.')
            || self.apps.iter().any(|app| app.contains(what))
            || is_address()
    }

    /// Returns the cells of its row but the last.
    fn cells(&self) -> [String; 4] {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        let apps = if self.apps.is_empty() { "no app".to_owned() } else { self.apps.join(" ") };
        [self.name.to_string(), addresses.join(" "), apps, write_age(self.age_seconds)]
    }

    fn to_lines(&self, [first, second, third, fourth]: [usize; 4]) -> Vec<Line> {
        let [name, addresses, apps, age] = self.cells();
        let choice = match (&self.displaced_by, self.choice) {
            (Some(by), _) => format!("next to the address of {by}"),
            (None, "pinned") => "pinned by IPVS_ADDRESS".to_owned(),
            (None, "hash") => "by its hash".to_owned(),
            (None, "none") => "no address".to_owned(),
            (None, other) => other.to_owned(),
        };
        let kept = self.kept_seconds.map(|left| format!(", kept for {}", write_age(left)));
        let choice = format!("{choice}{}", kept.unwrap_or_default());
        let text = format!(
            "{name:first$}  {addresses:second$}  {apps:third$}  for {age:fourth$}  {choice}"
        );
        let sign = if self.problem.is_some() { Sign::Warn } else { Sign::Plain };
        let problem = self.problem.iter().map(|why| Line::new(1, sign, why.clone()));
        std::iter::once(Line::new(0, sign, text)).chain(problem).collect()
    }
}

/// Returns why other nodes may have another address for a name, and the cure. A name without an app
/// has no clients that could differ.
fn find_problem(facts: &NameFacts, settings: &NameSettings) -> Option<String> {
    if facts.apps.is_empty() {
        return None;
    }
    let name = &facts.name;
    match &facts.choice {
        Choice::Hash | Choice::Pinned => None,
        Choice::Displaced { by } => Some(format!(
            "collides with {by}: a node that heard of the two in another order has other addresses; \
             pin one of them with the label IPVS_ADDRESS, or choose another name"
        )),
        Choice::Remembered => {
            let base = facts
                .addresses
                .iter()
                .find_map(|address| settings.range.base_address(name, Family::from(*address)));
            let base = base.map_or("another one".to_owned(), |base| base.to_string());
            Some(format!(
                "this node remembers this address, and a node without memory takes {base}: `vipd \
                 names --reassign {name}` moves it, the label IPVS_ADDRESS fixes it on all nodes"
            ))
        }
    }
}

/// Writes an age in its largest unit.
#[must_use]
pub fn write_age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn count_noun(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, address: &str, choice: Choice, apps: &[&str]) -> NameFacts {
        NameFacts {
            name: name.parse().unwrap(),
            addresses: [address.parse().unwrap()].into(),
            pinned: BTreeSet::new(),
            choice,
            apps: apps.iter().map(|app| (*app).to_owned()).collect(),
            age_ms: 90_000_000,
            kept_ms: apps.is_empty().then_some(3_600_000),
        }
    }

    fn known() -> Vec<NameFacts> {
        let by = "mysql.marathon".parse().unwrap();
        vec![
            facts("mysql.marathon", "11.91.210.154", Choice::Hash, &["/blue", "/green"]),
            facts("old.marathon", "11.0.0.9", Choice::Remembered, &[]),
            facts("pinned.marathon", "11.0.0.7", Choice::Pinned, &["/p"]),
            facts("redis.marathon", "11.0.0.8", Choice::Remembered, &["/redis"]),
            facts("web.marathon", "11.91.210.155", Choice::Displaced { by }, &["/web"]),
        ]
    }

    fn report(what: Option<&str>) -> NamesReport {
        NamesReport::new(&known(), &[], &NameSettings::default(), what)
    }

    #[test]
    fn names_with_a_problem_come_first_with_the_cure() {
        let report = report(None);
        assert!(report.has_trouble());
        let lines: Vec<_> = report.to_lines().iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        ! redis.marathon   11.0.0.8       /redis        for 25 h  remembered
            ! this node remembers this address, and a node without memory takes 11.202.66.36: `vipd names --reassign redis.marathon` moves it, the label IPVS_ADDRESS fixes it on all nodes
        ! web.marathon     11.91.210.155  /web          for 25 h  next to the address of mysql.marathon
            ! collides with mysql.marathon: a node that heard of the two in another order has other addresses; pin one of them with the label IPVS_ADDRESS, or choose another name
          mysql.marathon   11.91.210.154  /blue /green  for 25 h  by its hash
          old.marathon     11.0.0.9       no app        for 25 h  remembered, kept for 60 min
          pinned.marathon  11.0.0.7       /p            for 25 h  pinned by IPVS_ADDRESS
        ");
        insta::assert_snapshot!(report.summary_line(), @"5 names in l4lb.thisdcos.directory, 1 kept without an app, 2 problems");
    }

    #[test]
    fn a_name_that_is_refused_is_a_problem_with_its_reason() {
        let label = |name: &str, ok| ReportedLabel {
            app: "/blue".into(),
            name: Some(name.parse().unwrap()),
            value: String::new(),
            ok,
            reason: Some("it lies in a route".into()),
        };
        let labels = [
            label("mysql.marathon", false),
            label("no.address", false),
            label("pinned.marathon", true),
        ];
        let report = NamesReport::new(&known(), &labels, &NameSettings::default(), None);
        let problem = |name: &str| {
            let found = report.names.iter().find(|each| each.name.as_str() == name).unwrap();
            (found.apps.join(" "), found.problem.clone())
        };
        let refused = Some("refused: it lies in a route".to_owned());
        assert_eq!(problem("mysql.marathon"), ("/blue /green".to_owned(), refused.clone()));
        assert_eq!(problem("no.address"), ("/blue".to_owned(), refused));
        assert_eq!(problem("pinned.marathon").1, None);
    }

    #[test]
    fn a_text_finds_names_addresses_and_apps() {
        for (what, expected) in [
            ("mysql.marathon", vec!["mysql.marathon"]),
            ("MySQL.marathon.l4lb.thisdcos.directory.", vec!["mysql.marathon"]),
            ("redis", vec!["redis.marathon"]),
            ("11.0.0.7", vec!["pinned.marathon"]),
            ("/green", vec!["mysql.marathon"]),
            ("nothing", vec![]),
        ] {
            let report = report(Some(what));
            let found: Vec<_> = report.names.iter().map(|each| each.name.as_str()).collect();
            assert_eq!(found, expected, "{what}");
        }
        assert!(!report(Some("mysql")).has_trouble());
    }
}
