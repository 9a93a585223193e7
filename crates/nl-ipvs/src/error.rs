use std::io;
use std::time::Duration;

use crate::{EntryError, KernelError};

/// Why a request, or a whole batch, has no outcome to report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no family of this name.
    #[error(
        "the kernel has no generic netlink family {family:?}: load its module (for IPVS `modprobe ip_vs`)"
    )]
    Unavailable {
        /// The family's name.
        family: &'static str,
    },
    /// The kernel refused a request that stands for itself.
    #[error("the kernel refused to {doing}: {source}")]
    Refused {
        /// What was asked for.
        doing: &'static str,
        /// Its answer.
        source: KernelError,
    },
    /// The kernel had to drop answers (`ENOBUFS`). What was asked for may have been done.
    #[error(
        "the kernel dropped answers because they came faster than they were read (ENOBUFS): what was done is unknown, read the state again"
    )]
    Lost,
    /// No answer came. What was asked for may have been done.
    #[error(
        "the kernel did not answer within {0:?}: what was done is unknown, read the state again"
    )]
    Timeout(Duration),
    /// A dump was interrupted by changes, again and again.
    #[error("a dump was interrupted by changes {attempts} times in a row: try again later")]
    Interrupted {
        /// How often it was tried.
        attempts: u32,
    },
    /// An answer that isn't netlink.
    #[error("the kernel's answer is malformed: {0}")]
    Malformed(String),
    /// An answer that can't be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The socket failed. What was asked for may have been done.
    #[error("cannot {doing} the netlink socket: {source}")]
    Io {
        /// What was being done to it.
        doing: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
}
