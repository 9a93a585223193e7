//! The layout of our tables: sets, chains and rules. Pure.
//!
//! ```text
//! table ip vipd {
//!   set vips  { type ipv4_addr; }
//!   set empty { type ipv4_addr . inet_proto . inet_service; }
//!   set open  { type ipv4_addr . inet_proto . inet_service; }
//!   map sources { type ipv4_addr . ipv4_addr : ipv4_addr; }
//!   set refusing { type ipv4_addr . inet_service; size 4096; flags dynamic, timeout; timeout 1m; }
//!   chain refused {
//!     meta l4proto tcp reject with tcp reset
//!     meta l4proto udp reject }
//!   chain lost-syn {
//!     ct status confirmed tcp flags & (fin | syn | rst | ack) == syn
//!       limit rate 100/second burst 100 packets log group 30313 }
//!   chain new-to-vip {
//!     ct state new ip daddr . meta l4proto . th dport @empty jump refused
//!     ct state new jump lost-syn }
//!   chain refuse      { type filter hook input priority 97;     ip daddr @vips jump new-to-vip }
//!   chain prerouting  { type nat hook prerouting priority -101; ip daddr @vips dnat to ip daddr }
//!   chain own-to-vip {
//!     ct direction original ip daddr . meta l4proto . th dport @empty jump refused
//!     dnat to ip daddr }
//!   chain output      { type nat hook output priority -101;     ip daddr @vips jump own-to-vip }
//!   chain own-syn     { type filter hook output priority -99; ct state new ip daddr @vips jump lost-syn }
//!   chain refusal     { type filter hook prerouting priority -102;
//!     ct status dying ct direction reply tcp flags & (fin | syn | rst | ack) == rst | ack
//!       ct original ip daddr @vips fib saddr . iif oif exists
//!       update @refusing { ip saddr . th sport limit rate 5/second burst 50 packets }
//!       limit rate 100/second burst 100 packets log prefix "refused" group 30313 }
//!   chain source {
//!     ip saddr @vips snat to ct original ip daddr . ip daddr map @sources
//!     ip saddr @vips masquerade
//!     fib saddr type != local snat to ct original ip daddr . ip daddr map @sources
//!     fib saddr type != local masquerade }
//!   chain postrouting { type nat hook postrouting priority 99; ct original ip daddr @vips jump source }
//!   chain not-taken {
//!     ip daddr . meta l4proto . th dport @open accept
//!     ct direction original jump refused }
//!   chain guard       { type filter hook input priority 150; ip daddr @vips jump not-taken }
//! }
//! ```
//!
//! The other traffic of the node pays for every rule that it meets. The nat chains see only the first
//! packet of a connection. Each chain looks up a packet in one set, and only packets of VIPs meet
//! another rule.
//!
//! A SYN of a connection that is tracked and has no reply was sent before, and got lost: connection
//! tracking knows which real server it went to, since IPVS told it before the first one left. So it is
//! logged before IPVS takes it again, at -98 from here, where packets meet `own-syn` only for this; that
//! asks first whether the connection has a reply, which costs other traffic less than a look-up.
//!
//! When the only reply to a SYN is a reset, connection tracking forgets the connection while the reset
//! passes: the packet meets the chain `refusal` with a dying entry, which no packet of a connection that
//! was ever open has. So one comparison is what other traffic pays for it. A client that sends a reset in
//! the name of a real server is behind another interface than that. Each real server has a limit of its
//! own, so that one that refuses all the time doesn't hide others.
//!
//! Clients from elsewhere are refused at input, where the node's own input filter, the routing and
//! other programs' NAT have had their say. The node's own clients are refused in a nat chain, or where
//! there is no NAT in a filter chain:
//!
//! ```text
//!   chain refuse-own  { type filter hook output priority -102;  ip daddr @vips jump new-to-vip }
//! ```

