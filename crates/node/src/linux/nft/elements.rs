//! Set elements as the kernel dumps them. Pure.

use netlink_packet_core::DecodeError;

use crate::linux::raw_attributes::{answer_attributes, attribute_values};

// linux/netfilter/nf_tables.h
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;

/// The key of an element, and its value in a map.
pub(super) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Parses the key of each element in an answer.
pub(super) fn element_keys(answer: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    Ok(element_entries(answer)?.into_iter().map(|(key, _)| key).collect())
}

/// Parses the key of each element in an answer, and its value in a map.
pub(super) fn element_entries(answer: &[u8]) -> Result<Vec<Entry>, DecodeError> {
    let mut entries = Vec::new();
    for list in attribute_values(answer_attributes(answer), NFTA_SET_ELEM_LIST_ELEMENTS)? {
        for element in attribute_values(list, NFTA_LIST_ELEM)? {
            let key = require_attribute(element, NFTA_SET_ELEM_KEY)?;
            let key = require_attribute(key, NFTA_DATA_VALUE)?.to_vec();
            let data = attribute_values(element, NFTA_SET_ELEM_DATA)?.into_iter().next();
            let value = data.map(|data| require_attribute(data, NFTA_DATA_VALUE)).transpose()?;
            entries.push((key, value.map(<[u8]>::to_vec)));
        }
    }
    Ok(entries)
}

fn require_attribute(attributes: &[u8], kind: u16) -> Result<&[u8], DecodeError> {
    let found = attribute_values(attributes, kind)?.into_iter().next();
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

    #[test]
    fn keys_are_found_where_they_stand() {
        assert_eq!(element_keys(&DUMPED[..64]).unwrap(), [[3, 3, 0, 6], [3, 3, 0, 7]]);
    }

    #[test]
    fn no_part_of_a_list_is_taken_for_a_whole_one_or_panics() {
        assert_eq!(element_keys(&[]).unwrap(), [[0; 4]; 0]);
        for end in 29..64 {
            assert!(element_keys(&DUMPED[..end]).is_err(), "{end} bytes");
        }
        let mut without_key = DUMPED;
        without_key[38] = 2;
        assert!(element_keys(&without_key[..64]).is_err());
    }
}
