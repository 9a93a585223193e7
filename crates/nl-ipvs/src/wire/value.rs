//! Values of attributes in a message. Integers are in host byte order unless their name says
//! otherwise.

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DefaultNla, Nla};

/// The length to which names are cut, so that an absurd one can't overflow the 16-bit length of an
/// attribute. The kernel refuses names of more than 16 bytes with NUL, so a name that is cut is still
/// too long to be mistaken for another.
const NAME_LIMIT: usize = 255;

/// The value of an attribute to be written.
pub(super) enum Value<'a> {
    U8(u8),
    U16(u16),
    U16Be(u16),
    U32(u32),
    U64(u64),
    Pair(u32, u32),
    Bytes(&'a [u8]),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// A name, which ends with a NUL on the wire.
    Name(&'a str),
    List(&'a dyn List),
    Raw(&'a DefaultNla),
}

impl Value<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::U16(_) | Self::U16Be(_) => 2,
            Self::U32(_) | Self::V4(_) => 4,
            Self::U64(_) | Self::Pair(..) => 8,
            Self::V6(_) => 16,
            Self::Bytes(bytes) => bytes.len(),
            Self::Name(name) => name_bytes(name).len() + 1,
            Self::List(list) => list.byte_len(),
            Self::Raw(raw) => raw.value_len(),
        }
    }

    pub(super) fn emit(&self, buffer: &mut [u8]) {
        match self {
            Self::U8(v) => buffer.copy_from_slice(&[*v]),
            Self::U16(v) => buffer.copy_from_slice(&v.to_ne_bytes()),
            Self::U16Be(v) => buffer.copy_from_slice(&v.to_be_bytes()),
            Self::U32(v) => buffer.copy_from_slice(&v.to_ne_bytes()),
            Self::U64(v) => buffer.copy_from_slice(&v.to_ne_bytes()),
            Self::Pair(a, b) => {
                buffer[..4].copy_from_slice(&a.to_ne_bytes());
                buffer[4..].copy_from_slice(&b.to_ne_bytes());
            }
            Self::Bytes(bytes) => buffer.copy_from_slice(bytes),
            Self::V4(v) => buffer.copy_from_slice(&v.octets()),
            Self::V6(v) => buffer.copy_from_slice(&v.octets()),
            Self::Name(name) => {
                let bytes = name_bytes(name);
                buffer[..bytes.len()].copy_from_slice(bytes);
                buffer[bytes.len()..].fill(0);
            }
            Self::List(list) => list.emit_list(buffer),
            Self::Raw(raw) => raw.emit_value(buffer),
        }
    }
}

pub(crate) fn name_bytes(name: &str) -> &[u8] {
    &name.as_bytes()[..name.len().min(NAME_LIMIT)]
}

/// The length of an attribute's header, its length and its kind (`struct nlattr`).
pub(crate) const HEADER_LEN: usize = 4;

/// The alignment of attributes (`NLA_ALIGNTO`).
pub(crate) const ALIGN: usize = 4;

/// A type that is written as an attribute.
pub(super) trait Written {
    fn kind_and_value(&self) -> (u16, Value<'_>);
}

/// A list of nested attributes of any type.
pub(super) trait List {
    fn byte_len(&self) -> usize;
    fn emit_list(&self, buffer: &mut [u8]);
}

impl<T: Written> List for Vec<T> {
    fn byte_len(&self) -> usize {
        attributes_len(self)
    }
    fn emit_list(&self, buffer: &mut [u8]) {
        emit_attributes(self, buffer);
    }
}

/// Returns the length of these attributes in bytes.
pub(super) fn attributes_len(attributes: &[impl Written]) -> usize {
    let lens = attributes.iter().map(|attribute| attribute.kind_and_value().1.len());
    lens.map(|len| HEADER_LEN + len.next_multiple_of(ALIGN)).sum()
}

/// Writes attributes one after another.
pub(super) fn emit_attributes(attributes: &[impl Written], buffer: &mut [u8]) {
    let mut rest = buffer;
    for attribute in attributes {
        let (kind, value) = attribute.kind_and_value();
        let len = value.len();
        let (own, after) = rest.split_at_mut(HEADER_LEN + len.next_multiple_of(ALIGN));
        // The kernel's lists are short, and names are cut, so the length fits.
        let total = u16::try_from(HEADER_LEN + len).unwrap_or(u16::MAX);
        own[..2].copy_from_slice(&total.to_ne_bytes());
        own[2..4].copy_from_slice(&kind.to_ne_bytes());
        value.emit(&mut own[HEADER_LEN..HEADER_LEN + len]);
        own[HEADER_LEN + len..].fill(0);
        rest = after;
    }
}

/// Parses the kinds, with their flags, and the values of the attributes in `bytes`. Ends with `None`
/// at the first one whose length doesn't add up.
pub(crate) fn parse_attributes(bytes: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let found = split_attribute(rest);
        rest = found.map_or(&[], |(_, _, after)| after);
        Some(found.map(|(kind, value, _)| (kind, value)))
    })
}

