//! From Marathon's picture to claims. Pure, and the only module that knows both sides.

mod port;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use marathon::{
    Endpoint, Health, Instance, InstanceSpec, NetworkMode, Port, Snapshot, Spec, Timestamp,
    Workload,
};
use vip::label::{LabelRefusal, read_port, stray_app_labels};
use vip::{Claim, LabelPlace, LabelReport, Verdict};

use crate::sources::hosts::{Addresses, Hosts};
use port::PortReader;

/// What a snapshot says about VIPs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation {
    /// The claims to VIPs, in the order of the document.
    pub claims: Vec<Claim>,
    /// Labels that make no claim and should be known.
    pub reports: Vec<LabelReport>,
    /// The addresses of agents that run tasks whose ports aren't known.
    pub uncertain: BTreeSet<IpAddr>,
    /// What isn't known of running tasks, each a sentence. As long as there is any, the lack of
    /// a real server says nothing.
    pub gaps: BTreeSet<String>,
    /// Addresses of tasks that have one of their own.
    pub tasks: BTreeSet<IpAddr>,
    /// When the silence of a task's health checks begins to mean something else, at the earliest.
    pub settles_at: Option<Timestamp>,
}

impl Translation {
    fn append(&mut self, other: Self) {
        self.claims.extend(other.claims);
        self.reports.extend(other.reports);
        self.uncertain.extend(other.uncertain);
        self.gaps.extend(other.gaps);
        self.tasks.extend(other.tasks);
        self.settles_at = [self.settles_at, other.settles_at].into_iter().flatten().min();
    }
}

/// The host names whose addresses [`translate_snapshot`] needs.
#[must_use]
pub fn snapshot_hosts(snapshot: &Snapshot) -> HashSet<&str> {
    snapshot.workloads.iter().flat_map(agent_hosts).map(|host| &**host).collect()
}

/// The host names whose addresses [`translate_workload`] needs.
#[must_use]
pub fn workload_hosts(workload: &Workload) -> BTreeSet<&Arc<str>> {
    agent_hosts(workload).collect()
}

/// The agent of each task, even where tasks have addresses of their own: no VIP may be its.
fn agent_hosts(workload: &Workload) -> impl Iterator<Item = &Arc<str>> {
    let agents = workload.instances.iter().filter_map(|instance| instance.host.as_ref());
    agents.filter(|host| !host.is_empty())
}

/// Reads every VIP label of a snapshot. `now` tells how long a task without health results runs.
#[must_use]
pub fn translate_snapshot(snapshot: &Snapshot, hosts: &Hosts, now: Timestamp) -> Translation {
    let mut translation = Translation::default();
    for workload in &snapshot.workloads {
        translation.append(translate_workload(workload, hosts, now));
    }
    translation
}

/// Reads every VIP label of one app or pod.
#[must_use]
pub fn translate_workload(workload: &Workload, hosts: &Hosts, now: Timestamp) -> Translation {
    let mut translation = Translation::default();
    let placed: Vec<_> = workload.instances.iter().map(|each| Placed::new(each, hosts)).collect();
    report_stray_labels(workload, &mut translation);
    report_unread_labels(workload, &mut translation);
    report_bad_options(workload, &mut translation);
    let incomplete = note_gaps(workload, &placed, &mut translation);
    for (spec, instances, superseded) in group_by_spec(workload, &placed) {
        for port in &spec.ports {
            let reader = PortReader { workload, spec, port, superseded, incomplete, now };
            reader.translate_port(&instances, &mut translation);
        }
        let silent = instances.iter().filter(|placed| placed.instance.health == Health::Unknown);
        let settling = silent.filter_map(|placed| settles_at(spec, placed.instance));
        let next = settling.filter(|at| *at > now).chain(translation.settles_at).min();
        translation.settles_at = next;
    }
    // One or two of each app, which are kept: what pushing left over would add up.
    translation.claims.shrink_to_fit();
    let endpoints = workload.instances.iter().flat_map(|instance| &instance.endpoints);
    for endpoint in endpoints.flatten() {
        if let Endpoint::Container { addresses, .. } = endpoint {
            translation.tasks.extend(&**addresses);
        }
    }
    translation
}

/// An instance, with what is known of its agent.
struct Placed<'a> {
    instance: &'a Instance,
    /// None: it has no agent, or that was not looked up.
    agent: Option<&'a Addresses>,
}

impl<'a> Placed<'a> {
    fn new(instance: &'a Instance, hosts: &'a Hosts) -> Self {
        Self { instance, agent: instance.host.as_ref().and_then(|host| hosts.get(&**host)) }
    }

    fn addresses(&self) -> impl Iterator<Item = &'a IpAddr> + use<'a> {
        self.agent.into_iter().flatten().flat_map(|addresses| &**addresses)
    }
}

/// When a task's health checks should have reported.
fn settles_at(spec: &Spec, instance: &Instance) -> Option<Timestamp> {
    instance.started?.to_timestamp().checked_add(spec.settling?).ok()
}

/// The versions that tasks run by, by task id.
pub fn task_versions<'a>(
    workloads: impl IntoIterator<Item = &'a Workload>,
) -> impl Iterator<Item = (Arc<str>, String)> {
    let instances = workloads.into_iter().flat_map(|workload| &workload.instances);
    instances
        .filter_map(|instance| Some((instance.id.clone(), format!("{:.3}", instance.version?))))
}

