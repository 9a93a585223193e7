//! The doubt about a policy that refuses most of what served.

use std::fmt;
use std::sync::Arc;

use crate::{AddressRefusal, Vip};

/// The VIPs that a doubted policy refuses. Their apps keep them as if it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDoubt {
    /// The number of VIPs that it refuses to all of their apps, of those that served.
    pub refused: usize,
    /// The number of VIPs of apps that served.
    pub of: usize,
    /// The first of those that are refused.
    pub vip: Vip,
    /// The first of its apps.
    pub app: Arc<str>,
    /// The reason why it is refused.
    pub why: AddressRefusal,
}

/// Writes `the configuration refuses 4 of 4 VIPs ...`, with the remedy.
impl fmt::Display for PolicyDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, of, vip, app, why } = self;
        write!(
            f,
            "the configuration refuses {refused} of {of} VIPs that served before this start, {vip} of {app} \
             because {why}: they stay until it is mended and reloaded, or accepted by `vipd accept`"
        )
    }
}
