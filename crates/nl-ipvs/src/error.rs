//! The error of requests and batches.

use std::io;
use std::time::Duration;

use crate::{EntryError, KernelError};

/// A failure that leaves a request, or a whole batch, without an outcome to report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no family of this name.
    #[error(
        "the kernel has no generic netlink family {family:?}: load its module (for IPVS `modprobe ip_vs`)"
    )]
    Unavailable {
        /// The name of the family.
        family: &'static str,
    },
    /// The kernel refused a single request.
    #[error("the kernel refused to {doing}")]
    Refused {
        /// The request, as a verb phrase.
        doing: &'static str,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// The kernel had to drop answers (`ENOBUFS`). The requests may have been carried out.
    #[error(
        "the kernel dropped answers because they came faster than they were read (ENOBUFS): what was done is unknown, read the state again"
    )]
    Lost,
    /// No answer came in time. The requests may have been carried out.
    #[error(
        "the kernel did not answer within {0:?}: what was done is unknown, read the state again"
    )]
    Timeout(Duration),
    /// Changes interrupted a dump at every attempt.
    #[error("a dump was interrupted by changes {attempts} times in a row: try again later")]
    Interrupted {
        /// The number of attempts.
        attempts: u32,
    },
    /// An answer isn't valid netlink.
    #[error("the kernel's answer is malformed: {0}")]
    Malformed(String),
    /// An entry of an answer can't be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The socket failed. The requests may have been carried out.
    #[error("cannot {doing} the netlink socket")]
    Io {
        /// The action that failed, as a verb.
        doing: &'static str,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}
