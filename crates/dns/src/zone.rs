//! The names that are answered for. Pure: no sockets, no files, no clock.

use std::net::IpAddr;

use crate::domain_name::{DomainName, label_offsets};
use crate::tree::{Data, Tree};
use crate::zone_file::{Addresses, Line, LineError, ZoneFileError, read_lines};

/// The name in every zone that always answers, so that a resolver can be tested.
const PROBE: &[u8] = b"\x05ready";

/// The name of the same use that DC/OS had.
const DCOS_PROBE: &[u8] = b"\x05ready\x07spartan";

/// The zones and their names.
#[derive(Debug, Default)]
pub struct Zone {
    /// Zones of VIP names. They all have the same names.
    zones: Vec<DomainName>,
    host_zones: Vec<DomainName>,
    /// VIP names, relative to the zones.
    names: Tree,
    /// Names of tasks, absolute.
    hosts: Tree,
    /// Lines `name` and `host`.
    records: usize,
    /// Whether a zone file was read.
    is_known: bool,
    /// Whether VIP names may exist that the file doesn't have.
    is_partial: bool,
}

/// A name that belongs to a zone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// The length of the zone's name, which is the end of the name that was asked for.
    pub(crate) zone_length: usize,
    pub(crate) meaning: Meaning<'a>,
}

/// What a name in a zone stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// The zone itself.
    Apex,
    /// The name that always answers with the address of the name server.
    Probe,
    /// Nothing but names below it.
    Empty,
    Vip(Addresses),
    Host(&'a [IpAddr]),
    /// A name that doesn't exist.
    Missing,
    /// Not known: no zone file was read yet, the one that was doesn't have all names, or the name is
    /// there without an address.
    Unknown,
}

/// The zones that are ours even before a zone file was read, so that their names are never forwarded.
#[derive(Debug, Clone, Default)]
pub struct OwnZones {
    /// Zones of VIP names.
    pub zones: Vec<DomainName>,
    /// Zones of the names of tasks.
    pub host_zones: Vec<DomainName>,
}

/// A name with its data.
#[derive(Debug)]
pub(crate) struct Record {
    name: DomainName,
    data: Data,
}

impl Record {
    /// Converts a line; `None` for one that has no record.
    pub(crate) fn from_line(line: Line<'_>) -> Result<Option<Self>, LineError> {
        let (name, data) = match line {
            Line::Name(name, addresses) => (name, Data::Vip(addresses)),
            Line::Host(name, addresses) => (name, Data::Host(addresses.into_iter().collect())),
            Line::Zone(_) | Line::HostZone(_) | Line::Partial | Line::End(_) | Line::Unknown => {
                return Ok(None);
            }
        };
        Ok(Some(Self { name: DomainName::parse(name)?, data }))
    }

    /// Returns what tells it from others: whether it is a host's, and its name.
    pub(crate) fn key(&self) -> (bool, &DomainName) {
        (self.data.is_host(), &self.name)
    }
}

impl Zone {
    /// Makes the zone of which nothing is known yet.
    #[must_use]
    pub fn unknown(own: &OwnZones) -> Self {
        let OwnZones { zones, host_zones } = own.clone();
        Self { zones, host_zones, ..Self::default() }
    }

    /// Builds the zone of a zone file.
    ///
    /// # Errors
    /// When the file isn't whole, or a line of it can't be read.
    pub fn build(text: &str, own: &OwnZones) -> Result<Self, ZoneFileError> {
        let mut zone = Self { is_known: true, ..Self::default() };
        read_lines(text, |line| zone.add_line(line))?;
        for (zones, own) in [(&mut zone.zones, &own.zones), (&mut zone.host_zones, &own.host_zones)]
        {
            let missing: Vec<_> = own.iter().filter(|own| !zones.contains(own)).cloned().collect();
            zones.extend(missing);
        }
        Ok(zone)
    }

    /// Returns the number of names and hosts.
    #[must_use]
    pub fn count_records(&self) -> usize {
        self.records
    }

    /// Adds what a line says.
    fn add_line(&mut self, line: Line<'_>) -> Result<(), LineError> {
        match line {
            Line::Zone(zone) => self.zones.push(DomainName::parse(zone)?),
            Line::HostZone(zone) => self.host_zones.push(DomainName::parse(zone)?),
            Line::Partial => self.is_partial = true,
            line => {
                if let Some(record) = Record::from_line(line)?
                    && !self.add_record(record)
                {
                    return Err(LineError::Twice);
                }
            }
        }
        Ok(())
    }

    /// Adds a record, and returns false if its name was there.
    pub(crate) fn add_record(&mut self, record: Record) -> bool {
        self.records += 1;
        let Record { name, data } = record;
        self.tree_mut(&data).add_name(name.as_wire(), data)
    }

    /// Removes a record.
    pub(crate) fn remove_record(&mut self, record: &Record) {
        self.records -= 1;
        self.tree_mut(&record.data).remove_name(record.name.as_wire());
    }

    /// Returns whether there is a record of this key.
    pub(crate) fn contains_record(&self, (is_host, name): (bool, &DomainName)) -> bool {
        let tree = if is_host { &self.hosts } else { &self.names };
        tree.find_node(name.as_wire()).is_some_and(|data| data.is_some())
    }

    /// Lists all names, the empty ones too, and the count of records, for comparison.
    #[cfg(test)]
    pub(crate) fn list_nodes(&self) -> (Vec<String>, usize) {
        (self.names.list_nodes(), self.records)
    }

    fn tree_mut(&mut self, data: &Data) -> &mut Tree {
        if data.is_host() { &mut self.hosts } else { &mut self.names }
    }

    /// Looks up a name in wire format and lower case, without the root label. `None` for a name that
    /// is in none of the zones.
    pub(crate) fn find_name(&self, name: &[u8]) -> Option<Found<'_>> {
        if name == DCOS_PROBE {
            return Some(Found { zone_length: name.len(), meaning: Meaning::Probe });
        }
        // The longest zone first.
        label_offsets(name).find_map(|offset| {
            let (relative, zone) = name.split_at(offset);
            let meaning = match (contains(&self.zones, zone), contains(&self.host_zones, zone)) {
                (false, false) => return None,
                _ if relative.is_empty() => Meaning::Apex,
                (true, _) if relative == PROBE => Meaning::Probe,
                _ if !self.is_known => Meaning::Unknown,
                (true, _) => find_meaning(&self.names, relative),
                _ => find_meaning(&self.hosts, name),
            };
            let meaning = match meaning {
                Meaning::Missing | Meaning::Empty if self.is_partial => Meaning::Unknown,
                meaning => meaning,
            };
            Some(Found { zone_length: zone.len(), meaning })
        })
    }
}

fn contains(zones: &[DomainName], zone: &[u8]) -> bool {
    zones.iter().any(|known| known.as_wire() == zone)
}

fn find_meaning<'a>(tree: &'a Tree, name: &[u8]) -> Meaning<'a> {
    match tree.find_node(name) {
        None => Meaning::Missing,
        Some(None) => Meaning::Empty,
        Some(Some(Data::Vip(addresses))) => Meaning::Vip(*addresses),
        Some(Some(Data::Host(addresses))) if addresses.is_empty() => Meaning::Unknown,
        Some(Some(Data::Host(addresses))) => Meaning::Host(addresses),
    }
}
