//! The datagram of requests that is sent next.

use crate::flags::{ALIGN, HEADER_LEN, NLM_F_ACK, NLM_F_REQUEST};
use crate::{Payload, Request};

/// The most requests in a datagram. This many make the system call cheap, and if all fail, the
/// answers still fit the default receive buffer, which overflows between 256 and 300.
const MAX_REQUESTS: u32 = 128;

/// The length after which a datagram is sent, well below the default send buffer of 208 KiB.
const MAX_LEN: usize = 64 * 1024;

/// The offset of the flags in `struct nlmsghdr`.
const FLAGS_AT: usize = 6;

/// A datagram of requests with consecutive sequence numbers.
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    first_sequence: u32,
    count: u32,
    last_at: usize,
}

impl Outgoing {
    pub(crate) fn new(first_sequence: u32) -> Self {
        Self { bytes: Vec::new(), first_sequence, count: 0, last_at: 0 }
    }

    /// Begins the next datagram in the same memory.
    pub(crate) fn restart(&mut self, first_sequence: u32) {
        self.bytes.clear();
        (self.first_sequence, self.count, self.last_at) = (first_sequence, 0, 0);
    }

    /// Adds a request, with `flags` besides its own. Removes `NLM_F_ACK`: an acknowledgement that
    /// nobody waits for would be taken for the answer to a later request.
    pub(crate) fn push_request(&mut self, request: &impl Request, flags: u16) {
        self.last_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER_LEN]);
        request.write_payload(&mut Payload::new(&mut self.bytes));
        let flags = (request.flags() & !NLM_F_ACK) | NLM_F_REQUEST | flags;
        self.write_header(request.message_type(), flags);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        self.count += 1;
    }

    /// Writes `struct nlmsghdr` of the last message. The port number stays 0: the kernel's.
    fn write_header(&mut self, message_type: u16, flags: u16) {
        let sequence = self.first_sequence.wrapping_add(self.count);
        let message = &mut self.bytes[self.last_at..];
        let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
        message[..4].copy_from_slice(&len.to_ne_bytes());
        message[4..6].copy_from_slice(&message_type.to_ne_bytes());
        message[FLAGS_AT..FLAGS_AT + 2].copy_from_slice(&flags.to_ne_bytes());
        message[8..12].copy_from_slice(&sequence.to_ne_bytes());
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= MAX_REQUESTS || self.bytes.len() >= MAX_LEN
    }

    pub(crate) fn request_count(&self) -> u32 {
        self.count
    }

    /// Requests an acknowledgement of the last request.
    pub(crate) fn acknowledge_last(&mut self) {
        let at = self.last_at + FLAGS_AT;
        if let Some(flags) = self.bytes.get_mut(at..at + 2) {
            let asked = u16::from_ne_bytes([flags[0], flags[1]]) | NLM_F_ACK;
            flags.copy_from_slice(&asked.to_ne_bytes());
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawRequest;

    /// `NLM_F_CREATE` of `linux/netlink.h`.
    const NLM_F_CREATE: u16 = 0x400;

    fn request() -> RawRequest {
        RawRequest::new(28, vec![16, 1, 0, 0])
    }

    /// The sequence number and the flags of each message.
    fn headers(outgoing: &Outgoing) -> Vec<(u32, u16)> {
        let messages = outgoing.as_bytes().chunks(20);
        messages
            .map(|message| {
                assert_eq!(message[..6], [20, 0, 0, 0, 28, 0]);
                let sequence = u32::from_ne_bytes(message[8..12].try_into().unwrap());
                (sequence, u16::from_ne_bytes([message[6], message[7]]))
            })
            .collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_the_last_request_asks_for_an_acknowledgement() {
        let mut outgoing = Outgoing::new(u32::MAX);
        for flags in [NLM_F_ACK, NLM_F_CREATE, 0] {
            outgoing.push_request(&RawRequest { flags, ..request() }, 0);
        }
        outgoing.acknowledge_last();
        let plain = NLM_F_REQUEST;
        assert_eq!(
            headers(&outgoing),
            [(u32::MAX, plain), (0, plain | NLM_F_CREATE), (1, plain | NLM_F_ACK)]
        );
    }

    #[test]
    fn a_datagram_is_full_at_128_requests() {
        let mut outgoing = Outgoing::new(1);
        let pushed = (1..).find(|_| {
            outgoing.push_request(&request(), 0);
            outgoing.is_full()
        });
        assert_eq!(pushed, Some(128));
    }

    #[test]
    fn a_request_is_padded_to_the_next_one() {
        let mut outgoing = Outgoing::new(1);
        outgoing.push_request(&RawRequest::new(28, vec![1]), 0);
        assert_eq!(outgoing.as_bytes().len(), 20);
        assert_eq!(outgoing.as_bytes()[..4], 17_u32.to_ne_bytes());
    }

    #[test]
    fn an_empty_datagram_has_nothing_to_acknowledge() {
        let mut outgoing = Outgoing::new(1);
        outgoing.acknowledge_last();
        assert_eq!(outgoing.as_bytes(), []);
    }
}
