//! Tools for vipd's tests.
//!
//! - [`FakeKernel`]: a kernel in memory with the answers of the real one.
//! - [`SharedKernel`]: the same, shared by a running agent and its test.
//! - [`cases`]: operations with the answers that both kernels must give.
//! - [`netns`]: network namespaces for tests on a real kernel.
//! - [`tcp`]: TCP clients with a port of their choice.
//! - [`generate`]: proptest strategies for tables.

pub mod cases;
mod fake;
mod faults;
pub mod generate;
pub mod netns;
mod shared;
pub mod tcp;

pub use fake::{FakeKernel, SCHEDULERS};
pub use shared::SharedKernel;
