//! Compares the addresses of names with those that they have elsewhere, as in DC/OS.

mod comparison;
mod elsewhere;
mod records;
mod source;

pub use comparison::{ComparedName, Comparison, Outcome};
pub use elsewhere::{Elsewhere, There};
pub use records::parse_records;
pub use source::{ImportSource, SourceError};
