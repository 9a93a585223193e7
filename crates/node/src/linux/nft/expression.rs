//! Expressions, the parts of a rule, as `nft --debug=netlink` prints them. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta, MetaKey,
    Operator, Payload, Register, Verdict, VerdictAttribute,
};
use nl_ipvs::Family;
use vip::firewall::Hook;

use super::xt;
use crate::linux::protocol::TCP;

// linux/netfilter/nf_tables.h
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
const NFT_CT_STATE: u32 = 0;
const NFT_CT_DIRECTION: u32 = 1;
const NFT_CT_STATUS: u32 = 2;
const NFT_CT_DST_IP: u32 = 20;
const NFT_CT_DST_IP6: u32 = 22;
const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;
const NFTA_CT_DIRECTION: u16 = 3;
const NFT_FIB_RESULT_OIF: u32 = 1;
const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
const NFTA_FIB_F_SADDR: u32 = 1;
const NFTA_FIB_F_IIF: u32 = 1 << 3;
const NFTA_FIB_F_PRESENT: u32 = 1 << 5;
const NFTA_FIB_DREG: u16 = 1;
const NFTA_FIB_RESULT: u16 = 2;
const NFTA_FIB_FLAGS: u16 = 3;
const NFT_NAT_SNAT: u32 = 0;
const NFT_NAT_DNAT: u32 = 1;
const NFTA_NAT_TYPE: u16 = 1;
const NFTA_NAT_FAMILY: u16 = 2;
const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
const NFTA_NAT_REG_ADDR_MAX: u16 = 4;
const NFTA_LIMIT_RATE: u16 = 1;
const NFTA_LIMIT_UNIT: u16 = 2;
const NFTA_LIMIT_BURST: u16 = 3;
const NFT_DYNSET_OP_UPDATE: u32 = 1;
const NFTA_DYNSET_SET_NAME: u16 = 1;
const NFTA_DYNSET_OP: u16 = 3;
const NFTA_DYNSET_SREG_KEY: u16 = 4;
pub(super) const NFTA_DYNSET_EXPR: u16 = 7;
const NFTA_LOG_GROUP: u16 = 1;
const NFTA_LOG_PREFIX: u16 = 2;
const NFT_REJECT_ICMP_UNREACH: u32 = 0;
const NFT_REJECT_TCP_RST: u32 = 1;
const NFTA_REJECT_TYPE: u16 = 1;
const NFTA_REJECT_ICMP_CODE: u16 = 2;

/// `NF_ACCEPT` of `linux/netfilter.h`.
pub(super) const ACCEPT: u32 = 1;

// linux/netfilter.h, linux/rtnetlink.h, linux/icmp.h, linux/icmpv6.h
const NFPROTO_IPV4: u32 = 2;
const NFPROTO_IPV6: u32 = 10;
const IP_CT_DIR_ORIGINAL: u8 = 0;
const IP_CT_DIR_REPLY: u8 = 1;
const RTN_LOCAL: u32 = 2;
const ICMP_PORT_UNREACH: u8 = 3;
const ICMPV6_PORT_UNREACH: u8 = 4;

/// `NF_CT_STATE_BIT(IP_CT_NEW)`.
const CT_STATE_NEW: u32 = 8;

// linux/netfilter/nf_conntrack_common.h
const IPS_CONFIRMED: u32 = 1 << 3;
const IPS_DYING: u32 = 1 << 9;

/// The flags of a TCP header (RFC 9293), and the byte that holds them.
const FLAGS_AT: u32 = 13;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

const R1: Register = Register::Reg1;

/// Returns the length of an address, and the offsets of source and destination in the header.
fn address_offsets(family: Family) -> (u32, u32, u32) {
    match family {
        Family::Inet => (4, 12, 16),
        Family::Inet6 => (16, 8, 24),
    }
}

/// Loads `ip daddr` into the first register.
pub(super) fn load_destination(family: Family) -> Expressions {
    let (length, _, at) = address_offsets(family);
    load_payload(R1, NFT_PAYLOAD_NETWORK_HEADER, at, length)
}

/// Loads `ip saddr` into the first register.
pub(super) fn load_source(family: Family) -> Expressions {
    let (length, at, _) = address_offsets(family);
    load_payload(R1, NFT_PAYLOAD_NETWORK_HEADER, at, length)
}

