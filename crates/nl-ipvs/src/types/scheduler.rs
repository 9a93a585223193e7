use std::fmt;
use std::str::FromStr;

/// The name of a scheduler, such as `wlc`.
///
/// At most 15 bytes without NUL (`IP_VS_SCHEDNAME_MAXLEN` is 16 with it). Any such name can be
/// carried; whether the kernel has a module for it shows when a service is made.
///
/// Zeros fill it up, which sorts it as its text does; every service has one, so it is kept in place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheduler([u8; Self::MAX_LEN]);

impl Scheduler {
    /// The longest name the kernel takes, in bytes.
    pub const MAX_LEN: usize = 15;

    /// Checks and wraps a name.
    ///
    /// # Errors
    /// When the name is empty, longer than [`MAX_LEN`](Self::MAX_LEN) bytes or holds a NUL.
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

    /// The name as the kernel knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX_LEN);
        // It was made of text.
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

/// A name no kernel can know as a scheduler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a scheduler: a name has 1 to 15 bytes and no NUL")]
pub struct SchedulerNameError(String);
