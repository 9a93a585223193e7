//! An open doubt about the kernel's table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use vip::Vip;

/// An open doubt about the table.
#[derive(Debug)]
pub(super) struct OpenDoubt {
    /// The table when it was opened: vipd has added to it since, and removed what it doesn't keep.
    pub(super) before: BTreeMap<Vip, usize>,
    /// Real servers that no source lists, at places of tasks that are listed. Whatever becomes of
    /// those tasks: the ones before them have ended.
    pub(super) taken: BTreeSet<SocketAddr>,
}