/// Loads `ip daddr . meta l4proto . th dport` into the registers from the first one on.
pub(super) fn load_service_key(family: Family) -> Vec<Expressions> {
    // Each part begins in its own register of four bytes. Four of these make a long register, and
    // the kernel shows them by the long name.
    let (protocol, port) = match family {
        Family::Inet => (Register::Reg32_01, Register::Reg32_02),
        Family::Inet6 => (Register::Reg2, Register::Reg32_05),
    };
    let port = load_payload(port, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
    vec![load_destination(family), load_meta(protocol, MetaKey::L4Proto), port]
}

/// Looks up the first register in `@set`.
pub(super) fn is_in(set: &str) -> Expressions {
    Expressions::Lookup(vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(R1)])
}

/// `ct state new`.
pub(super) fn is_new() -> Vec<Expressions> {
    ct_has_bit(NFT_CT_STATE, CT_STATE_NEW)
}

/// `ct status confirmed`: the first packet of the connection has left.
pub(super) fn is_confirmed() -> Vec<Expressions> {
    ct_has_bit(NFT_CT_STATUS, IPS_CONFIRMED)
}

/// `ct status dying`: the connection is forgotten, which happens to one whose only reply is a reset.
pub(super) fn is_dying() -> Vec<Expressions> {
    ct_has_bit(NFT_CT_STATUS, IPS_DYING)
}

fn ct_has_bit(key: u32, bit: u32) -> Vec<Expressions> {
    let mask = mask_register(&bit.to_ne_bytes());
    vec![load_ct(key, None), mask, compare_register(Operator::NotEqual, &[0; 4])]
}

/// `tcp flags & (fin | syn | rst | ack) == syn`.
pub(super) fn is_opening_syn() -> Vec<Expressions> {
    has_tcp_flags(SYN)
}

/// `tcp flags & (fin | syn | rst | ack) == rst | ack`: the answer to a SYN at a closed port.
pub(super) fn is_refusing_reset() -> Vec<Expressions> {
    has_tcp_flags(RST | ACK)
}

fn has_tcp_flags(wanted: u8) -> Vec<Expressions> {
    let flags = [
        load_payload(R1, NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS_AT, 1),
        mask_register(&[FIN | SYN | RST | ACK]),
        compare_register(Operator::Equal, &[wanted]),
    ];
    is_protocol(TCP).into_iter().chain(flags).collect()
}

/// `limit rate COUNT/second burst BURST packets`.
pub(super) fn limit_per_second(count: u32, burst: u32) -> Expressions {
    let long = |kind, number: u32| DefaultNla::new(kind, u64::from(number).to_be_bytes().to_vec());
    let mut limit = vec![long(NFTA_LIMIT_RATE, count), long(NFTA_LIMIT_UNIT, 1)];
    limit.extend(number_attributes([(NFTA_LIMIT_BURST, burst)]));
    Expressions::Other { expression_type: "limit".to_owned(), attributes: limit }
}

/// `update @set { ip saddr . th sport LIMIT }`.
pub(super) fn limit_each_source_port(
    set: &str,
    family: Family,
    limit: Expressions,
) -> Vec<Expressions> {
    let port = match family {
        Family::Inet => Register::Reg32_01,
        Family::Inet6 => Register::Reg2,
    };
    // An expression is a list's element, of which this is the value.
    let ListAttribute::Element(parts) = ListAttribute::from(limit) else { return Vec::new() };
    let mut bytes = vec![0; parts.as_slice().buffer_len()];
    parts.as_slice().emit(&mut bytes);
    let mut update = vec![DefaultNla::new(NFTA_DYNSET_SET_NAME, [set.as_bytes(), &[0]].concat())];
    update.extend(number_attributes([
        (NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE),
        (NFTA_DYNSET_SREG_KEY, R1.into()),
    ]));
    update.push(DefaultNla::new(NFTA_DYNSET_EXPR | NLA_F_NESTED, bytes));
    vec![
        load_source(family),
        load_payload(port, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2),
        Expressions::Other { expression_type: "dynset".to_owned(), attributes: update },
    ]
}

