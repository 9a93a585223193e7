//! Messages that are no queries, byte by byte.

use dns::{Event, Transport, Verdict};

use crate::client::{answer_bytes, responder};

/// Name, type A, class IN.
const QUESTION: &[u8] = b"\x05mysql\x08marathon\x04l4lb\x08thisdcos\x09directory\0\0\x01\0\x01";

/// An OPT record without options, for 1232 bytes.
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";

/// A record of another kind: of the root, type TXT, without data.
const RECORD: &[u8] = b"\0\0\x10\0\x01\0\0\0\0\0\0";

fn message(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd];
    message.extend(flags.to_be_bytes());
    message.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    message.extend(body.concat());
    message
}

#[test]
fn what_is_malformed_is_answered_with_its_error() {
    const FORMERR: u8 = 1;
    const NOTIMP: u8 = 4;
    let pointer: &[u8] = b"\xc0\x0c\0\x01\0\x01";
    let long_label: &[u8] = b"\x40a";
    let not_root = b"\x01a\0\0\x29\x04\xd0\0\0\0\0\0\0".as_slice();
    let long_name = [b"\x3f".as_slice(), &[b'a'; 63]].concat().repeat(5);
    for (what, message, rcode) in [
        ("no question", message(0, [0; 4], &[]), FORMERR),
        ("two questions", message(0, [2, 0, 0, 0], &[QUESTION, QUESTION]), FORMERR),
        ("half a question", message(0, [1, 0, 0, 0], &[&QUESTION[..20]]), FORMERR),
        ("no type", message(0, [1, 0, 0, 0], &[&QUESTION[..QUESTION.len() - 3]]), FORMERR),
        (
            "a pointer into the header",
            message(0x0100, [1, 0, 0, 0], &[b"\xc0\x02\0\x01\0\x01"]),
            FORMERR,
        ),
        ("a pointer to itself", message(0, [1, 0, 0, 0], &[pointer]), FORMERR),
        ("a label of another kind", message(0, [1, 0, 0, 0], &[long_label]), FORMERR),
        ("a long name", message(0, [1, 0, 0, 0], &[&long_name, b"\0\0\x01\0\x01"]), FORMERR),
        ("two OPT records", message(0, [1, 0, 0, 2], &[QUESTION, OPT, OPT]), FORMERR),
        ("an OPT record of a name", message(0, [1, 0, 0, 1], &[QUESTION, not_root]), FORMERR),
        ("half an OPT record", message(0, [1, 0, 0, 1], &[QUESTION, &OPT[..8]]), FORMERR),
        ("many promised records", message(0, [1, 65535, 65535, 65535], &[QUESTION]), FORMERR),
        ("an answer in it", message(0, [1, 1, 0, 0], &[QUESTION, OPT]), FORMERR),
        ("five records", message(0, [1, 0, 0, 5], &[QUESTION, &RECORD.repeat(5)]), FORMERR),
        ("a status query", message(2 << 11, [1, 0, 0, 0], &[QUESTION]), NOTIMP),
        ("an update", message(5 << 11, [1, 0, 0, 0], &[QUESTION]), NOTIMP),
        ("a notification", message(4 << 11 | 1 << 8, [0; 4], &[]), NOTIMP),
    ] {
        let reply = answer_bytes(&responder(), &message, Transport::Udp);
        assert_eq!(reply.len(), 12, "{what}: {reply:x?}");
        assert_eq!(reply[..2], message[..2], "{what}");
        assert_eq!(reply[2], message[2] & 0x79 | 0x80, "{what}");
        assert_eq!(reply[3], rcode, "{what}");
        assert_eq!(reply[4..], [0; 8], "{what}");
    }
}

#[test]
fn bits_that_mean_nothing_to_us_are_cleared_or_echoed() {
    // AA, TC, RD, RA, Z, AD, CD and a code.
    let reply = answer_bytes(
        &responder(),
        &message(0x07ff, [1, 0, 0, 1], &[QUESTION, OPT]),
        Transport::Udp,
    );
    // RD and CD come back, AA is ours.
    assert_eq!(reply[2..4], [0x85, 0x10]);
    assert_eq!(reply[4..12], [0, 1, 0, 1, 0, 0, 0, 1]);
    assert_eq!(reply[12..12 + QUESTION.len()], *QUESTION);
    let rest = &reply[12 + QUESTION.len()..];
    assert_eq!(rest, [b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\x0b\0\0\x03", OPT].concat());
}

#[test]
fn answers_and_scraps_are_dropped() {
    let responder = responder();
    let whole = message(0, [1, 0, 0, 0], &[QUESTION]);
    for dropped in [&message(0x8000, [1, 0, 0, 0], &[QUESTION]), &whole[..11], &whole[..1], &[]] {
        let verdict = responder.answer_message(dropped, Transport::Udp, &mut Vec::new());
        assert_eq!(verdict, Verdict::Drop);
    }
    assert_eq!(responder.counters.read_count(Event::Malformed), 4);
}
