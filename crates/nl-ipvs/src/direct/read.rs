//! Entries of dumps, parsed from their bytes.

use std::net::SocketAddr;

use nl_pipeline::parse_attributes;

use crate::convert::{
    self, counter_field, parse_engine, parse_mark, parse_prefix, parse_scheduler,
};
use crate::wire::numbers::*;
use crate::wire::{Counter, IpvsCmd, RawAddress, split_header, value};
use crate::{
    Destination, DestinationSettings, EntryError, Family, ForwardMethod, Protocol, Service,
    ServiceFlags, ServiceKey, ServiceSettings, Stats, Tunnel, TunnelFlags, TunnelKind,
};

/// Returns the first attribute of this kind in an entry of a dump whose own attributes are well
/// formed.
fn entry_attribute<'a>(
    payload: &'a [u8],
    wanted: u16,
    name: &'static str,
) -> Result<&'a [u8], EntryError> {
    let (command, bytes) = split_header(payload)?;
    // In an answer to GET_INFO the numbers have another meaning.
    let is_entry = command != IpvsCmd::SET_INFO;
    let mut found = None;
    for attribute in parse_attributes(bytes) {
        let attribute = attribute?;
        let is_wanted = is_entry && attribute.number() == wanted && found.is_none();
        if is_wanted && parse_attributes(attribute.value).all(|each| each.is_ok()) {
            found = Some(attribute.value);
        }
    }
    found.ok_or(EntryError::Missing(name))
}

/// Keeps the first value that can be parsed.
fn keep_first<T>(kept: &mut Option<T>, value: Option<T>) {
    if kept.is_none() {
        *kept = value;
    }
}

/// Parses the 32-bit counters, which a kernel with 64-bit counters sends before those.
fn parse_narrow_stats(bytes: &[u8], wanted: u16) -> Option<Stats> {
    let mut found = parse_attributes(bytes).flatten().filter(|found| found.number() == wanted);
    found.find_map(|found| parse_stats(found.value))
}

/// Parses counters; `None` if the attributes are malformed.
fn parse_stats(bytes: &[u8]) -> Option<Stats> {
    let mut stats = Stats::default();
    for attribute in parse_attributes(bytes) {
        let attribute = attribute.ok()?;
        let Some(counter) = Counter::from_number(attribute.number()) else { continue };
        let bytes = attribute.value;
        let narrow = value::parse_u32(bytes).map(u64::from);
        if let Some(value) = narrow.or_else(|| value::parse_u64(bytes)) {
            *counter_field(&mut stats, counter) = value;
        }
    }
    Some(stats)
}

impl Service {
    /// Parses an entry of a dump of services, generic netlink header included.
    ///
    /// # Errors
    /// When an essential attribute is missing or has no known meaning.
    pub fn from_entry(payload: &[u8]) -> Result<Self, EntryError> {
        let bytes = entry_attribute(payload, IPVS_CMD_ATTR_SERVICE, "IPVS_CMD_ATTR_SERVICE")?;
        let (mut af, mut protocol, mut address, mut port, mut mark) =
            (None, None, None, None, None);
        let (mut name, mut flags, mut timeout, mut netmask, mut engine) =
            (None, None, None, None, None);
        let mut wide = None;
        for attribute in parse_attributes(bytes) {
            let attribute = attribute?;
            let bytes = attribute.value;
            match attribute.number() {
                IPVS_SVC_ATTR_AF => keep_first(&mut af, value::parse_u16(bytes)),
                IPVS_SVC_ATTR_PROTOCOL => keep_first(&mut protocol, value::parse_u16(bytes)),
                IPVS_SVC_ATTR_ADDR => keep_first(&mut address, RawAddress::parse(bytes)),
                IPVS_SVC_ATTR_PORT => keep_first(&mut port, value::parse_u16_be(bytes)),
                IPVS_SVC_ATTR_FWMARK => keep_first(&mut mark, value::parse_u32(bytes)),
                IPVS_SVC_ATTR_SCHED_NAME => keep_first(&mut name, value::parse_name(bytes)),
                IPVS_SVC_ATTR_FLAGS => keep_first(&mut flags, value::parse_pair(bytes)),
                IPVS_SVC_ATTR_TIMEOUT => keep_first(&mut timeout, value::parse_u32(bytes)),
                IPVS_SVC_ATTR_NETMASK => keep_first(&mut netmask, bytes.try_into().ok()),
                IPVS_SVC_ATTR_PE_NAME => keep_first(&mut engine, value::parse_name(bytes)),
                IPVS_SVC_ATTR_STATS64 => keep_first(&mut wide, parse_stats(bytes)),
                _ => {}
            }
        }
        let missing = EntryError::Missing;
        let af = af.ok_or(missing("IPVS_SVC_ATTR_AF"))?;
        let family = convert::family_of_number(af, "IPVS_SVC_ATTR_AF")?;
        let key = match mark {
            Some(mark) => ServiceKey::Fwmark { family, mark: parse_mark(mark)? },
            None => ServiceKey::Address {
                protocol: Protocol(protocol.ok_or(missing("IPVS_SVC_ATTR_PROTOCOL"))?),
                address: address
                    .and_then(|address| address.to_ip(family))
                    .ok_or(missing("IPVS_SVC_ATTR_ADDR"))?,
                port: port.ok_or(missing("IPVS_SVC_ATTR_PORT"))?,
            },
        };
        let (flags, _) = flags.ok_or(missing("IPVS_SVC_ATTR_FLAGS"))?;
        let netmask = || netmask.ok_or(missing("IPVS_SVC_ATTR_NETMASK"));
        Ok(Self {
            key,
            settings: ServiceSettings {
                flags: ServiceFlags::from_bits(flags),
                scheduler: parse_scheduler(name.ok_or(missing("IPVS_SVC_ATTR_SCHED_NAME"))?)?,
                timeout: timeout.ok_or(missing("IPVS_SVC_ATTR_TIMEOUT"))?,
                client_prefix: parse_prefix(family, netmask()?)?,
                persistence_engine: engine.map(parse_engine).transpose()?,
            },
            stats: wide
                .or_else(|| parse_narrow_stats(bytes, IPVS_SVC_ATTR_STATS))
                .unwrap_or_default(),
        })
    }
}

