//! What `vip.owner` reserves: addresses, or names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::naming::{VipName, mangle};

/// Addresses or names that only some apps may claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reserved {
    /// The addresses in a prefix.
    Addresses(IpNet),
    /// One name, as `mysql.marathon`.
    Name(String),
    /// All names that begin so, written with a `*` at the end, as `shop-*`.
    Names(String),
}

/// The error for a text that is neither a prefix nor a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a prefix, such as 3.3.0.0/16, nor a name, such as mysql.marathon or shop-*"
)]
pub struct NotReservable(String);

impl Reserved {
    /// Tells whether it covers an address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        matches!(self, Self::Addresses(net) if net.contains(&address))
    }

    /// Tells whether it covers a name.
    pub(crate) fn has_name(&self, name: &VipName) -> bool {
        match self {
            Self::Addresses(_) => false,
            Self::Name(own) => own == name.as_str(),
            Self::Names(start) => name.as_str().starts_with(start.as_str()),
        }
    }

    /// Returns how narrow it is: of several that cover the same, the narrowest decides.
    pub(crate) fn narrowness(&self) -> usize {
        match self {
            Self::Addresses(net) => net.prefix_len().into(),
            Self::Name(_) => usize::MAX,
            Self::Names(start) => start.len(),
        }
    }
}

impl FromStr for Reserved {
    type Err = NotReservable;

    fn from_str(text: &str) -> Result<Self, NotReservable> {
        if let Ok(net) = text.parse() {
            return Ok(Self::Addresses(net));
        }
        // A name without a dot would be one of no framework.
        if let Some(start) = text.strip_suffix('*')
            && mangle(&format!("{start}x")) == format!("{start}x")
        {
            return Ok(Self::Names(start.to_owned()));
        }
        let name = text.parse::<VipName>().map_err(|_| NotReservable(text.to_owned()))?;
        Ok(Self::Name(name.into()))
    }
}

impl TryFrom<String> for Reserved {
    type Error = NotReservable;

    fn try_from(text: String) -> Result<Self, NotReservable> {
        text.parse()
    }
}

impl From<Reserved> for String {
    fn from(reserved: Reserved) -> Self {
        reserved.to_string()
    }
}

/// Writes what it is parsed from.
impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(net) => net.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Names(start) => write!(f, "{start}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_and_names_are_told_apart() {
        for text in ["3.3.0.0/16", "fd01::/64", "mysql.marathon", "shop-*", "*", "a.b.*"] {
            assert_eq!(text.parse::<Reserved>().unwrap().to_string(), text);
        }
        for text in ["", "3.3.0.0/33", "mysql", "MySQL.marathon", "a b*", "-*", "a**", "/shop*"] {
            assert!(text.parse::<Reserved>().is_err(), "{text}");
        }
    }
}
