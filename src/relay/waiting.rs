//! What waits to be taken by an agent: records that all agents share.

use std::sync::{Arc, OnceLock, Weak};

use axum::body::Bytes;
use bytes::BytesMut;
use relay::{Published, Scope, Segment};

/// The bytes that are handed over at a time: whoever takes them is alive.
pub(super) const PIECE: usize = 64 << 10;

/// The form of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

/// The most snapshots that are in memory in pieces, too: while much changes, each agent that comes gets
/// another one.
const CUT: usize = 4;

/// A snapshot, cut into pieces once for all streams.
#[derive(Debug)]
pub(super) struct Pieces {
    segments: Arc<[Segment]>,
    /// For each encoding.
    cut: [OnceLock<Box<[Bytes]>>; 2],
}

impl Pieces {
    fn get(&self, encoding: Encoding) -> &[Bytes] {
        let place = match encoding {
            Encoding::Plain => 0,
            Encoding::Gzip => 1,
        };
        self.cut[place].get_or_init(|| cut(&self.segments, encoding))
    }
}

fn cut(segments: &[Segment], encoding: Encoding) -> Box<[Bytes]> {
    let all = || segments.iter().map(|segment| encoding.bytes_of(segment));
    let mut joined = BytesMut::with_capacity(all().map(|bytes| bytes.len()).sum());
    all().for_each(|bytes| joined.extend_from_slice(&bytes));
    let mut joined = joined.freeze();
    let mut pieces = Vec::new();
    while !joined.is_empty() {
        pieces.push(joined.split_to(joined.len().min(PIECE)));
    }
    pieces.into()
}

/// The snapshots that streams are taking in pieces.
#[derive(Debug, Default)]
pub(super) struct PieceCache {
    taken: Vec<Weak<Pieces>>,
}

impl PieceCache {
    /// Returns the pieces of a snapshot, unless too many others are being taken.
    pub(super) fn get(&mut self, segments: &Arc<[Segment]>) -> Option<Arc<Pieces>> {
        self.taken.retain(|pieces| pieces.strong_count() > 0);
        let mut taken = self.taken.iter().filter_map(Weak::upgrade);
        if let Some(found) = taken.find(|pieces| Arc::ptr_eq(&pieces.segments, segments)) {
            return Some(found);
        }
        if self.taken.len() >= CUT {
            return None;
        }
        let segments = Arc::clone(segments);
        let pieces = Arc::new(Pieces { segments, cut: Default::default() });
        self.taken.push(Arc::downgrade(&pieces));
        Some(pieces)
    }
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
    Pieces(Arc<Pieces>),
    Batch(Arc<Together>),
}

/// What is to be taken next.
pub(super) struct Waiting {
    pub(super) shared: Shared,
    /// The index of the first one that is not taken.
    pub(super) next: usize,
    /// What comes after them...
    pub(super) announced: Option<Segment>,
    /// ...and at the end.
    pub(super) last: Option<Segment>,
}

impl Waiting {
    pub(super) fn nothing() -> Self {
        Self { shared: Shared::Start(Arc::default()), next: 0, announced: None, last: None }
    }

    pub(super) fn batch(together: Arc<Together>) -> Self {
        Self { shared: Shared::Batch(together), next: 0, announced: None, last: None }
    }

    /// Returns the length of what is left, at most that of a piece.
    pub(super) fn rest_of_piece(&self, encoding: Encoding) -> usize {
        let mut length = 0;
        let segments = match &self.shared {
            Shared::Start(segments) => &**segments,
            Shared::Pieces(pieces) => {
                let rest = pieces.get(encoding).iter().skip(self.next);
                length = rest.map(Bytes::len).sum();
                &[]
            }
            Shared::Batch(_) => return PIECE,
        };
        let rest = segments.iter().skip(self.next);
        for segment in rest.chain(&self.announced).chain(&self.last) {
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
                Shared::Pieces(pieces) => {
                    if let Some(piece) = pieces.get(encoding).get(self.next) {
                        self.next += 1;
                        return Some(piece.clone());
                    }
                    None
                }
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
                let after = self.announced.take().or_else(|| self.last.take());
                return after.map(|after| encoding.bytes_of(&after));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_cut_once_and_few_snapshots_are_cut_at_a_time() {
        let snapshot = || -> Arc<[Segment]> {
            let text = (0..500).map(|number| format!("{}", number * 7919 % 1009));
            vec![Segment::comment(&text.collect::<String>()); 200].into()
        };
        let mut cache = PieceCache::default();
        let segments = snapshot();
        let pieces = cache.get(&segments).unwrap();
        assert!(Arc::ptr_eq(&pieces, &cache.get(&segments).unwrap()));
        for encoding in [Encoding::Plain, Encoding::Gzip] {
            let cut = pieces.get(encoding);
            assert!(cut.len() > 1 && cut[..cut.len() - 1].iter().all(|piece| piece.len() == PIECE));
            let expected = segments.iter().map(|segment| encoding.bytes_of(segment));
            assert_eq!(cut.concat(), expected.collect::<Vec<_>>().concat());
        }
        let others: Vec<_> = (1..CUT).map(|_| cache.get(&snapshot()).unwrap()).collect();
        assert!(cache.get(&snapshot()).is_none(), "they would fill the memory");
        assert!(cache.get(&segments).is_some());
        drop(others);
        assert!(cache.get(&snapshot()).is_some());
    }
}
