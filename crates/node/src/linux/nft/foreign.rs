//! Chains and rules of others, parsed as far as they matter to VIPs. Pure.
//!
//! An expression that isn't understood is no error but a condition that may or may not hold.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use vip::firewall::{Backend, Base, ChainPlace, Families, Hook, Rule, RuleCondition, RuleVerdict};

use super::xt;
use crate::linux::raw_attributes::{
    answer_attributes, attribute_values, first_value, text_value, u32_value,
};

// linux/netfilter.h, linux/netfilter/nf_tables.h
const NFPROTO_INET: u8 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const NF_INET_PRE_ROUTING: u32 = 0;
const NF_INET_LOCAL_IN: u32 = 1;
const NF_INET_FORWARD: u32 = 2;
const NF_INET_LOCAL_OUT: u32 = 3;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFT_JUMP: u32 = -3_i32 as u32;
const NFT_GOTO: u32 = -4_i32 as u32;
const NFT_RETURN: u32 = -5_i32 as u32;

/// Returns the family in the header of an answer.
fn family_seen(answer: &[u8]) -> Option<Families> {
    match *answer.first()? {
        NFPROTO_IPV4 => Some(Families::V4),
        NFPROTO_IPV6 => Some(Families::V6),
        NFPROTO_INET => Some(Families::Both),
        _ => None,
    }
}

/// The priority of conntrack, after the chains that may keep packets from it (`enum nf_ip_hook_priorities`
/// of `linux/netfilter_ipv4.h`).
const CONNTRACK_PRIORITY: i32 = -200;

/// A base chain of others.
pub(super) struct ForeignChain {
    pub(super) place: ChainPlace,
    pub(super) drops: bool,
    hook: u32,
    priority: i32,
}

impl ForeignChain {
    /// Returns the chain's base if it is at one of the hooks that packets of VIPs pass.
    pub(super) fn base(&self) -> Option<Base> {
        let hook = match self.hook {
            NF_INET_LOCAL_IN => Hook::Input,
            NF_INET_FORWARD => Hook::Forward,
            NF_INET_LOCAL_OUT => Hook::Output,
            _ => return None,
        };
        Some(Base { hook, drops: self.drops })
    }

    /// Returns the chain's base if it is before conntrack.
    pub(super) fn raw_base(&self) -> Option<Base> {
        let hook = match self.hook {
            NF_INET_PRE_ROUTING => Hook::Input,
            NF_INET_LOCAL_OUT => Hook::Output,
            _ => return None,
        };
        (self.priority < CONNTRACK_PRIORITY).then_some(Base { hook, drops: self.drops })
    }
}

/// Parses a base chain; `None` for other chains.
pub(super) fn parse_base_chain(answer: &[u8]) -> Option<ForeignChain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const POLICY: u16 = 5;
    const HOOK_NUMBER: u16 = 1;
    const HOOK_PRIORITY: u16 = 2;
    let families = family_seen(answer)?;
    let chain = answer_attributes(answer);
    let attached = first_value(chain, HOOK)?;
    Some(ForeignChain {
        hook: u32_value(attached, HOOK_NUMBER)?,
        priority: u32_value(attached, HOOK_PRIORITY)?.cast_signed(),
        place: ChainPlace {
            backend: Backend::Nftables,
            families,
            table: text_value(chain, TABLE)?.to_owned(),
            chain: text_value(chain, NAME)?.to_owned(),
        },
        drops: u32_value(chain, POLICY) == Some(NF_DROP),
    })
}

/// Parses a rule and its handle. `states` returns the connection states in a set.
pub(super) fn parse_rule(
    answer: &[u8],
    states: &mut dyn FnMut(&str) -> Option<u32>,
) -> Option<(u64, Rule)> {
    const HANDLE: u16 = 3;
    const EXPRESSIONS: u16 = 4;
    const USERDATA: u16 = 7;
    const ELEMENT: u16 = 1;
    let (families, rule) = (family_seen(answer)?, answer_attributes(answer));
    let handle = u64::from_be_bytes(*first_value(rule, HANDLE)?.first_chunk()?);
    let mut reading = RuleReader { families, registers: BTreeMap::new(), rule: Rule::default() };
    reading.rule.mark = first_value(rule, USERDATA).and_then(find_comment).and_then(Rule::mark_in);
    for expression in
        attribute_values(first_value(rule, EXPRESSIONS).unwrap_or_default(), ELEMENT).ok()?
    {
        reading.read_expression(expression, states);
    }
    Some((handle, reading.rule))
}

/// Finds the comment in a rule's user data, where nft keeps entries of type, length and text.
fn find_comment(mut userdata: &[u8]) -> Option<&str> {
    const COMMENT: u8 = 0;
    while let [kind, length, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*length))?;
        if *kind == COMMENT {
            return std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok();
        }
        userdata = &rest[value.len()..];
    }
    None
}

/// The content of a register.
#[derive(Clone)]
enum Loaded {
    /// The destination of a packet or of its connection, and the mask applied to it.
    Address { connection: bool, v4: bool, mask: Option<Vec<u8>> },
    /// The state of a connection, and the mask applied to it.
    State(Option<u32>),
    /// The direction of a packet within its connection.
    Direction,
    /// The family of a packet.
    Family,
    /// The type of a packet in Ethernet.
    Type,
}

