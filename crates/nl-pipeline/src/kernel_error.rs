//! The kernel's refusal of a request, and the errnos it uses.

use std::fmt;

/// The kernel's refusal of one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelError {
    errno: i32,
    message: Option<String>,
}

impl KernelError {
    /// Makes an error with this positive errno.
    #[must_use]
    pub const fn new(errno: i32) -> Self {
        Self { errno, message: None }
    }

    /// Adds the kernel's message (`NLMSGERR_ATTR_MSG`).
    #[must_use]
    pub fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..self }
    }

    /// Returns the errno, which is positive. Compare it with the constants of [`errno`].
    #[must_use]
    pub const fn errno(&self) -> i32 {
        self.errno
    }

    /// Returns the kernel's message, if it sent one. Not every family does.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

/// Formats as `EEXIST: already exists`, followed by the kernel's message if there is one.
impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match errno::NAMES.iter().find(|(number, ..)| *number == self.errno) {
            Some((_, name, words)) => write!(f, "{name}: {words}")?,
            None => write!(f, "errno {}", self.errno)?,
        }
        match &self.message {
            Some(message) => write!(f, " ({message})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for KernelError {}

/// The errnos that netlink families such as IPVS answer with, and their meaning there
/// (`asm-generic/errno-base.h` and `asm-generic/errno.h`; those of the latter, from 35 on, differ on
/// alpha, mips, parisc and sparc).
pub mod errno {
    /// The caller lacks `CAP_NET_ADMIN` in the initial user namespace.
    pub const EPERM: i32 = 1;
    /// No such real server, scheduler or generic netlink family.
    pub const ENOENT: i32 = 2;
    /// No such service.
    pub const ESRCH: i32 = 3;
    /// No memory.
    pub const ENOMEM: i32 = 12;
    /// Refused for another reason than a missing right, such as IPv6 disabled on an interface.
    pub const EACCES: i32 = 13;
    /// Something is in use. To a dump: the one before it isn't finished.
    pub const EBUSY: i32 = 16;
    /// The entry exists already.
    pub const EEXIST: i32 = 17;
    /// No such network device.
    pub const ENODEV: i32 = 19;
    /// An attribute is missing or out of place, or a real server's address isn't unicast.
    pub const EINVAL: i32 = 22;
    /// A value is out of range.
    pub const ERANGE: i32 = 34;
    /// The family has no such command.
    pub const EOPNOTSUPP: i32 = 95;
    /// The address family is not supported.
    pub const EAFNOSUPPORT: i32 = 97;
    /// The interface has no such address.
    pub const EADDRNOTAVAIL: i32 = 99;
    /// The kernel had to drop an answer.
    pub const ENOBUFS: i32 = 105;

    pub(super) const NAMES: [(i32, &str, &str); 14] = [
        (EPERM, "EPERM", "not permitted, CAP_NET_ADMIN is needed"),
        (ENOENT, "ENOENT", "no such entry"),
        (ESRCH, "ESRCH", "not found"),
        (ENOMEM, "ENOMEM", "out of memory"),
        (EACCES, "EACCES", "permission denied"),
        (EBUSY, "EBUSY", "busy"),
        (EEXIST, "EEXIST", "already exists"),
        (ENODEV, "ENODEV", "no such network device"),
        (EINVAL, "EINVAL", "invalid argument"),
        (ERANGE, "ERANGE", "out of range"),
        (EOPNOTSUPP, "EOPNOTSUPP", "not supported by this kernel"),
        (EAFNOSUPPORT, "EAFNOSUPPORT", "address family not supported by this kernel"),
        (EADDRNOTAVAIL, "EADDRNOTAVAIL", "no such address"),
        (ENOBUFS, "ENOBUFS", "the kernel had to drop an answer"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_number_and_keeps_the_kernels_words() {
        assert_eq!(KernelError::new(errno::EEXIST).to_string(), "EEXIST: already exists");
        assert_eq!(KernelError::new(133).to_string(), "errno 133");
        let worded = KernelError::new(errno::ERANGE).with_message("integer out of range");
        assert_eq!(worded.to_string(), "ERANGE: out of range (integer out of range)");
        assert_eq!((worded.errno(), worded.message()), (34, Some("integer out of range")));
    }
}
