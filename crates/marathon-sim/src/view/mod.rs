//! The store as each generation writes it.

mod app;
mod deployment;
mod group;
mod legacy;
mod pod;
mod task;

pub(crate) use app::{Embed, app, app_info, app_just_created};
pub(crate) use deployment::{deployment, plan};
pub(crate) use group::{GroupEmbed, group};
pub(crate) use pod::{pod, pod_instance, pod_status};
pub(crate) use task::{addresses, agent_id, task, task_with_service_ports};
