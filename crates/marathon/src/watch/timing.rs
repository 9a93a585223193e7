//! Times and limits of the schedule of reads.

use std::time::Duration;

/// Above this number of workloads everything is read at once...
pub(super) const FEW: usize = 10;
/// ...and also if reading them one by one would take longer than this.
pub(super) const ONE_BY_ONE: Duration = Duration::from_secs(30);
/// Events within this time of each other cause one read...
pub(super) const QUIET: Duration = Duration::from_millis(200);
/// ...which begins no later than this after the first event.
pub(super) const LATEST: Duration = Duration::from_secs(2);
/// Delay of the second read, if the first didn't show the event.
pub(super) const AGAIN: Duration = Duration::from_millis(1500);
/// Shortest time between two reads of everything that events cause, and before a doubted read is
/// repeated.
pub(super) const GAP: Duration = Duration::from_secs(2);
/// Time after which an event ends the wait after a failed read once more.
pub(super) const TRIED: Duration = Duration::from_secs(120);
/// Time between reads of everything while the event stream is open.
pub(super) const PERIOD: Duration = Duration::from_secs(300);
/// Time during which everything is read more often after something large was believed to be gone...
pub(super) const CLOSE: Duration = Duration::from_secs(120);
/// ...and the time between these reads.
pub(super) const CLOSE_PERIOD: Duration = Duration::from_secs(10);
/// Time between reads of everything without an event stream.
pub(super) const POLL: Duration = Duration::from_secs(30);
/// Shortest time that bad news waits for a read...
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// ...and the time allowed for the answer.
pub(super) const ANSWER: Duration = Duration::from_secs(1);
/// Interval of one agent in the 100 reads a second that all agents together may make: an agent
/// waits this long, times the number of agents, between two reads that events cause.
pub(super) const SHARE: Duration = Duration::from_millis(10);
/// Bytes of an answer with everything that count as one read; a longer one counts as several. After
/// a change of leader all agents together request 74 MB/s.
pub(super) const ONE_READ: usize = 740_000;