/// `log group GROUP`, with `prefix PREFIX` if there is one.
pub(super) fn log_to(group: u16, prefix: Option<&str>) -> Expressions {
    let mut log = vec![DefaultNla::new(NFTA_LOG_GROUP, group.to_be_bytes().to_vec())];
    let prefix = prefix.map(|text| [text.as_bytes(), &[0]].concat());
    log.extend(prefix.map(|text| DefaultNla::new(NFTA_LOG_PREFIX, text)));
    Expressions::Other { expression_type: "log".to_owned(), attributes: log }
}

/// `ct direction original`.
pub(super) fn is_original() -> Vec<Expressions> {
    has_direction(IP_CT_DIR_ORIGINAL)
}

/// `ct direction reply`.
pub(super) fn is_reply() -> Vec<Expressions> {
    has_direction(IP_CT_DIR_REPLY)
}

fn has_direction(direction: u8) -> Vec<Expressions> {
    vec![load_ct(NFT_CT_DIRECTION, None), compare_register(Operator::Equal, &[direction])]
}

/// Loads `ct original ip daddr` into the first register.
pub(super) fn load_original_destination(family: Family) -> Expressions {
    let key = match family {
        Family::Inet => NFT_CT_DST_IP,
        Family::Inet6 => NFT_CT_DST_IP6,
    };
    load_ct(key, Some(IP_CT_DIR_ORIGINAL))
}

/// `meta l4proto`.
pub(super) fn is_protocol(protocol: u8) -> Vec<Expressions> {
    vec![load_meta(R1, MetaKey::L4Proto), compare_register(Operator::Equal, &[protocol])]
}

/// `fib saddr type != local`.
pub(super) fn source_is_not_local() -> Vec<Expressions> {
    let fib = untyped_expression(
        "fib",
        [
            (NFTA_FIB_DREG, u32::from(R1)),
            (NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE),
            (NFTA_FIB_FLAGS, NFTA_FIB_F_SADDR),
        ],
    );
    vec![fib, compare_register(Operator::NotEqual, &RTN_LOCAL.to_ne_bytes())]
}

/// `fib saddr . iif oif exists`: the packet came in where packets to its source go out.
pub(super) fn source_is_behind_interface() -> Vec<Expressions> {
    let fib = untyped_expression(
        "fib",
        [
            (NFTA_FIB_DREG, u32::from(R1)),
            (NFTA_FIB_RESULT, NFT_FIB_RESULT_OIF),
            (NFTA_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT),
        ],
    );
    vec![fib, compare_register(Operator::Equal, &1_u32.to_ne_bytes())]
}

/// `dnat to` the address in the first register.
pub(super) fn dnat(family: Family) -> Expressions {
    nat(NFT_NAT_DNAT, family)
}

/// `snat to ct original ip daddr . ip daddr map @map`. Without an element it doesn't match.
pub(super) fn snat_by(map: &str, family: Family) -> Vec<Expressions> {
    let (length, _, at) = address_offsets(family);
    // Behind the original destination.
    let register = match family {
        Family::Inet => Register::Reg32_01,
        Family::Inet6 => Register::Reg2,
    };
    vec![
        load_original_destination(family),
        load_payload(register, NFT_PAYLOAD_NETWORK_HEADER, at, length),
        Expressions::Lookup(vec![
            Lookup::Set(map.to_owned()),
            Lookup::SourceRegister(R1),
            Lookup::DestinationRegister(R1),
        ]),
        nat(NFT_NAT_SNAT, family),
    ]
}

fn nat(kind: u32, family: Family) -> Expressions {
    let protocol = match family {
        Family::Inet => NFPROTO_IPV4,
        Family::Inet6 => NFPROTO_IPV6,
    };
    untyped_expression(
        "nat",
        [
            (NFTA_NAT_TYPE, kind),
            (NFTA_NAT_FAMILY, protocol),
            (NFTA_NAT_REG_ADDR_MIN, R1.into()),
            (NFTA_NAT_REG_ADDR_MAX, R1.into()),
        ],
    )
}

/// `masquerade`.
pub(super) fn masquerade() -> Expressions {
    untyped_expression("masq", [])
}

/// `reject with tcp reset`.
pub(super) fn reject_with_reset() -> Expressions {
    untyped_expression("reject", [(NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST)])
}

