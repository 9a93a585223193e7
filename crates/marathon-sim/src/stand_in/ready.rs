//! The report of a task that it serves.

use std::io::{self, Write};

/// The line that a task writes to standard output when all ports are bound.
pub(crate) const READY: &str = "ready\n";

/// Tells the simulator that the task serves.
pub(super) fn report_ready() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(READY.as_bytes())?;
    stdout.flush()
}
