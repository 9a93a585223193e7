//! Lists of elements as the kernel dumps them.
//!
//! The library would read them too, in seconds for a thousand of them: for each it writes out the
//! whole list, in case that one can't be read.

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlaBuffer, NlasIterator,
};
use netlink_packet_netfilter::NetfilterMessage;

// linux/netfilter/nf_tables.h
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_DATA_VALUE: u16 = 1;

/// `struct nfgenmsg` of `linux/netfilter/nfnetlink.h`, and `struct nlattr` of `linux/netlink.h`.
const HEADER_LEN: usize = 4;

/// A question for elements, or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Elements {
    Query(Box<NetfilterMessage>),
    /// The key of each.
    Keys(Vec<Vec<u8>>),
}

impl NetlinkSerializable for Elements {
    fn message_type(&self) -> u16 {
        match self {
            Self::Query(query) => NetlinkSerializable::message_type(&**query),
            Self::Keys(_) => 0,
        }
    }

    fn buffer_len(&self) -> usize {
        match self {
            Self::Query(query) => NetlinkSerializable::buffer_len(&**query),
            Self::Keys(_) => 0,
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        if let Self::Query(query) = self {
            query.serialize(buffer);
        }
    }
}

impl NetlinkDeserializable for Elements {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let attributes = payload.get(HEADER_LEN..).unwrap_or_default();
        let mut keys = Vec::new();
        for list in each(attributes, NFTA_SET_ELEM_LIST_ELEMENTS)? {
            for element in each(list, NFTA_LIST_ELEM)? {
                let key = first(element, NFTA_SET_ELEM_KEY)?;
                keys.push(first(key, NFTA_DATA_VALUE)?.to_vec());
            }
        }
        Ok(Self::Keys(keys))
    }
}

/// The values of all attributes of a kind.
fn each(attributes: &[u8], kind: u16) -> Result<Vec<&[u8]>, DecodeError> {
    let mut values = Vec::new();
    for nla in NlasIterator::new(attributes) {
        let nla: NlaBuffer<&[u8]> = nla?;
        if nla.kind() == kind {
            // It was checked to be within.
            let value = HEADER_LEN..usize::from(nla.length());
            values.extend(nla.into_inner().get(value));
        }
    }
    Ok(values)
}

fn first(attributes: &[u8], kind: u16) -> Result<&[u8], DecodeError> {
    let found = each(attributes, kind)?.into_iter().next();
    found.ok_or_else(|| DecodeError::from(format!("an element has no attribute {kind}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `nft list table ip vipd` gets it: two elements of `vips`.
    const DUMPED: [u8; 68] = [
        2, 0, 0, 1, // struct nfgenmsg
        9, 0, 1, 0, b'v', b'i', b'p', b'd', 0, 0, 0, 0, // the table
        9, 0, 2, 0, b'v', b'i', b'p', b's', 0, 0, 0, 0, // the set
        36, 0, 3, 0x80, // its elements
        16, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 3, 3, 0, 6, //
        16, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 3, 3, 0, 7, //
        0, 0, 0, 0,
    ];

    fn read(payload: &[u8]) -> Result<Elements, DecodeError> {
        Elements::deserialize(&NetlinkHeader::default(), payload)
    }

    #[test]
    fn keys_are_found_where_they_stand() {
        let keys = vec![vec![3, 3, 0, 6], vec![3, 3, 0, 7]];
        assert_eq!(read(&DUMPED[..64]).unwrap(), Elements::Keys(keys));
    }

    #[test]
    fn no_part_of_a_list_is_taken_for_a_whole_one_or_panics() {
        assert_eq!(read(&[]).unwrap(), Elements::Keys(vec![]));
        for end in 29..64 {
            assert!(read(&DUMPED[..end]).is_err(), "{end} bytes");
        }
        let mut without_key = DUMPED;
        without_key[38] = 2;
        assert!(read(&without_key[..64]).is_err());
    }
}
