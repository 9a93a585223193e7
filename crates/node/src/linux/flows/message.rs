//! Messages of connection tracking (nfnetlink conntrack). Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NetlinkMessage};
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use nl_ipvs::Family;
use vip::Vip;
use vip::plan::StaleFlows;

use crate::linux::protocol::{TCP, protocol_of_number};
use crate::linux::raw_attributes::{Raw, answer_attributes, first_value};

// linux/netfilter/nfnetlink_conntrack.h
const IPCTNL_MSG_CT_GET: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

// linux/netfilter/nf_conntrack_common.h
const IPS_SEEN_REPLY: u32 = 1 << 1;

// net/netfilter/nf_internals.h of the kernel's own source: the part of the tuple to compare.
const CTA_FILTER_F_CTA_IP_DST: u32 = 1 << 1;

/// A conntrack entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    /// The original tuple as the kernel sent it, which identifies the entry.
    tuple: Vec<u8>,
    protocol: u8,
    /// The address and port that the client sends from.
    from: SocketAddr,
    /// The address and port that the client sends to.
    to: SocketAddr,
    /// The address and port that replies come from.
    answered_by: SocketAddr,
    /// The address and port that replies go to.
    answered_to: SocketAddr,
    /// Whether there was a reply.
    is_answered: bool,
}

impl Flow {
    /// Parses an entry of a dump. `None` for one without ports, such as ICMP.
    pub(super) fn parse_answer(answer: &[u8]) -> Option<Self> {
        let tuple = first_value(answer_attributes(answer), CTA_TUPLE_ORIG)?;
        let reply = first_value(answer_attributes(answer), CTA_TUPLE_REPLY)?;
        let status = first_value(answer_attributes(answer), CTA_STATUS)?;
        let status = u32::from_be_bytes(status.try_into().ok()?);
        Some(Self {
            protocol: *first_value(first_value(tuple, CTA_TUPLE_PROTO)?, CTA_PROTO_NUM)?.first()?,
            from: tuple_end(tuple, [CTA_IP_V4_SRC, CTA_IP_V6_SRC], CTA_PROTO_SRC_PORT)?,
            to: tuple_end(tuple, [CTA_IP_V4_DST, CTA_IP_V6_DST], CTA_PROTO_DST_PORT)?,
            answered_by: tuple_end(reply, [CTA_IP_V4_SRC, CTA_IP_V6_SRC], CTA_PROTO_SRC_PORT)?,
            answered_to: tuple_end(reply, [CTA_IP_V4_DST, CTA_IP_V6_DST], CTA_PROTO_DST_PORT)?,
            is_answered: status & IPS_SEEN_REPLY != 0,
            tuple: tuple.to_vec(),
        })
    }

    /// Tells whether the flow is one of those to forget.
    pub(super) fn is_stale(&self, vips: &BTreeMap<Vip, BTreeSet<StaleFlows>>) -> bool {
        let Some(stale) = self.vip().and_then(|vip| vips.get(&vip)) else { return false };
        let is_older = |translated| {
            stale.contains(&StaleFlows::Older { translated })
                && self.is_older_than_rules(translated)
                && !self.is_connection()
        };
        let unanswered = StaleFlows::Unanswered { by: self.answered_by };
        let translated = StaleFlows::Translated { to: self.answered_to.ip() };
        let is_masqueraded = |stale: &StaleFlows| match stale {
            StaleFlows::Masqueraded { by, wanted } => self.is_masqueraded(*by, *wanted),
            _ => false,
        };
        is_older(true)
            || is_older(false)
            || stale.contains(&translated)
            || !self.is_answered && stale.contains(&unanswered)
            || !self.is_connection() && stale.iter().any(is_masqueraded)
    }

    /// Tells whether the real server sees the client under an address that is neither the client's own nor
    /// the wanted one.
    fn is_masqueraded(&self, server: IpAddr, wanted: IpAddr) -> bool {
        let seen_as = self.answered_to.ip();
        self.answered_by.ip() == server && seen_as != wanted && seen_as != self.from.ip()
    }

    /// Tells whether the flow is older than the rules that it needs. Connection tracking expects
    /// replies from the VIP itself, which never come, since packets that IPVS takes are answered by a
    /// real server; or it translates the source of the client to no other, where that is `translated`. A
    /// client on this node has the address of the VIP, to which no real server can reply.
    fn is_older_than_rules(&self, translated: bool) -> bool {
        let is_own = self.from.ip() == self.to.ip();
        self.answered_by == self.to || (translated || is_own) && self.answered_to == self.from
    }

