//! What waits to be taken by an agent: records that all agents share.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use relay::{Published, Scope, Segment};

/// The bytes that are handed over at a time: whoever takes them is alive.
pub(super) const PIECE: usize = 64 << 10;

/// The form of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

/// Records that are published together.
#[derive(Debug)]
pub(super) struct Together {
    published: Vec<Published>,
    /// Their bytes one after the other, for each scope and encoding: joined once for all streams. None:
    /// they are too long for one piece.
    joined: [OnceLock<Option<Bytes>>; 4],
}

impl Together {
    pub(super) fn new(published: Vec<Published>) -> Self {
        Self { published, joined: Default::default() }
    }

    /// Returns the bytes of all records of a scope, unless they are too long for one piece.
    fn joined(&self, scope: Scope, encoding: Encoding) -> Option<Bytes> {
        let place = match (scope, encoding) {
            (Scope::Vips, Encoding::Plain) => 0,
            (Scope::Vips, Encoding::Gzip) => 1,
            (Scope::All, Encoding::Plain) => 2,
            (Scope::All, Encoding::Gzip) => 3,
        };
        self.joined[place].get_or_init(|| self.join(scope, encoding)).clone()
    }

    fn join(&self, scope: Scope, encoding: Encoding) -> Option<Bytes> {
        let told = self.published.iter().filter(|each| scope.includes(each.scope));
        let all: Vec<_> = told.map(|each| encoding.bytes_of(&each.segment)).collect();
        match &all[..] {
            [one] => Some(one.clone()),
            _ if all.iter().map(Bytes::len).sum::<usize>() > PIECE => None,
            _ => Some(all.concat().into()),
        }
    }
}

/// Records that all streams share.
pub(super) enum Shared {
    Start(Arc<[Segment]>),
    Batch(Arc<Together>),
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
        Self { shared: Shared::Start(Arc::default()), next: 0, last: None }
    }

    pub(super) fn batch(together: Arc<Together>) -> Self {
        Self { shared: Shared::Batch(together), next: 0, last: None }
    }

    /// Returns the length of what is left, at most that of a piece.
    pub(super) fn rest_of_piece(&self, encoding: Encoding) -> usize {
        let Shared::Start(segments) = &self.shared else { return PIECE };
        let mut length = 0;
        for segment in segments.iter().skip(self.next).chain(&self.last) {
            length += encoding.bytes_of(segment).len();
            if length >= PIECE {
                return PIECE;
            }
        }
        length
    }

    pub(super) fn pop(&mut self, scope: Scope, encoding: Encoding) -> Option<Bytes> {
        if let (Shared::Batch(together), 0) = (&self.shared, self.next)
            && let Some(joined) = together.joined(scope, encoding)
        {
            self.next = together.published.len();
            return Some(joined).filter(|joined| !joined.is_empty());
        }
        loop {
            let segment = match &self.shared {
                Shared::Start(segments) => segments.get(self.next),
                Shared::Batch(together) => match together.published.get(self.next) {
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
