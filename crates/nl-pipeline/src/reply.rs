//! The kernel's replies, parsed from a datagram.

use crate::flags::{
    ALIGN, HEADER_LEN, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NLMSG_OVERRUN,
};
use crate::{Error, KernelError, parse_attributes};

/// `NLMSGERR_ATTR_MSG` of `linux/netlink.h`.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The length of the error code that begins the payload of `NLMSG_ERROR` and `NLMSG_DONE`.
const CODE_LEN: usize = 4;

/// A message of the kernel's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The message type. In generic netlink it is the number of the family.
    pub message_type: u16,
    /// The flags of the header.
    pub flags: u16,
    /// Everything after `struct nlmsghdr`.
    pub payload: &'a [u8],
}

/// One message from the kernel.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply<'a> {
    pub(crate) sequence_number: u32,
    pub(crate) flags: u16,
    pub(crate) body: Body<'a>,
}

/// The content of a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Body<'a> {
    /// The outcome of a request: an acknowledgement or a refusal.
    Outcome(Result<(), KernelError>),
    /// The end of a dump, which may have failed midway.
    Done(Result<(), KernelError>),
    /// An entry of an answer.
    Entry(Entry<'a>),
    /// A message to be ignored.
    Noop,
}

/// Parses the messages of a datagram, up to the first malformed one.
pub(crate) fn parse_replies(mut datagram: &[u8]) -> impl Iterator<Item = Result<Reply<'_>, Error>> {
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
    let short = || Error::Malformed(format!("{} bytes where a message begins", bytes.len()));
    let (header, _) = bytes.split_first_chunk::<HEADER_LEN>().ok_or_else(short)?;
    let u16_at = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let u32_at = |at: usize| {
        u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (len, message_type, flags) = (u32_at(0) as usize, u16_at(4), u16_at(6));
    let cut = || Error::Malformed(format!("a message of {len} bytes in {}", bytes.len()));
    let payload = bytes.get(HEADER_LEN..len).ok_or_else(cut)?;
    let body = match message_type {
        NLMSG_NOOP => Body::Noop,
        NLMSG_OVERRUN => return Err(Error::Lost),
        NLMSG_ERROR => Body::Outcome(parse_outcome(flags, payload)?),
        // Linux sends a DONE without an error code where nothing can have failed.
        NLMSG_DONE if payload.is_empty() => Body::Done(Ok(())),
        NLMSG_DONE => Body::Done(parse_done(flags, payload)?),
        _ => Body::Entry(Entry { message_type, flags, payload }),
    };
    let reply = Reply { sequence_number: u32_at(8), flags, body };
    Ok((reply, len.next_multiple_of(ALIGN)))
}

/// Parses `struct nlmsgerr`, which is followed by a part of the request, then by attributes.
fn parse_outcome(flags: u16, payload: &[u8]) -> Result<Result<(), KernelError>, Error> {
    let request_len = match payload.get(CODE_LEN..CODE_LEN + 4) {
        Some(len) if flags & NLM_F_CAPPED == 0 => {
            let len = u32::from_ne_bytes([len[0], len[1], len[2], len[3]]) as usize;
            len.checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX)
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
    let mut all = parse_attributes(attributes).map_while(Result::ok);
    let found = all.find(|attribute| attribute.number() == NLMSGERR_ATTR_MSG)?;
    let text = found.value.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}
