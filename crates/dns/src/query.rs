//! Queries, as far as an answer depends on them.
//!
//! The crate `domain` reads the message. It makes nothing of it but references, so the cost doesn't
//! depend on the counts in the header: a query with EDNS took 50 ns, with `simple-dns` 390 ns, and
//! with `hickory-proto`, to which tests compare, 600 ns. `simple-dns` also gives the highest bit of
//! the class the meaning it has in multicast DNS.

use domain::base::iana::{Class, Opcode, OptRcode, Rtype};
use domain::base::name::ToLabelIter;
use domain::base::opt::{Opt, OptRecord};
use domain::base::{Message, ParsedName};

/// The length of a header, RFC 1035 section 4.1.1.
pub(crate) const HEADER: usize = 12;

/// The longest name in wire format.
const MAX_NAME: usize = 255;

/// The longest answer that a client without EDNS takes over UDP, RFC 1035 section 4.2.1.
const PLAIN_PAYLOAD: u16 = 512;

/// The longest answer over UDP. Beyond it packets may be fragmented, and fragments get lost:
/// the value that DNS Flag Day 2020 recommends.
pub(crate) const MAX_PAYLOAD: u16 = 1232;

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// A query with one question.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    /// The header and the question as the client sent them.
    pub(crate) head: &'a [u8],
    name: LowerName,
    pub(crate) qtype: Rtype,
    pub(crate) class: Class,
    pub(crate) edns: Option<Edns>,
}

/// The name that was asked for, lower-cased, with the root label.
#[derive(Debug)]
struct LowerName {
    bytes: [u8; MAX_NAME],
    length: usize,
}

/// What the client says about itself by EDNS, RFC 6891.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edns {
    pub(crate) version: u8,
    payload: u16,
    pub(crate) dnssec_ok: bool,
}

/// The bits of a length that is none, RFC 1035 section 4.1.4.
const POINTER: u8 = 0xc0;

/// The records beside the question that are looked at. A query has EDNS and a signature at most.
const MAX_ADDITIONAL: u16 = 4;

/// A message that is no query with one question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoQuery {
    /// Not to be answered: too short, or an answer itself.
    Drop,
    /// To be answered with an error.
    Error(OptRcode),
}

impl<'a> Query<'a> {
    /// Parses a message.
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, NoQuery> {
        let parsed = Message::from_slice(message).map_err(|_| NoQuery::Drop)?;
        let header = parsed.header();
        if header.qr() {
            return Err(NoQuery::Drop);
        }
        if header.opcode() != Opcode::QUERY {
            return Err(NoQuery::Error(OptRcode::NOTIMP));
        }
        let malformed = NoQuery::Error(OptRcode::FORMERR);
        // Each record may take long to parse: its name may jump through the whole message.
        let counts = parsed.header_counts();
        if counts.ancount() > 0 || counts.nscount() > 0 || counts.arcount() > MAX_ADDITIONAL {
            return Err(malformed);
        }
        let Ok(question) = parsed.sole_question() else { return Err(malformed) };
        let name = question.qname();
        // Nothing stands before it that it could point to, but the header. A name that is a pointer and
        // nothing else counts as what it points to.
        let is_pointer = message.get(HEADER).is_none_or(|first| first & POINTER != 0);
        if is_pointer || name.is_compressed() {
            return Err(malformed);
        }
        let Ok(edns) = find_edns(parsed) else { return Err(malformed) };
        let head = &message[..HEADER + usize::from(name.compose_len()) + 4];
        let (qtype, class) = (question.qtype(), question.qclass());
        Ok(Self { head, name: LowerName::new(name), qtype, class, edns })
    }

    /// Returns the name that was asked for, in lower case and without the root label.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name.bytes[..self.name.length - 1]
    }

    /// Returns how long an answer over UDP may be.
    pub(crate) fn max_payload(&self) -> usize {
        let payload = self.edns.map_or(PLAIN_PAYLOAD, |edns| edns.payload);
        usize::from(payload.clamp(PLAIN_PAYLOAD, MAX_PAYLOAD))
    }
}

impl LowerName {
    fn new(name: &ParsedName<&[u8]>) -> Self {
        let (mut bytes, mut length) = ([0; MAX_NAME], 0);
        for label in name.iter_labels() {
            let label = label.as_slice();
            // A name is never longer, says the parser.
            bytes[length] = u8::try_from(label.len()).unwrap_or_default();
            bytes[length + 1..=length + label.len()].copy_from_slice(label);
            length += label.len() + 1;
        }
        bytes[..length].make_ascii_lowercase();
        Self { bytes, length }
    }
}

/// Finds what the client says by EDNS. More than one such record is an error.
fn find_edns(message: &Message<[u8]>) -> Result<Option<Edns>, ()> {
    let mut found = None;
    let additional = message.additional().map_err(drop)?;
    for record in additional {
        let record = record.map_err(drop)?;
        if record.rtype() != Rtype::OPT {
            continue;
        }
        let record = record.into_record::<Opt<_>>().map_err(drop)?.ok_or(())?;
        let is_at_root = record.owner().is_root();
        let opt = OptRecord::from_record(record);
        let edns = Edns {
            version: opt.version(),
            payload: opt.udp_payload_size(),
            dnssec_ok: opt.dnssec_ok(),
        };
        if !is_at_root || found.replace(edns).is_some() {
            return Err(());
        }
    }
    Ok(found)
}

/// Returns whether a message answers what was asked: the same id and question.
pub(crate) fn answers_question(answer: &[u8], asked: &[u8], question: &[u8]) -> bool {
    let is_response = answer.len() >= HEADER && answer[2] & 0x80 != 0;
    is_response
        && answer[..2] == asked[..2]
        && answer[4..6] == [0, 1]
        && answer[HEADER..]
            .get(..question.len())
            .is_some_and(|answered| answered.eq_ignore_ascii_case(question))
}
