//! Bytes of an event stream in, frames out.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use marathon::events::sse::{Decoder, Frame};
use proptest::prelude::*;

fn frame(event: Option<&str>, data: &str) -> Frame {
    Frame { event: event.map(str::to_owned), data: data.to_owned() }
}

fn decode(bytes: &[u8]) -> Vec<Frame> {
    Decoder::default().push_bytes(bytes)
}

#[test]
fn frames_are_read_as_the_standard_says() {
    let e = |data| frame(Some("e"), data);
    let plain = |data| frame(None, data);
    for (bytes, expected) in [
        (&b"event: e\r\ndata: {}\r\n\r\n"[..], vec![e("{}")]),
        (b"event: e\ndata: {}\n\n", vec![e("{}")]),
        (b"event: e\rdata: {}\r\r", vec![e("{}")]),
        (b"event:e\ndata:{}\n\n", vec![e("{}")]),
        (b"event: e\ndata:  two\n\n", vec![e(" two")]),
        (b"data: 1\ndata: 2\ndata\ndata:\n\n", vec![plain("1\n2\n\n")]),
        (b"\xEF\xBB\xBFdata: bom\n\n", vec![plain("bom")]),
        (b"data: a\n\n\xEF\xBB\xBFdata: b\n\n", vec![plain("a")]),
        (b": hello\n\ndata: 1\n: in between\n\n", vec![plain("1")]),
        (b"id: 7\nretry: 1\nother\ndata: 1\n\n", vec![plain("1")]),
        (b"event: e\n\ndata: 1\n\n", vec![plain("1")]),
        (b"event:\ndata: 1\n\n", vec![plain("1")]),
        (b"data:\n\n", vec![plain("")]),
        (b"data: \xFF\n\n", vec![plain("\u{FFFD}")]),
        (b"data: not ended\n", vec![]),
        (b"\r\n\r\n\n\r", vec![]),
    ] {
        assert_eq!(decode(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_frame_is_complete_at_its_last_cr_without_waiting_for_the_lf() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.push_bytes(b"data: 1\r\n\r"), [frame(None, "1")]);
    assert_eq!(decoder.push_bytes(b"\n"), []);
    assert_eq!(decoder.push_bytes(b"\n"), []);
    assert_eq!(decoder.push_bytes(b"data: 2\n\n"), [frame(None, "2")]);
}

#[test]
fn a_frame_over_the_limit_is_skipped_and_counted_and_the_stream_goes_on() {
    let mut decoder = Decoder::new(20);
    let long = [b"data: ", &[b'x'; 100][..], b"\n"].concat();
    for bytes in [&long[..], b"data: more\n", b"event: e\n", b"\n", b"data: ok\n\n"] {
        for frame_of in decoder.push_bytes(bytes) {
            assert_eq!(frame_of, frame(None, "ok"));
        }
    }
    assert_eq!(decoder.skipped_frames(), 1);
    let many = b"data: 123\n".repeat(9);
    assert_eq!(decoder.push_bytes(&[&many[..], b"\ndata: ok\n\n"].concat()), [frame(None, "ok")]);
    assert_eq!(decoder.skipped_frames(), 2);
}

fn pieces<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().copied().cycle().take(10_000) {
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_frames(
        lines in proptest::collection::vec(
            ("(data: ?|event: ?|:|id: ?|)[a-z{}é ]{0,12}", prop_oneof!["\r", "\n", "\r\n"]), 0..40),
        sizes in proptest::collection::vec(1usize..9, 1..20),
    ) {
        let text: String = lines.into_iter().map(|(line, end)| line + &end).collect();
        let mut whole = Decoder::new(30);
        let frames = whole.push_bytes(text.as_bytes());
        let mut split = Decoder::new(30);
        let of_pieces: Vec<_> =
            pieces(text.as_bytes(), &sizes).into_iter().flat_map(|bytes| split.push_bytes(bytes)).collect();
        prop_assert_eq!(frames, of_pieces);
        prop_assert_eq!(whole.skipped_frames(), split.skipped_frames());
    }

    #[test]
    fn no_bytes_are_too_strange(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..400),
        limit in 0usize..50,
    ) {
        let mut decoder = Decoder::new(limit);
        for frame in decoder.push_bytes(&bytes) {
            let _ = marathon::events::Event::parse(&frame);
        }
    }
}
