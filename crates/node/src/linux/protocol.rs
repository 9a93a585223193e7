//! The numbers of the transport protocols (`linux/in.h`).

use vip::Protocol;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// Returns the number of a protocol.
pub(super) fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
    }
}

/// Returns the protocol with this number; `None` for all but TCP and UDP.
pub(super) fn protocol_of_number(number: u8) -> Option<Protocol> {
    match number {
        TCP => Some(Protocol::Tcp),
        UDP => Some(Protocol::Udp),
        _ => None,
    }
}
