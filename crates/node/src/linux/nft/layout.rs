//! The layout of our tables: sets, chains and rules. Pure.
//!
//! ```text
//! table ip vipd {
//!   set vips  { type ipv4_addr; }
//!   set empty { type ipv4_addr . inet_proto . inet_service; }
//!   set open  { type ipv4_addr . inet_proto . inet_service; }
//!   chain prerouting  { type nat hook prerouting priority -101;
//!     ip daddr @vips dnat to ip daddr }
//!   chain output      { type nat hook output priority -101;
//!     ip daddr @vips dnat to ip daddr }
//!   chain refuse      { type filter hook input priority 97;
//!     ct state new ip daddr . meta l4proto . th dport @empty meta l4proto tcp reject with tcp reset
//!     ct state new ip daddr . meta l4proto . th dport @empty reject }
//!   chain refuse-own  { type filter hook output priority -102; the same rules }
//!   chain guard       { type filter hook input priority 150;
//!     ip daddr . meta l4proto . th dport @open accept
//!     ct direction original ip daddr @vips meta l4proto tcp reject with tcp reset
//!     ct direction original ip daddr @vips meta l4proto udp reject }
//!   chain postrouting { type nat hook postrouting priority 99;
//!     ct original ip daddr @vips ip saddr @vips masquerade
//!     ct original ip daddr @vips fib saddr type != local masquerade }
//! }
//! ```

use netlink_packet_netfilter::nftables::{Expressions, InetHookNumber};
use nl_ipvs::Family;
use vip::nft::{Guard, Masquerade, Rules};

use super::expression as e;
use crate::linux::protocol::{TCP, UDP};

/// The name of both our tables, `ip vipd` and `ip6 vipd`.
pub(super) const TABLE: &str = "vipd";
/// The set of the guarded addresses.
pub(super) const VIPS: &str = "vips";
/// The set of the services without a usable real server, whose new clients are refused.
pub(super) const EMPTY: &str = "empty";

/// The set of the ports of guarded addresses at which a server of this node answers.
pub(super) const OPEN: &str = "open";

/// A rule, as its expressions.
pub(super) type Rule = Vec<Expressions>;

/// A base chain of our table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// `nat` or `filter`.
    pub(super) kind: &'static str,
    pub(super) hook: InetHookNumber,
    pub(super) priority: i32,
    pub(super) rules: Vec<Rule>,
}

/// A set of our table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// The type of its elements, which only listings use (`enum datatypes` of nft's `datatype.h`).
    pub(super) key_type: u32,
    /// The length of its elements in bytes.
    pub(super) key_length: u32,
}

// nft's datatype.h. In the type of a concatenation, each part has six bits.
const TYPE_IPADDR: u32 = 7;
const TYPE_IP6ADDR: u32 = 8;
const TYPE_INET_PROTOCOL: u32 = 12;
const TYPE_INET_SERVICE: u32 = 13;
const TYPE_BITS: u32 = 6;

pub(super) fn set_layouts(family: Family) -> [Set; 3] {
    let (key_type, key_length) = match family {
        Family::Inet => (TYPE_IPADDR, 4),
        Family::Inet6 => (TYPE_IP6ADDR, 16),
    };
    let parts = [key_type, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE];
    let joined = parts.into_iter().fold(0, |all, part| all << TYPE_BITS | part);
    [
        Set { name: VIPS, key_type, key_length },
        Set { name: EMPTY, key_type: joined, key_length: key_length + 8 },
        Set { name: OPEN, key_type: joined, key_length: key_length + 8 },
    ]
}

pub(super) fn chain_layouts(family: Family, rules: Rules) -> Vec<Chain> {
    let nat = rules.nat.into_iter().flat_map(|masquerade| nat_chains(family, masquerade));
    let refuse = Chain {
        name: "refuse",
        kind: "filter",
        hook: InetHookNumber::LocalIn,
        // Before IPVS, which takes incoming packets at 98.
        priority: 97,
        rules: refuse_rules(family),
    };
    // Before IPVS, which takes the node's own packets at -98.
    let refuse_own = Chain {
        name: "refuse-own",
        hook: InetHookNumber::LocalOut,
        priority: -102,
        ..refuse.clone()
    };
    let guard =
        Chain { name: "guard", priority: 150, rules: guard_rules(family), ..refuse.clone() };
    let guard = (rules.guard == Guard::On).then_some(guard);
    nat.chain([refuse, refuse_own]).chain(guard).collect()
}

/// The NAT chains. Translating a VIP to the very same address settles the NAT of a connection
/// before Docker's rules can redirect it. Masquerading comes before Docker's, too.
fn nat_chains(family: Family, masquerade: Masquerade) -> Vec<Chain> {
    let settle = vec![
        e::load_destination(family),
        e::is_in(VIPS),
        e::load_destination(family),
        e::dnat(family),
    ];
    let prerouting = Chain {
        name: "prerouting",
        kind: "nat",
        hook: InetHookNumber::PreRouting,
        priority: -101,
        rules: vec![settle],
    };
    let output = Chain { name: "output", hook: InetHookNumber::LocalOut, ..prerouting.clone() };
    let to_a_vip = [e::load_original_destination(family), e::is_in(VIPS)];
    let own =
        to_a_vip.iter().cloned().chain([e::load_source(family), e::is_in(VIPS), e::masquerade()]);
    let others = to_a_vip.iter().cloned().chain(e::source_is_not_local()).chain([e::masquerade()]);
    let others = (masquerade == Masquerade::Always).then(|| others.collect());
    let postrouting = Chain {
        name: "postrouting",
        kind: "nat",
        hook: InetHookNumber::PostRouting,
        priority: 99,
        rules: [own.collect()].into_iter().chain(others).collect(),
    };
    vec![prerouting, output, postrouting]
}

/// Refuses new clients of services without a usable real server. TCP clients are reset: with an
/// ICMP error an open connection would hang.
fn refuse_rules(family: Family) -> Vec<Rule> {
    let refused =
        || e::is_new().into_iter().chain(e::load_service_key(family)).chain([e::is_in(EMPTY)]);
    vec![
        refused().chain(e::is_protocol(TCP)).chain([e::reject_with_reset()]).collect(),
        refused().chain([e::reject(family)]).collect(),
    ]
}

/// Refuses packets to VIPs that IPVS doesn't take, but for the ports that are open. Replies to the
/// node's own clients pass, since they have the other direction.
fn guard_rules(family: Family) -> Vec<Rule> {
    let guarded =
        || e::is_original().into_iter().chain([e::load_destination(family), e::is_in(VIPS)]);
    let open = e::load_service_key(family).into_iter().chain([e::is_in(OPEN), e::accept()]);
    vec![
        open.collect(),
        guarded().chain(e::is_protocol(TCP)).chain([e::reject_with_reset()]).collect(),
        guarded().chain(e::is_protocol(UDP)).chain([e::reject(family)]).collect(),
    ]
}
