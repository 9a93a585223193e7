//! Attributes that are carried as they are.

use nl_pipeline::Attribute;

/// An attribute that this crate doesn't know, carried as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawAttribute {
    /// The kind with its flags.
    pub kind: u16,
    /// The value.
    pub value: Vec<u8>,
}

impl RawAttribute {
    /// Makes an attribute.
    #[must_use]
    pub fn new(kind: u16, value: Vec<u8>) -> Self {
        Self { kind, value }
    }
}

impl From<Attribute<'_>> for RawAttribute {
    fn from(read: Attribute<'_>) -> Self {
        Self { kind: read.kind, value: read.value.to_vec() }
    }
}
