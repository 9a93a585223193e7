//! What vipd's tests share: [`FakeKernel`], a kernel in memory that answers as the real one does, and
//! [`SharedKernel`], the same for an agent at work;
//! [`cases`], operations with the answers of both; [`netns`], network namespaces for tests on a
//! real kernel; and [`generate`], proptest strategies for tables.

pub mod cases;
mod fake;
mod faults;
pub mod generate;
pub mod netns;
mod shared;

pub use fake::{FakeKernel, SCHEDULERS};
pub use shared::SharedKernel;
