//! The configuration of the agent's core.

use crate::config::Marathon;
use crate::sources::SourceConfig;

/// What a [`AgentCore`] has to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the controller has to know. Its sources are set by [`AgentCore::new`](super::AgentCore::new).
    pub controller: vip::controller::Config,
    /// The Marathons.
    pub sources: Vec<SourceConfig>,
}

impl Config {
    /// As the configuration says, for these Marathons.
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
        }
    }
}
