//! The addresses that names have elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vip::naming::{DEFAULT_ZONE, NameSettings, VipName};

/// The addresses that names have elsewhere, as far as was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elsewhere {
    /// The names.
    pub names: BTreeMap<VipName, There>,
    /// The number of DNS names of the zone that no label can give.
    pub unusable: usize,
    /// The first of these.
    pub example: Option<String>,
}

/// What was told of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    /// Its addresses; none if it isn't known.
    Addresses(BTreeSet<IpAddr>),
    /// Why nothing was told.
    Untold(String),
}

impl Elsewhere {
    /// Adds an address of a DNS name. Names outside the zones are ignored.
    pub(super) fn add_address(&mut self, dns: &str, address: IpAddr, settings: &NameSettings) {
        let lower = dns.trim_end_matches('.').to_ascii_lowercase();
        let zones = settings.zones().iter().map(String::as_str).chain([DEFAULT_ZONE]);
        // One zone may lie in another: what the longest leaves is the name.
        let names = zones.filter_map(|zone| lower.strip_suffix(zone)?.strip_suffix('.'));
        let Some(name) = names.min_by_key(|name| name.len()) else { return };
        match name.parse() {
            Ok(name) => {
                let there = self.names.entry(name);
                if let There::Addresses(known) =
                    there.or_insert_with(|| There::Addresses(BTreeSet::new()))
                {
                    known.insert(address);
                }
            }
            Err(_) => {
                self.unusable += 1;
                self.example
                    .get_or_insert_with(|| caps::cut_text(dns, caps::SHOWN_VALUE).into_owned());
            }
        }
    }
}
