//! The DNS names of single tasks, by the rules of DC/OS (`dcos_dns_mesos.erl`):
//! `TASK.FRAMEWORK.agentip.ZONE` and the same with `containerip` and `autoip`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::mangle::mangle_label;
use super::name::MAX_DNS_NAME;

/// The zone of DC/OS for the names of tasks.
pub const DEFAULT_TASK_ZONE: &str = "dcos.thisdcos.directory";

/// The kinds of names, each a zone of its own below the zone of tasks.
const KINDS: [&str; 3] = [AGENT, CONTAINER, AUTO];
const AGENT: &str = "agentip";
const CONTAINER: &str = "containerip";
const AUTO: &str = "autoip";

/// A running task, as far as its names depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTask {
    /// The addresses of its agent; none while they aren't known.
    pub agent: BTreeSet<IpAddr>,
    /// Its network.
    pub network: TaskNetwork,
    /// Whether a health check fails.
    pub is_unhealthy: bool,
}

/// The network of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskNetwork {
    /// The address of its agent.
    Agent,
    /// One of its own.
    Own {
        /// Its addresses there, as far as they are known.
        addresses: BTreeSet<IpAddr>,
        /// Whether a port of the agent leads to it.
        is_mapped: bool,
    },
    /// Not known: the definition that it runs by can't be read.
    Unknown,
}

/// A name of tasks with one of its addresses; `None` if that of one of them isn't known.
pub type TaskRecord = (Arc<str>, Option<IpAddr>);

/// Returns the zones of the names of tasks.
#[must_use]
pub fn task_zones(zone: &str) -> [String; 3] {
    KINDS.map(|kind| format!("{kind}.{zone}"))
}

/// Names the running tasks of an app. All tasks of an app have the same names. Those that are unhealthy
/// are left out as long as one isn't. Without a letter or digit in the id or in the framework's name,
/// or with too long a zone, there are no names.
///
/// `/outer/sub/app` is the task `app.sub.outer` in Mesos, and `app-sub-outer` in its names.
#[must_use]
pub fn name_tasks(
    app: &str,
    framework: &str,
    zone: &str,
    tasks: &[RunningTask],
) -> BTreeSet<TaskRecord> {
    let path: Vec<_> = app.split('/').filter(|part| !part.is_empty()).rev().collect();
    let (task, framework) = (mangle_label(&path.join(".")), mangle_label(framework));
    let name = |kind: &str| -> Arc<str> { format!("{task}.{framework}.{kind}.{zone}").into() };
    let names = KINDS.map(name);
    let is_too_long = names.iter().any(|name| name.len() > MAX_DNS_NAME);
    if task.is_empty() || framework.is_empty() || is_too_long {
        return BTreeSet::new();
    }
    let all_unhealthy = tasks.iter().all(|task| task.is_unhealthy);
    let named = || tasks.iter().filter(|task| all_unhealthy || !task.is_unhealthy);
    let mut records = BTreeSet::new();
    for (kind, name) in KINDS.iter().zip(&names) {
        let of_tasks = || named().map(|task| task.addresses_of(kind));
        let addresses: BTreeSet<_> = of_tasks().flatten().collect();
        let unknown = of_tasks().any(BTreeSet::is_empty).then_some(None);
        let kept = addresses.into_iter().copied().take(caps::TASK_ADDRESSES).map(Some);
        records.extend(kept.chain(unknown).map(|address| (Arc::clone(name), address)));
    }
    records
}

