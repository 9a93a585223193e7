//! The configuration of the agent's core.

use crate::config::Marathon;
use crate::sources::SourceConfig;

/// The configuration of [`AgentCore`](super::AgentCore).
#[derive(Debug, Clone)]
pub struct Config {
    /// The controller's configuration. [`AgentCore::new`](super::AgentCore::new) sets its sources.
    pub controller: vip::controller::Config,
    /// The sources.
    pub sources: Vec<SourceConfig>,
    /// The zone of the names of tasks; `None` if they are not served.
    pub task_zone: Option<String>,
}

impl Config {
    /// Takes the settings for these Marathons from the node's configuration.
    #[must_use]
    pub fn new(config: &crate::config::Config, marathons: &[Marathon], observe_only: bool) -> Self {
        Self {
            controller: vip::controller::Config {
                node: config.node_name.clone(),
                table: config.table_settings(),
                observe_only,
                sync_period: config.agent.sync_period,
                linger: config.agent.linger,
                ..vip::controller::Config::default()
            },
            sources: marathons
                .iter()
                .map(|marathon| SourceConfig::for_marathon(marathon, config))
                .collect(),
            task_zone: config.names.task_zone.clone(),
        }
    }
}
