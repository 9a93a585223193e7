//! The interface between the agent's core and a source: the context of a step and its result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use marathon::watch::Place;
use vip::AppId;
use vip::controller::AppClaims;

use super::facts::ClusterContext;
use super::hosts::HostCache;
use crate::clock::Moment;

/// The context of a step: the state that a source may use and change.
#[derive(Debug)]
pub(crate) struct SourceContext<'a> {
    /// The addresses of host names, shared by all sources.
    pub(crate) hosts: &'a mut HostCache,
    /// The facts about the cluster, to which each source contributes.
    pub(crate) cluster: &'a mut ClusterContext,
    /// The time of the step.
    pub(crate) now: Moment,
}

/// The claims of apps, as [`vip::controller::Change::Apps`] takes them. `None`: the app is gone.
pub(crate) type AppChanges = BTreeMap<AppId, Option<AppClaims>>;

/// The result of a source's step. `R` is its kind of request.
#[derive(Debug)]
pub(crate) struct SourceStep<R> {
    /// Requests to its connection, to be sent in this order.
    pub(crate) requests: Vec<R>,
    /// A change of the source's availability.
    pub(crate) availability: Option<Availability>,
    /// Names of servers that the cluster depends on: no VIP may be an address of theirs.
    pub(crate) servers: BTreeSet<String>,
    /// The apps whose claims were worked out anew.
    pub(crate) apps: AppChanges,
    /// The source was just read as a whole, and the answer is believed.
    pub(crate) read_whole: bool,
    /// The places of tasks that it lists for the first time.
    pub(crate) claimed: BTreeSet<Place>,
    /// It keeps other tasks than before although its answers lack them.
    pub(crate) relisted: bool,
}

/// The availability of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Availability {
    /// The source answers again after a failure.
    Restored,
    /// A read failed.
    Lost {
        /// The error.
        why: String,
    },
}

impl<R> Default for SourceStep<R> {
    fn default() -> Self {
        Self {
            requests: Vec::new(),
            availability: None,
            servers: BTreeSet::new(),
            apps: AppChanges::new(),
            read_whole: false,
            claimed: BTreeSet::new(),
            relisted: false,
        }
    }
}

impl<R> SourceStep<R> {
    /// Returns whether nothing follows from the step.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { requests, availability, servers, apps, read_whole, claimed, relisted } = self;
        requests.is_empty()
            && availability.is_none()
            && servers.is_empty()
            && apps.is_empty()
            && claimed.is_empty()
            && !read_whole
            && !relisted
    }

    /// Wraps the requests, to hide which kind of source they are for.
    pub(crate) fn map_requests<S>(self, wrap: impl Fn(R) -> S) -> SourceStep<S> {
        let Self { requests, availability, servers, apps, read_whole, claimed, relisted } = self;
        let requests = requests.into_iter().map(wrap).collect();
        SourceStep { requests, availability, servers, apps, read_whole, claimed, relisted }
    }
}

/// A summary of a message, for the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MessageSummary {
    /// An event announced changes of these workloads; the empty name stands for all of them.
    Event { workloads: Vec<String> },
    /// One workload was read, or, without a name, all of them.
    Read { workload: Option<Arc<str>>, succeeded: bool },
    /// Anything else.
    Other,
}
