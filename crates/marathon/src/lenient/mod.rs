//! Lenient parsing of JSON: a value that can't be read is left out and noted with its path;
//! everything around it is read.
//!
//! A document is read in one pass, straight into the types of [`crate::model`]. Values of a wrong
//! type are noted on the way. A number out of range or a broken escape ends the pass; then the
//! document is read again, with each list element cut out as raw text first, so that such an error
//! costs no more than its element.

mod finding;
mod list;
mod log;
mod object;
#[cfg(test)]
mod tests;
mod timestamp;
mod value;

pub use finding::Finding;
pub(crate) use log::Log;
pub(crate) use object::{Field, Key, Record};
pub(crate) use value::{FromJson, ValueSeed, read_json, read_once};

/// Implements [`Record`] for a struct, from JSON keys and the fields they fill. Of a duplicate key
/// the last one counts, as in Marathon. Unknown keys are skipped.
///
/// After `workload "app"` comes an app or a pod, with fields `id` and `outgrown`: it is left out if it
/// takes too much memory.
macro_rules! record {
    (workload $kind:literal $type:ident { $($fields:tt)* }) => {
        $crate::lenient::record!(@impl $type { $($fields)* }
            const WORKLOAD: Option<&'static str> = Some($kind);

            fn leave_out(&mut self) -> Option<&str> {
                *self = Self { id: self.id.take(), outgrown: true, ..Self::default() };
                self.id.as_deref()
            }

            fn mark_damaged(&mut self) {
                self.damaged = true;
            }
        );
    };
    ($type:ident { $($fields:tt)* }) => {
        $crate::lenient::record!(@impl $type { $($fields)* });
    };
    (@impl $type:ident { $($key:literal => $field:ident),* $(,)? } $($items:item)*) => {
        impl $crate::lenient::Record for $type {
            $($items)*

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
