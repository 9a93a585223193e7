//! Conversion of Marathon's JSON, of every generation, to the one shape of a [`Snapshot`].
//!
//! [`Snapshot`]: crate::Snapshot

pub(crate) mod apps;
mod assembly;
mod health;
mod interning;
pub(crate) mod pods;
mod ports;
mod records;

pub(crate) use assembly::Assembly;
pub use interning::Interner;
pub use records::Records;