/// `reject`: the port is unreachable.
pub(super) fn reject(family: Family) -> Expressions {
    let code = match family {
        Family::Inet => ICMP_PORT_UNREACH,
        Family::Inet6 => ICMPV6_PORT_UNREACH,
    };
    let mut reject = number_attributes([(NFTA_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH)]);
    reject.push(DefaultNla::new(NFTA_REJECT_ICMP_CODE, vec![code]));
    Expressions::Other { expression_type: "reject".to_owned(), attributes: reject }
}

/// `ct original ip daddr PREFIX`, in forward only `ct direction reply`.
pub(super) fn connections_to(prefix: &IpNet, hook: Hook) -> Vec<Expressions> {
    let family = Family::from(prefix.addr());
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (network, mask) = (octets(prefix.network()), octets(prefix.netmask()));
    let mut parts = if hook == Hook::Forward { is_reply() } else { Vec::new() };
    parts.extend([
        load_original_destination(family),
        mask_register(&mask),
        compare_register(Operator::Equal, &network),
    ]);
    parts
}

/// The same as the iptables match `conntrack`: iptables can't list rules made of expressions.
pub(super) fn connections_to_for_iptables(prefix: &IpNet, hook: Hook) -> Vec<Expressions> {
    let (name, revision, info) = xt::conntrack_match(prefix, hook);
    let name = DefaultNla::new(xt::NFTA_MATCH_NAME, [name.as_bytes(), &[0]].concat());
    let mut matched = vec![name];
    matched.extend(number_attributes([(xt::NFTA_MATCH_REV, revision)]));
    matched.push(DefaultNla::new(xt::NFTA_MATCH_INFO, info));
    vec![
        Expressions::Other { expression_type: "match".to_owned(), attributes: matched },
        untyped_expression("counter", []),
    ]
}

/// `accept`.
pub(super) fn accept() -> Expressions {
    verdict(vec![VerdictAttribute::Code(Verdict::Other(ACCEPT))])
}

/// `jump` to a chain of the same table.
pub(super) fn jump(chain: &str) -> Expressions {
    verdict(vec![VerdictAttribute::Code(Verdict::Jump), VerdictAttribute::Chain(chain.to_owned())])
}

fn verdict(attributes: Vec<VerdictAttribute>) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(attributes)),
    ])
}

fn load_payload(into: Register, base: u32, at: u32, length: u32) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(into),
        Payload::Base(base),
        Payload::Offset(at),
        Payload::Len(length),
    ])
}

fn load_meta(into: Register, key: MetaKey) -> Expressions {
    Expressions::Meta(vec![Meta::DestinationRegister(into), Meta::Key(key)])
}

/// The first register becomes what it has in common with the mask.
fn mask_register(mask: &[u8]) -> Expressions {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(R1),
        Bitwise::DestinationRegister(R1),
        Bitwise::Length(u32::try_from(mask.len()).unwrap_or_default()),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(vec![0; mask.len()])),
    ])
}

fn compare_register(how: Operator, with: &[u8]) -> Expressions {
    let with = Cmp::Data(DataAttribute::Value(with.to_vec()));
    Expressions::Cmp(vec![Cmp::SourceRegister(R1), Cmp::Op(how), with])
}

fn load_ct(key: u32, direction: Option<u8>) -> Expressions {
    let mut ct = number_attributes([(NFTA_CT_DREG, R1.into()), (NFTA_CT_KEY, key)]);
    ct.extend(direction.map(|direction| DefaultNla::new(NFTA_CT_DIRECTION, vec![direction])));
    Expressions::Other { expression_type: "ct".to_owned(), attributes: ct }
}

/// Makes an expression that the netlink library has no type for.
fn untyped_expression<const N: usize>(name: &str, numbers: [(u16, u32); N]) -> Expressions {
    Expressions::Other { expression_type: name.to_owned(), attributes: number_attributes(numbers) }
}

/// Makes attributes of numbers, in network byte order.
fn number_attributes<const N: usize>(numbers: [(u16, u32); N]) -> Vec<DefaultNla> {
    numbers
        .into_iter()
        .map(|(kind, number)| DefaultNla::new(kind, number.to_be_bytes().to_vec()))
        .collect()
}
