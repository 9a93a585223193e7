//! A small Marathon for laptops, tests and demos.
//!
//! Implements Marathon's REST API in the format of a chosen [`Generation`] and really runs its
//! tasks: each is a process on a simulated [`Agent`], health checks go over the network, and a
//! process that dies is reported and replaced. An image name stands for a small built-in server, so
//! Docker apps run without Docker.
//!
//! This crate shares no code with vipd's own model of Marathon, so that the two can disagree. The
//! README lists what is faithful and what is not.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use marathon_sim::{Agent, Config, Generation, Sim};
//!
//! let mut config = Config::new("/usr/local/bin/marathon-sim");
//! config.generation = Generation::V1_4;
//! config.agents = vec!["127.0.0.11".parse::<Agent>()?, "127.0.0.12".parse::<Agent>()?];
//! let sim = Sim::start(config).await?;
//! println!("{}/v2/apps", sim.url());
//! sim.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod access;
mod api;
mod config;
mod definition;
mod event;
mod fault;
mod id;
mod imagined;
mod run;
mod scheduler;
mod shared;
mod sim;
#[doc(hidden)]
pub mod stand_in;
mod store;
mod stream;
mod time;
mod view;

pub use config::{Agent, AgentError, Config, Generation, UnknownGeneration};
pub use fault::{Fault, Rule};
pub use imagined::Fate;
pub use sim::{Handle, Running, Sim, StartError};
pub use time::now;
