//! Picks attributes out of a list.

use crate::EntryError;

/// The first attribute that `pick` takes.
pub(super) fn find_attribute<'a, A, T>(
    attributes: &'a [A],
    name: &'static str,
    pick: impl Fn(&'a A) -> Option<T>,
) -> Result<T, EntryError> {
    attributes.iter().find_map(pick).ok_or(EntryError::Missing(name))
}

/// The value of one kind of attribute among many.
macro_rules! get {
    ($attributes:expr, $kind:path, $name:literal) => {
        crate::convert::attribute::find_attribute($attributes, $name, |attribute| match attribute {
            $kind(value) => Some(value),
            _ => None,
        })
    };
}
pub(super) use get;
