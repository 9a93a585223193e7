//! The stream of one agent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use relay::{GZIP_HEADER, Scope, Segment};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::{Instant, timeout};

use super::counts::Counts;
use super::hub::{Batch, Hub, Subscription};

/// The longest time for which an agent may take nothing of what waits for it, and the longest life of
/// a connection without a stream.
const LAG: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));
/// The longest time for a snapshot, once it is its turn.
const SNAPSHOT: Duration = Duration::from_secs(60);
/// The time between two comments while a snapshot waits for its turn.
const COMMENT: Duration = Duration::from_secs(2);
/// The bytes that are handed over at a time: whoever takes them is alive.
const PIECE: usize = 64 << 10;

/// The form of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

/// The time at which the connection last took something, for the one who watches over it.
#[derive(Debug)]
pub(super) struct LastTaken {
    start: Instant,
    /// Milliseconds since the start; 0: no stream was opened on this connection.
    at: AtomicU64,
}

impl Default for LastTaken {
    fn default() -> Self {
        Self { start: Instant::now(), at: AtomicU64::new(0) }
    }
}

impl LastTaken {
    fn note(&self) {
        let at = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(at.max(1), Ordering::Relaxed);
    }

    /// Waits until a stream's agent has taken nothing for too long, or a connection without a stream
    /// is too old. Heartbeats see to it that there is always something to take.
    pub(super) async fn wait_for_lag(&self) {
        loop {
            let limit = match self.at.load(Ordering::Relaxed) {
                0 => self.start + LAG.1,
                at => self.start + Duration::from_millis(at) + LAG.0,
            };
            if limit <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(limit).await;
        }
    }
}

/// What a stream needs beside its records.
pub(super) struct StreamSetup {
    pub(super) scope: Scope,
    pub(super) encoding: Encoding,
    pub(super) taken: Arc<LastTaken>,
    pub(super) counts: Arc<Counts>,
    pub(super) hub: Arc<Hub>,
    /// The snapshots that may be on their way at the same time.
    pub(super) snapshots: Arc<Semaphore>,
}

/// The turn of a snapshot.
enum Turn {
    /// It has to wait.
    Waits,
    /// It is on its way since then.
    Has { since: Instant, _permit: OwnedSemaphorePermit },
    /// It is taken, or there is none.
    Over,
}

/// The state of a stream.
struct AgentStream {
    /// What comes before the batches.
    first: VecDeque<Segment>,
    /// The rest of the record that is being taken.
    rest: Bytes,
    batches: broadcast::Receiver<Batch>,
    setup: StreamSetup,
    is_greeted: bool,
    turn: Turn,
}

impl Drop for AgentStream {
    fn drop(&mut self) {
        self.setup.counts.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes the body of an answer.
pub(super) fn body_of(subscription: Subscription, setup: StreamSetup) -> Body {
    let Subscription { first, batches } = subscription;
    setup.counts.clients.fetch_add(1, Ordering::Relaxed);
    let turn = if first.is_resumed { Turn::Over } else { Turn::Waits };
    let rest = match setup.encoding {
        Encoding::Plain => Bytes::new(),
        Encoding::Gzip => Bytes::from_static(&GZIP_HEADER),
    };
    let stream =
        AgentStream { first: first.segments.into(), rest, batches, setup, is_greeted: false, turn };
    Body::from_stream(stream::unfold(stream, |mut stream| async {
        let bytes = stream.next_bytes().await?;
        stream.setup.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Some((Ok::<_, Infallible>(bytes), stream))
    }))
}

impl AgentStream {
    /// Waits for the next bytes. None: the agent is too slow, and has to open another stream.
    async fn next_bytes(&mut self) -> Option<Bytes> {
        self.setup.taken.note();
        loop {
            if !self.rest.is_empty() {
                let piece = self.rest.len().min(PIECE);
                return Some(self.rest.split_to(piece));
            }
            // `hello` comes at once, so that the agent knows that it is served.
            if matches!(self.turn, Turn::Waits) && !self.is_at_hello() && !self.take_turn().await {
                self.rest = self.bytes_of(&self.setup.hub.comment());
                continue;
            }
            if let Turn::Has { since, .. } = &self.turn
                && since.elapsed() > SNAPSHOT
            {
                return self.give_up();
            }
            if let Some(segment) = self.first.pop_front() {
                self.rest = self.bytes_of(&segment);
                continue;
            }
            self.turn = Turn::Over;
            match self.batches.recv().await {
                Ok(batch) if self.setup.hub.end() - batch.end > caps::RELAY_LAG as u64 => {
                    return self.give_up();
                }
                Ok(batch) => {
                    let scope = self.setup.scope;
                    let told = batch.published.iter().filter(|each| scope.includes(each.scope));
                    self.first.extend(told.map(|published| published.segment.clone()));
                }
                Err(RecvError::Lagged(_)) => return self.give_up(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Tells whether `hello`, the first record, is still to come.
    fn is_at_hello(&mut self) -> bool {
        !std::mem::replace(&mut self.is_greeted, true)
    }

    /// Waits for the turn of the snapshot, for a moment. Returns whether it has come.
    async fn take_turn(&mut self) -> bool {
        let permit = Arc::clone(&self.setup.snapshots).acquire_owned();
        match timeout(COMMENT, permit).await {
            // The semaphore is never closed.
            Ok(Ok(permit)) => {
                self.turn = Turn::Has { since: Instant::now(), _permit: permit };
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn give_up(&self) -> Option<Bytes> {
        self.setup.counts.dropped.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn bytes_of(&self, segment: &Segment) -> Bytes {
        match self.setup.encoding {
            Encoding::Plain => segment.text().clone(),
            Encoding::Gzip => segment.deflated().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_counts_as_stuck_once_it_takes_nothing_for_a_while() {
        let is_stuck = async |taken: &LastTaken, after: Duration| {
            timeout(after, taken.wait_for_lag()).await.is_ok()
        };
        let taken = LastTaken::default();
        assert!(!is_stuck(&taken, LAG.1 / 2).await);
        assert!(is_stuck(&taken, LAG.1).await, "there is no stream");
        let taken = LastTaken::default();
        taken.note();
        assert!(!is_stuck(&taken, LAG.0 / 2).await);
        taken.note();
        assert!(!is_stuck(&taken, LAG.0 / 2 + LAG.0 / 4).await);
        assert!(is_stuck(&taken, LAG.0).await);
    }
}