impl RunningTask {
    /// Returns the addresses of a kind of name, as far as they are known.
    fn addresses_of(&self, kind: &str) -> &BTreeSet<IpAddr> {
        const UNKNOWN: &BTreeSet<IpAddr> = &BTreeSet::new();
        match (&self.network, kind) {
            (_, AGENT)
            | (TaskNetwork::Agent, _)
            | (TaskNetwork::Own { is_mapped: true, .. }, AUTO) => &self.agent,
            (TaskNetwork::Own { addresses, .. }, _) => addresses,
            (TaskNetwork::Unknown, _) => UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The addresses of a name, `?` for one that isn't known.
    fn known(texts: &[&str]) -> BTreeSet<Option<IpAddr>> {
        texts.iter().map(|text| (*text != "?").then(|| text.parse().unwrap())).collect()
    }

    fn task(agent: &str, network: TaskNetwork) -> RunningTask {
        RunningTask { agent: ips(&[agent]), network, is_unhealthy: false }
    }

    fn own(address: &str, is_mapped: bool) -> TaskNetwork {
        TaskNetwork::Own { addresses: ips(&[address]), is_mapped }
    }

    /// The records of `/app`, by kind.
    fn by_kind(tasks: &[RunningTask]) -> BTreeMap<String, BTreeSet<Option<IpAddr>>> {
        let mut found: BTreeMap<String, BTreeSet<Option<IpAddr>>> = BTreeMap::new();
        for (name, address) in name_tasks("/app", "marathon", "z", tasks) {
            let kind = name.strip_prefix("app.marathon.").unwrap().strip_suffix(".z").unwrap();
            found.entry(kind.to_owned()).or_default().insert(address);
        }
        found
    }

    #[test]
    fn each_network_has_the_addresses_that_dc_os_gives() {
        for (network, container, auto) in [
            (TaskNetwork::Agent, &["10.0.0.1"][..], &["10.0.0.1"][..]),
            (own("172.17.0.2", true), &["172.17.0.2"], &["10.0.0.1"]),
            (own("9.0.1.2", false), &["9.0.1.2"], &["9.0.1.2"]),
            (TaskNetwork::Own { addresses: ips(&[]), is_mapped: true }, &["?"], &["10.0.0.1"]),
            (TaskNetwork::Own { addresses: ips(&[]), is_mapped: false }, &["?"], &["?"]),
            (TaskNetwork::Unknown, &["?"], &["?"]),
        ] {
            let found = by_kind(&[task("10.0.0.1", network.clone())]);
            let of = |kind: &str| found.get(kind).cloned().unwrap_or_default();
            assert_eq!(of(AGENT), known(&["10.0.0.1"]), "{network:?}");
            assert_eq!(of(CONTAINER), known(container), "{network:?}");
            assert_eq!(of(AUTO), known(auto), "{network:?}");
        }
    }

    /// A task whose agent's name is still looked up doesn't hide that the name exists.
    #[test]
    fn a_name_exists_while_no_address_of_it_is_known() {
        let unknown = RunningTask { agent: ips(&[]), ..task("10.0.0.1", TaskNetwork::Agent) };
        let of = |tasks: &[RunningTask]| by_kind(tasks)[AGENT].clone();
        assert_eq!(of(std::slice::from_ref(&unknown)), known(&["?"]));
        assert_eq!(of(&[unknown, task("10.0.0.1", TaskNetwork::Agent)]), known(&["?", "10.0.0.1"]));
    }

    #[test]
    fn names_are_written_as_dc_os_writes_them() {
        let long = "a".repeat(62);
        for (app, framework, expected) in [
            ("/myapp", "marathon", "myapp.marathon.agentip.dcos.thisdcos.directory"),
            (
                "/outer/sub/app",
                "marathon",
                "app-sub-outer.marathon.agentip.dcos.thisdcos.directory",
            ),
            (
                "/my.app_1/X",
                "marathon.prod",
                "x-my-app-1.marathon-prod.agentip.dcos.thisdcos.directory",
            ),
            (
                &format!("/b/{long}"),
                "/dev/m",
                &format!("{long}b.devm.agentip.dcos.thisdcos.directory"),
            ),
        ] {
            let tasks = [task("10.0.0.1", TaskNetwork::Unknown)];
            let records = name_tasks(app, framework, DEFAULT_TASK_ZONE, &tasks);
            let (first, _) = records.first().unwrap();
            assert_eq!(**first, *expected, "{app}");
        }
    }

    #[test]
    fn unhealthy_tasks_have_no_name_while_one_is_not() {
        let healthy = task("10.0.0.1", TaskNetwork::Agent);
        let sick = RunningTask { is_unhealthy: true, ..task("10.0.0.2", TaskNetwork::Agent) };
        let agents = |tasks: &[RunningTask]| by_kind(tasks)[AGENT].clone();
        assert_eq!(agents(&[healthy, sick.clone()]), known(&["10.0.0.1"]));
        assert_eq!(agents(&[sick.clone(), sick]), known(&["10.0.0.2"]));
    }

    #[test]
    fn an_app_with_many_tasks_has_as_many_addresses_as_the_cap() {
        let many = (0..2000_u16).map(|number| {
            let [high, low] = number.to_be_bytes();
            task("10.0.0.1", own(&format!("9.0.{high}.{low}"), false))
        });
        let found = by_kind(&many.collect::<Vec<_>>());
        assert_eq!((found[AGENT].len(), found[AUTO].len()), (1, caps::TASK_ADDRESSES));
    }

    proptest! {
        /// Whatever an app is called, its names are ones that DNS can carry, in the zones of tasks.
        #[test]
        fn every_name_is_one_that_dns_can_carry(
            app in ".{0,90}", framework in ".{0,90}", labels in 0..5_usize
        ) {
            let zone = vec!["z".repeat(50); labels].join(".") + "z.example";
            let tasks = [task("10.0.0.1", own("9.0.1.2", true))];
            for (name, _) in name_tasks(&app, &framework, &zone, &tasks) {
                prop_assert!(name.len() <= MAX_DNS_NAME);
                let parts: Vec<_> = name.split('.').collect();
                prop_assert!(parts.iter().all(|part| (1..=63).contains(&part.len())), "{name}");
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()
                    || byte.is_ascii_digit() || b"-.".contains(&byte)), "{name}");
                prop_assert!(task_zones(&zone).contains(&parts[2..].join(".")), "{name}");
            }
        }
    }
}