/// Splits off the first attribute: its kind, its value, and the bytes after it.
fn split_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, _) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
    let kind = u16::from_ne_bytes([header[2], header[3]]);
    let value = bytes.get(HEADER_LEN..len)?;
    Some((kind, value, bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default()))
}

/// Parses the attributes in `bytes` with `read`; `None` if their lengths don't add up.
pub(super) fn parse_list<T>(bytes: &[u8], read: impl Fn(u16, &[u8]) -> T) -> Option<Vec<T>> {
    // The kernel writes about this many for a real server.
    let mut list = Vec::with_capacity(16);
    for attribute in parse_attributes(bytes) {
        let (kind, value) = attribute?;
        list.push(read(kind, value));
    }
    Some(list)
}

/// Parses text up to its first NUL; `None` if it isn't UTF-8.
pub(crate) fn parse_name(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).ok()
}

pub(crate) fn parse_u8(bytes: &[u8]) -> Option<u8> {
    <[u8; 1]>::try_from(bytes).ok().map(|[byte]| byte)
}

pub(crate) fn parse_u16(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

pub(crate) fn parse_u16_be(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_be_bytes)
}

pub(crate) fn parse_u32(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

pub(crate) fn parse_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_ne_bytes)
}

pub(super) fn parse_v4(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

pub(super) fn parse_v6(bytes: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)
}

/// Parses two 32-bit numbers (`struct ip_vs_flags`).
pub(crate) fn parse_pair(bytes: &[u8]) -> Option<(u32, u32)> {
    let (first, second) = bytes.split_at_checked(4)?;
    Some((parse_u32(first)?, parse_u32(second)?))
}

/// Implements writing of an attribute by its `wire_parts()`, and parsing by its `parse_known()`.
///
/// A known attribute whose value has an unexpected size or form is kept as it is, like one with an
/// unknown number, so that it doesn't affect the others.
macro_rules! attribute {
    ($type:ty) => {
        impl $type {
            /// Parses an attribute. `kind` includes its flags.
            fn read_attribute(kind: u16, bytes: &[u8]) -> Self {
                let other = || netlink_packet_core::DefaultNla::new(kind, bytes.to_vec());
                let known = Self::parse_known(kind & netlink_packet_core::NLA_TYPE_MASK, bytes);
                known.unwrap_or_else(|| Self::Other(other()))
            }

            pub(super) fn parse_list(bytes: &[u8]) -> Option<Vec<Self>> {
                super::value::parse_list(bytes, Self::read_attribute)
            }
        }

        impl super::value::Written for $type {
            fn kind_and_value(&self) -> (u16, Value<'_>) {
                self.wire_parts()
            }
        }

        impl netlink_packet_core::Nla for $type {
            fn value_len(&self) -> usize {
                self.wire_parts().1.len()
            }
            fn kind(&self) -> u16 {
                self.wire_parts().0
            }
            fn emit_value(&self, buffer: &mut [u8]) {
                self.wire_parts().1.emit(buffer);
            }
        }

        impl<'a, T: AsRef<[u8]> + ?Sized>
            netlink_packet_core::Parseable<netlink_packet_core::NlaBuffer<&'a T>> for $type
        {
            fn parse(
                nla: &netlink_packet_core::NlaBuffer<&'a T>,
            ) -> Result<Self, netlink_packet_core::DecodeError> {
                match Self::parse_known(nla.kind(), nla.value()) {
                    Some(attribute) => Ok(attribute),
                    None => netlink_packet_core::DefaultNla::parse(nla).map(Self::Other),
                }
            }
        }
    };
}
pub(super) use attribute;
