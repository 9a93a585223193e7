//! Facts about the cluster that the sources tell beside their claims.

use std::net::IpAddr;

use vip::LabelReport;

use super::refcount::RefCountedSet;

/// What all sources together say beside claims.
#[derive(Debug, Default)]
pub(crate) struct ClusterContext {
    pub(crate) nodes: RefCountedSet<IpAddr>,
    pub(crate) tasks: RefCountedSet<IpAddr>,
    pub(crate) uncertain: RefCountedSet<IpAddr>,
    pub(crate) gaps: RefCountedSet<String>,
    /// What became of labels that make no claim, as far as that is news.
    pub(crate) news: Vec<LabelReport>,
    /// Something of it is other than it was last told.
    pub(crate) changed: bool,
}
