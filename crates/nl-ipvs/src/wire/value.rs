//! How one attribute's value lies in a message. Integers are in host byte order unless they
//! say otherwise.

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DefaultNla, Emitable, Nla, NlaBuffer, NlasIterator, Parseable};

/// No name the kernel knows is longer than 16 bytes with its NUL, and it refuses longer ones.
/// Cutting here keeps an absurd name from overflowing the 16-bit length of an attribute; what is
/// left is still too long to be mistaken for another name.
const NAME_LIMIT: usize = 255;

/// The value of an attribute that is about to be written.
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
    /// Ends with a NUL on the wire.
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

fn name_bytes(name: &str) -> &[u8] {
    &name.as_bytes()[..name.len().min(NAME_LIMIT)]
}

/// Attributes inside an attribute, whatever their type.
pub(super) trait List {
    fn byte_len(&self) -> usize;
    fn emit_list(&self, buffer: &mut [u8]);
}

impl<T: Nla> List for Vec<T> {
    fn byte_len(&self) -> usize {
        self.as_slice().buffer_len()
    }
    fn emit_list(&self, buffer: &mut [u8]) {
        self.as_slice().emit(buffer);
    }
}

/// The attributes in `bytes`, or `None` when their lengths don't add up.
pub(super) fn list<T>(bytes: &[u8]) -> Option<Vec<T>>
where
    T: for<'a> Parseable<NlaBuffer<&'a [u8]>>,
{
    NlasIterator::new(bytes).map(|nla| nla.and_then(|nla| T::parse(&nla)).ok()).collect()
}

/// Text up to its first NUL. `None` when it isn't UTF-8.
pub(super) fn name(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
}

pub(super) fn u8(bytes: &[u8]) -> Option<u8> {
    <[u8; 1]>::try_from(bytes).ok().map(|[byte]| byte)
}

pub(super) fn u16(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

pub(super) fn u16_be(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_be_bytes)
}

pub(super) fn u32(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

pub(super) fn u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_ne_bytes)
}

pub(super) fn v4(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

pub(super) fn v6(bytes: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)
}

/// Two 32-bit numbers (`struct ip_vs_flags`).
pub(super) fn pair(bytes: &[u8]) -> Option<(u32, u32)> {
    let (first, second) = bytes.split_at_checked(4)?;
    Some((u32(first)?, u32(second)?))
}

/// Writes an attribute by its `parts()`, and reads one by its `known()`.
///
/// A known attribute whose value has a size or form we don't expect is carried as it is, like
/// one with an unknown number: what can't be read here must not spoil what can.
macro_rules! attribute {
    ($type:ty) => {
        impl netlink_packet_core::Nla for $type {
            fn value_len(&self) -> usize {
                self.parts().1.len()
            }
            fn kind(&self) -> u16 {
                self.parts().0
            }
            fn emit_value(&self, buffer: &mut [u8]) {
                self.parts().1.emit(buffer);
            }
        }

        impl<'a, T: AsRef<[u8]> + ?Sized>
            netlink_packet_core::Parseable<netlink_packet_core::NlaBuffer<&'a T>> for $type
        {
            fn parse(
                nla: &netlink_packet_core::NlaBuffer<&'a T>,
            ) -> Result<Self, netlink_packet_core::DecodeError> {
                match Self::known(nla.kind(), nla.value()) {
                    Some(attribute) => Ok(attribute),
                    None => netlink_packet_core::DefaultNla::parse(nla).map(Self::Other),
                }
            }
        }
    };
}
pub(super) use attribute;
