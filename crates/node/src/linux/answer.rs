//! Answers to operations: what the kernel's refusals and lost replies are as an [`OpError`].

use nl_ipvs::errno;
use vip::plan::OpError;

/// The result of one operation.
pub(super) type Answer = Result<(), OpError>;

pub(super) fn refused_op(error: &nl_ipvs::KernelError, hint: Option<&str>) -> OpError {
    let message = match hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    };
    OpError::new(error.errno(), message)
}

/// Nothing is known of what was done.
pub(super) fn unknown_outcome(error: &nl_ipvs::Error) -> OpError {
    let errno = match error {
        nl_ipvs::Error::Lost => errno::ENOBUFS,
        nl_ipvs::Error::Refused { source, .. } => source.errno(),
        nl_ipvs::Error::Io { source, .. } => source.raw_os_error().unwrap_or(0),
        _ => 0,
    };
    OpError::new(errno, error.to_string())
}
