//! The end of an agent's threads.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The longest time that a stop waits for the disk. What isn't written by then is told by Marathon again.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for a thread until `deadline`. Returns whether it ended.
pub(super) fn join_until(thread: JoinHandle<()>, deadline: Instant) -> bool {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    let _ = thread.join();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_longer_than_the_deadline() {
        let begun = Instant::now();
        let slow = thread::spawn(|| thread::sleep(Duration::from_secs(60)));
        assert!(!join_until(slow, begun + Duration::from_millis(50)));
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(join_until(thread::spawn(|| {}), begun + Duration::from_secs(60)));
    }
}
