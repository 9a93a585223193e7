//! The names of virtual addresses, for output.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{NameFacts, NameSettings, VipName};
use crate::Vip;

/// The names of virtual addresses, for output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    settings: NameSettings,
    by_address: BTreeMap<IpAddr, VipName>,
}

impl Names {
    pub(crate) fn new(
        settings: Option<&NameSettings>,
        names: impl Iterator<Item = (IpAddr, VipName)>,
    ) -> Self {
        Self { settings: settings.cloned().unwrap_or_default(), by_address: names.collect() }
    }

    /// Returns the name of an address.
    #[must_use]
    pub fn name_at(&self, address: IpAddr) -> Option<&VipName> {
        self.by_address.get(&address)
    }

    /// Returns the DNS name of a name.
    #[must_use]
    pub fn dns_name(&self, name: &VipName) -> String {
        self.settings.dns_name(name)
    }

    /// Returns the DNS name of an address.
    #[must_use]
    pub fn dns_name_at(&self, address: IpAddr) -> Option<String> {
        self.name_at(address).map(|name| self.settings.dns_name(name))
    }

    /// Makes the names of the facts that an agent tells.
    #[must_use]
    pub fn from_facts(settings: Option<&NameSettings>, facts: &[NameFacts]) -> Self {
        let names = facts
            .iter()
            .flat_map(|facts| facts.addresses.iter().map(|address| (*address, facts.name.clone())));
        Self::new(settings, names)
    }

    /// Tells whether a text names a VIP: `mysql.marathon`, the same with a zone, or either with
    /// `:PORT`.
    #[must_use]
    pub fn is_name_of(&self, text: &str, vip: &Vip) -> bool {
        let Some(name) = self.name_at(vip.address) else { return false };
        let (text, port) = match text.rsplit_once(':') {
            Some((text, port)) => (text, Some(port)),
            None => (text, None),
        };
        let text = text.to_ascii_lowercase();
        let is_name = text == name.as_str()
            || self.settings.zones().iter().any(|zone| text == name.in_zone(zone));
        is_name && port.is_none_or(|port| port.parse() == Ok(vip.port.get()))
    }

    /// Returns the name of a VIP, if it has one, and the VIP: `mysql.marathon 11.91.210.154:3306/tcp`.
    #[must_use]
    pub fn title(&self, vip: &Vip) -> String {
        named(self.name_at(vip.address), vip)
    }
}

/// Writes a name, if there is one, before what it is the name of.
pub(crate) fn named(name: Option<&VipName>, what: impl std::fmt::Display) -> String {
    name.map_or_else(|| what.to_string(), |name| format!("{name} {what}"))
}
