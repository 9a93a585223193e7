//! The operator's settings of named VIPs.

use std::net::SocketAddr;

use super::{NameRange, VipName, mangle};

/// The zone of DC/OS, in which applications are configured to find VIPs.
pub const DEFAULT_ZONE: &str = "l4lb.thisdcos.directory";

/// The operator's settings of named VIPs (`[names]` of the configuration).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameSettings {
    /// The addresses that names get.
    pub range: NameRange,
    /// The DNS zones in which the names are found. Never empty; names are shown in the first.
    zones: Vec<String>,
    /// The addresses and ports at which the node's name server answers.
    pub listen: Vec<SocketAddr>,
    /// Whether it answers even while no name is claimed: it forwards queries for other names, or knows
    /// those of tasks.
    pub forward: bool,
}

impl Default for NameSettings {
    fn default() -> Self {
        Self {
            range: NameRange::default(),
            zones: vec![DEFAULT_ZONE.to_owned()],
            listen: Vec::new(),
            forward: false,
        }
    }
}

/// The error for a text that is no DNS zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// There is no zone.
    #[error("no zone: give at least one, such as \"{DEFAULT_ZONE}\"")]
    Missing,
    /// A part is empty, too long, or has other characters than a DNS name.
    #[error(
        "{0:?} is no DNS zone: write small letters, digits and `-` between dots, such as \
         \"{DEFAULT_ZONE}\""
    )]
    NotDns(String),
    /// The zone leaves no room for names.
    #[error("{0:?} is too long: a zone has at most {MAX_ZONE} characters")]
    Long(String),
}

/// The longest zone: half of a DNS name, so that there is room for names.
const MAX_ZONE: usize = 126;

/// Checks that a text is a DNS zone.
///
/// # Errors
/// When it isn't, or leaves no room for names.
pub fn check_zone(zone: &str) -> Result<(), ZoneError> {
    if mangle(zone) != *zone || zone.is_empty() {
        return Err(ZoneError::NotDns(zone.to_owned()));
    }
    if zone.len() > MAX_ZONE {
        return Err(ZoneError::Long(zone.to_owned()));
    }
    Ok(())
}

impl NameSettings {
    /// Makes settings of a range and zones.
    ///
    /// # Errors
    /// When there is no zone, or one of them is none.
    pub fn new(range: NameRange, zones: Vec<String>) -> Result<Self, ZoneError> {
        if zones.is_empty() {
            return Err(ZoneError::Missing);
        }
        zones.iter().try_for_each(|zone| check_zone(zone))?;
        Ok(Self { range, zones, ..Self::default() })
    }

    /// Adds the name server: its addresses, and whether it answers without a name of a VIP.
    #[must_use]
    pub fn with_name_server(self, listen: Vec<SocketAddr>, forward: bool) -> Self {
        Self { listen, forward, ..self }
    }

    /// Returns the zones; names are shown in the first.
    #[must_use]
    pub fn zones(&self) -> &[String] {
        &self.zones
    }

    /// Returns the length of the longest zone.
    #[must_use]
    pub fn zone_len(&self) -> usize {
        self.zones.iter().map(String::len).max().unwrap_or_default()
    }

    /// Returns the DNS name of a VIP, in the first zone.
    #[must_use]
    pub fn dns_name(&self, name: &VipName) -> String {
        name.in_zone(self.zones.first().map_or(DEFAULT_ZONE, String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_zone_is_refused() {
        let zones = |zone: &str| NameSettings::new(NameRange::default(), vec![zone.to_owned()]);
        for zone in ["", ".", "a..b", "a.", ".a", "A.b", "a_b", "a b", "-a", &"a".repeat(64)] {
            assert!(matches!(zones(zone), Err(ZoneError::NotDns(_))), "{zone}");
        }
        assert!(matches!(zones(&"a.".repeat(63).repeat(2)[1..252]), Err(ZoneError::NotDns(_))));
        assert!(matches!(zones(&["a"; 64].join(".")), Err(ZoneError::Long(_))));
        assert_eq!(zones("vip.example").unwrap().zone_len(), 11);
        assert_eq!(NameSettings::new(NameRange::default(), vec![]), Err(ZoneError::Missing));
    }
}
