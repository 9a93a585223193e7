//! A writer of netlink attributes.

use netlink_packet_core::NLA_F_NESTED;

use crate::wire::value::{ALIGN, HEADER_LEN, name_bytes};

/// A writer of consecutive attributes. Without a buffer it only counts their bytes.
pub(super) struct Writer<'a> {
    place: Option<&'a mut [u8]>,
    at: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(place: Option<&'a mut [u8]>) -> Self {
        Self { place, at: 0 }
    }

    /// Returns the number of bytes written, or counted.
    pub(super) fn len(&self) -> usize {
        self.at
    }

    /// Writes bytes outside of any attribute.
    pub(super) fn write_raw(&mut self, bytes: &[u8]) {
        let from = self.at;
        self.at += bytes.len();
        if let Some(place) = &mut self.place {
            place[from..self.at].copy_from_slice(bytes);
        }
    }

    pub(super) fn write_bytes(&mut self, kind: u16, value: &[u8]) {
        self.write_padded(kind, value, value.len());
    }

    pub(super) fn write_u16(&mut self, kind: u16, value: u16) {
        self.write_bytes(kind, &value.to_ne_bytes());
    }

    pub(super) fn write_u32(&mut self, kind: u16, value: u32) {
        self.write_bytes(kind, &value.to_ne_bytes());
    }

    /// Writes a name and a NUL.
    pub(super) fn write_name(&mut self, kind: u16, name: &str) {
        let name = name_bytes(name);
        self.write_padded(kind, name, name.len() + 1);
    }

    /// Writes an attribute whose value are the attributes that `inside` writes.
    pub(super) fn write_nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let from = self.at;
        self.at += HEADER_LEN;
        inside(self);
        let len = self.at - from;
        self.write_attribute_header(from, kind | NLA_F_NESTED, len);
    }

    /// Writes a value, padded with zeros to `len` and to the alignment of the next attribute.
    fn write_padded(&mut self, kind: u16, value: &[u8], len: usize) {
        let from = self.at;
        self.at += HEADER_LEN + len.next_multiple_of(ALIGN);
        if let Some(place) = &mut self.place {
            let value_at = from + HEADER_LEN;
            place[value_at..value_at + value.len()].copy_from_slice(value);
            place[value_at + value.len()..self.at].fill(0);
        }
        self.write_attribute_header(from, kind, HEADER_LEN + len);
    }

    fn write_attribute_header(&mut self, at: usize, kind: u16, len: usize) {
        if let Some(place) = &mut self.place {
            // A message has few attributes, and names are cut, so the length fits.
            let len = u16::try_from(len).unwrap_or(u16::MAX);
            place[at..at + 2].copy_from_slice(&len.to_ne_bytes());
            place[at + 2..at + HEADER_LEN].copy_from_slice(&kind.to_ne_bytes());
        }
    }
}
