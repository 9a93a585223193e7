//! Facts about the cluster that the sources tell beside their claims.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use vip::controller::Facts;
use vip::naming::TaskRecord;
use vip::{ClusterFacts, LabelReport, SourceId};

use super::refcount::RefCountedSet;

/// The gap of a workload with names while the framework's name is unknown.
pub(crate) const NO_FRAMEWORK: &str =
    "the framework's name is not known, so no name has an address";

/// The share of one workload in a [`ClusterContext`].
#[derive(Debug, Default)]
pub(crate) struct Contribution {
    /// Labels that make no claim.
    pub(crate) reports: Vec<LabelReport>,
    /// Addresses of the agents that run its tasks.
    pub(crate) nodes: BTreeSet<IpAddr>,
    /// Addresses of its tasks on container networks.
    pub(crate) tasks: BTreeSet<IpAddr>,
    /// Agents with tasks whose ports aren't known.
    pub(crate) uncertain: BTreeSet<IpAddr>,
    /// Sentences on what isn't known of its running tasks.
    pub(crate) gaps: BTreeSet<String>,
    /// Names of the agents that run its tasks.
    pub(crate) hosts: BTreeSet<Arc<str>>,
    /// The names of its tasks with their addresses.
    pub(crate) task_names: BTreeSet<TaskRecord>,
}

/// Facts that all sources together tell beside claims.
#[derive(Debug, Default)]
pub(crate) struct ClusterContext {
    pub(crate) nodes: RefCountedSet<IpAddr>,
    pub(crate) tasks: RefCountedSet<IpAddr>,
    pub(crate) uncertain: RefCountedSet<IpAddr>,
    pub(crate) gaps: RefCountedSet<String>,
    /// The names of tasks with their addresses.
    pub(crate) task_names: RefCountedSet<TaskRecord>,
    /// What the name server answers beside VIPs, or whether it knows all, differs from what was last
    /// told.
    pub(crate) answers_changed: bool,
    /// News about labels that make no claim.
    pub(crate) news: Vec<LabelReport>,
    /// The facts differ from those that were last told.
    pub(crate) changed: bool,
}

impl ClusterContext {
    /// Puts one contribution of a workload in the place of another.
    pub(crate) fn replace_contribution(&mut self, old: &Contribution, new: &Contribution) {
        self.news.extend(vip::label::changed_reports(&old.reports, &new.reports));
        self.changed |= self.nodes.exchange(&old.nodes, &new.nodes);
        self.changed |= self.tasks.exchange(&old.tasks, &new.tasks);
        self.changed |= self.uncertain.exchange(&old.uncertain, &new.uncertain);
        let gaps_changed = self.gaps.exchange(&old.gaps, &new.gaps);
        self.changed |= gaps_changed;
        self.answers_changed |= gaps_changed;
        self.answers_changed |= self.task_names.exchange(&old.task_names, &new.task_names);
    }

    /// Tells whether there are names of VIPs that nobody knows in full, since the framework's name isn't
    /// known.
    pub(crate) fn lacks_framework(&self) -> bool {
        self.gaps.members().any(|gap| gap == NO_FRAMEWORK)
    }

    /// Says of the news since the last source's that they are of this source.
    pub(crate) fn name_news(&mut self, source: &SourceId) {
        let unnamed = self.news.iter_mut().filter(|report| report.source.is_none());
        unnamed.for_each(|report| report.source = Some(source.clone()));
    }

    /// The facts as the controller takes them, without a doubt about the table. `masters` are the
    /// addresses of the servers that the cluster depends on.
    pub(crate) fn to_facts(&self, masters: BTreeSet<IpAddr>) -> Facts {
        Facts {
            cluster: ClusterFacts {
                nodes: self.nodes.members().copied().collect(),
                masters,
                tasks: self.tasks.members().copied().collect(),
            },
            uncertain: self.uncertain.members().copied().collect(),
            gaps: self.gaps.members().next().is_some(),
            ..Facts::default()
        }
    }
}
