//! `vipd run`: keeps the kernel in sync with the sources for as long as the process lives.
//!
//! [`core`] decides and does no I/O; [`event_loop`] feeds it with what happens and carries out the
//! effects that it returns.

pub mod core;
pub mod event_loop;
mod inbox;
pub mod journal;
mod kernel_thread;
pub mod metrics;
pub mod name_files;
pub mod notify;
pub mod prober;
mod requests;
pub mod resolver;
pub mod state_file;
pub mod status;
mod stopping;
