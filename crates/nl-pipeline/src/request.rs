//! Requests to the kernel.

use crate::Payload;

/// A request to the kernel: a netlink message as far as its sender decides.
///
/// The pipeline writes the header, and sets `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_DUMP` and the
/// sequence number.
pub trait Request {
    /// Returns the message type. In generic netlink it is the number of the family.
    fn message_type(&self) -> u16;

    /// Returns further flags of the header, such as `NLM_F_CREATE`.
    fn flags(&self) -> u16 {
        0
    }

    /// Writes everything after `struct nlmsghdr`.
    fn write_payload(&self, payload: &mut Payload<'_>);
}

impl<R: Request + ?Sized> Request for &R {
    fn message_type(&self) -> u16 {
        (**self).message_type()
    }
    fn flags(&self) -> u16 {
        (**self).flags()
    }
    fn write_payload(&self, payload: &mut Payload<'_>) {
        (**self).write_payload(payload);
    }
}

/// A request whose payload is already bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawRequest {
    /// The message type.
    pub message_type: u16,
    /// Further flags of the header.
    pub flags: u16,
    /// Everything after `struct nlmsghdr`.
    pub payload: Vec<u8>,
}

impl RawRequest {
    /// Makes a request without further flags.
    #[must_use]
    pub fn new(message_type: u16, payload: Vec<u8>) -> Self {
        Self { message_type, flags: 0, payload }
    }
}

impl Request for RawRequest {
    fn message_type(&self) -> u16 {
        self.message_type
    }
    fn flags(&self) -> u16 {
        self.flags
    }
    fn write_payload(&self, payload: &mut Payload<'_>) {
        payload.write_raw(&self.payload);
    }
}
