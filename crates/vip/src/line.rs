//! Lines of output with a sign in front, as plans, `vipd status` and `vipd events` print them.

use std::fmt;

use crate::printable::Printable;

/// The kind of change that a line stands for. Printed at the beginning of the line, so that no
/// colour is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// `+`
    Add,
    /// `-`
    Remove,
    /// `~`
    Change,
    /// `!`
    Warn,
    /// No change: a heading or a total.
    Plain,
}

impl Sign {
    /// Returns the character to print.
    #[must_use]
    pub fn as_char(self) -> char {
        match self {
            Self::Add => '+',
            Self::Remove => '-',
            Self::Change => '~',
            Self::Warn => '!',
            Self::Plain => ' ',
        }
    }
}

/// One line of a plan's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Indentation: 0 for a VIP or a heading, 1 for what belongs to it.
    pub depth: usize,
    /// The kind of change.
    pub sign: Sign,
    /// The text after the sign.
    pub text: String,
}

impl Line {
    /// Builds a line.
    #[must_use]
    pub fn new(depth: usize, sign: Sign, text: String) -> Self {
        Self { depth, sign, text }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Printable(&self.text);
        write!(f, "{:indent$}{} {text}", "", self.sign.as_char(), indent = self.depth * 4)
    }
}

/// Appends a heading and the entries below it; nothing if there are no entries.
pub(crate) fn push_section(
    lines: &mut Vec<Line>,
    heading: &str,
    entries: impl Iterator<Item = (Sign, String)>,
) {
    let entries: Vec<_> = entries.map(|(sign, text)| Line::new(1, sign, text)).collect();
    if !entries.is_empty() {
        lines.push(Line::new(0, Sign::Plain, heading.to_owned()));
        lines.extend(entries);
    }
}
