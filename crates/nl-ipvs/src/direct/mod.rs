//! The messages that whole tables are made and read with, between their bytes and the
//! [types](crate::types) without a list of attributes in between: nothing is allocated for each.
//! [`wire`](crate::wire) has every message; tests hold the two to the same bytes and values.

#[cfg(test)]
#[allow(dead_code, reason = "the tests of the codec use the rest of it")]
#[path = "../../tests/codec/arbitrary.rs"]
mod arbitrary;
mod read;
mod write;
mod writer;

pub use write::Request;
