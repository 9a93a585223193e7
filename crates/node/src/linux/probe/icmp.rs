//! ICMP echo messages: RFC 792 and RFC 4443.

/// The types of `linux/icmp.h` and `linux/icmpv6.h`: `ICMP_ECHO`, `ICMP_ECHOREPLY` and their
/// counterparts `ICMPV6_*`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Types {
    pub(super) request: u8,
    pub(super) reply: u8,
}

pub(super) const V4: Types = Types { request: 8, reply: 0 };
pub(super) const V6: Types = Types { request: 128, reply: 129 };

/// Bytes by which the reply to an echo is known. Another host can't guess them.
pub(super) type Cookie = [u8; 8];

/// The length of an echo message: header and cookie.
const LENGTH: usize = 16;

/// Writes an echo request. The kernel completes the checksum of `ICMPv6`.
pub(super) fn encode_request(
    types: Types,
    identifier: u16,
    sequence: u16,
    cookie: Cookie,
) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    message[0] = types.request;
    message[4..6].copy_from_slice(&identifier.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    message[8..].copy_from_slice(&cookie);
    let checksum = compute_checksum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// Reads a message without IP header, and returns the sequence number of a reply to one of our echoes.
/// `identifier` is that of our echoes, where the kernel doesn't tell sockets apart by it. `cookie_of`
/// returns the cookie of an echo to the sender with this sequence number.
pub(super) fn parse_message(
    types: Types,
    message: &[u8],
    identifier: Option<u16>,
    cookie_of: impl Fn(u16) -> Cookie,
) -> Option<u16> {
    let header = message.first_chunk::<8>()?;
    let echoed = u16::from_be_bytes([header[4], header[5]]);
    let sequence = u16::from_be_bytes([header[6], header[7]]);
    let is_ours = header[0] == types.reply
        && header[1] == 0
        && identifier.is_none_or(|identifier| identifier == echoed)
        && message.get(8..) == Some(&cookie_of(sequence)[..]);
    is_ours.then_some(sequence)
}

/// Skips the IPv4 header, which raw sockets deliver; RFC 791.
pub(super) fn skip_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let length = usize::from(packet.first()? & 0xf) * 4;
    packet.get(length..)
}

/// The checksum of the internet protocols; RFC 1071. The length is even.
fn compute_checksum(message: &[u8]) -> u16 {
    let words =
        message.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COOKIE: Cookie = *b"12345678";

    fn reply_to(mut request: [u8; LENGTH], types: Types) -> [u8; LENGTH] {
        assert_eq!(request[0], types.request);
        request[0] = types.reply;
        request
    }

    #[test]
    fn a_reply_is_known_by_cookie_and_identifier() {
        for types in [V4, V6] {
            let request = encode_request(types, 7, 513, COOKIE);
            let parse =
                |message: &[u8], identifier| parse_message(types, message, identifier, |_| COOKIE);
            assert_eq!(parse(&request, Some(7)), None, "our own request");
            let reply = reply_to(request, types);
            assert_eq!(parse(&reply, Some(7)), Some(513));
            assert_eq!(parse(&reply, None), Some(513));
            assert_eq!(parse(&reply, Some(8)), None);
            assert_eq!(parse_message(types, &reply, Some(7), |_| *b"87654321"), None);
            assert_eq!(parse(&reply[..15], Some(7)), None);
            assert_eq!(parse(&[], Some(7)), None);
            let error = [if types.reply == 0 { 3 } else { 1 }, 1, 0, 0, 0, 0, 0, 0, 0x45];
            assert_eq!(parse(&error, Some(7)), None, "anybody can send an error");
        }
    }

    #[test]
    fn the_checksum_makes_the_sum_zero() {
        let request = encode_request(V4, 0xffff, 0xfffe, [0xff; 8]);
        assert_eq!(compute_checksum(&request), 0);
    }

    proptest! {
        #[test]
        fn no_packet_panics(packet: Vec<u8>) {
            let message = skip_ipv4_header(&packet).unwrap_or_default();
            let _ = parse_message(V4, message, Some(1), |_| COOKIE);
            let _ = parse_message(V6, &packet, None, |_| COOKIE);
        }
    }
}
