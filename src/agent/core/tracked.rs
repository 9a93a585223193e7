//! A source with the state of its synchronization.

use vip::SourceId;

use super::sync_state::SyncState;
use crate::clock::Moment;
use crate::sources::{Source, SourceConfig};

/// A source, with the state of its synchronization.
#[derive(Debug)]
pub(super) struct TrackedSource {
    pub(super) id: SourceId,
    pub(super) source: Source,
    pub(super) sync: SyncState,
}

impl TrackedSource {
    pub(super) fn new(config: &SourceConfig, now: Moment) -> Self {
        Self {
            id: config.id.clone(),
            source: Source::new(&config.kind, now.since_start),
            sync: SyncState::Partial,
        }
    }
}
