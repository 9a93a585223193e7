//! Reading JSON that may be wrong in places: what can't be read costs itself and nothing around
//! it, and is noted with its path.
//!
//! A document is read in one pass, straight into the types of [`crate::model`]. What is of the
//! wrong kind is noted on the way. A number out of range or a broken escape ends the pass; then the
//! document is read once more, with the elements of each list cut out as raw texts first, so that
//! even these cost no more than the element they stand in.

mod finding;
mod list;
mod log;
mod object;
#[cfg(test)]
mod tests;
mod value;

pub use finding::Finding;
pub(crate) use log::Log;
pub(crate) use object::{Field, Key, Record, raw_fields};
pub(crate) use value::{FromJson, ValueSeed, read_json};

/// Makes a struct readable from an object: JSON keys and the fields they fill. A key written
/// twice counts as Marathon counts it: the last one stays. Unknown keys are skipped.
macro_rules! record {
    ($type:ident { $($key:literal => $field:ident),* $(,)? }) => {
        impl $crate::lenient::Record for $type {
            fn read_field<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                key: &str,
                field: $crate::lenient::Field<'_, A>,
            ) -> Result<(), A::Error> {
                match key {
                    $($key => field.read_into($key, &mut self.$field),)*
                    _ => field.skip_value(),
                }
            }
        }
    };
}
pub(crate) use record;
