//! The VIPs and real servers that a read would take away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::watch::known::KnownWorkload;
use crate::{Labels, Snapshot, Workload, WorkloadKey};

/// A part of what is known: a workload with its VIPs, or one of its instances.
pub(in crate::watch) type Part = (WorkloadKey, Option<Arc<str>>);

/// The VIPs and real servers that a read would take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    /// VIPs of workloads that are no longer listed, or listed without any VIP.
    pub vips: usize,
    /// VIPs that are known.
    pub of_vips: usize,
    /// Real servers that are no longer listed, while no other task of their app is.
    pub servers: usize,
    /// Real servers that are known.
    pub of_servers: usize,
}

impl Loss {
    /// Tells whether it is more than half of all VIPs, or of all real servers.
    #[must_use]
    pub fn is_large(&self) -> bool {
        2 * self.vips > self.of_vips || 2 * self.servers > self.of_servers
    }
}

/// The parts that a read lacks, and how much that is.
#[derive(Debug, Default)]
pub(in crate::watch) struct Lack {
    pub(in crate::watch) parts: BTreeSet<Part>,
    pub(in crate::watch) loss: Loss,
    /// Workloads that the read says nothing about.
    pub(in crate::watch) silent: BTreeSet<WorkloadKey>,
}

/// Finds the parts of `known` that a read of everything lacks, which began at `begun`.
/// `is_announced` tells which workloads have been announced to change.
pub(in crate::watch) fn find_lack<'a>(
    known: impl Iterator<Item = (&'a WorkloadKey, &'a KnownWorkload)>,
    answer: &Snapshot,
    begun: Duration,
    is_announced: impl Fn(&WorkloadKey) -> bool,
) -> Lack {
    let listed = answer.workloads.iter().map(|workload| (workload.key(), &**workload));
    let listed: BTreeMap<_, _> = listed.collect();
    let mut lack = Lack::default();
    for (key, known) in known {
        let found = listed.get(key).copied();
        // An app that replaces a pod, or a pod an app, may keep its VIPs.
        let other = listed.get(&key.of_other_kind()).is_some_and(|other| has_vips(other));
        // A later read of it is known, or this one says nothing about it.
        let is_silent = known.begun > begun
            || found.is_none() && !answer.coverage.includes(key.kind)
            || found.is_some_and(|found| !found.tasks_known);
        if is_silent {
            lack.silent.insert(key.clone());
        }
        let is_excused = is_silent || found.is_none() && other || is_announced(key);
        lack.add(key, known, (!is_excused).then_some(found));
    }
    lack
}

/// Finds the parts of one workload that a read of it alone lacks.
pub(in crate::watch) fn lack_of_workload(known: &KnownWorkload, found: &Workload) -> Lack {
    let mut lack = Lack::default();
    lack.add(&found.key(), known, Some(Some(found)));
    lack
}

impl Lack {
    /// Adds a known workload. `found` is what the read lists of it; `None`: that doesn't count.
    fn add(&mut self, key: &WorkloadKey, known: &KnownWorkload, found: Option<Option<&Workload>>) {
        let vips = vip_labels(&known.view);
        if vips == 0 {
            return;
        }
        let servers = || known.view.instances.iter().filter(|instance| known.is_in_use(instance));
        self.loss.of_vips += vips;
        self.loss.of_servers += vips * servers().count();
        let Some(found) = found else { return };
        let is_gone = found.is_none_or(|found| vip_labels(found) == 0);
        if is_gone {
            self.loss.vips += vips;
            self.parts.insert((key.clone(), None));
        }
        let lost: Vec<_> = match found {
            Some(found) if !is_gone && is_replaced(known, found) => Vec::new(),
            Some(found) if !is_gone => {
                let listed: BTreeSet<_> = found.instances.iter().map(|each| &each.id).collect();
                servers().filter(|instance| !listed.contains(&instance.id)).collect()
            }
            _ => servers().collect(),
        };
        self.loss.servers += vips * lost.len();
        self.parts.extend(lost.iter().map(|lost| (key.clone(), Some(Arc::clone(&lost.id)))));
    }
}

/// Tells whether other tasks than before are listed: these replace those that are missing.
fn is_replaced(known: &KnownWorkload, found: &Workload) -> bool {
    let mut alive = found.instances.iter().filter(|instance| !instance.state.is_terminal());
    alive.any(|instance| known.find(&instance.id).is_none())
}

/// Counts the labels of a workload that may be VIPs.
fn vip_labels(workload: &Workload) -> usize {
    let count = |labels: &Labels| {
        labels.iter().filter(|(key, _)| key.starts_with("VIP") || key.starts_with("vip")).count()
    };
    let of_ports = workload.spec.ports.iter().map(|port| count(&port.labels));
    count(&workload.spec.labels) + of_ports.sum::<usize>()
}

/// Tells whether a workload has a label that may be a VIP.
pub(in crate::watch) fn has_vips(workload: &Workload) -> bool {
    vip_labels(workload) > 0
}
