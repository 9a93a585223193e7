//! Claims to named VIPs, before the name has an address.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use super::{Families, Pins, VipName};
use crate::{Candidate, Claim, Protocol, Vip};

/// A claim of an app to a named VIP, made by one label of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedClaim {
    /// The name.
    pub name: VipName,
    /// The families in which tasks of the app can be reached; none if it has no tasks.
    pub families: Families,
    /// The claim, whose address is not known yet.
    claim: Claim,
}

/// A name whose address changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) name: VipName,
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
}

impl NamedClaim {
    /// Makes a claim to a port of a name. `claim` makes the rest of a claim to a VIP.
    pub fn new(
        name: VipName,
        families: Families,
        (port, protocol): (NonZeroU16, Protocol),
        claim: impl FnOnce(Vip) -> Claim,
    ) -> Self {
        let vip = Vip { address: Ipv4Addr::UNSPECIFIED.into(), port, protocol };
        let claim = Claim { name: Some(name.clone()), ..claim(vip) };
        Self { name, families, claim }
    }

    /// Returns the claim to the name's address.
    #[must_use]
    pub fn at_address(&self, address: IpAddr) -> Claim {
        let vip = Vip { address, ..self.claim.vip };
        Claim { vip, ..self.claim.clone() }
    }

    /// Notes that some of the app's tasks are unknown.
    pub fn mark_incomplete(&mut self) {
        self.claim.incomplete = true;
    }

    /// Returns the tasks that could serve it.
    pub fn candidates_mut(&mut self) -> impl Iterator<Item = &mut Candidate> {
        self.claim.candidates.iter_mut()
    }

    /// Returns the addresses that the app's label gives the name.
    pub(crate) fn pins(&self) -> Pins {
        self.claim.options.pins
    }

    /// Returns the claim, whose address is not known yet.
    #[must_use]
    pub fn unplaced(&self) -> &Claim {
        &self.claim
    }
}
