//! The reasons why source can't be measured.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use thiserror::Error;

/// A reason why the source can't be measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StyleError {
    /// Cargo did not start.
    #[error("cannot start cargo")]
    StartCargo(#[source] io::Error),
    /// `cargo metadata` failed.
    #[error("`cargo metadata` failed ({0})")]
    Metadata(ExitStatus),
    /// `cargo metadata` printed something else than expected.
    #[error("cannot read what `cargo metadata` printed")]
    ParseMetadata(#[source] serde_json::Error),
    /// A file of a crate is missing or unreadable.
    #[error("cannot read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file of a crate is not Rust.
    #[error("cannot parse {}", path.display())]
    ParseFile {
        /// The file.
        path: PathBuf,
        /// The reason and its place.
        source: syn::Error,
    },
}
