//! The error of requests and batches.

use std::io;

use crate::KernelError;

/// A failure that leaves a request, or a whole batch, without an outcome to report.
///
/// It doesn't repeat the text of its [`source`](std::error::Error::source), so print the whole chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    #[error("the kernel did not answer in time: what was done is unknown, read the state again")]
    Timeout,
    /// Changes interrupted a dump at every attempt.
    #[error("a dump was interrupted by changes {attempts} times in a row: try again later")]
    Interrupted {
        /// The number of attempts.
        attempts: u32,
    },
    /// An answer isn't valid netlink.
    #[error("the kernel's answer is malformed: {0}")]
    Malformed(String),
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

impl Error {
    /// Converts the error of a receive. Of a send, `ENOBUFS` means that the kernel lacks memory, and nothing
    /// was sent (`netlink_sendmsg`).
    pub(crate) fn of_receive(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::WouldBlock => Self::Timeout,
            _ if source.raw_os_error() == Some(crate::errno::ENOBUFS) => Self::Lost,
            _ => Self::Io { doing: "receive from", source },
        }
    }
}
