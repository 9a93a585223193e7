//! The state of a lenient reader: path, findings and memory budget.

use std::fmt::{self, Write};

use super::Finding;

/// Limit of findings of one document; the rest is only counted.
const MAX_FINDINGS: usize = 1000;

/// Limit of nested lists, deeper than any real tree of groups.
const MAX_DEPTH: usize = 64;

/// Memory that the lists of any document may take, in bytes.
const MIN_ROOM: usize = 16 << 20;

/// Memory that lists may take, as a multiple of the document's length. Marathon's answers take less
/// than 1; `[{},{},{}...` would take hundreds.
const ROOM_FACTOR: usize = 4;

/// The state of a reader: its path, its findings and its memory budget.
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
    /// Creates the state for a document of this length.
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

    /// Runs `work`, and if it fails runs it again in careful mode, with the findings and memory of
    /// the first run returned.
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

    /// Tells whether list elements are to be cut out before they are read, so that an error in one
    /// doesn't spoil the others.
    pub(crate) fn is_careful(&self) -> bool {
        self.careful
    }

    /// Runs `work` with the path extended by a key.
    pub(crate) fn at_key<T>(&mut self, key: &'static str, work: impl FnOnce(&mut Self) -> T) -> T {
        self.within_step(PathStep::Key(key), work)
    }

    /// Runs `work` with the path extended by a key that a user has chosen.
    pub(crate) fn at_member<T>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        self.within_step(PathStep::Member(key.into()), work)
    }

    /// Runs `work` with the path extended by a list index.
    pub(crate) fn at_index<T>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        self.within_step(PathStep::Index(index), work)
    }

    fn within_step<T>(&mut self, step: PathStep, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let done = work(self);
        self.path.pop();
        done
    }

    /// Adds a finding at the current path.
    pub(crate) fn add_finding(&mut self, reason: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { path: self.current_path(), reason: reason.into() });
        } else {
            self.unkept += 1;
        }
    }

    /// Formats the current path, as `$.apps[3].tasks`.
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

    /// Tells whether the nesting is deeper than in any real document.
    pub(crate) fn too_deep(&self) -> bool {
        self.path.len() > MAX_DEPTH
    }

    /// Takes memory for one more `T` from the budget. False: there is not enough left.
    pub(crate) fn make_room<T>(&mut self) -> bool {
        match self.room.checked_sub(size_of::<T>()) {
            Some(left) => self.room = left,
            None => self.outgrown = true,
        }
        !self.outgrown
    }

    /// Tells whether reading stopped because the document takes too much memory for its length.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.outgrown
    }

    /// Adds the findings of another run over the document.
    pub(crate) fn take_over(&mut self, read: Self) {
        self.findings.extend(read.findings);
        self.unkept += read.unkept;
        self.outgrown |= read.outgrown;
    }

    /// Returns the findings, and one with the number of those beyond the limit.
    pub(crate) fn into_findings(mut self) -> Vec<Finding> {
        if self.unkept > 0 {
            let reason = format!("and {} more that are not listed", self.unkept);
            self.findings.push(Finding { path: "$".to_owned(), reason });
        }
        self.findings
    }
}

/// Shows a text in quotes, shortened if it is long.
pub(super) struct Clipped<'a>(pub(super) &'a str);

impl fmt::Display for Clipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(40) {
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}
