//! Marathon's event stream: the frames of server-sent events, and the changes that they announce.

mod event;
pub mod sse;

pub use event::{Change, Event, Subject, Touched};
