//! The bookkeeping of answers, with datagrams made by hand.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use proptest::prelude::*;

use crate::answer::{Answer, Progress};
use crate::batch::Batch;
use crate::flags::{
    NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NLMSG_OVERRUN,
};
use crate::reply::parse_replies;
use crate::{Entry, Error, KernelError, Outcome, Pipeline, RawRequest, Transport, errno};

/// A family's own message.
const ENTRY: u16 = 28;

fn payload(entry: Entry<'_>) -> Vec<u8> {
    entry.payload.to_vec()
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

fn refused(outcomes: impl Iterator<Item = Outcome>) -> Vec<i32> {
    outcomes.map(|outcome| outcome.err().map_or(0, |error| error.errno())).collect()
}

/// Feeds datagrams to a batch; the outcomes once it is complete.
fn run_batch(first: u32, count: u32, datagrams: &[Vec<u8>]) -> Option<Vec<i32>> {
    let mut batch = Batch::new(first, count);
    for datagram in datagrams {
        for reply in parse_replies(datagram) {
            if batch.accept_reply(reply.unwrap()) {
                return Some(refused(batch.into_outcomes()));
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
    let mut answer = Answer::new(7, payload);
    for datagram in datagrams {
        for reply in parse_replies(datagram) {
            match answer.accept_reply(reply.unwrap()) {
                Progress::More => {}
                Progress::Complete => {
                    return Some(Ok(answer.into_entries()));
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
        let mut answer = Answer::new(7, payload);
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

#[cfg(feature = "socket")]
#[test]
fn the_rest_of_an_abandoned_dump_is_read_away_before_the_next_one() {
    use crate::Protocol;
    use crate::flags::{NLM_F_DUMP, NLM_F_REQUEST};

    // Goes to the controller of generic netlink, which every kernel has.
    let every_family = RawRequest::new(0x10, vec![3, 1, 0, 0]);
    let abandoned = message(0x10, NLM_F_REQUEST | NLM_F_DUMP, 999, &every_family.payload);
    let mut pipeline = Pipeline::open(Protocol::GENERIC).unwrap();
    pipeline.send_datagram(&abandoned).unwrap();
    let families = pipeline.dump(&every_family, payload).unwrap();
    assert!(!families.unwrap().is_empty(), "or EBUSY");
}

/// A kernel that answers with what it was given, whatever is asked.
struct Played(VecDeque<io::Result<Vec<u8>>>);

impl Played {
    fn pipeline(answers: Vec<io::Result<Vec<u8>>>) -> Pipeline {
        Pipeline::with_transport(Self(answers.into()))
    }
}

impl Transport for Played {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let nothing = || Err(io::ErrorKind::WouldBlock.into());
        let datagram = self.0.pop_front().unwrap_or_else(nothing)?;
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Ok(datagram.len())
    }
    fn try_receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer)
    }
}

fn lost() -> io::Error {
    io::Error::from_raw_os_error(errno::ENOBUFS)
}

fn requests(count: usize) -> Vec<RawRequest> {
    vec![RawRequest::new(ENTRY, vec![16, 1, 0, 0]); count]
}

#[test]
fn a_lost_batch_keeps_the_answers_that_came() {
    // Two of the first datagram's 128 requests are refused. The answers to the second are lost but
    // for one, which is read after the kernel has told of the loss.
    let first = [outcome(1, -17), outcome(3, -2), outcome(128, 0)].concat();
    let mut pipeline = Played::pipeline(vec![Ok(first), Err(lost()), Ok(outcome(130, -3))]);
    let failed = pipeline.batch(requests(300)).unwrap_err();
    assert!(matches!(failed.error, Error::Lost));
    assert_eq!(failed.outcomes.len(), 256, "the rest wasn't sent");
    let number = |outcome: &Option<Outcome>| match outcome {
        None => -1,
        Some(outcome) => outcome.as_ref().err().map_or(0, KernelError::errno),
    };
    let numbers: Vec<_> = failed.outcomes.iter().map(number).collect();
    assert_eq!(numbers[..4], [17, 0, 2, 0]);
    assert!(numbers[4..128].iter().all(|number| *number == 0));
    assert_eq!(numbers[128..131], [-1, 3, -1]);
    assert!(numbers[131..].iter().all(|number| *number == -1));
}

#[test]
fn no_answer_in_time_is_told_with_what_is_known() {
    let mut pipeline = Played::pipeline(vec![Ok(outcome(1, -17))]);
    let failed = pipeline.batch(requests(3)).unwrap_err();
    assert!(matches!(failed.error, Error::Timeout));
    assert_eq!(failed.outcomes, [Some(Err(KernelError::new(errno::EEXIST))), None, None]);
    assert_eq!(failed.to_string(), Error::from(failed).to_string());
}

#[test]
fn a_dump_that_is_always_interrupted_is_given_up() {
    let numbered = |sequence| {
        Ok([message(ENTRY, NLM_F_DUMP_INTR, sequence, &[1]), done(sequence, 0)].concat())
    };
    let mut pipeline = Played::pipeline((1..=10).map(numbered).collect());
    let failed = pipeline.dump(&requests(1)[0], payload).unwrap_err();
    assert!(matches!(failed, Error::Interrupted { attempts: 10 }));
    let mut pipeline = Played::pipeline(vec![numbered(1), Ok(done(2, 0))]);
    assert_eq!(pipeline.dump(&requests(1)[0], payload).unwrap(), Ok(vec![]));
}

/// The longest wait of [`Noise`].
const PATIENCE: Duration = Duration::from_millis(20);

/// A kernel that never answers, while signals and late answers come all the time.
struct Noise {
    comes: u32,
}

impl Transport for Noise {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.comes += 1;
        assert!(self.comes < 100_000_000, "a wait without end");
        if self.comes % 2 == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let late = outcome(u32::MAX, 0);
        buffer[..late.len()].copy_from_slice(&late);
        Ok(late.len())
    }
    fn receive_after(&mut self, buffer: &mut [u8], waited: Duration) -> io::Result<usize> {
        if waited >= PATIENCE { self.try_receive(buffer) } else { self.receive(buffer) }
    }
    fn try_receive(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[test]
fn neither_signals_nor_late_answers_lengthen_a_wait() {
    let mut pipeline = Pipeline::with_transport(Noise { comes: 0 });
    assert!(matches!(pipeline.batch(requests(3)).unwrap_err().error, Error::Timeout));
    assert!(matches!(pipeline.dump(&requests(1)[0], payload).unwrap_err(), Error::Timeout));
}

/// A kernel that answers a dump, one entry in each datagram.
struct LongDump(Played);

impl Transport for LongDump {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.0.send(datagram)
    }
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer)
    }
    fn receive_after(&mut self, _: &mut [u8], _: Duration) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    fn try_receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_receive(buffer)
    }
}

#[test]
fn each_datagram_of_an_answer_is_waited_for_anew() {
    let entries = (0..5).map(|_| Ok(message(ENTRY, 2, 1, &[1])));
    let answers = entries.chain([Ok(done(1, 0))]).collect();
    let mut pipeline = Pipeline::with_transport(LongDump(Played(answers)));
    assert_eq!(pipeline.dump(&requests(1)[0], payload).unwrap().unwrap().len(), 5);
}

#[test]
fn no_error_repeats_the_text_of_its_source() {
    let errors = [
        Error::Refused { doing: "answer", source: KernelError::new(errno::EPERM) },
        Error::Io { doing: "open", source: lost() },
        Error::Malformed("7 bytes".into()),
    ];
    for error in errors {
        if let Some(source) = std::error::Error::source(&error) {
            assert!(!error.to_string().contains(&source.to_string()), "{error}");
        }
    }
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
            let mut answer = Answer::new(7, payload);
            for reply in parse_replies(&datagram).filter_map(Result::ok) {
                answer.accept_reply(reply);
            }
            for reply in parse_replies(&datagram).filter_map(Result::ok) {
                batch.accept_reply(reply);
            }
        }
    }
}

/// A socket that nothing can be sent through.
struct Blocked(i32);

impl Transport for Blocked {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(self.0))
    }

    fn receive(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("nothing was sent")
    }

    fn try_receive(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// `ENOBUFS` of a send means that memory is short, and no answer was dropped.
#[test]
fn a_failed_send_is_not_taken_for_lost_answers() {
    for number in [105, 11] {
        let mut pipeline = Pipeline::with_transport(Blocked(number));
        let error = pipeline.batch([RawRequest::new(ENTRY, Vec::new())]).unwrap_err();
        let source = match error.error {
            Error::Io { doing: "send through", source } => source,
            other => panic!("{other:?}"),
        };
        assert_eq!(source.raw_os_error(), Some(number));
    }
}