use netlink_packet_netfilter::nftables::{Expressions, InetHookNumber, SetFlags};
use nl_ipvs::Family;
use vip::nft::{Guard, LostSyns, Masquerade, Rules};

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
/// The map of the sources that masquerading would not choose, by guarded address and real server.
pub(super) const SOURCES: &str = "sources";

/// The group of `nfnetlink_log` that lost SYNs are logged to: `vi` in ASCII, so that nobody else happens
/// to have it.
pub(in super::super) const LOG_GROUP: u16 = 30313;

/// The prefix in the log of a SYN that was refused.
pub(in super::super) const REFUSED_PREFIX: &str = "refused";

/// The set of the real servers that refuse clients, each with its limit. Rules fill it.
const REFUSING: &str = "refusing";

/// The number of lost SYNs that are logged in a second, and at once; the same of refusals. Each is only a
/// hint.
const LOGGED: u32 = 100;

/// The number of refusals of one real server that are logged in a second, and at once. A few are enough.
const LOGGED_OF_ONE: u32 = 5;
const LOGGED_OF_ONE_AT_ONCE: u32 = 50;

/// The number of elements that a set which rules fill may have; a refusal of a real server that has no
/// place isn't logged. And the milliseconds after which one goes that no rule meets again.
pub(super) const FILLED_SIZE: u32 = 4096;
const FILLED_TIMEOUT: u64 = 60_000;

/// A rule, as its expressions.
pub(super) type Rule = Vec<Expressions>;

/// A chain of our table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// `None` for a chain that others jump to.
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// The place of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    /// `nat` or `filter`.
    pub(super) kind: &'static str,
    pub(super) hook: InetHookNumber,
    pub(super) priority: i32,
}

/// A set of our table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// The type of its elements, which only listings use (`enum datatypes` of nft's `datatype.h`).
    pub(super) key_type: u32,
    /// The length of its elements in bytes.
    pub(super) key_length: u32,
    /// The type and the length of the values, if it is a map.
    pub(super) value: Option<(u32, u32)>,
    /// Rules fill it, and nobody else.
    pub(super) is_filled_by_rules: bool,
}

// nft's datatype.h. In the type of a concatenation, each part has six bits.
const TYPE_IPADDR: u32 = 7;
const TYPE_IP6ADDR: u32 = 8;
const TYPE_INET_PROTOCOL: u32 = 12;
const TYPE_INET_SERVICE: u32 = 13;
const TYPE_BITS: u32 = 6;

pub(super) fn set_layouts(family: Family) -> [Set; 5] {
    let (key_type, key_length) = match family {
        Family::Inet => (TYPE_IPADDR, 4),
        Family::Inet6 => (TYPE_IP6ADDR, 16),
    };
    let join = |parts: &[u32]| parts.iter().fold(0, |all, part| all << TYPE_BITS | part);
    let service = join(&[key_type, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE]);
    let set = |name, key_type, key_length| {
        let (value, is_filled_by_rules) = (None, false);
        Set { name, key_type, key_length, value, is_filled_by_rules }
    };
    let sources = set(SOURCES, join(&[key_type, key_type]), 2 * key_length);
    let refusing = set(REFUSING, join(&[key_type, TYPE_INET_SERVICE]), key_length + 4);
    [
        set(VIPS, key_type, key_length),
        set(EMPTY, service, key_length + 8),
        set(OPEN, service, key_length + 8),
        Set { value: Some((key_type, key_length)), ..sources },
        Set { is_filled_by_rules: true, ..refusing },
    ]
}

/// The flags of a set.
pub(super) fn set_flags(set: &Set) -> SetFlags {
    match (set.value, set.is_filled_by_rules) {
        (Some(_), _) => SetFlags::Map,
        (None, true) => SetFlags::Eval | SetFlags::Timeout,
        (None, false) => SetFlags::empty(),
    }
}