impl Destination {
    /// Parses an entry of a dump of real servers, generic netlink header included. Kernels before
    /// 3.18 don't tell the address family, which is that of the service then.
    ///
    /// # Errors
    /// When an essential attribute is missing or has no known meaning.
    pub fn from_entry(payload: &[u8], service: Family) -> Result<Self, EntryError> {
        let bytes = entry_attribute(payload, IPVS_CMD_ATTR_DEST, "IPVS_CMD_ATTR_DEST")?;
        let (mut af, mut address, mut port, mut method, mut weight) =
            (None, None, None, None, None);
        let (mut upper, mut lower, mut active, mut inactive, mut persistent) =
            (None, None, None, None, None);
        let (mut tunnel, mut tunnel_port, mut tunnel_flags) = (None, None, None);
        let mut wide = None;
        for attribute in parse_attributes(bytes) {
            let attribute = attribute?;
            let bytes = attribute.value;
            match attribute.number() {
                IPVS_DEST_ATTR_ADDR => keep_first(&mut address, RawAddress::parse(bytes)),
                IPVS_DEST_ATTR_PORT => keep_first(&mut port, value::parse_u16_be(bytes)),
                IPVS_DEST_ATTR_ADDR_FAMILY => keep_first(&mut af, value::parse_u16(bytes)),
                IPVS_DEST_ATTR_FWD_METHOD => keep_first(&mut method, value::parse_u32(bytes)),
                IPVS_DEST_ATTR_WEIGHT => keep_first(&mut weight, value::parse_u32(bytes)),
                IPVS_DEST_ATTR_U_THRESH => keep_first(&mut upper, value::parse_u32(bytes)),
                IPVS_DEST_ATTR_L_THRESH => keep_first(&mut lower, value::parse_u32(bytes)),
                IPVS_DEST_ATTR_ACTIVE_CONNS => keep_first(&mut active, value::parse_u32(bytes)),
                IPVS_DEST_ATTR_INACT_CONNS => keep_first(&mut inactive, value::parse_u32(bytes)),
                IPVS_DEST_ATTR_PERSIST_CONNS => {
                    keep_first(&mut persistent, value::parse_u32(bytes));
                }
                IPVS_DEST_ATTR_TUN_TYPE => keep_first(&mut tunnel, value::parse_u8(bytes)),
                IPVS_DEST_ATTR_TUN_PORT => keep_first(&mut tunnel_port, value::parse_u16_be(bytes)),
                IPVS_DEST_ATTR_TUN_FLAGS => keep_first(&mut tunnel_flags, value::parse_u16(bytes)),
                IPVS_DEST_ATTR_STATS64 => keep_first(&mut wide, parse_stats(bytes)),
                _ => {}
            }
        }
        let missing = EntryError::Missing;
        let family = match af {
            Some(af) => convert::family_of_number(af, "IPVS_DEST_ATTR_ADDR_FAMILY")?,
            None => service,
        };
        let address = address
            .and_then(|address| address.to_ip(family))
            .ok_or(missing("IPVS_DEST_ATTR_ADDR"))?;
        Ok(Self {
            address: SocketAddr::new(address, port.ok_or(missing("IPVS_DEST_ATTR_PORT"))?),
            settings: DestinationSettings {
                forward: ForwardMethod::from_bits(
                    method.ok_or(missing("IPVS_DEST_ATTR_FWD_METHOD"))?,
                ),
                weight: weight.ok_or(missing("IPVS_DEST_ATTR_WEIGHT"))?,
                upper_threshold: upper.ok_or(missing("IPVS_DEST_ATTR_U_THRESH"))?,
                lower_threshold: lower.ok_or(missing("IPVS_DEST_ATTR_L_THRESH"))?,
                // Absent before Linux 5.2 and 5.3, which have IP in IP only.
                tunnel: Tunnel {
                    kind: tunnel.map_or(TunnelKind::IpIp, TunnelKind::from_number),
                    port: tunnel_port.unwrap_or(0),
                    flags: TunnelFlags(tunnel_flags.unwrap_or(0)),
                },
            },
            active_connections: active.ok_or(missing("IPVS_DEST_ATTR_ACTIVE_CONNS"))?,
            inactive_connections: inactive.ok_or(missing("IPVS_DEST_ATTR_INACT_CONNS"))?,
            persistent_connections: persistent.ok_or(missing("IPVS_DEST_ATTR_PERSIST_CONNS"))?,
            stats: wide
                .or_else(|| parse_narrow_stats(bytes, IPVS_DEST_ATTR_STATS))
                .unwrap_or_default(),
        })
    }
}
