//! How far the policy was compared with what served.

use crate::PolicyDoubt;

/// How far the policy was compared with what served.
#[derive(Debug, Default)]
pub(super) enum PolicyReview {
    /// The kernel was not read yet.
    #[default]
    Unread,
    /// Not every source was read yet.
    Open,
    /// It refuses most of what served.
    Doubted(PolicyDoubt),
    /// It is in force.
    Settled,
}
