//! The bookkeeping of answers, with datagrams made by hand.

use std::convert::Infallible;

use netlink_packet_core::{
    NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_GENERIC;
use proptest::prelude::*;

use super::Pipeline;
use super::answer::{Answer, Progress};
use super::batch::Batch;
use super::reply::parse_replies;
use crate::{Error, KernelError, errno};

/// A family's own message.
const ENTRY: u16 = 28;

#[derive(Debug, Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl NetlinkDeserializable for Bytes {
    type Error = Infallible;
    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self(payload.to_vec()))
    }
}

/// Goes to the controller of generic netlink, which every kernel has.
impl NetlinkSerializable for Bytes {
    fn message_type(&self) -> u16 {
        0x10
    }
    fn buffer_len(&self) -> usize {
        self.0.len()
    }
    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0);
    }
}

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + payload.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `struct nlmsgerr` in front of the request's header.
fn outcome(sequence: u32, code: i32) -> Vec<u8> {
    let mut payload = code.to_ne_bytes().to_vec();
    payload.extend(message(ENTRY, 0, sequence, &[]));
    message(NLMSG_ERROR, NLM_F_CAPPED, sequence, &payload)
}

fn done(sequence: u32, code: i32) -> Vec<u8> {
    message(NLMSG_DONE, 2, sequence, &code.to_ne_bytes())
}

fn refused(outcomes: &[Result<(), KernelError>]) -> Vec<i32> {
    outcomes.iter().map(|o| o.as_ref().err().map_or(0, KernelError::errno)).collect()
}

/// Feeds datagrams to a batch; the outcomes once it is complete.
fn run_batch(first: u32, count: u32, datagrams: &[Vec<u8>]) -> Option<Vec<i32>> {
    let mut batch = Batch::new(first, count);
    for datagram in datagrams {
        for reply in parse_replies(datagram) {
            if batch.accept_reply(reply.unwrap()) {
                return Some(refused(&batch.into_outcomes()));
            }
        }
    }
    None
}

/// The entries of an answer and whether they were interrupted, or the refusal.
type Answered = Result<(Vec<Vec<u8>>, bool), i32>;

/// A name, the datagrams that come, and what is made of them.
type Case<'a, T> = (&'a str, &'a [Vec<u8>], Option<T>);

/// Feeds datagrams to an answer.
fn run_answer(datagrams: &[Vec<u8>]) -> Option<Answered> {
    let mut answer = Answer::new(7, Bytes::deserialize);
    for datagram in datagrams {
        for reply in parse_replies(datagram) {
            match answer.accept_reply(reply.unwrap()) {
                Progress::More => {}
                Progress::Complete => {
                    let (entries, interrupted) = answer.into_entries();
                    let bytes = entries.into_iter().map(|entry| entry.unwrap().0).collect();
                    return Some(Ok((bytes, interrupted)));
                }
                Progress::Refused(error) => return Some(Err(error.errno())),
            }
        }
    }
    None
}

#[test]
fn failures_go_to_the_request_with_their_sequence_number() {
    let table: [Case<'_, Vec<i32>>; 8] = [
        ("all done", &[outcome(12, 0)], Some(vec![0, 0, 0])),
        ("middle failed", &[outcome(11, -17), outcome(12, 0)], Some(vec![0, 17, 0])),
        ("last failed", &[outcome(12, -2)], Some(vec![0, 0, 2])),
        (
            "all failed, in one datagram",
            &[[outcome(10, -3), outcome(11, -2), outcome(12, -22)].concat()],
            Some(vec![3, 2, 22]),
        ),
        ("stale answers", &[outcome(9, -1), outcome(13, -1), outcome(12, 0)], Some(vec![0, 0, 0])),
        ("no answer to the last", &[outcome(11, -17)], None),
        (
            "entries are not outcomes",
            &[message(ENTRY, 0, 12, &[1, 2, 3]), message(NLMSG_NOOP, 0, 12, &[]), outcome(12, 0)],
            Some(vec![0, 0, 0]),
        ),
        ("nothing", &[], None),
    ];
    for (name, datagrams, expected) in table {
        assert_eq!(run_batch(10, 3, datagrams), expected, "{name}");
    }
}

#[test]
fn sequence_numbers_may_wrap_inside_a_batch() {
    let datagrams = [outcome(u32::MAX, -17), outcome(0, -2), outcome(1, 0)];
    assert_eq!(run_batch(u32::MAX, 3, &datagrams), Some(vec![17, 2, 0]));
}

