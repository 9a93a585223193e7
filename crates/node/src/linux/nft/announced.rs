//! Announcements of nftables: which ones concern vipd. Pure.

use netlink_packet_core::NetlinkBuffer;
use vip::firewall::MARK;

use super::layout::TABLE;
use crate::linux::raw_attributes::{answer_attributes, first_value, text_value};

/// `NFNLGRP_NFTABLES` and `NFNL_SUBSYS_NFTABLES` of `linux/netfilter/nfnetlink.h`.
pub(in super::super) const GROUP: u32 = 7;
const SUBSYSTEM: u16 = 10;

/// The table of an object: the same number for every kind of object (`NFTA_TABLE_NAME`,
/// `NFTA_CHAIN_TABLE` and so on).
const TABLE_OF_IT: u16 = 1;

/// `NFT_MSG_NEWCHAIN`, which also announces a new policy; `NFT_MSG_NEWRULE`, `NFT_MSG_DELRULE`.
const NEW_CHAIN: u16 = 3;
const RULES: [u16; 2] = [6, 8];
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;

/// Returns true if a message of the datagram announces a change of our tables, of our rules in the
/// chains of others, or of a base chain.
pub(in super::super) fn concerns_us(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while let Ok(message) = NetlinkBuffer::new_checked(rest) {
        let (subsystem, kind) = (message.message_type() >> 8, message.message_type() & 0xff);
        if subsystem == SUBSYSTEM && is_our_change(kind, answer_attributes(message.payload())) {
            return true;
        }
        let whole = usize::try_from(message.length()).unwrap_or(rest.len());
        rest = rest.get(whole.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

fn is_our_change(kind: u16, attributes: &[u8]) -> bool {
    let marked =
        |userdata: &[u8]| userdata.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    text_value(attributes, TABLE_OF_IT) == Some(TABLE)
        || kind == NEW_CHAIN && first_value(attributes, NFTA_CHAIN_HOOK).is_some()
        || RULES.contains(&kind) && first_value(attributes, NFTA_RULE_USERDATA).is_some_and(marked)
}

#[cfg(test)]
mod tests {
    use nl_ipvs::Family;

    use super::super::message;
    use super::*;

    fn bytes(mut message: message::Message) -> Vec<u8> {
        message.finalize();
        let mut bytes = vec![0; message.buffer_len().next_multiple_of(4)];
        message.serialize(&mut bytes);
        bytes
    }

    #[test]
    fn our_rules_in_chains_of_others_and_their_first_chains_concern_us() {
        let (place, rule) = (place(), vec![super::super::expression::accept()]);
        for (comment, ours) in [("vipd:3.0.0.0/8", true), ("web", false)] {
            let inserted = bytes(message::insert_rule(&place, &rule, comment));
            assert_eq!(concerns_us(&inserted), ours, "{comment}");
        }
        let mut chain = bytes(new_chain_of(&place, true));
        assert!(concerns_us(&chain));
        chain = bytes(new_chain_of(&place, false));
        assert!(!concerns_us(&chain));
    }

    /// A chain with a hook, or without one.
    fn new_chain_of(place: &vip::firewall::ChainPlace, hooked: bool) -> message::Message {
        use netlink_packet_netfilter::nftables::{
            ChainAttribute, ChainMessage, Hook, NfTablesMessage,
        };
        use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
        let mut attributes = vec![ChainAttribute::Table(place.table.clone())];
        attributes.extend(hooked.then(|| ChainAttribute::Hook(vec![Hook::Priority(0)])));
        let inner = NfTablesMessage::NewChain(ChainMessage { attributes });
        let family = NetfilterProtoFamily::Inet;
        NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner).into()
    }

    fn place() -> vip::firewall::ChainPlace {
        vip::firewall::ChainPlace {
            backend: vip::firewall::Backend::Nftables,
            families: vip::firewall::Families::Both,
            table: "filter".into(),
            chain: "input".into(),
        }
    }

    #[test]
    fn changes_of_our_tables_are_told_from_those_of_others() {
        let ours = bytes(message::delete_table(Family::Inet6));
        assert!(concerns_us(&ours));
        let end = bytes(message::get_generation());
        assert!(!concerns_us(&end));
        assert!(concerns_us(&[end.clone(), ours.clone()].concat()));
        let mut other = ours.clone();
        let at = other.windows(4).position(|four| four == b"vipd").unwrap();
        other[at] = b'n';
        assert!(!concerns_us(&other));
        for end in 0..ours.len() {
            assert!(!concerns_us(&ours[..end]), "{end} bytes");
        }
    }
}