/// A rule while its expressions are being read.
struct RuleReader {
    families: Families,
    registers: BTreeMap<u32, Loaded>,
    rule: Rule,
}

impl RuleReader {
    fn read_expression(&mut self, expression: &[u8], states: &mut dyn FnMut(&str) -> Option<u32>) {
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        let data = first_value(expression, DATA).unwrap_or_default();
        match text_value(expression, NAME).unwrap_or_default() {
            "counter" | "log" => {}
            "notrack" => self.rule.untracks = true,
            "flow_offload" => self.rule.offloads = true,
            "payload" => self.load_register(data, loaded_payload(self.families, data)),
            "meta" => self.load_register(data, loaded_meta(data)),
            "ct" => self.load_register(data, loaded_ct(data)),
            "bitwise" => self.mask_register(data),
            "cmp" => {
                let condition = self.compare_register(data).unwrap_or(RuleCondition::Other);
                self.rule.conditions.push(condition);
            }
            "lookup" => self.look_up(data, states),
            "immediate" => self.set_verdict(data),
            "reject" => self.rule.verdict = RuleVerdict::Drop,
            "match" => match xt::parse_match(self.families, data) {
                xt::Match::Comment(comment) => self.rule.mark = Rule::mark_in(&comment),
                xt::Match::Conditions(conditions) => self.rule.conditions.extend(conditions),
            },
            "target" => {
                self.rule.verdict = xt::parse_target(data);
                self.rule.untracks |= xt::is_notrack(data);
                self.rule.offloads |= xt::is_flow_offload(data);
            }
            "queue" | "synproxy" | "tproxy" => self.rule.verdict = RuleVerdict::Other,
            _ => self.rule.conditions.push(RuleCondition::Other),
        }
    }

    /// Notes the register that an expression loads. In all of them but `bitwise`, its number is
    /// the first attribute.
    fn load_register(&mut self, data: &[u8], loaded: Option<Loaded>) {
        const DREG: u16 = 1;
        // Without a destination register the expression sets something.
        let Some(register) = u32_value(data, DREG) else { return };
        match loaded {
            Some(loaded) => self.registers.insert(register, loaded),
            None => self.registers.remove(&register),
        };
    }

    fn mask_register(&mut self, data: &[u8]) {
        const SREG: u16 = 1;
        const DREG: u16 = 2;
        const MASK: u16 = 4;
        const XOR: u16 = 5;
        let Some(into) = u32_value(data, DREG) else { return };
        let plain = data_value(data, XOR).is_none_or(|xor| xor.iter().all(|byte| *byte == 0));
        let bits = data_value(data, MASK).filter(|_| plain);
        let loaded = u32_value(data, SREG).and_then(|from| self.registers.remove(&from));
        let masked = loaded.zip(bits).and_then(|(loaded, bits)| match loaded {
            Loaded::Address { connection, v4, mask: None } => {
                Some(Loaded::Address { connection, v4, mask: Some(bits.to_vec()) })
            }
            Loaded::State(None) => Some(Loaded::State(Some(native_u32(bits)?))),
            _ => None,
        });
        match masked {
            Some(masked) => self.registers.insert(into, masked),
            None => self.registers.remove(&into),
        };
    }

    fn compare_register(&self, data: &[u8]) -> Option<RuleCondition> {
        const SREG: u16 = 1;
        const OP: u16 = 2;
        const DATA: u16 = 3;
        const EQUAL: u32 = 0;
        const NOT_EQUAL: u32 = 1;
        let value = data_value(data, DATA)?;
        match (self.registers.get(&u32_value(data, SREG)?)?, u32_value(data, OP)?) {
            (Loaded::Address { connection, v4, mask }, EQUAL) => {
                let net = parse_network(*v4, value, mask.as_deref())?;
                Some(if *connection { RuleCondition::MadeTo(net) } else { RuleCondition::To(net) })
            }
            (Loaded::State(Some(bits)), NOT_EQUAL) if native_u32(value)? == 0 => {
                Some(RuleCondition::State(*bits))
            }
            (Loaded::State(None), EQUAL) => Some(RuleCondition::State(native_u32(value)?)),
            (Loaded::Direction, EQUAL) => Some(RuleCondition::Answers(*value.first()? == 1)),
            (Loaded::Family, EQUAL) => match *value.first()? {
                NFPROTO_IPV4 => Some(RuleCondition::IsV4(true)),
                NFPROTO_IPV6 => Some(RuleCondition::IsV4(false)),
                _ => None,
            },
            (Loaded::Type, EQUAL) => match value {
                [0x08, 0x00] => Some(RuleCondition::IsV4(true)),
                [0x86, 0xdd] => Some(RuleCondition::IsV4(false)),
                _ => None,
            },
            _ => None,
        }
    }

