//! Messages of connection tracking (nfnetlink conntrack). Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NetlinkMessage};
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use nl_ipvs::Family;
use vip::Vip;

use crate::linux::protocol::protocol_of_number;
use crate::linux::raw_attributes::{Raw, answer_attributes, first_value};

// linux/netfilter/nfnetlink_conntrack.h
const IPCTNL_MSG_CT_GET: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
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

// net/netfilter/nf_internals.h of the kernel's own source: the part of the tuple to compare.
const CTA_FILTER_F_CTA_IP_DST: u32 = 1 << 1;

/// A conntrack entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    /// The original tuple as the kernel sent it, which identifies the entry.
    tuple: Vec<u8>,
    protocol: u8,
    /// The address and port that the client sends to.
    to: SocketAddr,
    /// The address and port that replies come from.
    answered_by: SocketAddr,
}

impl Flow {
    /// Parses an entry of a dump. `None` for one without ports, such as ICMP.
    pub(super) fn parse_answer(answer: &[u8]) -> Option<Self> {
        let tuple = first_value(answer_attributes(answer), CTA_TUPLE_ORIG)?;
        let reply = first_value(answer_attributes(answer), CTA_TUPLE_REPLY)?;
        Some(Self {
            protocol: *first_value(first_value(tuple, CTA_TUPLE_PROTO)?, CTA_PROTO_NUM)?.first()?,
            to: tuple_end(tuple, [CTA_IP_V4_DST, CTA_IP_V6_DST], CTA_PROTO_DST_PORT)?,
            answered_by: tuple_end(reply, [CTA_IP_V4_SRC, CTA_IP_V6_SRC], CTA_PROTO_SRC_PORT)?,
            tuple: tuple.to_vec(),
        })
    }

    /// Returns true if connection tracking expects replies from the VIP itself. They never come:
    /// packets that IPVS takes are answered by a real server.
    pub(super) fn goes_past_ipvs(&self, vips: &BTreeSet<Vip>) -> bool {
        self.answered_by == self.to && self.vip().is_some_and(|vip| vips.contains(&vip))
    }

    fn vip(&self) -> Option<Vip> {
        let protocol = protocol_of_number(self.protocol)?;
        Some(Vip { address: self.to.ip(), port: NonZeroU16::new(self.to.port())?, protocol })
    }
}

/// Requests a dump of a family's flows. If all these VIPs have one IPv4 address, the kernel filters
/// by it. Kernels before 5.8 ignore the filter, and later ones treat an IPv6 address as the one to
/// leave out, so there is no filter for IPv6.
pub(super) fn list_flows(family: Family, vips: &BTreeSet<Vip>) -> NetlinkMessage<Raw> {
    let mut addresses = vips.iter().map(|vip| vip.address);
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
mod tests {
    use super::*;
    use crate::linux::protocol::UDP;
    use crate::linux::raw_attributes::HEADER_LEN;
    use netlink_packet_core::{NetlinkPayload, NetlinkSerializable};
    use vip::Protocol;

    /// As the kernel dumps a flow of 10.0.0.9:40000 to 3.3.0.6:53 by UDP, shortened. `source` is
    /// that of its replies.
    fn dumped(source: [u8; 4]) -> Vec<u8> {
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
            nla(CTA_TUPLE_REPLY, &tuple(source, 53, [10, 0, 0, 9], 40000)),
        ]
        .concat()
    }

    fn vips(texts: &[&str]) -> BTreeSet<Vip> {
        let vip = |text: &&str| {
            let socket: SocketAddr = text.parse().unwrap();
            let port = NonZeroU16::new(socket.port()).unwrap();
            Vip { address: socket.ip(), port, protocol: Protocol::Udp }
        };
        texts.iter().map(vip).collect()
    }

    #[test]
    fn a_flow_goes_past_ipvs_if_the_vip_itself_would_answer() {
        let past = |source, at: &[&str]| {
            Flow::parse_answer(&dumped(source)).unwrap().goes_past_ipvs(&vips(at))
        };
        assert!(past([3, 3, 0, 6], &["3.3.0.6:53"]));
        // A real server answers, or it is to another VIP.
        assert!(!past([10, 0, 0, 7], &["3.3.0.6:53"]));
        assert!(!past([3, 3, 0, 6], &["3.3.0.6:54", "3.3.0.7:53"]));
    }

    #[test]
    fn no_part_of_a_flow_is_taken_for_one_or_panics() {
        let whole = dumped([3, 3, 0, 6]);
        for end in 0..whole.len() - 2 {
            assert_eq!(Flow::parse_answer(&whole[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn the_kernel_looks_for_one_address_and_tells_of_all_for_several() {
        let len = |at: &[&str]| {
            NetlinkSerializable::buffer_len(&match list_flows(Family::Inet, &vips(at)).payload {
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
