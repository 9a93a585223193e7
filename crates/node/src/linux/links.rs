//! All interfaces of the node and the bridges they belong to, for `vipd doctor`.

use std::collections::BTreeMap;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoPortData, LinkAttribute, LinkInfo, LinkMessage,
};

use super::socket::RouteSocket;
use crate::KernelError;

/// An interface of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFacts {
    /// The interface index.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The membership in a bridge, if it is a port of one.
    pub port_of: Option<PortOf>,
}

/// A port's membership in a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortOf {
    /// The bridge's name.
    pub bridge: String,
    /// The bridge may send a packet back through the port it came in by (`hairpin_mode`).
    pub hairpin: bool,
}

/// Reads every interface of this thread's network namespace.
///
/// # Errors
/// When the kernel can't list them.
pub fn read_links() -> Result<Vec<LinkFacts>, KernelError> {
    let query = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let read = RouteSocket::open()?.dump("interfaces", query, |link| match link {
        Ok(RouteNetlinkMessage::NewLink(link)) => Some(link),
        _ => None,
    })?;
    let links: Vec<_> = read.into_iter().flatten().collect();
    let names: BTreeMap<u32, String> =
        links.iter().filter_map(|link| Some((link.header.index, link_name(link)?))).collect();
    let facts = links.iter().filter_map(|link| {
        let port_of = hairpin_mode(link).and_then(|hairpin| {
            let bridge = names.get(&bridge_index(link)?)?.clone();
            Some(PortOf { bridge, hairpin })
        });
        Some(LinkFacts { index: link.header.index, name: link_name(link)?, port_of })
    });
    Ok(facts.collect())
}

fn link_name(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

fn bridge_index(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

/// Returns the port's `hairpin_mode`; `None` for an interface that is no port of a bridge.
fn hairpin_mode(link: &LinkMessage) -> Option<bool> {
    let infos = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let port = infos.flatten().find_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(port)) => Some(port),
        _ => None,
    })?;
    Some(port.iter().any(|info| matches!(info, InfoBridgePort::HairpinMode(true))))
}
