//! One pass over the text of a document: the labels in it, wherever they stand, and the lines of
//! its parts. It takes time in proportion to the text, however deep that is.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use vip::label::{Key, classify_key, is_option_key};

/// Limit of nested objects and lists with a path of their own; deeper than in any definition. A
/// label below it has the path of the object at the limit.
const MAX_DEPTH: usize = 128;

/// Limit of characters of a key in a path.
const MAX_STEP: usize = 40;

/// A label, or what looks like one, at any place of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundLabel {
    /// The JSON path of the object around it, as `$.container.portMappings[0].labels`.
    pub(crate) path: Arc<str>,
    /// The key.
    pub(crate) key: String,
    /// The number of equal keys before it in the same object.
    pub(crate) occurrence: usize,
    /// The value: of a string its text, of anything else its JSON.
    pub(crate) value: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The key around it that stands again in the same object: Marathon keeps only the last.
    pub(crate) superseded_by: Option<String>,
}

/// The labels of a text, and the lines of its parts.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The labels, in the order of the text.
    pub(crate) labels: Vec<FoundLabel>,
    /// The lines of the paths that were asked for.
    lines: HashMap<String, usize>,
    /// The line of the first byte that isn't UTF-8.
    not_utf8: Option<usize>,
}

impl Scan {
    /// Scans a text that is JSON. Of other texts it makes something, too.
    pub(crate) fn of_text(text: &[u8], wanted: &BTreeSet<&str>) -> Self {
        let mut scanner = Scanner {
            text,
            at: 0,
            line: 1,
            path: "$".to_owned(),
            frames: Vec::new(),
            deep: Vec::new(),
            deep_key: None,
        };
        let mut scan = Self::default();
        while scanner.step(&mut scan, wanted) {}
        let valid = std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
        if valid < text.len() {
            scan.not_utf8 = Some(1 + count_lines(&text[..valid]));
        }
        scan
    }

    /// Returns the line of a path that was asked for. What is said of a whole text that isn't UTF-8
    /// is said of its first such byte.
    pub(crate) fn line_of(&self, path: &str) -> Option<usize> {
        self.not_utf8.filter(|_| path == "$").or_else(|| self.lines.get(path).copied())
    }
}

/// An object or list that is open.
struct Frame {
    /// The length of its path.
    path: usize,
    /// An object, with the current key once that is read; else a list.
    object: Option<Members>,
    /// The index of the current element of a list.
    index: usize,
}

#[derive(Default)]
struct Members {
    /// The current key, until its value has ended.
    key: Option<String>,
    /// The labels that the scan had at the beginning of the current value.
    labels_before: usize,
    /// The numbers of equal labels so far.
    labels: HashMap<String, usize>,
    /// The labels inside the values of keys.
    holders: HashMap<String, Range<usize>>,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    path: String,
    frames: Vec<Frame>,
    /// Below [`MAX_DEPTH`]: whether each is an object.
    deep: Vec<bool>,
    /// The current key of the innermost of these.
    deep_key: Option<String>,
}

impl<'a> Scanner<'a> {
    /// Reads one token. False at the end.
    fn step(&mut self, scan: &mut Scan, wanted: &BTreeSet<&str>) -> bool {
        let Some(byte) = self.text.get(self.at).copied() else { return false };
        match byte {
            b'{' | b'[' => {
                self.begin_value(None, scan, wanted);
                if self.frames.len() < MAX_DEPTH {
                    let object = (byte == b'{').then(Members::default);
                    self.frames.push(Frame { path: self.path.len(), object, index: 0 });
                } else {
                    self.deep.push(byte == b'{');
                    self.deep_key = None;
                }
                self.at += 1;
            }
            b'}' | b']' => {
                if self.deep.pop().is_some() {
                    // The value of a key has ended: what follows is no key.
                    self.deep_key = Some(String::new());
                } else {
                    self.end_member(scan);
                    self.frames.pop();
                }
                self.at += 1;
            }
            b',' => {
                if self.deep.is_empty() {
                    self.end_member(scan);
                    self.frames.last_mut().into_iter().for_each(|frame| frame.index += 1);
                } else {
                    self.deep_key = None;
                }
                self.at += 1;
            }
            b'"' => {
                let text = self.take_string();
                match self.expected_key(scan.labels.len()) {
                    Some(key) => *key = Some(decode_string(text)),
                    None => self.begin_value(Some(text), scan, wanted),
                }
                self.line += count_lines(text);
            }
            b'\n' => {
                self.line += 1;
                self.at += 1;
            }
            // The end of a line, unless a line feed follows.
            b'\r' => {
                self.line += usize::from(self.text.get(self.at + 1) != Some(&b'\n'));
                self.at += 1;
            }
            b' ' | b'\t' | b':' => self.at += 1,
            _ => {
                let rest = &self.text[self.at..];
                let is_end = |byte: &u8| b",:{}[]\" \t\r\n".contains(byte);
                let len = rest.iter().position(is_end).unwrap_or(rest.len());
                self.begin_value(Some(&rest[..len]), scan, wanted);
                self.at += len;
            }
        }
        true
    }

    /// Moves behind a string and returns it with its quotes.
    fn take_string(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let mut end = 1;
        while let Some(byte) = rest.get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let string = &rest[..(end + 1).min(rest.len())];
        self.at += string.len();
        string
    }

