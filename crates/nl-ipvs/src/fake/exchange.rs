//! Datagrams of requests, and the answers to them.

use nl_pipeline::parse_attributes;

use super::state::{Failure, State};
use crate::wire::{IPVS_GENL_NAME, IpvsMessage};
use crate::{Payload, errno};

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const NLM_F_MULTI: u16 = 2;
const NLM_F_ACK: u16 = 4;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// The length of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;

/// The length up to which messages share a datagram, as in the kernel's dumps.
const MAX_LEN: usize = 32 * 1024;

/// What a client reads next.
pub(super) enum Queued {
    Datagram(Vec<u8>),
    /// The notice that answers were dropped.
    Lost,
}

/// A request of a datagram.
struct Request<'a> {
    header: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl Request<'_> {
    fn message_type(&self) -> u16 {
        u16::from_ne_bytes([self.header[4], self.header[5]])
    }
    fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.header[6], self.header[7]])
    }
    fn is_dump(&self) -> bool {
        self.flags() & NLM_F_DUMP == NLM_F_DUMP
    }
}

/// Carries out the requests of a datagram, and returns the answers.
pub(super) fn answer_datagram(state: &mut State, datagram: &[u8]) -> Vec<Queued> {
    let of_whole = |failure: &Failure| matches!(failure, Failure::LoseAnswers | Failure::Silence);
    let failure = state.failures.front().copied().filter(of_whole);
    if failure.is_some() {
        state.failures.pop_front();
    }
    let mut messages = Vec::new();
    let mut rest = datagram;
    while let Some((request, after)) = split_request(rest) {
        answer_request(state, &request, &mut messages);
        rest = after;
    }
    match failure {
        Some(Failure::LoseAnswers) => vec![Queued::Lost],
        Some(_) => Vec::new(),
        None => pack_messages(messages),
    }
}

fn split_request(bytes: &[u8]) -> Option<(Request<'_>, &[u8])> {
    let (header, _) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let payload = bytes.get(HEADER_LEN..len)?;
    Some((Request { header, payload }, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

fn answer_request(state: &mut State, request: &Request<'_>, messages: &mut Vec<Vec<u8>>) {
    let multi = if request.is_dump() { NLM_F_MULTI } else { 0 };
    match carry_out(state, request) {
        Ok(entries) => {
            let kind = request.message_type();
            messages.extend(entries.iter().map(|entry| message(request, kind, multi, entry)));
            if request.is_dump() {
                messages.push(message(request, NLMSG_DONE, multi, &[0; 4]));
            } else if request.flags() & NLM_F_ACK != 0 {
                messages.push(outcome(request, 0));
            }
        }
        Err(errno) => messages.push(outcome(request, errno)),
    }
}

/// Carries out a request. Returns the entries of the answer, or the errno of the refusal.
fn carry_out(state: &mut State, request: &Request<'_>) -> Result<Vec<Vec<u8>>, i32> {
    if request.message_type() == GENL_ID_CTRL {
        return find_family(state.family, request.payload);
    }
    if let Some(Failure::Refuse(errno)) = state.failures.front() {
        let errno = *errno;
        state.failures.pop_front();
        return Err(errno);
    }
    if request.message_type() != state.family {
        return Err(errno::ENOENT);
    }
    let message = IpvsMessage::parse(request.payload).map_err(|_| errno::EINVAL)?;
    let entries = state.table.carry_out(&message, request.is_dump())?;
    Ok(entries.iter().map(IpvsMessage::to_bytes).collect())
}

fn find_family(family: u16, payload: &[u8]) -> Result<Vec<Vec<u8>>, i32> {
    let Some(([command, ..], attributes)) = payload.split_first_chunk::<4>() else {
        return Err(errno::EINVAL);
    };
    if *command != CTRL_CMD_GETFAMILY {
        return Err(errno::EOPNOTSUPP);
    }
    let mut attributes = parse_attributes(attributes).flatten();
    let name = attributes.find(|attribute| attribute.number() == CTRL_ATTR_FAMILY_NAME);
    let name = name.ok_or(errno::EINVAL)?.value;
    if name.strip_suffix(&[0]) != Some(IPVS_GENL_NAME.as_bytes()) {
        return Err(errno::ENOENT);
    }
    let mut bytes = vec![CTRL_CMD_NEWFAMILY, 2, 0, 0];
    Payload::new(&mut bytes).write_u16(CTRL_ATTR_FAMILY_ID, family);
    Ok(vec![bytes])
}

/// Makes `struct nlmsgerr` with the header of the request.
fn outcome(request: &Request<'_>, errno: i32) -> Vec<u8> {
    let payload = [&errno.saturating_neg().to_ne_bytes()[..], request.header].concat();
    message(request, NLMSG_ERROR, NLM_F_CAPPED, &payload)
}

fn message(request: &Request<'_>, kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER_LEN + payload.len()).unwrap_or(u32::MAX);
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // The sequence number and the port number of the request.
    bytes.extend(&request.header[8..]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn pack_messages(messages: Vec<Vec<u8>>) -> Vec<Queued> {
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    for message in messages {
        match datagrams.last_mut() {
            Some(last) if last.len() + message.len() <= MAX_LEN => last.extend(message),
            _ => datagrams.push(message),
        }
    }
    datagrams.into_iter().map(Queued::Datagram).collect()
}
