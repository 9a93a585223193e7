//! Documents in, the normalised picture out.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod common;
mod files;
mod generations;
mod health;
mod lenient;
mod networks;
mod pods;
mod ports;
mod shapes;
mod versions;
