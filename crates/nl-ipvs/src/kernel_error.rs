use std::fmt;

/// The kernel's refusal of one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelError {
    errno: i32,
    message: Option<String>,
}

impl KernelError {
    /// An error with this number, as in `errno(3)`: positive.
    #[must_use]
    pub const fn new(errno: i32) -> Self {
        Self { errno, message: None }
    }

    /// The same with what the kernel says about it (`NLMSGERR_ATTR_MSG`).
    #[must_use]
    pub fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..self }
    }

    /// Its number, positive. Compare with the constants of [`errno`].
    #[must_use]
    pub const fn errno(&self) -> i32 {
        self.errno
    }

    /// What the kernel says about it. IPVS itself says nothing more than the number; checks of
    /// attributes in front of it do, and so do other families.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

/// `EEXIST: already exists`, with the kernel's own words behind it if there are any.
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

/// The numbers that IPVS and the layers in front of it answer with, and what IPVS means by them (`asm-generic/errno-base.h`
/// and `asm-generic/errno.h`; the second group differs on alpha, mips, parisc and sparc).
pub mod errno {
    /// The caller lacks `CAP_NET_ADMIN` in the initial user namespace.
    pub const EPERM: i32 = 1;
    /// No such real server or scheduler, or no such family of generic netlink.
    pub const ENOENT: i32 = 2;
    /// No such service.
    pub const ESRCH: i32 = 3;
    /// No memory.
    pub const ENOMEM: i32 = 12;
    /// Something is in use; with a dump: the one before it is not finished.
    pub const EBUSY: i32 = 16;
    /// It is already there.
    pub const EEXIST: i32 = 17;
    /// No such network device.
    pub const ENODEV: i32 = 19;
    /// An attribute is missing or out of place, or a real server's address is not a unicast one.
    pub const EINVAL: i32 = 22;
    /// A value is out of range.
    pub const ERANGE: i32 = 34;
    /// The family has no such command.
    pub const EOPNOTSUPP: i32 = 95;
    /// The address family is not supported.
    pub const EAFNOSUPPORT: i32 = 97;
    /// The address is not there.
    pub const EADDRNOTAVAIL: i32 = 99;
    /// The kernel had to drop an answer.
    pub const ENOBUFS: i32 = 105;

    pub(super) const NAMES: [(i32, &str, &str); 13] = [
        (EPERM, "EPERM", "not permitted, CAP_NET_ADMIN is needed"),
        (ENOENT, "ENOENT", "no such entry"),
        (ESRCH, "ESRCH", "not found"),
        (ENOMEM, "ENOMEM", "out of memory"),
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
