//! Attributes of a message (`struct nlattr`), parsed from its bytes.

use crate::flags::ALIGN;

/// The flag of an attribute's kind that has attributes inside.
pub const NLA_F_NESTED: u16 = 1 << 15;

/// The bits of an attribute's kind that aren't flags.
pub const NLA_TYPE_MASK: u16 = 0x3fff;

/// The length of an attribute's header, its length and its kind.
pub(crate) const HEADER_LEN: usize = 4;

/// An attribute of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attribute<'a> {
    /// The kind with its flags: see [`number`](Self::number).
    pub kind: u16,
    /// The value.
    pub value: &'a [u8],
}

impl Attribute<'_> {
    /// Returns the kind without its flags.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.kind & NLA_TYPE_MASK
    }
}

/// An attribute whose length doesn't add up. What follows it can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("an attribute's length doesn't add up")]
pub struct MalformedAttribute;

/// Parses the attributes in `bytes`, up to the first malformed one.
pub fn parse_attributes(
    bytes: &[u8],
) -> impl Iterator<Item = Result<Attribute<'_>, MalformedAttribute>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let found = split_attribute(rest);
        rest = found.map_or(&[], |(_, after)| after);
        Some(found.map(|(attribute, _)| attribute).ok_or(MalformedAttribute))
    })
}

/// Splits off the first attribute from the bytes after it.
fn split_attribute(bytes: &[u8]) -> Option<(Attribute<'_>, &[u8])> {
    let (header, _) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
    let kind = u16::from_ne_bytes([header[2], header[3]]);
    let value = bytes.get(HEADER_LEN..len)?;
    let after = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
    Some((Attribute { kind, value }, after))
}
