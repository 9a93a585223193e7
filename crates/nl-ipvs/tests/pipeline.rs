//! The pipeline against this machine's kernel: the controller of generic netlink and rtnetlink
//! are everywhere and need no privilege to be read.

use std::convert::Infallible;

use netlink_packet_core::{
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use nl_ipvs::{Pipeline, errno};

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;
const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;

/// A message of any family.
#[derive(Debug, Clone, PartialEq)]
struct Raw {
    kind: u16,
    bytes: Vec<u8>,
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }
    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }
    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Raw {
    type Error = Infallible;
    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type, bytes: payload.to_vec() })
    }
}

fn message(kind: u16, bytes: &[u8]) -> NetlinkMessage<Raw> {
    let raw = Raw { kind, bytes: bytes.to_vec() };
    NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(raw))
}

/// Asks the controller for a family with a name of up to 7 bytes.
fn family(name: &str) -> NetlinkMessage<Raw> {
    let mut bytes = vec![CTRL_CMD_GETFAMILY, 1, 0, 0, 12, 0, 2, 0];
    bytes.extend(name.as_bytes());
    bytes.resize(16, 0);
    message(GENL_ID_CTRL, &bytes)
}

#[test]
fn each_request_of_a_batch_of_many_sends_gets_its_own_outcome() {
    let mut pipeline = Pipeline::open(NETLINK_GENERIC).unwrap();
    let there = |position: usize| position.is_multiple_of(100);
    let requests = (0..300).map(|n| family(if there(n) { "nlctrl" } else { "absent" }));
    let outcomes = pipeline.batch(requests).unwrap();
    assert_eq!(outcomes.len(), 300);
    for (position, outcome) in outcomes.into_iter().enumerate() {
        let expected = if there(position) { None } else { Some(errno::ENOENT) };
        assert_eq!(outcome.err().map(|e| e.errno()), expected, "request {position}");
    }
}

#[test]
fn a_batch_of_nothing_is_done_without_the_kernel() {
    let mut pipeline = Pipeline::open(NETLINK_GENERIC).unwrap();
    assert_eq!(pipeline.batch(Vec::<NetlinkMessage<Raw>>::new()).unwrap(), []);
}

#[test]
fn answers_of_an_earlier_exchange_are_not_taken_for_those_of_a_later_one() {
    let mut pipeline = Pipeline::open(NETLINK_GENERIC).unwrap();
    for _ in 0..3 {
        // Its data is nobody's here, and must not reach the request behind it.
        assert_eq!(pipeline.batch([family("nlctrl"), family("absent")]).unwrap()[0], Ok(()));
        let refusal = pipeline.get(&family("absent")).unwrap().unwrap_err();
        assert_eq!(refusal.errno(), errno::ENOENT);
        let entries = pipeline.get(&family("nlctrl")).unwrap().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].as_ref().unwrap().bytes[0], CTRL_CMD_NEWFAMILY);
    }
}

#[test]
fn dumps_of_any_netlink_protocol_are_read_to_their_end_one_after_the_other() {
    let mut generic = Pipeline::open(NETLINK_GENERIC).unwrap();
    let all = message(GENL_ID_CTRL, &[CTRL_CMD_GETFAMILY, 1, 0, 0]);
    let first = generic.dump(&all).unwrap().unwrap();
    assert!(first.len() > 1, "{first:?}");
    assert_eq!(generic.dump(&all).unwrap().unwrap().len(), first.len());

    let mut route = Pipeline::open(NETLINK_ROUTE).unwrap();
    let links = route.dump(&message(RTM_GETLINK, &[0; 16])).unwrap().unwrap();
    assert!(!links.is_empty());
    assert!(links.iter().all(|link| link.as_ref().unwrap().kind == RTM_NEWLINK));
}

#[test]
fn a_command_that_a_family_does_not_have_is_refused_not_waited_for() {
    let mut pipeline = Pipeline::open(NETLINK_GENERIC).unwrap();
    let refusal = pipeline.get(&message(GENL_ID_CTRL, &[200, 1, 0, 0])).unwrap().unwrap_err();
    assert_eq!(refusal.errno(), errno::EOPNOTSUPP);
    let refusal = pipeline.dump(&message(GENL_ID_CTRL, &[200, 1, 0, 0])).unwrap().unwrap_err();
    assert_eq!(refusal.errno(), errno::EOPNOTSUPP);
}
