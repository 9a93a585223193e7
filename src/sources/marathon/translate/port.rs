//! The claims of one port, and the reports on its labels.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use marathon::{Endpoint, Health, Port, Spec, TaskState, Workload};
use vip::label::{LabelRefusal, PortLabels, VipLabel, VipRef, read_port};
use vip::naming::{Families, NamedClaim};
use vip::{
    Candidate, Claim, Condition, Ending, Family, LabelPlace, LabelReport, Place, Protocol, Reach,
    SourceId, Verdict, Vip,
};

use super::app_id::app_id;
use super::naming::Naming;
use super::placed::PlacedInstance;
use super::quota::Quota;
use super::run_time::RunTime;
use super::translation::Translation;

/// One port of one version of a definition, to be translated.
pub(super) struct PortReader<'a> {
    pub(super) workload: &'a Workload,
    /// The options of the app.
    pub(super) on_app: &'a [(&'a str, &'a str)],
    pub(super) spec: &'a Spec,
    pub(super) port: &'a Port,
    pub(super) superseded: bool,
    pub(super) incomplete: bool,
    pub(super) run_time: RunTime<'a>,
    pub(super) naming: Naming<'a>,
}

/// The claims of a port.
#[derive(Default)]
struct PortClaims {
    claims: Vec<Claim>,
    named: Vec<NamedClaim>,
    /// Reports on labels beyond a cap.
    capped: Vec<LabelReport>,
}