/// The milliseconds after which an element of a set goes; 0 for one that stays.
pub(super) fn set_timeout(set: &Set) -> u64 {
    if set.is_filled_by_rules { FILLED_TIMEOUT } else { 0 }
}

/// The chain that rejects a packet.
const REFUSED: &str = "refused";

/// The chain that logs lost SYNs.
const LOST_SYN: &str = "lost-syn";

/// The chain that refuses new clients.
const NEW_TO_VIP: &str = "new-to-vip";

/// Lists the chains, each after those that it jumps to.
pub(super) fn chain_layouts(family: Family, rules: Rules) -> Vec<Chain> {
    let own = match rules.nat {
        Some(masquerade) => nat_chains(family, masquerade),
        None => vec![refuse_own_chain(family)],
    };
    let guard = if rules.guard == Guard::On { guard_chains(family) } else { Vec::new() };
    let refused = chain(REFUSED, refused_rules(family));
    let (mut lost_syn, mut others) = (Vec::new(), Vec::new());
    if rules.lost_syns == LostSyns::Logged {
        lost_syn.push(chain(LOST_SYN, vec![log_lost_syn()]));
        others.extend([own_syn_chain(family), refusal_chain(family)]);
    }
    let refuse = refuse_chains(family, rules.lost_syns);
    [vec![refused], lost_syn, refuse, own, others, guard].concat()
}

fn chain(name: &'static str, rules: Vec<Rule>) -> Chain {
    Chain { name, base: None, rules }
}