    /// Tells whether it is a TCP connection, not only an opening packet that nobody answered.
    fn is_connection(&self) -> bool {
        self.protocol == TCP && self.is_answered
    }

    fn vip(&self) -> Option<Vip> {
        let protocol = protocol_of_number(self.protocol)?;
        Some(Vip { address: self.to.ip(), port: NonZeroU16::new(self.to.port())?, protocol })
    }
}

/// Requests a dump of a family's flows. If all these VIPs have one IPv4 address, the kernel filters
/// by it. Kernels before 5.8 ignore the filter, and later ones treat an IPv6 address as the one to
/// leave out, so there is no filter for IPv6.
pub(super) fn list_flows<T>(family: Family, vips: &BTreeMap<Vip, T>) -> NetlinkMessage<Raw> {
    let mut addresses = vips.keys().map(|vip| vip.address);
    let first = addresses.next();
    let filter = match first.filter(|first| addresses.all(|other| other == *first)) {
        Some(IpAddr::V4(address)) => {
            let destination = DefaultNla::new(CTA_IP_V4_DST, address.octets().to_vec());
            let by_it = CTA_FILTER_F_CTA_IP_DST.to_ne_bytes().to_vec();
            vec![
                nested_attribute(CTA_TUPLE_ORIG, &nested_attribute(CTA_TUPLE_IP, &destination)),
                nested_attribute(CTA_FILTER, &DefaultNla::new(CTA_FILTER_ORIG_FLAGS, by_it)),
            ]
        }
        _ => Vec::new(),
    };
    Raw::query(NetlinkMessage::from(conntrack_message(family, IPCTNL_MSG_CT_GET, filter)))
}

/// Requests the deletion of a flow; `ENOENT` if it is gone.
pub(super) fn delete_flow(family: Family, flow: Flow) -> NetlinkMessage<NetfilterMessage> {
    let tuple = DefaultNla::new(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple);
    NetlinkMessage::from(conntrack_message(family, IPCTNL_MSG_CT_DELETE, vec![tuple]))
}

fn nested_attribute(kind: u16, within: &DefaultNla) -> DefaultNla {
    let mut bytes = vec![0; within.buffer_len()];
    within.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

/// Makes a conntrack message from raw attributes. The netlink library doesn't set the nested flag
/// on attributes it has no type for, and the kernel requires that flag on a filter.
fn conntrack_message(
    family: Family,
    message_type: u8,
    attributes: Vec<DefaultNla>,
) -> NetfilterMessage {
    let family = match family {
        Family::Inet => NetfilterProtoFamily::IPv4,
        Family::Inet6 => NetfilterProtoFamily::IPv6,
    };
    let inner = ConntrackMessage::Other { message_type, attributes };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner)
}

/// The ends of a connection to a VIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Ends {
    pub(in super::super) client: SocketAddr,
    /// The client as the real server sees it.
    pub(in super::super) seen_as: SocketAddr,
    pub(in super::super) server: SocketAddr,
}

/// Returns the ends of a conntrack entry, unless replies come from the very address that the client sends
/// to: then no real server was chosen.
pub(in super::super) fn connection_ends(attributes: &[u8]) -> Option<Ends> {
    let tuple = first_value(attributes, CTA_TUPLE_ORIG)?;
    let reply = first_value(attributes, CTA_TUPLE_REPLY)?;
    let client = tuple_end(tuple, [CTA_IP_V4_SRC, CTA_IP_V6_SRC], CTA_PROTO_SRC_PORT)?;
    let vip = tuple_end(tuple, [CTA_IP_V4_DST, CTA_IP_V6_DST], CTA_PROTO_DST_PORT)?;
    let server = tuple_end(reply, [CTA_IP_V4_SRC, CTA_IP_V6_SRC], CTA_PROTO_SRC_PORT)?;
    let seen_as = tuple_end(reply, [CTA_IP_V4_DST, CTA_IP_V6_DST], CTA_PROTO_DST_PORT)?;
    (server != vip).then_some(Ends { client, seen_as, server })
}