    fn look_up(&mut self, data: &[u8], states: &mut dyn FnMut(&str) -> Option<u32>) {
        const SET: u16 = 1;
        const SREG: u16 = 2;
        const DREG: u16 = 3;
        const FLAGS: u16 = 5;
        // The lookup is in a map of verdicts.
        if u32_value(data, DREG) == Some(0) {
            self.rule.verdict = RuleVerdict::Other;
            return;
        }
        let loaded = u32_value(data, SREG).and_then(|register| self.registers.get(&register));
        let inverted = u32_value(data, FLAGS).is_some_and(|flags| flags != 0);
        let bits = match loaded {
            Some(Loaded::State(None)) if !inverted => text_value(data, SET).and_then(states),
            _ => None,
        };
        self.rule.conditions.push(bits.map_or(RuleCondition::Other, RuleCondition::State));
    }

    fn set_verdict(&mut self, data: &[u8]) {
        const DREG: u16 = 1;
        const DATA: u16 = 2;
        const VERDICT: u16 = 2;
        const CODE: u16 = 1;
        const CHAIN: u16 = 2;
        if u32_value(data, DREG) != Some(0) {
            return;
        }
        let verdict =
            first_value(data, DATA).and_then(|data| first_value(data, VERDICT)).unwrap_or_default();
        let chain = || text_value(verdict, CHAIN).map(str::to_owned);
        self.rule.verdict = match u32_value(verdict, CODE) {
            Some(NF_DROP) => RuleVerdict::Drop,
            Some(NF_ACCEPT) => RuleVerdict::Accept,
            Some(NFT_JUMP) => chain().map_or(RuleVerdict::Other, RuleVerdict::Jump),
            Some(NFT_GOTO) => chain().map_or(RuleVerdict::Other, RuleVerdict::Goto),
            Some(NFT_RETURN) => RuleVerdict::Return,
            _ => RuleVerdict::Other,
        };
    }
}

/// Returns `NFTA_DATA_VALUE` of an attribute.
fn data_value(data: &[u8], kind: u16) -> Option<&[u8]> {
    const VALUE: u16 = 1;
    first_value(first_value(data, kind)?, VALUE)
}

fn native_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.first_chunk()?))
}

fn loaded_payload(families: Families, data: &[u8]) -> Option<Loaded> {
    const BASE: u16 = 2;
    const OFFSET: u16 = 3;
    const NETWORK_HEADER: u32 = 1;
    if u32_value(data, BASE)? != NETWORK_HEADER {
        return None;
    }
    // The offset of the destination in the header of IPv4 or IPv6.
    let v4 = match (u32_value(data, OFFSET)?, families) {
        (16, Families::V4 | Families::Both) => true,
        (24, Families::V6 | Families::Both) => false,
        _ => return None,
    };
    Some(Loaded::Address { connection: false, v4, mask: None })
}

fn loaded_meta(data: &[u8]) -> Option<Loaded> {
    const KEY: u16 = 2;
    const PROTOCOL: u32 = 1;
    const NFPROTO: u32 = 15;
    match u32_value(data, KEY)? {
        PROTOCOL => Some(Loaded::Type),
        NFPROTO => Some(Loaded::Family),
        _ => None,
    }
}

fn loaded_ct(data: &[u8]) -> Option<Loaded> {
    const KEY: u16 = 2;
    const DIRECTION: u16 = 3;
    let original = first_value(data, DIRECTION).is_some_and(|direction| direction == [0]);
    let made_to = |v4| Loaded::Address { connection: true, v4, mask: None };
    // `enum nft_ct_keys`.
    match u32_value(data, KEY)? {
        0 => Some(Loaded::State(None)),
        1 => Some(Loaded::Direction),
        20 if original => Some(made_to(true)),
        22 if original => Some(made_to(false)),
        _ => None,
    }
}

/// Makes a network of an address, which is cut short or has a mask.
fn parse_network(v4: bool, value: &[u8], mask: Option<&[u8]>) -> Option<IpNet> {
    let whole = if v4 { 4 } else { 16 };
    let address = |bytes: &[u8]| -> Option<IpAddr> {
        let mut octets = bytes.get(..whole.min(bytes.len()))?.to_vec();
        octets.resize(whole, 0);
        Some(match v4 {
            true => Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into(),
            false => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
        })
    };
    let network = address(value)?;
    match mask {
        Some(mask) => IpNet::with_netmask(network, address(mask)?).ok(),
        None => IpNet::new(network, u8::try_from(8 * value.len().min(whole)).ok()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// As the kernel lists it: the header of nfnetlink, the handle and the expressions.
    #[test]
    fn a_rule_that_gives_connections_to_a_flowtable_is_known() {
        let data = attribute(1, b"ft\0");
        let expression = [attribute(1, b"flow_offload\0"), attribute(2, &data)].concat();
        let expressions = attribute(1, &expression);
        let rule = [attribute(3, &7_u64.to_be_bytes()), attribute(4, &expressions)].concat();
        let answer = [vec![NFPROTO_INET, 0, 0, 0], rule].concat();
        let (handle, rule) = parse_rule(&answer, &mut |_| None).unwrap();
        assert_eq!((handle, rule), (7, Rule { offloads: true, ..Rule::default() }));
    }
}
