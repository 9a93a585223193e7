//! What waits to be taken by an agent: records that all agents share.

use std::sync::Arc;

use axum::body::Bytes;
use relay::{Published, Scope, Segment};

/// The form of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

/// Records that all streams share.
pub(super) enum Shared {
    Start(Arc<[Segment]>),
    Batch(Arc<[Published]>),
}

/// What is to be taken next.
pub(super) struct Waiting {
    pub(super) shared: Shared,
    /// The index of the first one that is not taken.
    pub(super) next: usize,
    /// What comes after them.
    pub(super) last: Option<Segment>,
}

impl Waiting {
    pub(super) fn nothing() -> Self {
        Self::batch(Arc::default())
    }

    pub(super) fn batch(published: Arc<[Published]>) -> Self {
        Self { shared: Shared::Batch(published), next: 0, last: None }
    }

    pub(super) fn pop(&mut self, scope: Scope, encoding: Encoding) -> Option<Bytes> {
        loop {
            let segment = match &self.shared {
                Shared::Start(segments) => segments.get(self.next),
                Shared::Batch(published) => match published.get(self.next) {
                    Some(published) if !scope.includes(published.scope) => {
                        self.next += 1;
                        continue;
                    }
                    published => published.map(|published| &published.segment),
                },
            };
            let Some(segment) = segment else {
                return self.last.take().map(|last| encoding.bytes_of(&last));
            };
            self.next += 1;
            return Some(encoding.bytes_of(segment));
        }
    }
}

impl Encoding {
    pub(super) fn bytes_of(self, segment: &Segment) -> Bytes {
        match self {
            Self::Plain => segment.text().clone(),
            Self::Gzip => segment.deflated().clone(),
        }
    }
}
