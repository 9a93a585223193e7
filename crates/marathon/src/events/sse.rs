//! Server-sent events, as the WHATWG HTML standard defines them and Marathon's Jetty writes them.

use std::mem;

/// Default limit of a frame, in bytes. Deployment events with the whole tree of groups have been
/// seen at 10 MB; those of Marathon's light format take a few kilobytes.
pub const MAX_FRAME: usize = 1 << 20;

/// One event as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The value of `event:`. Marathon before 0.11 has none.
    pub event: Option<String>,
    /// The values of `data:`, joined by line feeds.
    pub data: String,
}

/// A decoder of the bytes of one stream, in chunks of any size, to frames. A new stream needs a new
/// decoder.
///
/// Heartbeats are empty lines and make no frame; any byte shows that the stream is alive.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// The current, incomplete line.
    line: Vec<u8>,
    event: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
    /// The last byte was a CR, so a following LF belongs to it.
    after_cr: bool,
    /// No line is complete yet; the first may begin with a byte order mark.
    at_start: bool,
    /// The current frame is over the limit and is skipped.
    overlong: bool,
    skipped: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MAX_FRAME)
    }
}

impl Decoder {
    /// Creates a decoder of frames of up to `limit` bytes. Longer ones are skipped.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            event: None,
            data: None,
            after_cr: false,
            at_start: true,
            overlong: false,
            skipped: 0,
        }
    }

    /// Returns the number of frames over the limit, which were skipped.
    #[must_use]
    pub fn skipped_frames(&self) -> u64 {
        self.skipped
    }

    /// Decodes the next bytes and returns the frames that they complete.
    pub fn push_bytes(&mut self, mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(&first) = bytes.first() {
            if mem::take(&mut self.after_cr) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.extend_line(bytes);
                break;
            };
            self.extend_line(&bytes[..end]);
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            frames.extend(self.end_line());
        }
        frames
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        let kept = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let held = self.line.len() + kept(&self.event) + kept(&self.data);
        if self.overlong || held + bytes.len() > self.limit {
            self.overlong = true;
            self.event = None;
            self.data = None;
            // One byte of the line is kept, to tell it from an empty one.
            if self.line.is_empty() {
                self.line.extend(bytes.first());
            }
            self.line.truncate(1);
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) -> Option<Frame> {
        let mut line = mem::take(&mut self.line);
        if mem::take(&mut self.at_start) && line.starts_with(b"\xEF\xBB\xBF") {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.end_frame();
        }
        if !self.overlong {
            self.read_field(&line);
        }
        line.clear();
        self.line = line;
        None
    }

    /// Reads a line `name: value`; one that begins with the colon is a comment.
    fn read_field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => self.event = Some(value.to_vec()),
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            _ => {}
        }
    }

    fn end_frame(&mut self) -> Option<Frame> {
        let (event, data) = (self.event.take(), self.data.take());
        if mem::take(&mut self.overlong) {
            self.skipped += 1;
            return None;
        }
        let text = |bytes| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let event = event.filter(|name| !name.is_empty()).map(text);
        data.map(|data| Frame { event, data: text(data) })
    }
}
