//! What the watch reads and when, and what it believes.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod belief;
mod common;
mod disputes;
mod doubt;
mod keep;
mod memory;
mod news;
mod pods;
mod random;
mod reads;
mod stream;