    /// Returns where the key of the current object goes, if one comes next.
    fn expected_key(&mut self, labels: usize) -> Option<&mut Option<String>> {
        if let Some(is_object) = self.deep.last() {
            return (*is_object && self.deep_key.is_none()).then_some(&mut self.deep_key);
        }
        let object = self.frames.last_mut()?.object.as_mut()?;
        object.labels_before = labels;
        object.key.is_none().then_some(&mut object.key)
    }

    /// Notes the value that begins here. `plain` is the text of a value that is no object or list.
    fn begin_value(&mut self, plain: Option<&[u8]>, scan: &mut Scan, wanted: &BTreeSet<&str>) {
        if let Some(is_object) = self.deep.last() {
            if let (true, Some(key), Some(plain)) = (is_object, &self.deep_key, plain) {
                let key = key.clone();
                self.note_label(&key, plain, scan);
            }
            return;
        }
        let Some(frame) = self.frames.last_mut() else {
            self.note_line(scan, wanted, None);
            return;
        };
        self.path.truncate(frame.path);
        let Some(object) = &mut frame.object else {
            self.path.push_str(&format!("[{}]", frame.index));
            self.note_line(scan, wanted, None);
            return;
        };
        let Some(key) = object.key.clone() else { return };
        if let Some(plain) = plain {
            self.note_label(&key, plain, scan);
        }
        // The reader's path of a label.
        let quoted = (!wanted.is_empty()).then(|| format!("{}{}", self.path, quoted_step(&key)));
        let simple = |c: char| c.is_ascii_alphanumeric() || "_-*".contains(c);
        match key.len() <= MAX_STEP && !key.is_empty() && key.chars().all(simple) {
            true => self.path.extend([".", &key]),
            false => self.path.push_str(&quoted_step(&key)),
        }
        self.note_line(scan, wanted, quoted);
    }

    /// Notes the member of the current object, if it is a label.
    fn note_label(&mut self, key: &str, plain: &[u8], scan: &mut Scan) {
        let value = decode_value(plain);
        if !is_label(key, &value) {
            return;
        }
        let mut occurrence = 0;
        if self.deep.is_empty()
            && let Some(object) = self.frames.last_mut().and_then(|frame| frame.object.as_mut())
        {
            let next = object.labels.entry(key.to_owned()).or_default();
            occurrence = std::mem::replace(next, *next + 1);
            object.labels_before = scan.labels.len() + 1;
        }
        let same = scan.labels.last().filter(|last| *last.path == *self.path);
        let path = same.map_or_else(|| self.path.as_str().into(), |last| Arc::clone(&last.path));
        scan.labels.push(FoundLabel {
            path,
            key: key.to_owned(),
            occurrence,
            value,
            line: self.line,
            superseded_by: None,
        });
    }

    fn note_line(&self, scan: &mut Scan, wanted: &BTreeSet<&str>, quoted: Option<String>) {
        for path in [Some(self.path.clone()), quoted].into_iter().flatten() {
            if wanted.contains(path.as_str()) {
                scan.lines.insert(path, self.line);
            }
        }
    }

    /// Ends the value of the current key. The labels in an earlier value of that key are void.
    fn end_member(&mut self, scan: &mut Scan) {
        let Some(object) = self.frames.last_mut().and_then(|frame| frame.object.as_mut()) else {
            return;
        };
        let Some(key) = object.key.take() else { return };
        let inside = object.labels_before..scan.labels.len();
        let earlier = object.holders.get_mut(&key);
        if let Some(earlier) = earlier {
            let void = scan.labels[std::mem::replace(earlier, inside)].iter_mut();
            void.for_each(|label| label.superseded_by = Some(key.clone()));
        } else if !inside.is_empty() {
            object.holders.insert(key, inside);
        }
    }
}

fn quoted_step(key: &str) -> String {
    match key.char_indices().nth(MAX_STEP) {
        Some((end, _)) => format!("[{:?}...]", &key[..end]),
        None => format!("[{key:?}]"),
    }
}

/// Tells whether a key is that of a VIP label or an option, or nearly.
fn is_label(key: &str, value: &str) -> bool {
    is_option_key(key) || classify_key(key, value) != Key::Other
}

fn decode_value(plain: &[u8]) -> String {
    match plain.first() {
        Some(b'"') => decode_string(plain),
        _ => String::from_utf8_lossy(plain).into_owned(),
    }
}

/// Decodes a string with its quotes, as the reader does: with U+FFFD for what isn't UTF-8.
fn decode_string(quoted: &[u8]) -> String {
    let text = String::from_utf8_lossy(quoted);
    let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    match inside.contains('\\') {
        true => serde_json::from_str(&text).unwrap_or_else(|_| inside.to_owned()),
        false => inside.to_owned(),
    }
}

/// Counts the ends of lines: line feeds, and carriage returns without one.
fn count_lines(text: &[u8]) -> usize {
    let next = text.iter().skip(1).map(Some).chain([None]);
    let ends = text.iter().zip(next);
    ends.filter(|(byte, next)| **byte == b'\n' || **byte == b'\r' && *next != Some(&b'\n')).count()
}
