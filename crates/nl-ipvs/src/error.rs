//! The error of requests and batches.

use crate::{EntryError, KernelError, errno};

/// A failure of a request.
///
/// It doesn't repeat the text of its [`source`](std::error::Error::source), so print the whole chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no IPVS.
    #[error("the kernel has no IPVS: load its module with `modprobe ip_vs`")]
    Unavailable,
    /// The kernel refused a request.
    #[error("the kernel refused to {doing}{}", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())]
    Refused {
        /// The request, as a verb phrase.
        doing: &'static str,
        /// The likely cause where the errno alone misleads: see [`Command::hint`](crate::Command::hint).
        hint: Option<&'static str>,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// An entry of an answer can't be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The exchange with the kernel failed. Changes may have been carried out. To match its kinds, use
    /// the re-exported [`nl_pipeline::Error`].
    #[error(transparent)]
    Netlink(#[from] nl_pipeline::Error),
}

/// A batch that failed, with the answers that came before.
pub type BatchError = nl_pipeline::BatchError<Error>;

impl Error {
    /// Returns the kernel's refusal, if that is what failed.
    #[must_use]
    pub fn refusal(&self) -> Option<&KernelError> {
        match self {
            Self::Refused { source, .. }
            | Self::Netlink(nl_pipeline::Error::Refused { source, .. }) => Some(source),
            _ => None,
        }
    }

    /// Returns true if the kernel refused because something exists already.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.errno() == errno::EEXIST)
    }

    /// Returns true if the kernel refused because there is no such service or daemon (`ESRCH`), or no
    /// such real server, scheduler or persistence engine (`ENOENT`).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        let missing = [errno::ESRCH, errno::ENOENT];
        self.refusal().is_some_and(|refusal| missing.contains(&refusal.errno()))
    }
}

impl From<BatchError> for Error {
    fn from(failed: BatchError) -> Self {
        failed.error
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use super::*;

    #[test]
    fn no_error_repeats_the_text_of_its_source() {
        let lost = io::Error::from_raw_os_error(errno::ENOBUFS);
        let malformed = crate::wire::IpvsMessage::parse(&[1, 1, 0, 0, 9]).unwrap_err();
        let errors = [
            Error::Refused { doing: "x", hint: None, source: KernelError::new(errno::EPERM) },
            Error::Netlink(nl_pipeline::Error::Io { doing: "open", source: lost }),
            Error::Entry(malformed),
            Error::Unavailable,
        ];
        for error in errors {
            let (text, mut cause) = (error.to_string(), error.source());
            while let Some(source) = cause {
                assert!(!text.contains(&source.to_string()), "{text}");
                cause = source.source();
            }
            for words in text.split(": ") {
                assert_eq!(text.matches(words).count(), 1, "{text}");
            }
        }
    }

    #[test]
    fn a_refusal_is_told_apart_by_its_errno() {
        let refused = |errno| Error::Refused {
            doing: "add a service",
            hint: None,
            source: KernelError::new(errno),
        };
        assert!(refused(errno::EEXIST).is_already_exists());
        assert!(refused(errno::ESRCH).is_not_found() && refused(errno::ENOENT).is_not_found());
        assert!(!refused(errno::EINVAL).is_not_found());
        assert!(!Error::Unavailable.is_not_found());
    }
}
