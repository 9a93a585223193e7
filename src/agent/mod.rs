//! `vipd run`: Marathon's word into the kernel, for as long as the process lives.
//!
//! [`mind`] decides and has no I/O; [`drive`] brings it what happens and does what it says.

pub mod census;
pub mod changes;
pub mod drive;
pub mod health;
mod kernel;
pub mod log;
mod marathons;
pub mod measures;
pub mod mind;
mod names;
pub mod news;
pub mod notify;
mod source;
pub mod store;
mod tally;
pub mod view;

use std::time::Duration;

use marathon::Timestamp;

/// Now, by both clocks: the one that never goes back, and the one that Marathon's times are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the agent's start.
    pub since_start: Duration,
    /// By the wall clock.
    pub wall: Timestamp,
}
