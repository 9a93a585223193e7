//! Names that the kernel takes: of schedulers, persistence engines and interfaces.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes. The kernel's buffers have 16 with the NUL (`IP_VS_SCHEDNAME_MAXLEN`,
/// `IP_VS_PENAME_MAXLEN`, `IFNAMSIZ`).
const MAX_LEN: usize = 15;

/// A name of 1 to 15 bytes without NUL. It is padded with zeros, so that it sorts like its text,
/// and stored without an allocation: every service has one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name([u8; MAX_LEN]);

impl Name {
    fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; MAX_LEN];
        match bytes.get_mut(..name.len()) {
            Some(place) if !name.is_empty() && !name.contains('\0') => {
                place.copy_from_slice(name.as_bytes());
                Some(Self(bytes))
            }
            _ => None,
        }
    }

    fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(MAX_LEN);
        // The bytes were made from text.
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}

/// A name that the kernel would refuse or take for another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot be {what}: {rule}")]
pub struct NameError {
    name: String,
    what: &'static str,
    rule: &'static str,
}

const LENGTH: &str = "a name has 1 to 15 bytes and no NUL";

/// Defines a type of names.
macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal, $broken_rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Name);

        impl $type {
            /// The longest name the kernel takes, in bytes.
            pub const MAX_LEN: usize = MAX_LEN;

            /// Checks a name.
            ///
            /// # Errors
            /// When the kernel would refuse the name, or take it for another one.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                let broken_rule: fn(&str) -> Option<&'static str> = $broken_rule;
                let error = |rule| NameError { name: name.to_owned(), what: $what, rule };
                let checked = Name::new(name).ok_or_else(|| error(LENGTH))?;
                broken_rule(name).map_or(Ok(Self(checked)), |rule| Err(error(rule)))
            }

            /// Returns the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::new(name)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.as_str()).finish()
            }
        }
    };
}

name_type! {
    /// The name of a scheduler, such as `wlc`.
    ///
    /// The kernel refuses a service if it has no module for the scheduler.
    Scheduler, "a scheduler", |name| (name == crate::convert::NO_SCHEDULER)
        .then_some("the kernel takes it for no scheduler, which is `None` here")
}

name_type! {
    /// The name of a persistence engine. `sip` is the only one known.
    PersistenceEngine, "a persistence engine", |_| None
}

name_type! {
    /// The name of a network interface, such as `eth0`.
    InterfaceName, "an interface", |_| None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_15_bytes_and_no_nul() {
        for name in ["", "0123456789abcdef", "lo\0x", "\0"] {
            assert!(Scheduler::new(name).is_err(), "{name:?}");
            assert!(PersistenceEngine::new(name).is_err(), "{name:?}");
            assert!(InterfaceName::new(name).is_err(), "{name:?}");
        }
        let longest = "0123456789abcde";
        assert_eq!(InterfaceName::new(longest).unwrap().as_str(), longest);
        assert_eq!(
            InterfaceName::new("lo\0x").unwrap_err().to_string(),
            "\"lo\\0x\" cannot be an interface: a name has 1 to 15 bytes and no NUL"
        );
    }

    #[test]
    fn the_kernels_word_for_no_scheduler_is_not_a_scheduler() {
        let error = Scheduler::new("none").unwrap_err().to_string();
        assert!(error.contains("`None`"), "{error}");
        assert!(PersistenceEngine::new("none").is_ok());
    }
}
