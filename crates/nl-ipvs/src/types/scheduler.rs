use std::fmt;
use std::str::FromStr;

/// The name of a scheduler, such as `wlc`.
///
/// At most 15 bytes without NUL (`IP_VS_SCHEDNAME_MAXLEN` is 16 with it). Any such name can be
/// carried; whether the kernel has a module for it shows when a service is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheduler(String);

impl Scheduler {
    /// The longest name the kernel takes, in bytes.
    pub const MAX_LEN: usize = 15;

    /// Checks and wraps a name.
    ///
    /// # Errors
    /// When the name is empty, longer than [`MAX_LEN`](Self::MAX_LEN) bytes or holds a NUL.
    pub fn new(name: impl Into<String>) -> Result<Self, SchedulerNameError> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::MAX_LEN || name.contains('\0') {
            return Err(SchedulerNameError(name));
        }
        Ok(Self(name))
    }

    /// The name as the kernel knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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
        f.pad(&self.0)
    }
}

/// A name no kernel can know as a scheduler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a scheduler: a name has 1 to 15 bytes and no NUL")]
pub struct SchedulerNameError(String);