#[test]
fn a_dump_is_read_across_datagrams_until_its_own_end() {
    let entry = |bytes: &[u8]| message(ENTRY, 2, 7, bytes);
    let table: [Case<'_, Answered>; 8] = [
        (
            "split over datagrams",
            &[[entry(&[1]), entry(&[2])].concat(), entry(&[3]), done(7, 0)],
            Some(Ok((vec![vec![1], vec![2], vec![3]], false))),
        ),
        ("empty, without a number", &[message(NLMSG_DONE, 2, 7, &[])], Some(Ok((vec![], false)))),
        ("fails at its end", &[entry(&[1]), done(7, -12)], Some(Err(errno::ENOMEM))),
        ("refused", &[outcome(7, -16)], Some(Err(errno::EBUSY))),
        (
            "stale entries and ends",
            &[message(ENTRY, 2, 6, &[9]), done(6, 0), outcome(6, -1), entry(&[1]), done(7, 0)],
            Some(Ok((vec![vec![1]], false))),
        ),
        (
            "interrupted",
            &[message(ENTRY, NLM_F_DUMP_INTR, 7, &[1]), done(7, 0)],
            Some(Ok((vec![vec![1]], true))),
        ),
        (
            "a single answer with its ack",
            &[entry(&[1]), outcome(7, 0)],
            Some(Ok((vec![vec![1]], false))),
        ),
        ("no end", &[entry(&[1])], None),
    ];
    for (name, datagrams, expected) in table {
        assert_eq!(run_answer(datagrams), expected, "{name}");
    }
}

#[test]
fn the_kernels_words_are_found_behind_a_whole_and_behind_a_capped_request() {
    let text = [&[12, 0, 1, 0][..], b"too bad\0"].concat();
    let offset = [8, 0, 2, 0, 20, 0, 0, 0];
    let request = message(ENTRY, 5, 7, &[1, 2, 3]);
    let code = (-34_i32).to_ne_bytes();
    let whole = [&code[..], &request, &offset, &text].concat();
    let capped = [&code[..], &request[..16], &offset, &text].concat();
    let dumped = [&code[..], &offset, &text].concat();
    let table = [
        (message(NLMSG_ERROR, NLM_F_ACK_TLVS, 7, &whole), Some("too bad")),
        (message(NLMSG_ERROR, NLM_F_ACK_TLVS | NLM_F_CAPPED, 7, &capped), Some("too bad")),
        (message(NLMSG_DONE, NLM_F_ACK_TLVS, 7, &dumped), Some("too bad")),
        (message(NLMSG_ERROR, NLM_F_CAPPED, 7, &capped), None),
        (message(NLMSG_ERROR, NLM_F_ACK_TLVS, 7, &code), None),
    ];
    for (datagram, words) in table {
        let mut answer = Answer::new(7, Bytes::deserialize);
        let reply = parse_replies(&datagram).next().unwrap().unwrap();
        let Progress::Refused(error) = answer.accept_reply(reply) else {
            panic!("not refused: {datagram:?}");
        };
        assert_eq!((error.errno(), error.message()), (errno::ERANGE, words));
    }
}

#[test]
fn an_overrun_means_lost_and_a_broken_length_ends_the_datagram() {
    let overrun = message(NLMSG_OVERRUN, 0, 7, &[]);
    assert!(matches!(parse_replies(&overrun).next(), Some(Err(Error::Lost))));
    let mut broken = outcome(7, 0);
    broken[0] = 200;
    let both = [outcome(7, 0), broken].concat();
    let results: Vec<_> = parse_replies(&both).collect();
    assert!(matches!(&results[..], [Ok(_), Err(Error::Malformed(_))]));
}

#[test]
fn the_rest_of_an_abandoned_dump_is_read_away_before_the_next_one() {
    let every_family = Bytes(vec![3, 1, 0, 0]);
    let abandoned = message(0x10, NLM_F_REQUEST | NLM_F_DUMP, 999, &every_family.0);
    let mut pipeline = Pipeline::open(NETLINK_GENERIC).unwrap();
    pipeline.send_datagram(&abandoned).unwrap();
    let header = NetlinkHeader::default();
    let request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(every_family));
    let families = pipeline.dump(&request).unwrap();
    assert!(!families.unwrap().is_empty(), "or EBUSY");
}

proptest! {
    #[test]
    fn arbitrary_datagrams_end_and_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop_oneof![Just(NLMSG_ERROR), Just(NLMSG_DONE), Just(ENTRY)],
        flags in any::<u16>(),
    ) {
        for datagram in [bytes.clone(), message(kind, flags, 7, &bytes)] {
            let mut batch = Batch::new(7, 3);
            let mut answer = Answer::new(7, Bytes::deserialize);
            for reply in parse_replies(&datagram).filter_map(Result::ok) {
                answer.accept_reply(reply);
            }
            for reply in parse_replies(&datagram).filter_map(Result::ok) {
                batch.accept_reply(reply);
            }
        }
    }
}
