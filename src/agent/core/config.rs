use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;

use marathon::watch;
use vip::SourceId;

use crate::config::Marathon;

/// What a [`AgentCore`] has to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the controller has to know. Its sources are set by [`AgentCore::new`](super::AgentCore::new).
    pub controller: vip::controller::Config,
    /// The Marathons.
    pub sources: Vec<SourceConfig>,
}

/// One Marathon.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Which source.
    pub id: SourceId,
    /// The names of its servers.
    pub servers: BTreeSet<String>,
    /// How it is watched.
    pub watch: watch::Config,
}

impl Config {
    /// As the configuration says, for these Marathons.
    #[must_use]
    pub fn of(config: &crate::config::Config, marathons: &[Marathon], observe_only: bool) -> Self {
        let sources = marathons.iter().map(|marathon| SourceConfig {
            id: marathon.name.as_str().into(),
            servers: marathon
                .urls
                .iter()
                .filter_map(|url| url.host_str().map(str::to_owned))
                .collect(),
            watch: watch::Config {
                urls: NonZeroUsize::new(marathon.urls.len()).unwrap_or(NonZeroUsize::MIN),
                agents: config.agent.agents,
                seed: seed(&config.node_name, &marathon.name),
            },
        });
        Self {
            controller: vip::controller::Config {
                node: config.node_name.clone(),
                table: config.table_settings(),
                observe_only,
                sync_period: config.agent.sync_period,
                linger: config.agent.linger,
                ..vip::controller::Config::default()
            },
            sources: sources.collect(),
        }
    }
}

/// No two nodes of a cluster do by chance the same at the same time.
fn seed(node: &str, source: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (node, source).hash(&mut hasher);
    hasher.finish()
}
