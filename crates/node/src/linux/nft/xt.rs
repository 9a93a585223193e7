//! Matches and targets of iptables as nftables keeps them (`nft_compat`). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use vip::firewall::{Families, Hook, RuleCondition, RuleVerdict};

use crate::linux::raw_attributes::{first_value, text_value, u32_value};

// linux/netfilter/nf_tables_compat.h. Targets have the same numbers.
pub(super) const NFTA_MATCH_NAME: u16 = 1;
pub(super) const NFTA_MATCH_REV: u16 = 2;
pub(super) const NFTA_MATCH_INFO: u16 = 3;

// linux/netfilter/xt_conntrack.h: `struct xt_conntrack_mtinfo3` and the offsets of its parts. Each
// address has 16 bytes and is followed by its mask.
const CONNTRACK: &str = "conntrack";
const REVISION: u32 = 3;
const INFO_LEN: usize = 168;
const ORIGINAL_DESTINATION: usize = 32;
const MATCH_FLAGS: usize = 146;
const INVERT_FLAGS: usize = 148;
const STATE_MASK: usize = 150;
const STATE: u16 = 1;
const ORIGDST: u16 = 1 << 3;
const DIRECTION: u16 = 1 << 12;
const STATE_ALIAS: u16 = 1 << 13;

/// A match of iptables.
pub(super) enum Match {
    /// A comment, which is no condition.
    Comment(String),
    Conditions(Vec<RuleCondition>),
}

/// Parses a match. `families` are those of its table; tables of iptables have only one.
pub(super) fn parse_match(families: Families, data: &[u8]) -> Match {
    let info = first_value(data, NFTA_MATCH_INFO).unwrap_or_default();
    match text_value(data, NFTA_MATCH_NAME).unwrap_or_default() {
        "comment" => {
            let text = info.split(|byte| *byte == 0).next().unwrap_or_default();
            Match::Comment(String::from_utf8_lossy(text).into_owned())
        }
        CONNTRACK
            if families != Families::Both
                && (2..=3).contains(&u32_value(data, NFTA_MATCH_REV).unwrap_or_default()) =>
        {
            Match::Conditions(
                parse_conntrack(families == Families::V4, info)
                    .unwrap_or(vec![RuleCondition::Other]),
            )
        }
        _ => Match::Conditions(vec![RuleCondition::Other]),
    }
}

fn parse_conntrack(v4: bool, info: &[u8]) -> Option<Vec<RuleCondition>> {
    let word = |at: usize| Some(u16::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    let (flags, inverted) = (word(MATCH_FLAGS)? & !STATE_ALIAS, word(INVERT_FLAGS)?);
    let mut conditions = Vec::new();
    if flags & !(STATE | ORIGDST | DIRECTION) != 0 || inverted & (STATE | ORIGDST) != 0 {
        conditions.push(RuleCondition::Other);
    }
    if flags & DIRECTION != 0 {
        conditions.push(RuleCondition::Answers(inverted & DIRECTION != 0));
    }
    if flags & ORIGDST != 0 && inverted & ORIGDST == 0 {
        let address = info.get(ORIGINAL_DESTINATION..)?.first_chunk::<16>()?;
        let mask = info.get(ORIGINAL_DESTINATION + 16..)?.first_chunk::<16>()?;
        conditions.push(RuleCondition::MadeTo(parse_network(v4, *address, *mask)?));
    }
    if flags & STATE != 0 && inverted & STATE == 0 {
        conditions.push(RuleCondition::State(word(STATE_MASK)?.into()));
    }
    Some(conditions)
}

fn parse_network(v4: bool, address: [u8; 16], mask: [u8; 16]) -> Option<IpNet> {
    let read = |bytes: [u8; 16]| -> IpAddr {
        match v4 {
            true => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
            false => Ipv6Addr::from(bytes).into(),
        }
    };
    IpNet::with_netmask(read(address), read(mask)).ok()
}

pub(super) fn parse_target(data: &[u8]) -> RuleVerdict {
    match text_value(data, NFTA_MATCH_NAME).unwrap_or_default() {
        "REJECT" => RuleVerdict::Drop,
        "NFQUEUE" | "QUEUE" | "SYNPROXY" | "TPROXY" => RuleVerdict::Other,
        // The target changes or notes something, and the next rule follows.
        _ => RuleVerdict::None,
    }
}

/// Returns whether a target has conntrack leave the packet alone: `NOTRACK`, or `CT` with
/// `XT_CT_NOTRACK` in the first word of its info (`linux/netfilter/xt_CT.h`).
pub(super) fn is_notrack(data: &[u8]) -> bool {
    const XT_CT_NOTRACK: u16 = 1;
    let info = first_value(data, NFTA_MATCH_INFO).unwrap_or_default();
    match text_value(data, NFTA_MATCH_NAME).unwrap_or_default() {
        "NOTRACK" => true,
        "CT" => {
            info.first_chunk().is_some_and(|word| u16::from_ne_bytes(*word) & XT_CT_NOTRACK != 0)
        }
        _ => false,
    }
}

/// Returns whether a target gives the connection to a flowtable: `FLOWOFFLOAD` of `OpenWrt`.
pub(super) fn is_flow_offload(data: &[u8]) -> bool {
    text_value(data, NFTA_MATCH_NAME) == Some("FLOWOFFLOAD")
}

/// Makes the match for connections to the VIPs of a prefix: name, revision and info.
pub(super) fn conntrack_match(prefix: &IpNet, hook: Hook) -> (&'static str, u32, Vec<u8>) {
    let mut info = vec![0; INFO_LEN];
    let mut put = |at: usize, bytes: &[u8]| info[at..at + bytes.len()].copy_from_slice(bytes);
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    put(ORIGINAL_DESTINATION, &octets(prefix.network()));
    put(ORIGINAL_DESTINATION + 16, &octets(prefix.netmask()));
    let answers = if hook == Hook::Forward { DIRECTION } else { 0 };
    put(MATCH_FLAGS, &(ORIGDST | answers).to_ne_bytes());
    // Inverted, it is the direction of replies.
    put(INVERT_FLAGS, &answers.to_ne_bytes());
    (CONNTRACK, REVISION, info)
}
