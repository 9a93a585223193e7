//! What the kernel announces of nftables. Pure.

use netlink_packet_core::{NetlinkBuffer, NlasIterator};

use super::layout::TABLE;

/// `NFNLGRP_NFTABLES` and `NFNL_SUBSYS_NFTABLES` of `linux/netfilter/nfnetlink.h`.
pub(in super::super) const GROUP: u32 = 7;
const SUBSYSTEM: u16 = 10;

/// The table of an object: the first attribute of each kind of it (`NFTA_TABLE_NAME`,
/// `NFTA_CHAIN_TABLE` and so on).
const TABLE_OF_IT: u16 = 1;

/// `struct nfgenmsg`.
const HEADER_LEN: usize = 4;

/// Whether some of the messages of a datagram tell of a change of our tables.
pub(in super::super) fn concerns_us(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while let Ok(message) = NetlinkBuffer::new_checked(rest) {
        if message.message_type() >> 8 == SUBSYSTEM && is_ours(message.payload()) {
            return true;
        }
        let whole = usize::try_from(message.length()).unwrap_or(rest.len());
        rest = rest.get(whole.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

fn is_ours(payload: &[u8]) -> bool {
    let attributes = payload.get(HEADER_LEN..).unwrap_or_default();
    let mut attributes = NlasIterator::new(attributes).map_while(Result::ok);
    let table = attributes.find(|nla| nla.kind() == TABLE_OF_IT);
    table.is_some_and(|table| {
        let name = table.value();
        name.strip_suffix(&[0]).unwrap_or(name) == TABLE.as_bytes()
    })
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
