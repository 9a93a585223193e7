//! Names of schedulers.

use std::fmt;
use std::str::FromStr;

/// The name of a scheduler, such as `wlc`.
///
/// At most 15 bytes without NUL (`IP_VS_SCHEDNAME_MAXLEN` is 16 with it). The kernel refuses a
/// service if it has no module for the scheduler.
///
/// Every service has one, so it is stored without an allocation. It is padded with zeros, so that it
/// sorts like its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheduler([u8; Self::MAX_LEN]);

impl Scheduler {
    /// The longest name the kernel takes, in bytes.
    pub const MAX_LEN: usize = 15;

    /// Checks a name.
    ///
    /// # Errors
    /// When the name is empty, longer than [`MAX_LEN`](Self::MAX_LEN) bytes or contains a NUL.
    pub fn new(name: impl AsRef<str>) -> Result<Self, SchedulerNameError> {
        let name = name.as_ref();
        let mut bytes = [0; Self::MAX_LEN];
        match bytes.get_mut(..name.len()) {
            Some(place) if !name.is_empty() && !name.contains('\0') => {
                place.copy_from_slice(name.as_bytes());
            }
            _ => return Err(SchedulerNameError(name.to_owned())),
        }
        Ok(Self(bytes))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX_LEN);
        // The bytes were made from text.
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}

impl FromStr for Scheduler {
    type Err = SchedulerNameError;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scheduler").field(&self.as_str()).finish()
    }
}

/// A name that no scheduler can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a scheduler: a name has 1 to 15 bytes and no NUL")]
pub struct SchedulerNameError(String);
