//! The interface between the agent's core and a source: what a source is given for one step, and
//! what it returns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vip::controller::AppClaims;

use super::facts::ClusterContext;
use super::hosts::HostCache;
use crate::clock::Moment;

/// What a source may use and change in a step.
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
pub(crate) type AppChanges = BTreeMap<Arc<str>, Option<AppClaims>>;

/// What a source returns from a step. `R` is its kind of request.
#[derive(Debug)]
pub(crate) struct SourceStep<R> {
    /// Requests to its connection, to be sent in this order.
    pub(crate) requests: Vec<R>,
    /// Whether the source can be read, if this step changed that.
    pub(crate) availability: Option<Availability>,
    /// Names of servers that the cluster depends on: no VIP may be an address of theirs.
    pub(crate) servers: BTreeSet<String>,
    /// The apps whose claims were worked out anew.
    pub(crate) apps: AppChanges,
    /// The source was just read as a whole, and the answer is believed.
    pub(crate) read_whole: bool,
}

/// Whether a source can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Availability {
    /// It answers again after a failure.
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
        }
    }
}

impl<R> SourceStep<R> {
    /// Nothing follows from it.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { requests, availability, servers, apps, read_whole } = self;
        requests.is_empty()
            && availability.is_none()
            && servers.is_empty()
            && apps.is_empty()
            && !read_whole
    }

    /// Wraps the requests, to hide which kind of source they are for.
    pub(crate) fn map_requests<S>(self, wrap: impl Fn(R) -> S) -> SourceStep<S> {
        let Self { requests, availability, servers, apps, read_whole } = self;
        let requests = requests.into_iter().map(wrap).collect();
        SourceStep { requests, availability, servers, apps, read_whole }
    }
}

/// What a message means to the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MessageSummary {
    /// An event announced changes of these workloads; the empty name stands for all of them.
    Event { workloads: Vec<String> },
    /// One workload was read, or, without a name, all of them.
    Read { workload: Option<Arc<str>>, succeeded: bool },
    /// Anything else.
    Other,
}