fn base_chain(
    name: &'static str,
    (kind, hook, priority): (&'static str, InetHookNumber, i32),
    rule: Rule,
) -> Chain {
    Chain { name, base: Some(Base { kind, hook, priority }), rules: vec![rule] }
}

/// `ip daddr @vips`, and what follows.
fn to_vips(family: Family, then: impl IntoIterator<Item = Expressions>) -> Rule {
    [e::load_destination(family), e::is_in(VIPS)].into_iter().chain(then).collect()
}

/// Rejects a packet. TCP clients are reset: with an ICMP error an open connection would hang.
fn refused_rules(family: Family) -> Vec<Rule> {
    vec![
        e::is_protocol(TCP).into_iter().chain([e::reject_with_reset()]).collect(),
        e::is_protocol(UDP).into_iter().chain([e::reject(family)]).collect(),
    ]
}

/// Refuses clients of services without a usable real server.
fn refuse_empty(family: Family) -> impl Iterator<Item = Expressions> {
    e::load_service_key(family).into_iter().chain([e::is_in(EMPTY), e::jump(REFUSED)])
}

/// The chains that refuse new clients from elsewhere, before IPVS takes incoming packets at 98. Their
/// lost SYNs are logged on the way.
fn refuse_chains(family: Family, lost_syns: LostSyns) -> Vec<Chain> {
    let refuse = e::is_new().into_iter().chain(refuse_empty(family)).collect();
    let lost = e::is_new().into_iter().chain([e::jump(LOST_SYN)]).collect();
    let lost = (lost_syns == LostSyns::Logged).then_some(lost);
    let to_vips = to_vips(family, [e::jump(NEW_TO_VIP)]);
    vec![
        chain(NEW_TO_VIP, [refuse].into_iter().chain(lost).collect()),
        base_chain("refuse", ("filter", InetHookNumber::LocalIn, 97), to_vips),
    ]
}

/// Logs a SYN whose connection is tracked already: its first packet has left.
fn log_lost_syn() -> Rule {
    let syn = e::is_confirmed().into_iter().chain(e::is_opening_syn());
    syn.chain([e::limit_per_second(LOGGED, LOGGED), e::log_to(LOG_GROUP, None)]).collect()
}

/// The chain that the node's own lost SYNs pass, before IPVS takes them at -98.
fn own_syn_chain(family: Family) -> Chain {
    let rule = e::is_new().into_iter().chain(to_vips(family, [e::jump(LOST_SYN)]));
    base_chain("own-syn", ("filter", InetHookNumber::LocalOut, -99), rule.collect())
}

/// The chain that logs a reset by which a real server refuses a client.
fn refusal_chain(family: Family) -> Chain {
    let is_reset = [e::is_dying(), e::is_reply(), e::is_refusing_reset()].concat().into_iter();
    let of_vip = [e::load_original_destination(family), e::is_in(VIPS)];
    let of_one = e::limit_per_second(LOGGED_OF_ONE, LOGGED_OF_ONE_AT_ONCE);
    let of_one = e::limit_each_source_port(REFUSING, family, of_one);
    let log = [e::limit_per_second(LOGGED, LOGGED), e::log_to(LOG_GROUP, Some(REFUSED_PREFIX))];
    let rule = is_reset.chain(of_vip).chain(e::source_is_behind_interface());
    let rule = rule.chain(of_one).chain(log);
    base_chain("refusal", ("filter", InetHookNumber::PreRouting, -102), rule.collect())
}

/// The filter chain that refuses the node's own new clients, before IPVS takes their packets at -98.
fn refuse_own_chain(family: Family) -> Chain {
    let to_vips = to_vips(family, [e::jump(NEW_TO_VIP)]);
    base_chain("refuse-own", ("filter", InetHookNumber::LocalOut, -102), to_vips)
}

/// The NAT chains. Translating a VIP to the very same address settles the NAT of a connection
/// before Docker's rules can redirect it. Masquerading comes before Docker's, too. It chooses an
/// address of the outgoing interface, so it comes after the sources that routes or people name.
/// The node's own new clients are refused before IPVS takes their packets at -98.
fn nat_chains(family: Family, masquerade: Masquerade) -> Vec<Chain> {
    const OWN_TO_VIP: &str = "own-to-vip";
    const SOURCE: &str = "source";
    // The reset of a refused connection belongs to it, and its nat isn't settled yet.
    let refuse = e::is_original().into_iter().chain(refuse_empty(family)).collect();
    let settle = vec![e::load_destination(family), e::dnat(family)];
    let own = vec![e::load_source(family), e::is_in(VIPS)];
    let others = (masquerade == Masquerade::Always).then(e::source_is_not_local);
    let sources = [own].into_iter().chain(others).flat_map(|clients| {
        let named = clients.iter().cloned().chain(e::snat_by(SOURCES, family)).collect();
        [named, clients.into_iter().chain([e::masquerade()]).collect()]
    });
    let served = vec![e::load_original_destination(family), e::is_in(VIPS), e::jump(SOURCE)];
    let from_elsewhere = to_vips(family, settle.clone());
    let from_here = to_vips(family, [e::jump(OWN_TO_VIP)]);
    vec![
        base_chain("prerouting", ("nat", InetHookNumber::PreRouting, -101), from_elsewhere),
        chain(OWN_TO_VIP, vec![refuse, settle]),
        base_chain("output", ("nat", InetHookNumber::LocalOut, -101), from_here),
        chain(SOURCE, sources.collect()),
        base_chain("postrouting", ("nat", InetHookNumber::PostRouting, 99), served),
    ]
}

/// Refuses packets to VIPs that IPVS doesn't take, but for the ports that are open. Replies to the
/// node's own clients pass, since they have the other direction.
fn guard_chains(family: Family) -> Vec<Chain> {
    const NOT_TAKEN: &str = "not-taken";
    let open = e::load_service_key(family).into_iter().chain([e::is_in(OPEN), e::accept()]);
    let refuse = e::is_original().into_iter().chain([e::jump(REFUSED)]);
    let to_vips = to_vips(family, [e::jump(NOT_TAKEN)]);
    vec![
        chain(NOT_TAKEN, vec![open.collect(), refuse.collect()]),
        base_chain("guard", ("filter", InetHookNumber::LocalIn, 150), to_vips),
    ]
}