/// Returns one end of a tuple.
fn tuple_end(tuple: &[u8], [v4, v6]: [u16; 2], port: u16) -> Option<SocketAddr> {
    let addresses = first_value(tuple, CTA_TUPLE_IP)?;
    let v4 = first_value(addresses, v4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let v6 = first_value(addresses, v6).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let address: IpAddr = v4.map(IpAddr::from).or(v6.map(IpAddr::from))?;
    let port =
        <[u8; 2]>::try_from(first_value(first_value(tuple, CTA_TUPLE_PROTO)?, port)?).ok()?;
    Some(SocketAddr::new(address, u16::from_be_bytes(port)))
}

#[cfg(test)]
pub(in super::super) mod tests {
    use super::*;
    use crate::linux::protocol::UDP;
    use crate::linux::raw_attributes::HEADER_LEN;
    use netlink_packet_core::{NetlinkPayload, NetlinkSerializable};
    use vip::Protocol;

    /// The attributes of a flow of 10.0.0.9:40000 to 3.3.0.6:53 that a real server answers.
    pub(in super::super::super) fn tracked(server: [u8; 4]) -> Vec<u8> {
        dumped(server, [10, 0, 0, 1], 0).split_off(HEADER_LEN)
    }

    #[test]
    fn the_real_server_is_known_once_it_was_chosen() {
        let told = connection_ends(&tracked([10, 0, 0, 7])).unwrap();
        assert_eq!(told.client, "10.0.0.9:40000".parse().unwrap());
        assert_eq!(told.seen_as.ip(), IpAddr::from([10, 0, 0, 1]));
        assert_eq!(told.server, "10.0.0.7:53".parse().unwrap());
        assert_eq!(connection_ends(&tracked([3, 3, 0, 6])), None);
    }

    /// As the kernel dumps a flow of 10.0.0.9:40000 to 3.3.0.6:53 by UDP, shortened. Its replies go
    /// from `source` to `target`.
    fn dumped(source: [u8; 4], target: [u8; 4], status: u32) -> Vec<u8> {
        let nla = |kind: u16, value: &[u8]| {
            let len = u16::try_from(4 + value.len()).unwrap();
            let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let tuple = |from: [u8; 4], from_port: u16, to: [u8; 4], to_port: u16| {
            let ip = [nla(CTA_IP_V4_SRC, &from), nla(CTA_IP_V4_DST, &to)].concat();
            let proto = [
                nla(CTA_PROTO_NUM, &[UDP]),
                nla(CTA_PROTO_SRC_PORT, &from_port.to_be_bytes()),
                nla(CTA_PROTO_DST_PORT, &to_port.to_be_bytes()),
            ];
            let (ip, proto) =
                (nla(CTA_TUPLE_IP | NLA_F_NESTED, &ip), nla(CTA_TUPLE_PROTO, &proto.concat()));
            [ip, proto].concat()
        };
        [
            vec![2, 0, 0, 0],
            nla(CTA_TUPLE_ORIG, &tuple([10, 0, 0, 9], 40000, [3, 3, 0, 6], 53)),
            nla(CTA_TUPLE_REPLY, &tuple(source, 53, target, 40000)),
            nla(CTA_STATUS, &status.to_be_bytes()),
        ]
        .concat()
    }

    fn vips(texts: &[&str], stale: StaleFlows) -> BTreeMap<Vip, BTreeSet<StaleFlows>> {
        let vip = |text: &&str| {
            let socket: SocketAddr = text.parse().unwrap();
            let port = NonZeroU16::new(socket.port()).unwrap();
            let vip = Vip { address: socket.ip(), port, protocol: Protocol::Udp };
            (vip, BTreeSet::from([stale]))
        };
        texts.iter().map(vip).collect()
    }

    #[test]
    fn a_flow_is_old_if_the_vip_itself_would_answer_or_the_client_be_answered_directly() {
        let old = |source, target, at: &[&str]| {
            let flow = Flow::parse_answer(&dumped(source, target, 0)).unwrap();
            flow.is_stale(&vips(at, StaleFlows::Older { translated: true }))
        };
        let (client, node) = ([10, 0, 0, 9], [10, 0, 0, 1]);
        assert!(old([3, 3, 0, 6], client, &["3.3.0.6:53"]));
        assert!(old([3, 3, 0, 6], node, &["3.3.0.6:53"]));
        assert!(old([10, 0, 0, 7], client, &["3.3.0.6:53"]));
        // Where nothing is translated, that is as it should be.
        let untranslated = vips(&["3.3.0.6:53"], StaleFlows::Older { translated: false });
        let flow = Flow::parse_answer(&dumped([10, 0, 0, 7], client, 0)).unwrap();
        assert!(!flow.is_stale(&untranslated));
        // But for the node's own clients, which have the address of the VIP.
        let mut own = flow.clone();
        own.from.set_ip([3, 3, 0, 6].into());
        assert!(!own.is_stale(&untranslated), "masqueraded");
        own.answered_to = own.from;
        assert!(own.is_stale(&untranslated));
        // Unless the source that the real server answers is a former one.
        let former = |to| vips(&["3.3.0.6:53"], StaleFlows::Translated { to: IpAddr::from(to) });
        assert!(flow.is_stale(&former(client)));
        assert!(!flow.is_stale(&former(node)));
        // A real server answers the node, or it is to another VIP.
        assert!(!old([10, 0, 0, 7], node, &["3.3.0.6:53"]));
        assert!(!old([3, 3, 0, 6], client, &["3.3.0.6:54", "3.3.0.7:53"]));
    }

    #[test]
    fn what_masquerading_gave_another_source_is_forgotten_when_one_is_named() {
        let stale = |server, target, wanted: [u8; 4]| {
            let flow = Flow::parse_answer(&dumped(server, target, IPS_SEEN_REPLY)).unwrap();
            let by = IpAddr::from([10, 0, 0, 7]);
            let flows = StaleFlows::Masqueraded { by, wanted: wanted.into() };
            let udp = flow.is_stale(&vips(&["3.3.0.6:53"], flows));
            let connection = Flow { protocol: TCP, ..flow };
            let mut tcp = vips(&["3.3.0.6:53"], flows);
            let (vip, flows) = tcp.pop_first().unwrap();
            tcp.insert(Vip { protocol: Protocol::Tcp, ..vip }, flows);
            assert!(!connection.is_stale(&tcp), "its server answers it");
            let opening = Flow { is_answered: false, ..connection };
            assert_eq!(opening.is_stale(&tcp), udp);
            udp
        };
        let (client, node) = ([10, 0, 0, 9], [10, 0, 0, 1]);
        assert!(stale([10, 0, 0, 7], node, [10, 0, 0, 2]));
        assert!(!stale([10, 0, 0, 7], node, node), "it is the wanted one");
        assert!(!stale([10, 0, 0, 7], client, node), "it is not masqueraded");
        assert!(!stale([10, 0, 0, 8], node, [10, 0, 0, 2]), "another server");
    }

    #[test]
    fn only_what_the_real_server_has_not_answered_is_forgotten_with_it() {
        let stale = |source, status, by: &str| {
            let flow = Flow::parse_answer(&dumped(source, [10, 0, 0, 1], status)).unwrap();
            let by = by.parse().unwrap();
            flow.is_stale(&vips(&["3.3.0.6:53"], StaleFlows::Unanswered { by }))
        };
        // IPS_CONFIRMED with IPS_SRC_NAT.
        let sent = 1 << 3 | 1 << 4;
        assert!(stale([10, 0, 0, 7], sent, "10.0.0.7:53"));
        assert!(!stale([10, 0, 0, 7], sent | IPS_SEEN_REPLY, "10.0.0.7:53"));
        assert!(!stale([10, 0, 0, 7], sent, "10.0.0.7:54"));
        assert!(!stale([10, 0, 0, 8], sent, "10.0.0.7:53"));
    }

    #[test]
    fn no_part_of_a_flow_is_taken_for_one_or_panics() {
        let whole = dumped([3, 3, 0, 6], [10, 0, 0, 9], 0);
        for end in 0..whole.len() - 2 {
            assert_eq!(Flow::parse_answer(&whole[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn the_kernel_looks_for_one_address_and_tells_of_all_for_several() {
        let stale = |at: &[&str]| vips(at, StaleFlows::Older { translated: true });
        let len = |at: &[&str]| {
            NetlinkSerializable::buffer_len(&match list_flows(Family::Inet, &stale(at)).payload {
                NetlinkPayload::InnerMessage(query) => query,
                other => panic!("{other:?}"),
            })
        };
        // The header; and a tuple of 8 + 8 bytes with a filter of 4 + 8.
        assert_eq!(len(&["3.3.0.6:53", "3.3.0.7:53"]), HEADER_LEN);
        assert_eq!(len(&["3.3.0.6:53", "3.3.0.6:54"]), HEADER_LEN + 16 + 12);
        assert_eq!(len(&["[fd01::6]:53"]), HEADER_LEN);
    }
}
