//! The names of named VIPs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::mangle;

/// The longest DNS name, written with dots and without the last one (RFC 1035, 2.3.4).
pub(super) const MAX_DNS_NAME: usize = 253;

/// The name of a named VIP without its zone, as `mysql.marathon`: what its label and the name of its
/// framework mangle to. Labels that mangle to one name are one VIP.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VipName(Arc<str>);

/// The reason why a label gives no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A part of the label has no letter or digit.
    #[error(
        "{0} gives no DNS name: each part between dots needs a letter a-z or a digit (it would be \
         {1:?})"
    )]
    EmptyPart(String, String),
    /// The framework's name has no letter or digit in one of its parts.
    #[error(
        "the framework's name {0:?} gives no DNS name: each part between dots needs a letter a-z \
         or a digit"
    )]
    EmptyFramework(String),
    /// The name is too long.
    #[error(
        "{0} gives a DNS name of {1} characters with its zone, and 253 are allowed: choose a shorter \
         name"
    )]
    TooLong(String, usize),
    /// A text that is no mangled name.
    #[error("{0:?} is not the name of a VIP, such as mysql.marathon")]
    NotMangled(String),
}

impl VipName {
    /// Makes the name of a label of a framework's app. `zone_len` is the length of the longest zone.
    ///
    /// # Errors
    /// When a part mangles to nothing, or the name with its zone is too long for DNS.
    pub fn new(label: &str, framework: &str, zone_len: usize) -> Result<Self, NameError> {
        let (left, right) = (mangle(label), mangle(framework));
        if has_empty_part(&left) {
            return Err(NameError::EmptyPart(label.to_owned(), left));
        }
        if has_empty_part(&right) {
            return Err(NameError::EmptyFramework(framework.to_owned()));
        }
        let len = left.len() + 1 + right.len() + 1 + zone_len;
        if len > MAX_DNS_NAME {
            return Err(NameError::TooLong(label.to_owned(), len));
        }
        Ok(Self([&*left, ".", &*right].concat().into()))
    }

    /// Returns the name without its zone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the full DNS name in a zone, without the last dot.
    #[must_use]
    pub fn in_zone(&self, zone: &str) -> String {
        format!("{self}.{zone}")
    }
}

fn has_empty_part(mangled: &str) -> bool {
    mangled.split('.').any(str::is_empty)
}

impl fmt::Display for VipName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<VipName> for String {
    fn from(name: VipName) -> Self {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for VipName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

/// Parses the output of [`Display`](fmt::Display).
impl FromStr for VipName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_name = !has_empty_part(text) && text.contains('.') && mangle(text) == text;
        if !is_name || text.len() > MAX_DNS_NAME {
            return Err(NameError::NotMangled(
                caps::cut_text(text, caps::SHOWN_VALUE).into_owned(),
            ));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(label: &str, framework: &str) -> Result<String, NameError> {
        VipName::new(label, framework, "l4lb.thisdcos.directory".len()).map(String::from)
    }

    #[test]
    fn spellings_of_one_name_are_one() {
        for label in ["/my_sql", "my-sql", "/My_SQL", "/-my.sql-"] {
            let mangled = name(label, "marathon").unwrap();
            let expected = if label.contains('.') { "my.sql.marathon" } else { "my-sql.marathon" };
            assert_eq!(mangled, expected, "{label}");
        }
    }

    #[test]
    fn a_part_without_letters_and_digits_gives_no_name() {
        for label in ["/_", "/a._.b", "/é", ""] {
            let refused = name(label, "marathon");
            assert!(matches!(refused, Err(NameError::EmptyPart(..))), "{label}: {refused:?}");
        }
        assert!(matches!(name("/a", "/_/"), Err(NameError::EmptyFramework(_))));
    }

    #[test]
    fn a_name_that_dns_cannot_carry_is_refused() {
        let long = vec!["a".repeat(63); 4].join(".");
        assert!(matches!(name(&long, "marathon"), Err(NameError::TooLong(_, 288))));
        let fits = vec!["a".repeat(63); 3].join(".");
        assert_eq!(name(&fits, "marathon").unwrap().len(), 200);
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in ["mysql.marathon", "a.b.c"] {
            assert_eq!(text.parse::<VipName>().unwrap().to_string(), text);
        }
        for text in ["", "mysql", "MySQL.marathon", "a..b", ".marathon", "a.b.", "a_b.c", "é.x"] {
            assert!(text.parse::<VipName>().is_err(), "{text}");
        }
    }
}
