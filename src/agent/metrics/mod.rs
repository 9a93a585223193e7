//! The metrics of the agent: [`declared`] has them all, [`recorder`] updates those that the event
//! loop counts and times.

pub mod declared;
mod drift;
pub(crate) mod encoder;
mod lag;
pub(crate) mod process;
pub(in crate::agent) mod recorder;
mod text_format;
