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
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;

use super::counts::Counts;
use super::hub::{Batch, Subscription};

/// The longest time for which an agent may take nothing of what waits for it.
pub(super) const LAG: Duration = Duration::from_secs(10);

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

    /// Waits until a stream's agent has taken nothing for too long. Heartbeats see to it that there
    /// is always something to take.
    pub(super) async fn wait_for_lag(&self) {
        loop {
            let at = self.at.load(Ordering::Relaxed);
            let limit = match at {
                0 => Instant::now() + LAG,
                _ => self.start + Duration::from_millis(at) + LAG,
            };
            if at != 0 && limit <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(limit).await;
        }
    }
}

/// The state of a stream.
struct AgentStream {
    /// What comes before the batches.
    first: VecDeque<Segment>,
    batches: broadcast::Receiver<Batch>,
    scope: Scope,
    encoding: Encoding,
    is_begun: bool,
    taken: Arc<LastTaken>,
    counts: Arc<Counts>,
    /// Held until the snapshot is taken.
    snapshot: Option<OwnedSemaphorePermit>,
}

impl Drop for AgentStream {
    fn drop(&mut self) {
        self.counts.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes the body of an answer.
pub(super) fn body_of(
    subscription: Subscription,
    scope: Scope,
    encoding: Encoding,
    taken: Arc<LastTaken>,
    counts: Arc<Counts>,
    snapshot: OwnedSemaphorePermit,
) -> Body {
    let Subscription { first, batches } = subscription;
    counts.clients.fetch_add(1, Ordering::Relaxed);
    let (first, snapshot) = (first.into(), Some(snapshot));
    let stream =
        AgentStream { first, batches, scope, encoding, is_begun: false, taken, counts, snapshot };
    Body::from_stream(stream::unfold(stream, |mut stream| async {
        let bytes = stream.next_bytes().await?;
        stream.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Some((Ok::<_, Infallible>(bytes), stream))
    }))
}

impl AgentStream {
    /// Waits for the next bytes. None: the agent is too slow, and has to open another stream.
    async fn next_bytes(&mut self) -> Option<Bytes> {
        self.taken.note();
        if self.encoding == Encoding::Gzip && !std::mem::replace(&mut self.is_begun, true) {
            return Some(Bytes::from_static(&GZIP_HEADER));
        }
        loop {
            if let Some(segment) = self.first.pop_front() {
                return Some(self.bytes_of(&segment));
            }
            self.snapshot = None;
            match self.batches.recv().await {
                Ok(batch) => {
                    let told =
                        batch.iter().filter(|published| self.scope.includes(published.scope));
                    self.first.extend(told.map(|published| published.segment.clone()));
                }
                Err(RecvError::Lagged(_)) => {
                    self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn bytes_of(&self, segment: &Segment) -> Bytes {
        match self.encoding {
            Encoding::Plain => segment.text().clone(),
            Encoding::Gzip => segment.deflated().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_counts_as_stuck_once_its_stream_takes_nothing_for_a_while() {
        let taken = LastTaken::default();
        let is_stuck =
            async |after: Duration| tokio::time::timeout(after, taken.wait_for_lag()).await.is_ok();
        assert!(!is_stuck(10 * LAG).await, "there is no stream");
        taken.note();
        assert!(!is_stuck(LAG / 2).await);
        taken.note();
        assert!(!is_stuck(LAG / 2 + LAG / 4).await);
        assert!(is_stuck(LAG).await);
    }
}
