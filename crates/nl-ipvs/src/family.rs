//! Lookup of a generic netlink family's number, which the kernel assigns anew each time the module
//! is loaded (`linux/genetlink.h`).

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NetlinkMessage, Nla, NlasIterator, Parseable,
    ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

use crate::{Error, Pipeline, errno};

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// A message of the generic netlink controller. Only one attribute of an answer is used.
#[derive(Debug, Clone, PartialEq)]
struct Lookup(Vec<DefaultNla>);

impl Lookup {
    fn lookup_request(name: &str) -> NetlinkMessage<GenlMessage<Self>> {
        let mut value = name.as_bytes().to_vec();
        value.push(0);
        let name = DefaultNla::new(CTRL_ATTR_FAMILY_NAME, value);
        NetlinkMessage::from(GenlMessage::from_payload(Self(vec![name])))
    }

    /// Returns the family's number in an answer. 0 is none, and the kernel would acknowledge a
    /// message sent to it unread.
    fn found_id(&self) -> Option<u16> {
        let id =
            self.0.iter().find(|nla| nla.kind() == CTRL_ATTR_FAMILY_ID && nla.value_len() == 2)?;
        let mut bytes = [0; 2];
        id.emit_value(&mut bytes);
        Some(u16::from_ne_bytes(bytes)).filter(|id| *id != 0)
    }
}

impl GenlFamily for Lookup {
    fn family_name() -> &'static str {
        "nlctrl"
    }
    fn family_id(&self) -> u16 {
        GENL_ID_CTRL
    }
    fn command(&self) -> u8 {
        CTRL_CMD_GETFAMILY
    }
    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Lookup {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }
    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Lookup {
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(bytes).map(|nla| DefaultNla::parse(&nla?));
        attributes.collect::<Result<_, _>>().map(Self)
    }
}

/// Looks up the number of a family. The lookup makes the kernel load the module if it can.
pub(crate) fn resolve_family(pipeline: &mut Pipeline, family: &'static str) -> Result<u16, Error> {
    let entries = match pipeline.get(&Lookup::lookup_request(family))? {
        Ok(entries) => entries,
        Err(refusal) if refusal.errno() == errno::ENOENT => {
            return Err(Error::Unavailable { family });
        }
        Err(source) => return Err(Error::Refused { doing: "look up a netlink family", source }),
    };
    let mut ids = entries.into_iter().filter_map(|entry| entry.ok()?.payload.found_id());
    ids.next().ok_or(Error::Unavailable { family })
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};

    use super::*;

    #[test]
    fn the_request_for_a_family_is_what_other_programs_send() {
        let mut request = Lookup::lookup_request("IPVS");
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        #[cfg(target_endian = "little")]
        assert_eq!(
            bytes,
            [
                0x20, 0, 0, 0, 0x10, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 9, 0, 2, 0, b'I',
                b'P', b'V', b'S', 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn a_family_without_a_number_or_with_the_number_0_is_absent() {
        let with =
            |kind, value: &[u8]| Lookup(vec![DefaultNla::new(kind, value.to_vec())]).found_id();
        assert_eq!(with(CTRL_ATTR_FAMILY_ID, &28_u16.to_ne_bytes()), Some(28));
        assert_eq!(with(CTRL_ATTR_FAMILY_ID, &[0, 0]), None);
        assert_eq!(with(CTRL_ATTR_FAMILY_ID, &[1, 0, 0]), None);
        assert_eq!(with(CTRL_ATTR_FAMILY_NAME, &28_u16.to_ne_bytes()), None);
    }
}
