//! JSON of the store, in the format of each generation.

mod app;
mod deployment;
mod group;
mod legacy;
mod pod;
mod task;

pub(crate) use app::{Embed, app_definition, app_info, app_just_created};
pub(crate) use deployment::{deployment_plan, deployment_status};
pub(crate) use group::{GroupEmbed, group_tree};
pub(crate) use pod::{pod_definition, pod_instance, pod_status};
pub(crate) use task::{agent_id, ip_addresses, task_status, task_with_service_ports};
