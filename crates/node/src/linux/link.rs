//! The dummy interface that holds the VIPs: finding, creating and deleting it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use nl_pipeline::errno;
use rtnetlink::{LinkDummy, LinkUnspec};

use super::socket::{Request, RouteSocket, flagged_request};
use crate::KernelError;

/// A dummy interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dummy {
    pub(super) index: u32,
    pub(super) up: bool,
}

/// Finds the dummy interface of this name.
///
/// # Errors
/// [`KernelError::NotOurs`] when an interface of another kind has the name. Don't touch that one.
pub(super) fn find_interface(
    route: &mut RouteSocket,
    interface: &str,
) -> Result<Option<Dummy>, KernelError> {
    let query = LinkUnspec::new_with_name(interface).build();
    let what = format!("interface {interface}");
    match route.get(&what, RouteNetlinkMessage::GetLink(query))? {
        Ok(RouteNetlinkMessage::NewLink(link)) => expect_dummy(interface, &link).map(Some),
        Ok(_) => Ok(None),
        Err(refusal) if refusal.errno() == errno::ENODEV => Ok(None),
        Err(source) => {
            let source = nl_pipeline::Error::Refused { doing: "show it", source };
            Err(super::socket::route_error(format!("read {what}"))(source))
        }
    }
}

fn expect_dummy(interface: &str, link: &LinkMessage) -> Result<Dummy, KernelError> {
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let kind = infos.into_iter().flatten().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    match kind {
        Some(InfoKind::Dummy) => {
            Ok(Dummy { index: link.header.index, up: link.header.flags.contains(LinkFlags::Up) })
        }
        other => Err(KernelError::NotOurs {
            interface: interface.to_owned(),
            kind: other.map_or_else(|| "physical interface".to_owned(), ToString::to_string),
        }),
    }
}

/// An interface, as far as it matters for routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Interface {
    pub(super) name: String,
    /// The MTU of the device; 0 if it isn't told.
    pub(super) mtu: u32,
    /// The MTU of IPv6, which a router may have narrowed.
    pub(super) mtu6: Option<u32>,
    /// Whether packets sent by it come back to this node, whatever its name is.
    pub(super) is_loopback: bool,
    /// Whether it is a dummy interface.
    pub(super) is_dummy: bool,
}

impl Interface {
    /// Returns the MTU for packets to an address of this family.
    pub(super) fn mtu_towards(&self, address: IpAddr) -> Option<u32> {
        let narrowed = self.mtu6.filter(|_| address.is_ipv6());
        let mtus = [Some(self.mtu), narrowed].into_iter().flatten();
        mtus.filter(|mtu| *mtu > 0).min()
    }
}

/// Lists all interfaces by index. An interface that can't be parsed is left out.
pub(super) fn list_interfaces(
    route: &mut RouteSocket,
) -> Result<BTreeMap<u32, Interface>, KernelError> {
    let query = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let interfaces = route.dump("interfaces", query, |link| match link {
        Ok(RouteNetlinkMessage::NewLink(link)) => parse_interface(link),
        _ => None,
    })?;
    Ok(interfaces.into_iter().flatten().collect())
}

fn parse_interface(link: LinkMessage) -> Option<(u32, Interface)> {
    let is_loopback = link.header.flags.contains(LinkFlags::Loopback);
    let mut interface = Interface { is_loopback, ..Interface::default() };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::LinkInfo(infos) => {
                interface.is_dummy = infos.contains(&LinkInfo::Kind(InfoKind::Dummy));
            }
            LinkAttribute::AfSpecUnspec(families) => interface.mtu6 = mtu_of_ipv6(&families),
            _ => {}
        }
    }
    (!interface.name.is_empty()).then_some((link.header.index, interface))
}

fn mtu_of_ipv6(families: &[AfSpecUnspec]) -> Option<u32> {
    let mut settings = families.iter().filter_map(|family| match family {
        AfSpecUnspec::Inet6(settings) => Some(settings),
        _ => None,
    });
    settings.next()?.iter().find_map(|setting| match setting {
        AfSpecInet6::DevConf(conf) => u32::try_from(conf.mtu6).ok(),
        _ => None,
    })
}

/// Requests a new dummy interface, down and without ARP.
pub(super) fn create_interface(interface: &str) -> Request {
    let link = LinkDummy::new(interface).arp(false).build();
    flagged_request(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
}

/// Requests that the interface gets no `fe80::` address. Refused where IPv6 is off.
pub(super) fn disable_link_local(interface: &str) -> Request {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let mode = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
    let link = LinkUnspec::new_with_name(interface).append_extra_attribute(mode).build();
    flagged_request(RouteNetlinkMessage::SetLink(link), 0)
}

pub(super) fn raise_interface(interface: &str) -> Request {
    let link = LinkUnspec::new_with_name(interface).up().build();
    flagged_request(RouteNetlinkMessage::SetLink(link), 0)
}

/// Requests the deletion of an interface. By index, since another interface may have the name now.
pub(super) fn delete_interface(index: u32) -> Request {
    let link = LinkUnspec::new_with_index(index).build();
    flagged_request(RouteNetlinkMessage::DelLink(link), 0)
}
