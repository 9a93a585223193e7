//! What vipd's tests share: [`FakeKernel`], a kernel in memory that answers as the real one does;
//! [`netns`], network namespaces for tests on a real kernel; and [`cases`], operations with the
//! answers of both.

pub mod cases;
mod fake;
mod faults;
pub mod netns;

pub use fake::{FakeKernel, SCHEDULERS};