impl PortReader<'_> {
    /// Translates the port's labels for the tasks that run this version.
    pub(super) fn translate_port(
        &self,
        instances: &[&PlacedInstance<'_>],
        quota: &mut Quota,
        translation: &mut Translation,
    ) {
        let on_port: Vec<_> = self.port.labels.iter().collect();
        let labels = read_port(&on_port, self.on_app);
        let PortClaims { claims, named, capped } = self.make_claims(&labels, instances, quota);
        translation.claims.extend(claims);
        translation.named.extend(named);
        if !self.superseded {
            translation.reports.extend(self.label_reports(&labels));
            translation.reports.extend(capped);
        }
    }

    /// Makes the claims of the labels, and reports on those beyond a cap.
    fn make_claims(
        &self,
        labels: &PortLabels,
        instances: &[&PlacedInstance<'_>],
        quota: &mut Quota,
    ) -> PortClaims {
        let mut made = PortClaims::default();
        let notes = duplicate_key_notes(&labels.vip_labels);
        for (label, note) in labels.vip_labels.iter().zip(notes) {
            let Some(Ok(meaning)) = &label.meaning else { continue };
            let (name, address, port) = match meaning {
                VipRef::Address(address, port) => (None, *address, *port),
                VipRef::Named(name, port) => match self.naming.name_of(name) {
                    Ok(name) => (Some(name), Ipv4Addr::UNSPECIFIED.into(), *port),
                    Err(_) => continue,
                },
            };
            for protocol in &self.port.protocols {
                let protocol = match protocol {
                    marathon::Protocol::Tcp => Protocol::Tcp,
                    marathon::Protocol::Udp => Protocol::Udp,
                };
                let vip = Vip { address, port, protocol };
                let service = (name.clone(), vip);
                if let Err(why) = quota.take_service(service, self.port, instances.len()) {
                    let (place, verdict) = (self.label_place(label), Verdict::refused(why));
                    let vip = name.is_none().then_some(vip);
                    made.capped.push(LabelReport {
                        source: None,
                        place,
                        vip,
                        name: name.clone(),
                        verdict,
                    });
                    continue;
                }
                let claim = |vip| Claim {
                    vip,
                    name: None,
                    label: self.label_place(label),
                    source: SourceId::default(),
                    superseded: self.superseded,
                    incomplete: self.incomplete,
                    suspended: self.workload.suspended,
                    note: note.clone(),
                    options: labels.options.clone(),
                    candidates: instances.iter().map(|each| self.make_candidate(each)).collect(),
                };
                match &name {
                    None => made.claims.push(claim(vip)),
                    Some(name) => {
                        let families = self.families_of(instances);
                        let endpoint = (port, protocol);
                        made.named.push(NamedClaim::new(name.clone(), families, endpoint, claim));
                    }
                }
            }
        }
        made
    }

    /// Returns the families in which the port's tasks can be reached under a name. A host port counts
    /// for IPv6 only on an agent without an IPv4 address: few of them are published for both.
    fn families_of(&self, instances: &[&PlacedInstance<'_>]) -> Families {
        let places = instances.iter().filter_map(|placed| {
            let is_host = matches!(
                placed.instance.endpoints.get(self.port.index),
                Some(Ok(Endpoint::Host { .. }))
            );
            Some((is_host, self.find_reach(placed).ok()?.place))
        });
        places.fold(Families::default(), |families, (is_host, place)| {
            let v4 = place.in_family(Family::Inet).is_some();
            let v6 = place.in_family(Family::Inet6).is_some() && !(is_host && v4);
            families.union(Families { v4, v6 })
        })
    }

    /// Makes the reports on labels that make no claim.
    fn label_reports(&self, labels: &PortLabels) -> Vec<LabelReport> {
        let mut reports = Vec::new();
        let mut refuse = |place, why: LabelRefusal| {
            reports.push(LabelReport {
                source: None,
                place,
                vip: None,
                name: None,
                verdict: Verdict::refused(why),
            });
        };
        for option in labels.bad_options.iter().filter(|bad| bad.on_port) {
            refuse(self.label_place_of(&option.key, 0, &option.value), option.error.clone().into());
        }
        for label in &labels.vip_labels {
            let place = self.label_place(label);
            match &label.meaning {
                None => refuse(place, LabelRefusal::Lookalike),
                Some(Err(error)) => refuse(place, error.clone().into()),
                Some(Ok(_)) if self.port.protocols.is_empty() => refuse(place, self.no_protocol()),
                Some(Ok(VipRef::Named(name, _))) => {
                    if let Err(why) = self.naming.name_of(name) {
                        refuse(place, why);
                    }
                }
                Some(Ok(VipRef::Address(..))) => {}
            }
        }
        reports
    }

    fn no_protocol(&self) -> LabelRefusal {
        LabelRefusal::Misplaced(match self.port.other_protocols.as_slice() {
            [] => "the port has no protocol: give it tcp or udp".into(),
            others => format!("the port's protocol is {}: only tcp and udp", others.join(",")),
        })
    }

    fn label_place(&self, label: &VipLabel) -> LabelPlace {
        self.label_place_of(&label.key, label.occurrence, &label.value)
    }

    fn label_place_of(&self, key: &str, occurrence: usize, value: &str) -> LabelPlace {
        LabelPlace {
            app: app_id(&self.workload.key()),
            port: Some(self.port.index),
            path: [&*self.workload.path, ".", &*self.port.path, ".labels"].concat(),
            key: key.into(),
            occurrence,
            value: value.into(),
        }
    }

    fn make_candidate(&self, placed: &PlacedInstance<'_>) -> Candidate {
        let instance = placed.instance;
        Candidate {
            remembered: false,
            unlisted: false,
            task: instance.id.clone(),
            condition: self.find_condition(placed),
            reach: self.find_reach(placed),
        }
    }

    fn find_condition(&self, placed: &PlacedInstance<'_>) -> Condition {
        let instance = placed.instance;
        match &instance.state {
            TaskState::Running => {}
            TaskState::Staging | TaskState::Starting | TaskState::Other(_) => {
                return Condition::Starting;
            }
            TaskState::Killing => return Condition::Killing,
            TaskState::Unreachable => return Condition::Unreachable,
            TaskState::Terminal(name) => return Condition::Terminal(ending_of_state(name)),
        }
        match instance.health_of(self.port.index) {
            Health::Down => Condition::Unhealthy,
            _ if !instance.ready => Condition::NotReady,
            Health::NoChecks => Condition::Unchecked,
            Health::Up => Condition::Healthy,
            Health::Unknown => Condition::Unknown { settled: self.is_settled(placed) },
        }
    }

    /// Returns whether the instance's health checks should have reported by now.
    fn is_settled(&self, placed: &PlacedInstance<'_>) -> bool {
        let settled = |wait: Duration| wait.is_zero();
        self.spec.settling.is_none()
            || placed.settles_in(self.spec, self.run_time).is_some_and(settled)
    }

    fn find_reach(&self, placed: &PlacedInstance<'_>) -> Result<Reach, Arc<str>> {
        let host = || placed.instance.host.as_deref().unwrap_or_default();
        match placed.instance.endpoints.get(self.port.index) {
            None => Err("Marathon doesn't say where its ports are".into()),
            Some(Err(unroutable)) => Err(unroutable.to_string().into()),
            Some(Ok(Endpoint::Container { addresses, port })) => {
                let place = Place { addresses: Arc::clone(addresses), port: *port };
                Ok(Reach { place, behind: None })
            }
            Some(Ok(Endpoint::Host { port, behind })) => match placed.agent {
                Some(Ok(addresses)) => {
                    let place = |addresses: &Arc<[IpAddr]>, port| Place {
                        addresses: Arc::clone(addresses),
                        port,
                    };
                    let behind = behind.as_ref().map(|each| place(&each.addresses, each.port));
                    Ok(Reach { place: place(addresses, *port), behind })
                }
                Some(Err(why)) => {
                    Err(format!("its agent's name {} doesn't resolve: {why}", host()).into())
                }
                None => Err(format!("its agent's name {} was not looked up", host()).into()),
            },
        }
    }
}

/// Maps Mesos's name of a final state (`mesos.proto`, `TaskState`) to the way the task ended.
fn ending_of_state(name: &str) -> Ending {
    match name {
        "TASK_KILLED" => Ending::Killed,
        "TASK_FAILED" | "TASK_ERROR" => Ending::Failed,
        "TASK_FINISHED" => Ending::Finished,
        "TASK_LOST" | "TASK_DROPPED" | "TASK_GONE" | "TASK_GONE_BY_OPERATOR" => Ending::Lost,
        _ => Ending::Unknown,
    }
}

/// Makes a note on each label whose key stands in the same object more than once: Marathon keeps only
/// the last of them.
fn duplicate_key_notes(vip_labels: &[VipLabel]) -> Vec<Option<String>> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for label in vip_labels {
        *times.entry(&label.key).or_default() += 1;
    }
    let free = || {
        let mut keys = (0..).map(|n| format!("VIP_{n}"));
        keys.find(|key| !times.contains_key(key.as_str())).unwrap_or_default()
    };
    // Looked for once: many keys may be there twice.
    let free = times.values().any(|times| *times > 1).then(free).unwrap_or_default();
    let note = |label: &VipLabel| {
        let key = &label.key;
        let last = times[key.as_str()] - 1;
        match label.occurrence {
            0 if last == 0 => None,
            n if n < last => Some(format!(
                "the key {key} stands here again and Marathon keeps only the last: name one {free}"
            )),
            _ => Some(format!("the key {key} stood here before: Marathon keeps only this one")),
        }
    };
    vip_labels.iter().map(note).collect()
}
