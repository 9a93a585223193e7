//! Lookup of attributes in a list.

use crate::EntryError;

/// Returns what `pick` makes of the first attribute that it accepts.
pub(super) fn find_attribute<'a, A, T>(
    attributes: &'a [A],
    name: &'static str,
    pick: impl Fn(&'a A) -> Option<T>,
) -> Result<T, EntryError> {
    attributes.iter().find_map(pick).ok_or(EntryError::Missing(name))
}

/// Returns the value of the first attribute of one kind.
macro_rules! get {
    ($attributes:expr, $kind:path, $name:literal) => {
        crate::convert::attribute::find_attribute($attributes, $name, |attribute| match attribute {
            $kind(value) => Some(value),
            _ => None,
        })
    };
}
pub(super) use get;
