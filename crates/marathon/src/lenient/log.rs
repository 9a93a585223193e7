use std::fmt::{self, Write};

use super::Finding;

/// Findings kept of one document. The count of the rest is kept.
const MAX_FINDINGS: usize = 1000;

/// Lists within lists. Groups nest as deep as their authors like, but not so deep.
const MAX_DEPTH: usize = 64;

/// Memory that lists may take in any case, in bytes.
const MIN_ROOM: usize = 16 << 20;

/// Times a document's own length that its lists may take. Marathon's own answers take less than
/// once; `[{},{},{}...` would take hundreds.
const ROOM_FACTOR: usize = 4;

/// Where the reader is, what it noted, and what it may still use.
#[derive(Debug)]
pub(crate) struct Log {
    path: Vec<PathStep>,
    findings: Vec<Finding>,
    unkept: usize,
    room: usize,
    outgrown: bool,
    careful: bool,
}

#[derive(Debug)]
enum PathStep {
    Key(&'static str),
    Member(Box<str>),
    Index(usize),
}

impl Log {
    /// For a document of so many bytes.
    pub(crate) fn new(text_len: usize) -> Self {
        Self {
            path: Vec::new(),
            findings: Vec::new(),
            unkept: 0,
            room: text_len.saturating_mul(ROOM_FACTOR).max(MIN_ROOM),
            outgrown: false,
            careful: false,
        }
    }

    /// Does `work`, which may fail. If it does, all it noted and used is given back, and it is
    /// done once more, carefully.
    pub(crate) fn twice_at_most<T, E>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let (findings, unkept) = (self.findings.len(), self.unkept);
        let (room, outgrown, careful) = (self.room, self.outgrown, self.careful);
        work(self).or_else(|_| {
            self.findings.truncate(findings);
            (self.unkept, self.room, self.outgrown) = (unkept, room, outgrown);
            self.careful = true;
            let done = work(self);
            self.careful = careful;
            done
        })
    }

    /// An element of a list is to be cut out before it is read, so that an error in it stays in
    /// it.
    pub(crate) fn is_careful(&self) -> bool {
        self.careful
    }

    /// Does `work` with the path one key longer.
    pub(crate) fn at_key<T>(&mut self, key: &'static str, work: impl FnOnce(&mut Self) -> T) -> T {
        self.within_step(PathStep::Key(key), work)
    }

    /// Does `work` with the path one key longer, one that Marathon's users choose.
    pub(crate) fn at_member<T>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        self.within_step(PathStep::Member(key.into()), work)
    }

    /// Does `work` with the path one list index longer.
    pub(crate) fn at_index<T>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        self.within_step(PathStep::Index(index), work)
    }

    fn within_step<T>(&mut self, step: PathStep, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let done = work(self);
        self.path.pop();
        done
    }

    /// Notes that what stands here could not be read.
    pub(crate) fn add_finding(&mut self, reason: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { path: self.current_path(), reason: reason.into() });
        } else {
            self.unkept += 1;
        }
    }

    /// Where the reader is, as `$.apps[3].tasks`.
    pub(crate) fn current_path(&self) -> String {
        let mut path = String::from("$");
        for step in &self.path {
            // Writing to a String cannot fail.
            let _ = match step {
                PathStep::Key(key) => write!(path, ".{key}"),
                PathStep::Member(key) => write!(path, "[{}]", Clipped(key)),
                PathStep::Index(index) => write!(path, "[{index}]"),
            };
        }
        path
    }

    /// The reader is deeper than any document of Marathon's.
    pub(crate) fn too_deep(&self) -> bool {
        self.path.len() > MAX_DEPTH
    }

    /// Takes memory for one more `T`, or says that there is no more.
    pub(crate) fn make_room<T>(&mut self) -> bool {
        match self.room.checked_sub(size_of::<T>()) {
            Some(left) => self.room = left,
            None => self.outgrown = true,
        }
        !self.outgrown
    }

    /// The document was not read to its end: it takes too much memory for its length.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.outgrown
    }

    /// Adds what was noted in the reading of a whole document.
    pub(crate) fn take_over(&mut self, read: Self) {
        self.findings.extend(read.findings);
        self.unkept += read.unkept;
        self.outgrown |= read.outgrown;
    }

    /// What was noted. Where it was too much, a last line says how much is left out.
    pub(crate) fn into_findings(mut self) -> Vec<Finding> {
        if self.unkept > 0 {
            let reason = format!("and {} more that are not listed", self.unkept);
            self.findings.push(Finding { path: "$".to_owned(), reason });
        }
        self.findings
    }
}

/// A text in quotes, cut short where it is long.
pub(super) struct Clipped<'a>(pub(super) &'a str);

impl fmt::Display for Clipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(40) {
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}
