//! Records that were published, and the receivers that get them.

use crate::segment::Segment;

/// The receivers that a record is for, and the records that a receiver gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Apps and pods with VIP labels, or that had one in this epoch.
    Vips,
    /// All apps and pods: for agents that serve the names of tasks.
    All,
}

impl Scope {
    /// Tells whether a receiver of this scope gets records of another.
    #[must_use]
    pub fn includes(self, record: Self) -> bool {
        record <= self
    }
}

/// A record that was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// Who gets it.
    pub scope: Scope,
    /// Its bytes.
    pub segment: Segment,
}
