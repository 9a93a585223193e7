//! A source with the state of its synchronization.

use std::time::Duration;

use vip::SourceId;

use super::staleness::Staleness;
use super::sync_state::SyncState;
use crate::clock::Moment;
use crate::sources::{Source, SourceConfig};

/// A source, with the state of its synchronization.
#[derive(Debug)]
pub(super) struct TrackedSource {
    pub(super) id: SourceId,
    pub(super) source: Source,
    pub(super) sync: SyncState,
    pub(super) staleness: Staleness,
    /// It was in doubt when that was last looked at.
    doubted: bool,
}

impl TrackedSource {
    pub(super) fn new(config: &SourceConfig, now: Moment) -> Self {
        Self {
            id: config.id.clone(),
            source: Source::new(config, now.since_start),
            sync: SyncState::Partial,
            staleness: Staleness::default(),
            doubted: false,
        }
    }

    /// Returns whether it is to be saved now, and takes it for saved then. The begin and the end of
    /// a doubt are worth saving.
    pub(super) fn take_save(&mut self, now: Duration) -> bool {
        let is_doubted = self.source.view().doubt.is_some();
        let has_news = std::mem::replace(&mut self.doubted, is_doubted) != is_doubted;
        self.sync.advance(self.source.is_complete(), has_news);
        self.sync.take_save(now)
    }
}
