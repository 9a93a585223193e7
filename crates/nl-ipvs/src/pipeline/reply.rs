//! The kernel's replies, parsed from a datagram.

use netlink_packet_core::{
    NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ALIGNTO, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NLMSG_OVERRUN, NetlinkBuffer, NetlinkHeader, NlasIterator, Parseable,
};

use crate::{Error, KernelError};

/// `NLMSGERR_ATTR_MSG` of `linux/netlink.h`.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The length of the error code that begins the payload of `NLMSG_ERROR` and `NLMSG_DONE`.
const CODE_LEN: usize = 4;

/// The length of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;

/// One message from the kernel.
#[derive(Debug, PartialEq)]
pub(super) struct Reply<'a> {
    pub(super) header: NetlinkHeader,
    pub(super) body: Body<'a>,
}

/// The content of a message.
#[derive(Debug, PartialEq)]
pub(super) enum Body<'a> {
    /// The outcome of a request: an acknowledgement or a refusal.
    Outcome(Result<(), KernelError>),
    /// The end of a dump, which may have failed midway.
    Done(Result<(), KernelError>),
    /// An entry of an answer.
    Entry(&'a [u8]),
    /// A message to be ignored.
    Noop,
}

/// Parses the messages of a datagram, up to the first malformed one.
pub(super) fn parse_replies(mut datagram: &[u8]) -> impl Iterator<Item = Result<Reply<'_>, Error>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let reply = split_reply(datagram);
        datagram = match &reply {
            Ok((_, len)) => datagram.get(*len..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(reply.map(|(reply, _)| reply))
    })
}

/// Parses the first message. Also returns the offset of the next one.
fn split_reply(bytes: &[u8]) -> Result<(Reply<'_>, usize), Error> {
    let malformed = |error: netlink_packet_core::DecodeError| Error::Malformed(error.to_string());
    let message = NetlinkBuffer::new_checked(bytes).map_err(malformed)?;
    let header = NetlinkHeader::parse(&message).map_err(malformed)?;
    let payload = message.payload();
    let body = match header.message_type {
        NLMSG_NOOP => Body::Noop,
        NLMSG_OVERRUN => return Err(Error::Lost),
        NLMSG_ERROR => Body::Outcome(parse_outcome(header.flags, payload)?),
        // Linux sends a DONE without an error code where nothing can have failed.
        NLMSG_DONE if payload.is_empty() => Body::Done(Ok(())),
        NLMSG_DONE => Body::Done(parse_done(header.flags, payload)?),
        _ => Body::Entry(payload),
    };
    let len = (message.length() as usize).next_multiple_of(NLMSG_ALIGNTO.into());
    Ok((Reply { header, body }, len))
}

/// Parses `struct nlmsgerr`, which is followed by a part of the request, then by attributes.
fn parse_outcome(flags: u16, payload: &[u8]) -> Result<Result<(), KernelError>, Error> {
    let request_len = match payload.get(CODE_LEN..CODE_LEN + 4) {
        Some(len) if flags & NLM_F_CAPPED == 0 => {
            let len = u32::from_ne_bytes([len[0], len[1], len[2], len[3]]) as usize;
            len.checked_next_multiple_of(NLMSG_ALIGNTO.into()).unwrap_or(usize::MAX)
        }
        _ => HEADER_LEN,
    };
    parse_result(flags, payload, CODE_LEN.saturating_add(request_len))
}

fn parse_done(flags: u16, payload: &[u8]) -> Result<Result<(), KernelError>, Error> {
    parse_result(flags, payload, CODE_LEN)
}

fn parse_result(
    flags: u16,
    payload: &[u8],
    attributes_at: usize,
) -> Result<Result<(), KernelError>, Error> {
    let Some(code) = payload.first_chunk::<CODE_LEN>() else {
        return Err(Error::Malformed(format!("an outcome of {} bytes", payload.len())));
    };
    let code = i32::from_ne_bytes(*code);
    if code >= 0 {
        return Ok(Ok(()));
    }
    let error = KernelError::new(code.saturating_neg());
    let attributes = match payload.get(attributes_at..) {
        Some(attributes) if flags & NLM_F_ACK_TLVS != 0 => attributes,
        _ => &[],
    };
    Ok(Err(match find_message(attributes) {
        Some(message) => error.with_message(message),
        None => error,
    }))
}

fn find_message(attributes: &[u8]) -> Option<String> {
    let nla = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|nla| nla.kind() == NLMSGERR_ATTR_MSG)?;
    let text = nla.value().split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}
