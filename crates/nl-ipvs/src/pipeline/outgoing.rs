//! The datagram of requests that is sent next.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NLMSG_ALIGNTO, NetlinkMessage, NetlinkSerializable,
};

/// The most requests in a datagram. This many make the system call cheap, and if all fail, the
/// answers still fit the default receive buffer, which overflows between 256 and 300.
const MAX_REQUESTS: u32 = 128;

/// The length after which a datagram is sent, well below the default send buffer of 208 KiB.
const MAX_LEN: usize = 64 * 1024;

/// The offset of the flags in `struct nlmsghdr`.
const FLAGS_AT: usize = 6;

/// A datagram of requests with consecutive sequence numbers.
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    first_sequence: u32,
    count: u32,
    last_at: usize,
}

impl Outgoing {
    pub(super) fn new(first_sequence: u32) -> Self {
        Self { bytes: Vec::new(), first_sequence, count: 0, last_at: 0 }
    }

    /// Begins the next datagram in the same memory.
    pub(super) fn restart(&mut self, first_sequence: u32) {
        self.bytes.clear();
        (self.first_sequence, self.count, self.last_at) = (first_sequence, 0, 0);
    }

    /// Adds a request, with `flags` besides its own. Removes `NLM_F_ACK`: an acknowledgement that
    /// nobody waits for would be taken for the answer to a later request.
    pub(super) fn push_request<I: NetlinkSerializable>(
        &mut self,
        mut request: NetlinkMessage<I>,
        flags: u16,
    ) {
        request.header.flags = (request.header.flags & !NLM_F_ACK) | NLM_F_REQUEST | flags;
        request.header.sequence_number = self.first_sequence.wrapping_add(self.count);
        request.finalize();
        self.last_at = self.bytes.len();
        self.bytes.resize(self.last_at + request.buffer_len(), 0);
        request.serialize(&mut self.bytes[self.last_at..]);
        self.bytes.resize(self.bytes.len().next_multiple_of(NLMSG_ALIGNTO.into()), 0);
        self.count += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= MAX_REQUESTS || self.bytes.len() >= MAX_LEN
    }

    pub(super) fn request_count(&self) -> u32 {
        self.count
    }

    /// Requests an acknowledgement of the last request.
    pub(super) fn acknowledge_last(&mut self) {
        let at = self.last_at + FLAGS_AT;
        if let Some(flags) = self.bytes.get_mut(at..at + 2) {
            let asked = u16::from_ne_bytes([flags[0], flags[1]]) | NLM_F_ACK;
            flags.copy_from_slice(&asked.to_ne_bytes());
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_CREATE, NetlinkBuffer};
    use netlink_packet_generic::GenlMessage;

    use super::*;
    use crate::wire::{IpvsCmd, IpvsMessage};

    fn request() -> NetlinkMessage<GenlMessage<IpvsMessage>> {
        NetlinkMessage::from(GenlMessage::from_payload(IpvsMessage::bare(IpvsCmd::Zero)))
    }

    fn headers(outgoing: &Outgoing) -> Vec<(u32, u16)> {
        let mut rest = outgoing.as_bytes();
        let mut headers = Vec::new();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).unwrap();
            headers.push((message.sequence_number(), message.flags()));
            rest = &rest[message.length() as usize..];
        }
        headers
    }

    #[test]
    fn only_the_last_request_asks_for_an_acknowledgement() {
        let mut outgoing = Outgoing::new(u32::MAX);
        for flags in [NLM_F_ACK, NLM_F_CREATE, 0] {
            let mut request = request();
            request.header.flags = flags;
            outgoing.push_request(request, 0);
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
            outgoing.push_request(request(), 0);
            outgoing.is_full()
        });
        assert_eq!(pushed, Some(128));
    }

    #[test]
    fn an_empty_datagram_has_nothing_to_acknowledge() {
        let mut outgoing = Outgoing::new(1);
        outgoing.acknowledge_last();
        assert_eq!(outgoing.as_bytes(), []);
    }
}
