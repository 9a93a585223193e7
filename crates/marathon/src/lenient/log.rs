//! The state of a lenient reader: path, findings and memory budget.

use std::fmt::{self, Write};

use super::Finding;

/// Limit of findings of one document; the rest is only counted.
const MAX_FINDINGS: usize = 1000;

/// Limit of nested lists, deeper than any real tree of groups.
const MAX_DEPTH: usize = 64;

/// Memory that may be made of any document, in bytes.
const MIN_ROOM: usize = 64 << 20;

/// Memory that may be made of a document, as a multiple of its length. Marathon's answers take less
/// than 3; `[{},{},{}...` would take hundreds.
const ROOM_FACTOR: usize = 8;

/// The share of a document's memory that one app or pod may take: one that takes more is left out,
/// and costs the others nothing.
const WORKLOAD_SHARE: usize = 4;

/// Memory that a text takes besides its bytes.
const TEXT_OVERHEAD: usize = 48;

/// The memory that is left. It counts what is made of a document: the values that are read, and the
/// snapshot that is made of these.
#[derive(Debug, Clone, Copy)]
struct Room {
    document: usize,
    /// There was too little for the document.
    outgrown: bool,
    /// That of the workload that is being read.
    workload: Option<WorkloadRoom>,
}

/// The memory that is left for one workload.
#[derive(Debug, Clone, Copy)]
struct WorkloadRoom {
    taken: usize,
    limit: usize,
}

/// The state of a reader: its path, its findings and its memory budget.
#[derive(Debug)]
pub(crate) struct Log {
    path: Vec<PathStep>,
    findings: Vec<Finding>,
    unkept: usize,
    /// Number of values that could not be read at all.
    unread: usize,
    room: Room,
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
            unread: 0,
            room: Room {
                document: text_len.saturating_mul(ROOM_FACTOR).clamp(MIN_ROOM, caps::ANSWER_MEMORY),
                outgrown: false,
                workload: None,
            },
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
        let (unread, room, careful) = (self.unread, self.room, self.careful);
        work(self).or_else(|_| {
            self.findings.truncate(findings);
            (self.unkept, self.unread, self.room) = (unkept, unread, room);
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

    /// Adds a finding about a value that could not be read at all.
    pub(super) fn add_unread(&mut self, reason: impl Into<String>) {
        self.unread += 1;
        self.add_finding(reason);
    }

    /// Counts the values that could not be read at all.
    pub(super) fn unread_values(&self) -> usize {
        self.unread
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

    /// Takes memory for one more `T`. False: there is not enough left.
    pub(crate) fn make_room<T>(&mut self) -> bool {
        self.take_room(size_of::<T>())
    }

    /// Takes memory for a text. It is small, so it is read in any case; lists end when there is none
    /// left.
    pub(crate) fn count_text(&mut self, text: &str) {
        self.take_room(text.len() + TEXT_OVERHEAD);
    }

    /// Takes so many bytes, from the workload that is being read or else from the document. False:
    /// there are not enough left.
    pub(super) fn take_room(&mut self, bytes: usize) -> bool {
        let Room { document, outgrown, workload } = &mut self.room;
        if let Some(room) = workload {
            room.taken = room.taken.saturating_add(bytes);
            return room.taken <= room.limit;
        }
        match document.checked_sub(bytes) {
            Some(left) => *document = left,
            None => *outgrown = true,
        }
        !*outgrown
    }

    /// Runs `work` as the reading of one workload, with a share of the memory. Returns also whether
    /// that was enough. If it was not, the workload takes none: it is to be left out.
    pub(super) fn within_workload<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        // A pod's definition is a workload by itself, or a part of one.
        if self.room.workload.is_some() {
            return (work(self), true);
        }
        let limit = (self.room.document / WORKLOAD_SHARE).min(caps::WORKLOAD_MEMORY);
        self.room.workload = Some(WorkloadRoom { taken: 0, limit });
        let (findings, unkept) = (self.findings.len(), self.unkept);
        let done = work(self);
        let taken = self.room.workload.take().map_or(0, |room| room.taken);
        let is_enough = taken <= limit;
        if is_enough {
            self.room.document -= taken;
        } else {
            // That it is left out says it all.
            self.findings.truncate(findings);
            self.unkept = unkept;
        }
        (done, is_enough)
    }

    /// Tells whether reading stopped because the document takes too much memory for its length.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.room.outgrown
    }

    /// Adds the findings of another run over the document.
    pub(crate) fn take_over(&mut self, read: Self) {
        self.findings.extend(read.findings);
        self.unkept += read.unkept;
        self.room.outgrown |= read.room.outgrown;
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
