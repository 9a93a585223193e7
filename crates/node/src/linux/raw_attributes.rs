//! Answers of nfnetlink parsed here instead of by the netlink library, which fails on objects it
//! has no type for and takes seconds for long lists.

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, NlaBuffer, NlasIterator,
};
use netlink_packet_netfilter::NetfilterMessage;

/// `struct nfgenmsg` of `linux/netfilter/nfnetlink.h`.
pub(super) const HEADER_LEN: usize = 4;
/// `struct nlattr` of `linux/netlink.h`.
const ATTRIBUTE_LEN: usize = 4;

/// A request, or an answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    Query(Box<NetfilterMessage>),
    Answer(Vec<u8>),
}

impl Raw {
    /// Wraps a request so that its answers come raw.
    pub(super) fn query(message: NetlinkMessage<NetfilterMessage>) -> NetlinkMessage<Self> {
        let NetlinkMessage { header, payload, .. } = message;
        let payload = match payload {
            NetlinkPayload::InnerMessage(inner) => {
                NetlinkPayload::InnerMessage(Self::Query(Box::new(inner)))
            }
            _ => NetlinkPayload::Noop,
        };
        NetlinkMessage::new(header, payload)
    }

    /// Returns the bytes of an answer, including its `nfgenmsg` header.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Query(_) => &[],
            Self::Answer(bytes) => bytes,
        }
    }
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        match self {
            Self::Query(query) => NetlinkSerializable::message_type(&**query),
            Self::Answer(_) => 0,
        }
    }

    fn buffer_len(&self) -> usize {
        match self {
            Self::Query(query) => NetlinkSerializable::buffer_len(&**query),
            Self::Answer(_) => 0,
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        if let Self::Query(query) = self {
            query.serialize(buffer);
        }
    }
}

impl NetlinkDeserializable for Raw {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::Answer(payload.to_vec()))
    }
}

/// Returns the attributes of an answer, which follow its header.
pub(super) fn answer_attributes(answer: &[u8]) -> &[u8] {
    answer.get(HEADER_LEN..).unwrap_or_default()
}

/// Returns the values of all attributes of a kind.
pub(super) fn attribute_values(attributes: &[u8], kind: u16) -> Result<Vec<&[u8]>, DecodeError> {
    let mut values = Vec::new();
    for nla in NlasIterator::new(attributes) {
        let nla: NlaBuffer<&[u8]> = nla?;
        if nla.kind() == kind {
            // The iterator has checked that the value lies within.
            let value = ATTRIBUTE_LEN..usize::from(nla.length());
            values.extend(nla.into_inner().get(value));
        }
    }
    Ok(values)
}

/// Returns the value of the first attribute of a kind, unless the attributes are malformed.
pub(super) fn first_value(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    attribute_values(attributes, kind).ok()?.into_iter().next()
}

/// Returns the first attribute of a kind as a number, which is in network byte order.
pub(super) fn u32_value(attributes: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(*first_value(attributes, kind)?.first_chunk()?))
}

/// Returns the first attribute of a kind as text, up to its NUL.
pub(super) fn text_value(attributes: &[u8], kind: u16) -> Option<&str> {
    let bytes = first_value(attributes, kind)?;
    let bytes = bytes.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(bytes).ok()
}
