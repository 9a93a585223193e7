//! A writer of the payload of a request.

use crate::attribute::{HEADER_LEN, NLA_F_NESTED};
use crate::flags::ALIGN;

/// The payload of a request while it is written: a family's own header, then attributes.
///
/// A value that is too long for the 16 bits of an attribute's length is left out. The kernel refuses
/// a value that is too short; one that was cut could be mistaken for another.
#[derive(Debug)]
pub struct Payload<'a>(&'a mut Vec<u8>);

impl<'a> Payload<'a> {
    /// Makes a writer that appends to `bytes`.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Writes bytes outside of any attribute, such as a family's header.
    pub fn write_raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes `len` bytes outside of any attribute: `fill` gets them as zeros.
    pub fn write_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) {
        let from = self.0.len();
        self.0.resize(from + len, 0);
        fill(&mut self.0[from..]);
    }

    /// Writes an attribute.
    pub fn write_bytes(&mut self, kind: u16, value: &[u8]) {
        self.write_padded(kind, value, value.len());
    }

    /// Writes an attribute of one byte.
    pub fn write_u8(&mut self, kind: u16, value: u8) {
        self.write_bytes(kind, &[value]);
    }

    /// Writes an attribute of 16 bits in host byte order.
    pub fn write_u16(&mut self, kind: u16, value: u16) {
        self.write_bytes(kind, &value.to_ne_bytes());
    }

    /// Writes an attribute of 32 bits in host byte order.
    pub fn write_u32(&mut self, kind: u16, value: u32) {
        self.write_bytes(kind, &value.to_ne_bytes());
    }

    /// Writes an attribute of 64 bits in host byte order.
    pub fn write_u64(&mut self, kind: u16, value: u64) {
        self.write_bytes(kind, &value.to_ne_bytes());
    }

    /// Writes an attribute of text, which ends with a NUL on the wire.
    pub fn write_name(&mut self, kind: u16, name: &str) {
        self.write_padded(kind, name.as_bytes(), name.len() + 1);
    }

    /// Writes an attribute whose value is the attributes that `inside` writes.
    pub fn write_nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let from = self.0.len();
        self.0.extend_from_slice(&[0; HEADER_LEN]);
        inside(self);
        let kind = (kind | NLA_F_NESTED).to_ne_bytes();
        let len = match u16::try_from(self.0.len() - from) {
            Ok(len) => len.to_ne_bytes(),
            Err(_) => {
                self.0.truncate(from + HEADER_LEN);
                EMPTY
            }
        };
        self.0[from..from + HEADER_LEN].copy_from_slice(&[len[0], len[1], kind[0], kind[1]]);
    }

    /// Writes a value, padded with zeros to `len` and to the alignment of the next attribute.
    fn write_padded(&mut self, kind: u16, value: &[u8], len: usize) {
        let (written, len, value) = match u16::try_from(HEADER_LEN + len) {
            Ok(total) => (total.to_ne_bytes(), len, value),
            Err(_) => (EMPTY, 0, [].as_slice()),
        };
        let kind = kind.to_ne_bytes();
        let end = self.0.len() + HEADER_LEN + len.next_multiple_of(ALIGN);
        self.0.extend_from_slice(&[written[0], written[1], kind[0], kind[1]]);
        self.0.extend_from_slice(value);
        self.0.resize(end, 0);
    }
}

/// The length of an attribute without a value.
const EMPTY: [u8; 2] = 4_u16.to_ne_bytes();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_attributes;

    fn written(write: impl FnOnce(&mut Payload<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Payload::new(&mut bytes));
        bytes
    }

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let bytes = written(|payload| {
            payload.write_nested(1, |inside| {
                inside.write_u8(2, 7);
                inside.write_name(3, "wlc");
            });
            payload.write_u64(4, 5);
        });
        let attributes: Vec<_> = parse_attributes(&bytes).map(Result::unwrap).collect();
        assert_eq!(attributes.len(), 2);
        assert_eq!((attributes[0].kind, attributes[0].number()), (1 | NLA_F_NESTED, 1));
        let inside: Vec<_> = parse_attributes(attributes[0].value).map(Result::unwrap).collect();
        assert_eq!((inside[0].number(), inside[0].value), (2, &[7][..]));
        assert_eq!((inside[1].number(), inside[1].value), (3, &b"wlc\0"[..]));
        assert_eq!(attributes[1].value, 5_u64.to_ne_bytes());
    }

    #[test]
    fn a_value_that_is_too_long_is_left_out() {
        let long = vec![1; 0x1_0000 - HEADER_LEN];
        let bytes = written(|payload| {
            payload.write_bytes(1, &long);
            payload.write_bytes(2, &long[1..]);
            payload.write_nested(3, |inside| {
                inside.write_bytes(4, &long[1..]);
                inside.write_u8(5, 0);
            });
            payload.write_u8(6, 9);
        });
        let lens: Vec<_> = parse_attributes(&bytes)
            .map(|attribute| attribute.map(|a| (a.number(), a.value.len())))
            .collect();
        assert_eq!(lens, [Ok((1, 0)), Ok((2, long.len() - 1)), Ok((3, 0)), Ok((6, 1))]);
    }
}
