//! Keys of set elements, in the form in which the kernel keeps them. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use nl_ipvs::Family;
use vip::Vip;
use vip::nft::{Element, Translation};

use super::layout::{EMPTY, OPEN, SOURCES, VIPS};
use crate::linux::protocol::{protocol_number, protocol_of_number};

/// Encodes the key of an element. Each part is padded to four bytes.
pub(super) fn encode_key(element: Element) -> Vec<u8> {
    let mut key = octets(element.address());
    match element {
        Element::Guarded(_) => {}
        Element::Refused(vip) | Element::Open(vip) => {
            key.extend([protocol_number(vip.protocol), 0, 0, 0]);
            key.extend(vip.port.get().to_be_bytes());
            key.extend([0, 0]);
        }
        Element::Source(translation) => key.extend(octets(translation.server)),
    }
    key
}

/// Encodes the value of an element of a map.
pub(super) fn encode_value(element: Element) -> Option<Vec<u8>> {
    match element {
        Element::Source(translation) => Some(octets(translation.source)),
        _ => None,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Decodes an element of a set by its key, and its value in a map; `None` for one that vipd never
/// makes.
pub(super) fn decode_element(
    family: Family,
    set: &str,
    key: &[u8],
    value: Option<&[u8]>,
) -> Option<Element> {
    let (address, rest) = split_address(family, key)?;
    if set == SOURCES {
        let (server, rest) = split_address(family, rest)?;
        let (source, beyond) = split_address(family, value?)?;
        let translation = Translation { address, server, source };
        return (rest.is_empty() && beyond.is_empty()).then_some(Element::Source(translation));
    }
    match *rest {
        [] if set == VIPS => Some(Element::Guarded(address)),
        [protocol, 0, 0, 0, high, low, 0, 0] => {
            let protocol = protocol_of_number(protocol)?;
            let port = NonZeroU16::new(u16::from_be_bytes([high, low]))?;
            let vip = Vip { address, port, protocol };
            match set {
                EMPTY => Some(Element::Refused(vip)),
                OPEN => Some(Element::Open(vip)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn split_address(family: Family, bytes: &[u8]) -> Option<(IpAddr, &[u8])> {
    Some(match family {
        Family::Inet => {
            let (octets, rest) = bytes.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*octets).into(), rest)
        }
        Family::Inet6 => {
            let (octets, rest) = bytes.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*octets).into(), rest)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vip::Protocol;

    #[test]
    fn keys_are_read_as_they_were_written() {
        for address in ["3.3.0.6", "fd01::6"] {
            let address: IpAddr = address.parse().unwrap();
            let port = NonZeroU16::new(3306).unwrap();
            let vip = |protocol| Vip { address, port, protocol };
            for element in [
                Element::Guarded(address),
                Element::Refused(vip(Protocol::Tcp)),
                Element::Refused(vip(Protocol::Udp)),
                Element::Open(vip(Protocol::Udp)),
                Element::Source(Translation { address, server: address, source: address }),
            ] {
                let family = Family::from(address);
                let (key, value) = (encode_key(element), encode_value(element));
                let read = decode_element(family, element.set_name(), &key, value.as_deref());
                assert_eq!(read, Some(element));
            }
        }
    }

    #[test]
    fn the_parts_of_a_key_are_padded() {
        let port = NonZeroU16::new(0x0cea).unwrap();
        let vip = Vip { address: [3, 3, 0, 6].into(), port, protocol: Protocol::Udp };
        let key = encode_key(Element::Refused(vip));
        assert_eq!(key, [3, 3, 0, 6, 17, 0, 0, 0, 0x0c, 0xea, 0, 0]);
    }

    #[test]
    fn what_is_no_key_of_ours_is_no_element() {
        for key in [&[][..], &[3, 3, 0], &[3, 3, 0, 6, 1], &[3, 3, 0, 6, 1, 0, 0, 0, 0, 80, 0, 0]] {
            for set in [VIPS, EMPTY, OPEN] {
                assert_eq!(decode_element(Family::Inet, set, key, None), None);
            }
        }
    }
}
