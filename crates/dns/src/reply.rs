//! Replies, written after the header and the question of the query.

use std::net::IpAddr;

use domain::base::iana::{OptRcode, Rtype};

use crate::query::{HEADER, MAX_PAYLOAD, Query};

/// The time to live of addresses, in seconds: as that of DC/OS.
pub(crate) const TTL: u32 = 5;

/// The time for which a resolver remembers that a name doesn't exist. It may exist at any moment.
pub(crate) const MISSING_TTL: u32 = 1;

/// `IN` of RFC 1035 section 3.2.4.
const CLASS_IN: u16 = 1;

/// The length of an OPT record without options.
const OPT_LENGTH: usize = 11;

/// A pointer to the name in the question, which begins after the header. RFC 1035 section 4.1.4.
const QUESTION_NAME: u16 = 0xc000 | 12;

/// The bits of the header, RFC 1035 section 4.1.1: the second pair of bytes.
mod flags {
    pub(super) const RESPONSE: u16 = 1 << 15;
    pub(super) const OPCODE: u16 = 0xf << 11;
    pub(super) const AUTHORITATIVE: u16 = 1 << 10;
    pub(super) const TRUNCATED: u16 = 1 << 9;
    pub(super) const RECURSION_DESIRED: u16 = 1 << 8;
    pub(super) const RECURSION_AVAILABLE: u16 = 1 << 7;
    pub(super) const CHECKING_DISABLED: u16 = 1 << 4;
}

/// Which part of a message records belong to.
#[derive(Debug, Clone, Copy)]
enum Section {
    Answer = 6,
    Authority = 8,
}

/// A reply that is being written.
#[derive(Debug)]
pub(crate) struct Reply<'b> {
    out: &'b mut Vec<u8>,
    /// The longest that the reply may become without the OPT record.
    limit: usize,
    /// Whether the client understands EDNS, with its bit that is to be echoed.
    edns: Option<bool>,
    rcode: OptRcode,
    /// Where the root label of the question's name is.
    name_end: usize,
}

impl<'b> Reply<'b> {
    /// Begins the reply to a query, of at most `limit` bytes.
    pub(crate) fn begin(out: &'b mut Vec<u8>, query: &Query<'_>, limit: usize) -> Self {
        out.clear();
        out.extend_from_slice(query.head);
        out[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        let edns = query.edns.map(|edns| edns.dnssec_ok);
        let limit = limit - if edns.is_some() { OPT_LENGTH } else { 0 };
        // Root label, type and class follow.
        let name_end = query.head.len() - 5;
        let mut reply = Self { out, limit, edns, rcode: OptRcode::NOERROR, name_end };
        let kept = flags::OPCODE | flags::RECURSION_DESIRED | flags::CHECKING_DISABLED;
        reply.set_flags(reply.flags() & kept | flags::RESPONSE);
        reply
    }

    /// Writes the reply to a message that is no query: the header alone.
    pub(crate) fn write_error(out: &'b mut Vec<u8>, message: &[u8], rcode: OptRcode) {
        out.clear();
        out.extend_from_slice(&message[..4]);
        out.extend_from_slice(&[0; HEADER - 4]);
        let mut reply = Self { out, limit: HEADER, edns: None, rcode, name_end: HEADER };
        let kept = flags::OPCODE | flags::RECURSION_DESIRED;
        reply.set_flags(reply.flags() & kept | flags::RESPONSE);
        reply.finish();
    }

    /// Marks the reply as one of the server that knows best.
    pub(crate) fn set_authoritative(&mut self) {
        self.set_flags(self.flags() | flags::AUTHORITATIVE);
    }

    /// Marks the reply as one of a server that forwards.
    pub(crate) fn set_forwarding(&mut self) {
        self.set_flags(self.flags() | flags::RECURSION_AVAILABLE);
    }

    /// Sets the reply code.
    pub(crate) fn set_rcode(&mut self, rcode: OptRcode) {
        self.rcode = rcode;
    }

    /// Adds an address of the name that was asked for, as far as there is room.
    pub(crate) fn add_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.add_answer(Rtype::A, &v4.octets()),
            IpAddr::V6(v6) => self.add_answer(Rtype::AAAA, &v6.octets()),
        }
    }

    fn add_answer(&mut self, rtype: Rtype, data: &[u8]) {
        self.add_record(Section::Answer, QUESTION_NAME, rtype, TTL, data);
    }

    /// Adds the name server of a zone, whose name is the last `zone_length` bytes of the question's.
    pub(crate) fn add_name_server(&mut self, zone_length: usize) {
        let zone = self.zone_name(zone_length);
        let mut data = b"\x05ready".to_vec();
        data.extend_from_slice(&zone.to_be_bytes());
        self.add_record(Section::Answer, zone, Rtype::NS, TTL, &data);
    }

    /// Adds the zone's SOA as an answer.
    pub(crate) fn add_soa(&mut self, zone_length: usize) {
        self.add_soa_to(Section::Answer, zone_length, TTL);
    }

    /// Adds the zone's SOA to an answer without records. It says for how long that is remembered,
    /// RFC 2308: some resolvers take the TTL, some the field `minimum`.
    pub(crate) fn add_negative_ttl(&mut self, zone_length: usize, ttl: u32) {
        self.add_soa_to(Section::Authority, zone_length, ttl);
    }

    fn add_soa_to(&mut self, section: Section, zone_length: usize, ttl: u32) {
        let zone = self.zone_name(zone_length);
        let mut data = b"\x05ready".to_vec();
        data.extend_from_slice(&zone.to_be_bytes());
        data.extend_from_slice(b"\x0ahostmaster");
        data.extend_from_slice(&zone.to_be_bytes());
        // Serial, refresh, retry, expire as of DC/OS, and minimum.
        for number in [1, 60, 180, 86_400, ttl] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        self.add_record(section, zone, Rtype::SOA, ttl, &data);
    }

    /// Returns a pointer to the name of the zone, at the end of the question's name.
    fn zone_name(&self, zone_length: usize) -> u16 {
        0xc000 | u16::try_from(self.name_end - zone_length).unwrap_or_default()
    }

    fn add_record(&mut self, section: Section, name: u16, rtype: Rtype, ttl: u32, data: &[u8]) {
        if self.out.len() + 12 + data.len() > self.limit {
            self.set_flags(self.flags() | flags::TRUNCATED);
            return;
        }
        self.out.extend_from_slice(&name.to_be_bytes());
        self.out.extend_from_slice(&rtype.to_int().to_be_bytes());
        self.out.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.out.extend_from_slice(&ttl.to_be_bytes());
        let length = u16::try_from(data.len()).unwrap_or_default();
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(data);
        let at = section as usize;
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]) + 1;
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    /// Completes the reply.
    pub(crate) fn finish(mut self) {
        self.set_flags(self.flags() | u16::from(self.rcode.rcode().to_int()));
        let Some(dnssec_ok) = self.edns else { return };
        // RFC 6891 section 6.1.2: root, type, payload, upper rcode, version, flags, length.
        let [high, low] = MAX_PAYLOAD.to_be_bytes();
        let dnssec_ok = if dnssec_ok { 0x80 } else { 0 };
        let upper = self.rcode.ext();
        self.out.extend_from_slice(&[0, 0, 41, high, low, upper, 0, dnssec_ok, 0, 0, 0]);
        self.out[HEADER - 1] = 1;
    }

    fn flags(&self) -> u16 {
        u16::from_be_bytes([self.out[2], self.out[3]])
    }

    fn set_flags(&mut self, flags: u16) {
        self.out[2..4].copy_from_slice(&flags.to_be_bytes());
    }
}
