//! Numbers that this crate has no name for.

/// A number of the kernel that this crate has no name for. Only a number without a name can be one,
/// so that no value has two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unrecognized(u8);

impl Unrecognized {
    pub(super) const fn new(number: u8) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}
