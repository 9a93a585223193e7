//! The configuration of a source, as the agent's core takes it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

use marathon::watch;
use vip::SourceId;
use vip::naming::NameSettings;

use crate::config::{Config, Marathon};

/// The configuration of one source.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// The source.
    pub id: SourceId,
    /// The names of the servers that it is read from: no VIP may be an address of theirs.
    pub servers: BTreeSet<String>,
    /// What the names of its VIPs depend on.
    pub names: NameConfig,
    /// The kind of source, with its settings.
    pub kind: SourceKind,
}

/// A kind of source, with the settings that the agent's core needs.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// A Marathon.
    Marathon(watch::Config),
}

/// What the names of a source's VIPs depend on.
#[derive(Debug, Clone, Default)]
pub struct NameConfig {
    /// The framework's name, if that is set.
    pub framework: Option<Arc<str>>,
    /// The length of the longest zone.
    pub zone_len: usize,
    /// The zone of the names of tasks; `None` if they are not served.
    pub task_zone: Option<Arc<str>>,
}

impl NameConfig {
    /// Takes the settings of a `[[marathon]]`.
    #[must_use]
    pub fn for_marathon(marathon: &Marathon, config: &Config) -> Self {
        let zone_len = config.names.vips.as_ref().map_or(0, NameSettings::zone_len);
        let task_zone = config.names.task_zone.as_deref().map(Arc::from);
        Self { framework: marathon.framework.clone(), zone_len, task_zone }
    }
}

impl SourceConfig {
    /// Takes the settings of a `[[marathon]]`.
    #[must_use]
    pub fn for_marathon(marathon: &Marathon, config: &Config) -> Self {
        let is_relayed = !marathon.relays.urls.is_empty();
        let watch = watch::Config {
            urls: NonZeroUsize::new(marathon.urls.len()).unwrap_or(NonZeroUsize::MIN),
            // Reads from a relay cost Marathon nothing, so there is nobody to share a limit with.
            agents: if is_relayed { Some(1) } else { config.agent.agents },
            seed: jitter_seed(&config.node_name, &marathon.name),
            doubt: config.agent.doubt,
        };
        Self {
            id: marathon.name.as_str().into(),
            servers: marathon.server_names(),
            names: NameConfig::for_marathon(marathon, config),
            kind: SourceKind::Marathon(watch),
        }
    }
}

/// Computes a seed that differs from node to node, so that they don't all read at the same time.
fn jitter_seed(node: &str, source: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (node, source).hash(&mut hasher);
    hasher.finish()
}
