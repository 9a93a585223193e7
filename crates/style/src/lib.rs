//! Measures the source of this workspace: the names of its functions, its comments, and circles of
//! imports. Tests and examples are left out.

mod circles;
mod error;
mod imports;
mod measure;
mod modules;
mod scan;
#[cfg(test)]
mod tests;
mod workspace;

pub use circles::{Circle, Import, find_circles};
pub use error::StyleError;
pub use measure::{Finding, Share, Style, measure_style};
pub use modules::Crate;
pub use workspace::read_workspace;