/// The current definition, then each earlier one by which tasks still run, with those tasks.
fn group_by_spec<'a>(
    workload: &'a Workload,
    instances: &'a [Placed<'a>],
) -> Vec<(&'a Spec, Vec<&'a Placed<'a>>, bool)> {
    let by_current = |placed: &&Placed<'_>| placed.instance.spec == InstanceSpec::Current;
    let current: Vec<_> = instances.iter().filter(by_current).collect();
    let mut versions = vec![(&*workload.spec, current, false)];
    for placed in instances.iter().filter(|placed| !placed.instance.state.is_terminal()) {
        let InstanceSpec::Older(spec) = &placed.instance.spec else { continue };
        let spec: &Spec = Arc::as_ref(spec);
        match versions.iter_mut().skip(1).find(|(known, ..)| *known == spec) {
            Some((_, instances, _)) => instances.push(placed),
            None => versions.push((spec, vec![placed], true)),
        }
    }
    versions
}

/// Notes what isn't known of a workload's running tasks, and says whether there is any such gap:
/// then some of the kernel's real servers may be its tasks, though nothing here says so.
fn note_gaps(workload: &Workload, placed: &[Placed<'_>], translation: &mut Translation) -> bool {
    let before = translation.gaps.len();
    let id = &workload.id;
    if !workload.tasks_known {
        translation.gaps.insert(format!("the tasks of {id} aren't told"));
    }
    for placed in placed.iter().filter(|placed| !placed.instance.state.is_terminal()) {
        let Instance { spec, host, endpoints, .. } = placed.instance;
        if let InstanceSpec::Unknown(version) | InstanceSpec::Gone(version) = spec {
            let gap = format!("tasks of {id} run by its version of {version}, which can't be read");
            translation.gaps.insert(gap);
            translation.uncertain.extend(placed.addresses());
        }
        let at_host = || endpoints.iter().flatten().any(|at| matches!(at, Endpoint::Host { .. }));
        if let (Some(host), Some(Err(why))) = (host, placed.agent)
            && at_host()
        {
            let gap = format!("tasks of {id} run on {host}, a name without address: {why}");
            translation.gaps.insert(gap);
        }
    }
    translation.gaps.len() > before
}

/// Bad options on the app itself, once and not for each of its ports; none where there is no VIP.
fn report_bad_options(workload: &Workload, translation: &mut Translation) {
    let spec = &workload.spec;
    let on_app: Vec<_> = spec.labels.iter().collect();
    let bad = read_port(&[], &on_app).bad_options;
    let has_vip = |port: &Port| {
        let labels: Vec<_> = port.labels.iter().collect();
        read_port(&labels, &[]).vip_labels.iter().any(|reading| reading.address().is_some())
    };
    if bad.is_empty() || !spec.ports.iter().any(has_vip) {
        return;
    }
    for option in bad {
        let report = refused_app_label(workload, option.key, option.value, option.error.into());
        translation.reports.push(report);
    }
}

/// VIP labels of the app itself: there is no telling which port they mean.
fn report_stray_labels(workload: &Workload, translation: &mut Translation) {
    for (key, value) in stray_app_labels(workload.spec.labels.iter()) {
        let why = "a VIP label belongs on a port (portMappings, portDefinitions or endpoints), \
                   not on the app";
        let why = LabelRefusal::Misplaced(why.into());
        translation.reports.push(refused_app_label(workload, key.into(), value.into(), why));
    }
}

/// VIP labels in a list of ports that the app's network has no use for, unless the right one has
/// some: there are tools that write them twice.
fn report_unread_labels(workload: &Workload, translation: &mut Translation) {
    let spec = &workload.spec;
    let is_read = |port: &Port| stray_app_labels(port.labels.iter()).next().is_some();
    if spec.ports.iter().any(is_read) {
        return;
    }
    let (network, list) = match &spec.network {
        NetworkMode::Host => {
            ("the host's network, as one without `networks` is", "portDefinitions")
        }
        NetworkMode::Bridge => ("a bridge", "container.portMappings"),
        NetworkMode::Container { .. } => ("a container network", "container.portMappings"),
        NetworkMode::Other(mode) => (mode.as_str(), "container.portMappings"),
    };
    let why =
        format!("it isn't read here: the app is on {network}, so its ports are those of {list}");
    let why = LabelRefusal::Misplaced(why);
    for entry in &spec.unused_ports {
        for (key, value) in stray_app_labels(entry.labels.iter()) {
            let at = format!("{}.labels", entry.path);
            translation.reports.push(refused_label(
                workload,
                &at,
                key.into(),
                value.into(),
                why.clone(),
            ));
        }
    }
}

/// A label of the app itself that isn't obeyed.
fn refused_app_label(
    workload: &Workload,
    key: String,
    value: String,
    why: LabelRefusal,
) -> LabelReport {
    refused_label(workload, &workload.spec.labels_path, key, value, why)
}

/// A label of no port that isn't obeyed; where it stands, from the path of the workload.
fn refused_label(
    workload: &Workload,
    at: &str,
    key: String,
    value: String,
    why: LabelRefusal,
) -> LabelReport {
    let path = format!("{}.{at}", workload.path);
    let app = workload.id.clone();
    let place = LabelPlace { app, port: None, path, key, occurrence: 0, value };
    LabelReport { place, vip: None, verdict: Verdict::refused(why) }
}
