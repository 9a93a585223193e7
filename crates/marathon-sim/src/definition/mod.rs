//! Definitions of apps and pods: normalised to one form, checked and parsed.
//!
//! The stored form is the JSON of Marathon 1.5 (`networks`, `container.portMappings`,
//! `portDefinitions`), with fields that the simulator ignores. [`Spec`] has the parts of it that
//! tasks need.

mod app;
mod check;
mod health;
mod migrate;
mod pod;
mod ports;
mod refusal;
mod spec;
mod validate;

pub(crate) use app::{create_app, update_app};
pub(crate) use check::{Check, Probe, Target};
pub(crate) use pod::create_pod;
pub(crate) use ports::{assign_service_ports, service_ports};
pub(crate) use refusal::{Refusal, Violation};
pub(crate) use spec::{Command, Container, Network, Object, Port, Spec, Upgrade};
pub(crate) use validate::check_path;
