//! Encoded records that all receivers share.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// The first bytes of a gzip stream (RFC 1952): no name, no time, an unknown system.
pub const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An encoded record, as text and compressed. Clones share the memory.
///
/// The compressed form is a run of whole deflate blocks that ends at a byte and refers to nothing
/// before it (RFC 1951; zlib's full flush). So any sequence of segments after one [`GZIP_HEADER`] is
/// the beginning of a gzip stream, and each record is compressed once for all receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    text: Bytes,
    deflated: Bytes,
}

impl Segment {
    /// Encodes a comment, which receivers skip.
    #[must_use]
    pub fn comment(text: &str) -> Self {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        Encoder::default().encode(format!(": {text}\n\n"))
    }

    /// Encodes a text that is sent once, without compression: to prepare a compressor takes longer than all
    /// else that a short text costs.
    pub(crate) fn stored(text: String) -> Self {
        let mut deflated = Vec::with_capacity(text.len() + 5);
        for block in text.as_bytes().chunks(usize::from(u16::MAX)) {
            // RFC 1951, 3.2.4: not the last block, of no compression, and its length twice.
            let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
            deflated.push(0);
            deflated.extend(length.to_le_bytes());
            deflated.extend((!length).to_le_bytes());
            deflated.extend(block);
        }
        Self { text: text.into(), deflated: deflated.into() }
    }

    /// Joins segments.
    pub(crate) fn join<'a>(segments: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let text: Vec<_> = segments.clone().map(|segment| &*segment.text).collect();
        let deflated: Vec<_> = segments.map(|segment| &*segment.deflated).collect();
        Self { text: text.concat().into(), deflated: deflated.concat().into() }
    }

    /// Returns the record as a server-sent event.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// Returns the compressed form.
    #[must_use]
    pub fn deflated(&self) -> &Bytes {
        &self.deflated
    }
}

/// Makes segments.
#[derive(Debug)]
pub(crate) struct Encoder {
    compress: Compress,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { compress: Compress::new(Compression::fast(), false) }
    }
}

impl Encoder {
    pub(crate) fn encode(&mut self, text: String) -> Segment {
        let deflated = self.deflate(text.as_bytes());
        Segment { text: text.into(), deflated: deflated.into() }
    }

    fn deflate(&mut self, mut input: &[u8]) -> Vec<u8> {
        self.compress.reset();
        let mut output = Vec::with_capacity(input.len() / 2 + 64);
        loop {
            let before = self.compress.total_in();
            let status = self.compress.compress_vec(input, &mut output, FlushCompress::Full);
            let taken = usize::try_from(self.compress.total_in() - before).unwrap_or(usize::MAX);
            input = &input[taken.min(input.len())..];
            let is_flushed = input.is_empty() && output.len() < output.capacity();
            match status {
                Ok(Status::Ok | Status::BufError) if !is_flushed => {
                    output.reserve(output.len() + 64);
                }
                // No stream ends with a full flush, and there is no error but that of a caller who
                // goes on after the end.
                Ok(_) | Err(_) => break,
            }
        }
        output.shrink_to_fit();
        output
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_sequence_of_segments_is_a_gzip_stream(
            texts in prop::collection::vec("[a-z\"{}]{0,3000}", 1..8),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        ) {
            let mut encoder = Encoder::default();
            let segments: Vec<_> = texts
                .into_iter()
                .flat_map(|text| [Segment::stored(text.clone()), encoder.encode(text)])
                .collect();
            let chosen: Vec<_> = order.iter().map(|index| index.get(&segments)).collect();
            let mut stream = GZIP_HEADER.to_vec();
            let mut expected = Vec::new();
            for segment in chosen {
                stream.extend_from_slice(segment.deflated());
                expected.extend_from_slice(segment.text());
                // Whatever has come so far can be read.
                let mut read = vec![0; expected.len()];
                GzDecoder::new(&*stream).read_exact(&mut read).unwrap();
                prop_assert_eq!(&read, &expected);
            }
        }
    }

    #[test]
    fn a_long_text_is_there_to_its_end() {
        let text: String = (0..200_000).map(|number| format!("{}", number * 7919 % 1000)).collect();
        let segment = Encoder::default().encode(text.clone());
        assert!(segment.deflated().len() < text.len() / 2);
        for segment in [segment, Segment::stored(text.clone())] {
            let stream = [&GZIP_HEADER, &**segment.deflated()].concat();
            let mut read = vec![0; text.len()];
            GzDecoder::new(&*stream).read_exact(&mut read).unwrap();
            assert_eq!(read, text.as_bytes());
        }
    }
}
