//! Results of operations, and how the kernel's refusals and lost replies become an [`OpError`].

use std::error::Error;

use nl_pipeline::errno;
use vip::plan::OpError;

use crate::error_chain;

/// The result of one operation.
pub(super) type Answer = Result<(), OpError>;

/// Converts the kernel's refusal of an operation, with a hint for the user if there is one.
pub(super) fn refused_op(error: &nl_pipeline::KernelError, hint: Option<&str>) -> OpError {
    let message = match hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    };
    OpError::new(error.errno(), message)
}

/// Converts an error that leaves the outcome of an operation unknown.
pub(super) fn unknown_outcome(error: &nl_pipeline::Error) -> OpError {
    let errno = match error {
        nl_pipeline::Error::Lost => errno::ENOBUFS,
        nl_pipeline::Error::Refused { source, .. } => source.errno(),
        nl_pipeline::Error::Io { source, .. } => source.raw_os_error().unwrap_or(0),
        _ => 0,
    };
    OpError::new(errno, error_chain(error))
}

/// Converts an error of IPVS that leaves the outcome of an operation unknown.
pub(super) fn unknown_ipvs_outcome(error: &nl_ipvs::Error) -> OpError {
    match error {
        nl_ipvs::Error::Netlink(error) => unknown_outcome(error),
        error => {
            let errno = error.refusal().map_or(0, nl_pipeline::KernelError::errno);
            OpError::new(errno, error_chain(error))
        }
    }
}

/// Converts an error for which there is no errno.
pub(super) fn failed_op(error: &dyn Error) -> OpError {
    OpError::new(0, error_chain(error))
}
