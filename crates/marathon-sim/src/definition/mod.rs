//! What a user posts, brought into one form and read.
//!
//! The stored form is JSON as Marathon 1.5 stores it (`networks`, `container.portMappings`,
//! `portDefinitions`); fields the simulator has no use for are carried along in it. [`Spec`] is
//! that JSON, read as far as tasks need it.

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
