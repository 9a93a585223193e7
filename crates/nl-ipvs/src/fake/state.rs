//! The state of a kernel in memory.

use std::collections::VecDeque;

use super::table::Table;

/// The number of the family before any reload. The kernel's controller has 0x10.
const FIRST_FAMILY: u16 = 0x1c;

pub(super) struct State {
    pub(super) table: Table,
    /// The number of the netlink family, which changes with each reload of the module.
    pub(super) family: u16,
    pub(super) failures: VecDeque<Failure>,
}

impl Default for State {
    fn default() -> Self {
        Self { table: Table::default(), family: FIRST_FAMILY, failures: VecDeque::new() }
    }
}

impl State {
    /// Empties the table and changes the number of the family.
    pub(super) fn reload(&mut self) {
        self.table.reload();
        self.family = self.family.checked_add(1).unwrap_or(FIRST_FAMILY);
    }
}

/// A failure that a test asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The kernel refuses the next request with this errno, and doesn't carry it out.
    Refuse(i32),
    /// The kernel carries out the next datagram of requests and loses its answers (`ENOBUFS`).
    LoseAnswers,
    /// The kernel carries out the next datagram of requests and never answers. The client doesn't
    /// wait here.
    Silence,
}
