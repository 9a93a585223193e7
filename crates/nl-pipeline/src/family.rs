//! The lookup of a generic netlink family's number, which the kernel assigns anew each time the
//! module is loaded (`linux/genetlink.h`).

use crate::{Attribute, Payload, Request, parse_attributes};

const GENL_ID_CTRL: u16 = 0x10;
/// Room for the name of a family and its closing NUL (`linux/genetlink.h`).
pub(crate) const GENL_NAMSIZ: usize = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// The length of `struct genlmsghdr`.
const GENL_HEADER_LEN: usize = 4;

/// The request for a family, to the controller of generic netlink.
pub(crate) struct FamilyRequest<'a>(pub(crate) &'a str);

impl Request for FamilyRequest<'_> {
    fn message_type(&self) -> u16 {
        GENL_ID_CTRL
    }
    fn write_payload(&self, payload: &mut Payload<'_>) {
        payload.write_raw(&[CTRL_CMD_GETFAMILY, 1, 0, 0]);
        payload.write_name(CTRL_ATTR_FAMILY_NAME, self.0);
    }
}

/// Finds the number in the controller's answer. 0 is none, and the kernel would acknowledge a
/// message sent to it unread.
pub(crate) fn find_number(payload: &[u8]) -> Option<u16> {
    let attributes = parse_attributes(payload.get(GENL_HEADER_LEN..)?).map_while(Result::ok);
    let number = |attribute: Attribute<'_>| match attribute.number() {
        CTRL_ATTR_FAMILY_ID => attribute.value.try_into().ok().map(u16::from_ne_bytes),
        _ => None,
    };
    attributes.filter_map(number).find(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::Outgoing;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_request_for_a_family_is_what_other_programs_send() {
        let mut outgoing = Outgoing::new(0);
        outgoing.push_request(&FamilyRequest("IPVS"), 0);
        outgoing.acknowledge_last();
        assert_eq!(
            outgoing.as_bytes(),
            [
                0x20, 0, 0, 0, 0x10, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 9, 0, 2, 0, b'I',
                b'P', b'V', b'S', 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn a_family_without_a_number_or_with_the_number_0_is_absent() {
        let with = |kind, value: &[u8]| {
            let mut bytes = vec![1, 2, 0, 0];
            Payload::new(&mut bytes).write_bytes(kind, value);
            find_number(&bytes)
        };
        assert_eq!(with(CTRL_ATTR_FAMILY_ID, &28_u16.to_ne_bytes()), Some(28));
        assert_eq!(with(CTRL_ATTR_FAMILY_ID, &[0, 0]), None);
        assert_eq!(with(CTRL_ATTR_FAMILY_ID, &[1, 0, 0]), None);
        assert_eq!(with(CTRL_ATTR_FAMILY_NAME, &28_u16.to_ne_bytes()), None);
        assert_eq!(find_number(&[1, 2]), None);
    }
}
