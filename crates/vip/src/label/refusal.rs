//! Reasons why labels are not obeyed.

use super::{OptionError, ValueError};
use std::net::IpAddr;

use crate::naming::{NameError, VipName};
use crate::{AppId, policy};

/// The reason why a label is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelRefusal {
    /// The value of a VIP label doesn't name an address and port.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The key resembles that of a VIP label.
    #[error("looks like a VIP label but isn't one: the key must be VIP, vip, VIP_<n> or vip_<n>")]
    Lookalike,
    /// A VIP label at a place where none is served. The sentence says where it belongs.
    #[error("{0}")]
    Misplaced(String),
    /// An `IPVS_*` label with an unknown name or an invalid value.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The address may not be a VIP, or not for this app.
    #[error(transparent)]
    Policy(#[from] policy::AddressRefusal),
    /// The name of a VIP label is none in DNS.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name of a VIP label can't be told yet. The sentence says why.
    #[error("{0}")]
    NoFramework(String),
    /// The name has no address. The sentence says why.
    #[error("{0}")]
    Unplaced(String),
    /// The address is that of a name.
    #[error("{0} is the address of {1}, a name that {2} claims: give this VIP another address")]
    NamedAddress(IpAddr, VipName, AppId),
    /// A label beyond a cap. The sentence names the cap.
    #[error("{0}")]
    Capped(String),
}

impl LabelRefusal {
    /// Returns the kind of refusal, for counting.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Value(_) | Self::Lookalike => RefusalKind::Syntax,
            Self::Misplaced(_) => RefusalKind::Place,
            Self::Option(_) => RefusalKind::Option,
            Self::Policy(_) | Self::NamedAddress(..) => RefusalKind::Policy,
            Self::Name(_) | Self::NoFramework(_) | Self::Unplaced(_) => RefusalKind::Name,
            Self::Capped(_) => RefusalKind::Cap,
        }
    }
}

/// The kinds of labels that are not obeyed: few, so that they can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalKind {
    /// A misspelt key or value of a VIP label.
    Syntax,
    /// An unknown `IPVS_*` label, or one with an invalid value.
    Option,
    /// An address that may not be a VIP.
    Policy,
    /// A name that DNS can't have, or that has no address.
    Name,
    /// A VIP label on the app, in a list of ports that isn't used, or on a port that is neither TCP
    /// nor UDP.
    Place,
    /// A label beyond a cap, such as that of the VIPs of one app.
    Cap,
}

impl RefusalKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Syntax, Self::Option, Self::Policy, Self::Name, Self::Place, Self::Cap];

    /// Returns the name for machines: the `reason` of the metric `vipd_refused_labels`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Option => "option",
            Self::Policy => "policy",
            Self::Name => "name",
            Self::Place => "place",
            Self::Cap => "cap",
        }
    }
}
