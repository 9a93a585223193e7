//! The event stream.

use marathon::events::Event;
use marathon::events::sse::Decoder;

/// Longest frame: short, so that inputs exceed it.
const MAX_FRAME: usize = 200;

/// Decodes a stream in pieces, whose length is the first byte, and as a whole: the frames are the
/// same, none is too long, and each can be parsed as an event.
pub(crate) fn decode_stream(input: &[u8]) {
    let Some((&length, stream)) = input.split_first() else { return };
    let mut decoder = Decoder::new(MAX_FRAME);
    let whole = decoder.push_bytes(stream);
    let mut in_pieces = Decoder::new(MAX_FRAME);
    let pieces = stream.chunks(usize::from(length).max(1));
    let frames: Vec<_> = pieces.flat_map(|piece| in_pieces.push_bytes(piece)).collect();
    assert_eq!(frames, whole);
    assert_eq!(in_pieces.skipped_frames(), decoder.skipped_frames());
    for frame in &whole {
        // A byte that isn't UTF-8 becomes three.
        let length = frame.data.len() + frame.event.as_ref().map_or(0, String::len);
        assert!(length <= 3 * MAX_FRAME, "a frame of {length} bytes");
        let _ = Event::parse(frame);
    }
}
