//! Values of attributes in a message. Integers are in host byte order unless their name says
//! otherwise.

use std::net::{Ipv4Addr, Ipv6Addr};

use nl_pipeline::{Attribute, Payload, parse_attributes};

use super::RawAttribute;

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
    Raw(&'a RawAttribute),
}

impl Value<'_> {
    fn write(&self, kind: u16, payload: &mut Payload<'_>) {
        match self {
            Self::U8(v) => payload.write_u8(kind, *v),
            Self::U16(v) => payload.write_u16(kind, *v),
            Self::U16Be(v) => payload.write_bytes(kind, &v.to_be_bytes()),
            Self::U32(v) => payload.write_u32(kind, *v),
            Self::U64(v) => payload.write_u64(kind, *v),
            Self::Pair(a, b) => {
                payload.write_bytes(kind, [a.to_ne_bytes(), b.to_ne_bytes()].as_flattened());
            }
            Self::Bytes(bytes) => payload.write_bytes(kind, bytes),
            Self::V4(v) => payload.write_bytes(kind, &v.octets()),
            Self::V6(v) => payload.write_bytes(kind, &v.octets()),
            Self::Name(name) => payload.write_name(kind, name),
            Self::List(list) => payload.write_nested(kind, |inside| list.write_list(inside)),
            Self::Raw(raw) => payload.write_bytes(kind, &raw.value),
        }
    }
}

/// A type that is written as an attribute.
pub(super) trait Written {
    fn kind_and_value(&self) -> (u16, Value<'_>);
}

/// A list of nested attributes of any type.
pub(super) trait List {
    fn write_list(&self, payload: &mut Payload<'_>);
}

impl<T: Written> List for Vec<T> {
    fn write_list(&self, payload: &mut Payload<'_>) {
        for attribute in self {
            let (kind, value) = attribute.kind_and_value();
            value.write(kind, payload);
        }
    }
}

/// Parses the attributes in `bytes` with `read`; `None` if their lengths don't add up.
pub(super) fn parse_list<T>(bytes: &[u8], read: impl Fn(Attribute<'_>) -> T) -> Option<Vec<T>> {
    // The kernel writes about this many for a real server.
    let mut list = Vec::with_capacity(16);
    for attribute in parse_attributes(bytes) {
        list.push(read(attribute.ok()?));
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
            fn read_attribute(read: nl_pipeline::Attribute<'_>) -> Self {
                let known = Self::parse_known(read.number(), read.value);
                known.unwrap_or_else(|| Self::Other(read.into()))
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
    };
}
pub(super) use attribute;
