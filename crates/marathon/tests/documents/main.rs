//! Documents in, the normalised picture out.

mod common;
mod generations;
