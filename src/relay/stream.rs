//! The stream of one agent.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use futures_util::stream;
use relay::{GZIP_HEADER, Scope, Start};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::counts::Counts;
use super::hub::{Batch, Hub, Subscription};
use super::waiting::{Encoding, PIECE, Shared, Waiting};

/// The longest time for which an agent may take nothing of what waits for it, and the longest life of
/// a connection without a stream.
const LAG: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));
/// The longest time for which a snapshot keeps others waiting, once it is its turn: a slow agent must not...
const TURN: Duration = Duration::from_secs(5);

/// From this number of snapshots on their way, those that are slow keep their places: more would share a full
/// link, and none would be done in time.
const MOST_SENDING: u64 = 3 * caps::RELAY_SNAPSHOTS as u64;
/// ...and the longest time for all of it.
const SNAPSHOT: Duration = Duration::from_secs(60);
/// The time between two comments while a snapshot waits for its turn.
const COMMENT: Duration = Duration::from_secs(2);

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
    /// The agent's address.
    pub(super) address: IpAddr,
}

/// The turn of a snapshot.
enum Turn {
    /// It has to wait.
    Waits,
    /// It is on its way since then.
    Has { since: Instant, _sending: Sending },
    /// It is taken, or there is none.
    Over,
}

/// A snapshot on its way.
struct Sending {
    counts: Arc<Counts>,
    /// Has the permit, until its time is over and not too many others are on their way.
    turn: JoinHandle<()>,
}

impl Sending {
    fn new(counts: &Arc<Counts>, permit: OwnedSemaphorePermit) -> Self {
        counts.snapshots.fetch_add(1, Ordering::Relaxed);
        counts.sending.fetch_add(1, Ordering::Relaxed);
        // A task, since nobody asks a stream for anything while its agent takes nothing.
        let all = Arc::clone(counts);
        let turn = tokio::spawn(async move {
            sleep(TURN).await;
            while all.sending.load(Ordering::Relaxed) >= MOST_SENDING {
                sleep(TURN).await;
            }
            drop(permit);
        });
        Self { counts: Arc::clone(counts), turn }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.turn.abort();
        self.counts.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of a stream. There are thousands of them, so it owns no list.
struct AgentStream {
    /// The rest of the record that is being taken.
    rest: Bytes,
    waiting: Waiting,
    /// None: the snapshot waits for its turn, and has what is published until then.
    batches: Option<broadcast::Receiver<Batch>>,
    /// The length of all records that were published up to what is being taken.
    end: u64,
    setup: StreamSetup,
    turn: Turn,
}

impl Drop for AgentStream {
    fn drop(&mut self) {
        self.setup.counts.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes the body of an answer.
pub(super) fn body_of(subscription: Subscription, setup: StreamSetup) -> Body {
    setup.counts.clients.fetch_add(1, Ordering::Relaxed);
    let stream = AgentStream::new(subscription, setup);
    Body::from_stream(stream::unfold(stream, |mut stream| async {
        let bytes = stream.next_bytes().await?;
        stream.setup.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Some((Ok::<_, Infallible>(bytes), stream))
    }))
}

impl AgentStream {
    fn new(subscription: Subscription, setup: StreamSetup) -> Self {
        let Subscription { first, pieces, batches, end } = subscription;
        // `hello` comes at once, so that the agent knows that it is served.
        let hello = setup.encoding.bytes_of(&first.hello);
        let rest = match setup.encoding {
            Encoding::Plain => hello,
            Encoding::Gzip => [&GZIP_HEADER, &*hello].concat().into(),
        };
        let (waiting, turn) = (Waiting::nothing(), Turn::Waits);
        let mut stream = Self { rest, waiting, batches: None, end, setup, turn };
        if first.is_resumed {
            stream.turn = Turn::Over;
            stream.begin(Subscription { first, pieces, batches, end });
        }
        stream
    }

    fn begin(&mut self, subscription: Subscription) {
        let Subscription { first, pieces, batches, end } = subscription;
        let Start { segments, announced, end: last, .. } = first;
        let shared = pieces.map_or(Shared::Start(segments), Shared::Pieces);
        self.waiting = Waiting { shared, next: 0, announced, last: Some(last) };
        (self.batches, self.end) = (Some(batches), end);
    }

    /// Waits for the next bytes. None: the agent is too slow, and has to open another stream.
    async fn next_bytes(&mut self) -> Option<Bytes> {
        self.setup.taken.note();
        loop {
            if let Turn::Has { since, .. } = &self.turn
                && since.elapsed() > SNAPSHOT
            {
                return self.give_up();
            }
            if self.batches.is_some() && self.setup.hub.is_left_behind(self.end) {
                return self.give_up();
            }
            if let Some(piece) = self.take_piece() {
                return Some(piece);
            }
            let Some(batches) = &mut self.batches else {
                self.wait_for_turn().await?;
                continue;
            };
            self.turn = Turn::Over;
            match batches.recv().await {
                Ok(batch) => {
                    (self.waiting, self.end) = (Waiting::batch(batch.together), batch.end);
                }
                Err(RecvError::Lagged(_)) => return self.give_up(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Takes what waits, at most a piece. A short record is joined with those after it: each piece
    /// costs a system call, and on many connections that is nearly all that a record costs.
    fn take_piece(&mut self) -> Option<Bytes> {
        let (scope, encoding) = (self.setup.scope, self.setup.encoding);
        if self.rest.is_empty() {
            self.rest = self.waiting.pop(scope, encoding)?;
        }
        if self.rest.len() >= PIECE {
            return Some(self.rest.split_to(PIECE));
        }
        let mut piece = std::mem::take(&mut self.rest);
        let mut joined = BytesMut::new();
        while let Some(next) = self.waiting.pop(scope, encoding) {
            if piece.len().max(joined.len()) + next.len() > PIECE {
                self.rest = next;
                break;
            }
            if joined.is_empty() {
                let length = piece.len() + next.len() + self.waiting.rest_of_piece(encoding);
                joined.reserve(length.min(PIECE));
                joined.extend_from_slice(&piece);
            }
            joined.extend_from_slice(&next);
        }
        if !joined.is_empty() {
            piece = joined.freeze();
        }
        Some(piece)
    }

    /// Waits for the turn of the snapshot, for a moment.
    async fn wait_for_turn(&mut self) -> Option<()> {
        let permit = Arc::clone(&self.setup.snapshots).acquire_owned();
        // The semaphore is never closed.
        let Ok(Ok(permit)) = timeout(COMMENT, permit).await else {
            self.rest = self.setup.encoding.bytes_of(&self.setup.hub.comment());
            return Some(());
        };
        let sending = Sending::new(&self.setup.counts, permit);
        self.turn = Turn::Has { since: Instant::now(), _sending: sending };
        let subscription = self.setup.hub.subscribe(None, self.setup.scope)?;
        self.begin(subscription);
        Some(())
    }

    fn give_up(&self) -> Option<Bytes> {
        let why = "it takes its records too slowly";
        self.setup.counts.dropped.note("ended the stream of", self.setup.address, why);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use marathon::events::sse::Decoder;
    use marathon::watch::Action;
    use marathon::{Coverage, Document, Records, Snapshot};
    use relay::{Change, Epoch, Mirror};

    use super::*;
    use crate::relay::core::RelayCore;
    use crate::sources::marathon::messages::Message;

    /// Makes a relay that knows as many apps with VIPs.
    fn hub_with_apps(apps: usize) -> Arc<Hub> {
        let mut core = RelayCore::new(Epoch::new("a", 1), NonZeroUsize::MIN, 1, 7);
        let mut actions = core.tick(Duration::ZERO).actions;
        while let Some(action) = actions.pop() {
            let message = match action {
                Action::Open { stream, .. } => {
                    Message::Opened { stream, leader: None, relay: None }
                }
                Action::ReadEverything => {
                    Message::ReadEverything { answer: Ok(answer(apps)), leader: None }
                }
                Action::Close | Action::Read(_) => continue,
            };
            let now = core.wake_at();
            actions.extend(core.on_message(message, now, &mut |_| {}).actions);
            actions.extend(core.tick(core.wake_at()).actions);
            if core.is_complete() {
                break;
            }
        }
        assert!(core.is_complete());
        Hub::new(core, "m")
    }

    fn answer(apps: usize) -> Snapshot {
        let app = |app| {
            format!(
                r#"{{"id":"/app-{app}","labels":{{"filler":"{}"}},"tasks":[],
                    "portDefinitions":[{{"port":0,"labels":{{"VIP_0":"3.3.0.6:80"}}}}]}}"#,
                "x".repeat(100)
            )
        };
        let apps: Vec<_> = (0..apps).map(app).collect();
        let json = format!(r#"{{"apps":[{}]}}"#, apps.join(","));
        let answer = Document::parse(json.as_bytes()).unwrap().to_snapshot(&Records::default());
        Snapshot { coverage: Coverage { apps: true, pods: true }, ..answer }
    }

    fn open_stream(hub: &Arc<Hub>, snapshots: &Arc<Semaphore>) -> AgentStream {
        let setup = StreamSetup {
            scope: Scope::Vips,
            encoding: Encoding::Plain,
            taken: Arc::default(),
            counts: Arc::default(),
            hub: Arc::clone(hub),
            snapshots: Arc::clone(snapshots),
            address: IpAddr::from([127, 0, 0, 1]),
        };
        AgentStream::new(hub.subscribe(None, Scope::Vips).unwrap(), setup)
    }

    /// Takes pieces until a snapshot is complete. Returns how many there were.
    async fn take_snapshot(stream: &mut AgentStream, mirror: &mut Mirror) -> usize {
        let mut decoder = Decoder::default();
        for number in 1.. {
            let piece = stream.next_bytes().await.unwrap();
            assert!(piece.len() <= PIECE);
            for frame in decoder.push_bytes(&piece) {
                if matches!(mirror.apply(&frame).unwrap(), Change::Whole(_)) {
                    return number;
                }
            }
        }
        unreachable!()
    }

    #[tokio::test(start_paused = true)]
    async fn short_records_are_taken_together() {
        let hub = hub_with_apps(1000);
        let bytes: usize = {
            let first = hub.subscribe(None, Scope::Vips).unwrap().first;
            first.all().map(|segment| segment.text().len()).sum()
        };
        let mut stream = open_stream(&hub, &Arc::new(Semaphore::new(1)));
        let mut mirror = Mirror::default();
        let pieces = take_snapshot(&mut stream, &mut mirror).await;
        assert_eq!(mirror.workloads().count(), 1000);
        assert!(pieces <= bytes / PIECE * 2 + 2, "{bytes} bytes in {pieces} pieces");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_published_together_is_joined_once_for_all_streams() {
        let hub = hub_with_apps(1);
        let snapshots = Arc::new(Semaphore::new(2));
        let mut taken = Vec::new();
        let mut streams = [open_stream(&hub, &snapshots), open_stream(&hub, &snapshots)];
        for stream in &mut streams {
            take_snapshot(stream, &mut Mirror::default()).await;
        }
        let first = hub.core().announce_acceptance();
        let published = [first, hub.core().announce_acceptance()];
        let expected = published.each_ref().map(|each| each.segment.text().clone()).concat();
        hub.publish(published.into());
        for stream in &mut streams {
            taken.push(stream.next_bytes().await.unwrap());
        }
        assert_eq!(taken[0], expected);
        assert_eq!(taken[0], taken[1]);
        assert_eq!(taken[0].as_ptr(), taken[1].as_ptr());
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_is_cut_once_for_all_streams_that_take_it() {
        let hub = hub_with_apps(1000);
        let snapshots = Arc::new(Semaphore::new(3));
        let mut streams: Vec<_> = (0..3).map(|_| open_stream(&hub, &snapshots)).collect();
        let mut first = Vec::new();
        for stream in &mut streams {
            assert!(stream.next_bytes().await.unwrap().starts_with(b"event: hello"));
            first.push(stream.next_bytes().await.unwrap());
        }
        assert_eq!(first[0].len(), PIECE);
        assert!(first.iter().all(|piece| piece.as_ptr() == first[0].as_ptr()));
    }

    /// A reading with many changes is published at a time, and no agent can have taken it yet.
    #[tokio::test(start_paused = true)]
    async fn what_was_just_published_is_no_lag_and_what_waits_for_long_is() {
        let hub = hub_with_apps(1);
        let segment = relay::Segment::comment(&"x".repeat(caps::RELAY_LAG / 8));
        let number = hub.core().position().number;
        let one = relay::Published { number, scope: Scope::Vips, segment };
        let publish = || hub.publish(vec![one.clone()]);
        let mut stream = open_stream(&hub, &Arc::new(Semaphore::new(1)));
        take_snapshot(&mut stream, &mut Mirror::default()).await;
        (0..12).for_each(|_| publish());
        let mut left = 12 * one.segment.text().len();
        while left > 0 {
            left -= stream.next_bytes().await.expect("it takes all as fast as it comes").len();
        }
        (0..12).for_each(|_| publish());
        tokio::time::advance(Duration::from_secs(11)).await;
        publish();
        assert!(stream.next_bytes().await.is_none(), "it has had the time to take it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_that_waited_has_what_is_known_when_its_turn_comes() {
        let hub = hub_with_apps(1);
        let snapshots = Arc::new(Semaphore::new(1));
        let other = Arc::clone(&snapshots).acquire_owned().await.unwrap();
        let mut stream = open_stream(&hub, &snapshots);
        let mut mirror = Mirror::default();
        let mut decoder = Decoder::default();
        for expected in ["event: hello", ": waiting"] {
            let piece = stream.next_bytes().await.unwrap();
            assert!(piece.starts_with(expected.as_bytes()), "{piece:?}");
            for frame in decoder.push_bytes(&piece) {
                mirror.apply(&frame).unwrap();
            }
        }
        hub.announce_acceptance();
        drop(other);
        take_snapshot(&mut stream, &mut mirror).await;
        assert_eq!(mirror.position(), Some(&hub.core().position()));
        assert_eq!(
            hub.core().position().number,
            4,
            "an app within a whole read, and the acceptance"
        );
    }

    /// Opens a stream whose agent takes no more than the beginning of its snapshot.
    async fn begin_slowly(hub: &Arc<Hub>, snapshots: &Arc<Semaphore>) -> AgentStream {
        let mut stream = open_stream(hub, snapshots);
        for _ in 0..2 {
            stream.next_bytes().await.unwrap();
        }
        stream
    }

    /// Thousands would wait for the slow ones, which have a minute.
    #[tokio::test(start_paused = true)]
    async fn an_agent_that_takes_its_snapshot_slowly_keeps_no_other_one_waiting() {
        let hub = hub_with_apps(1000);
        let snapshots = Arc::new(Semaphore::new(1));
        let mut slow = begin_slowly(&hub, &snapshots).await;
        assert_eq!(snapshots.available_permits(), 0);
        let counts = Arc::clone(&slow.setup.counts);
        let mut other = open_stream(&hub, &snapshots);
        let mut mirror = Mirror::default();
        timeout(Duration::from_secs(6), take_snapshot(&mut other, &mut mirror)).await.unwrap();
        assert_eq!(counts.sending.load(Ordering::Relaxed), 1);
        assert!(slow.next_bytes().await.is_some(), "it goes on");
        tokio::time::advance(SNAPSHOT).await;
        assert!(slow.next_bytes().await.is_none(), "and not for ever");
        // Nor does one that is gone.
        drop((slow, other));
        let mut third = open_stream(&hub, &snapshots);
        timeout(COMMENT, take_snapshot(&mut third, &mut Mirror::default())).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_full_link_has_enough_snapshots_a_slow_one_keeps_its_place() {
        let hub = hub_with_apps(1000);
        let snapshots = Arc::new(Semaphore::new(1));
        let slow = begin_slowly(&hub, &snapshots).await;
        let sending = &slow.setup.counts.sending;
        sending.fetch_add(MOST_SENDING, Ordering::Relaxed);
        sleep(4 * TURN).await;
        assert_eq!(snapshots.available_permits(), 0);
        sending.fetch_sub(MOST_SENDING, Ordering::Relaxed);
        sleep(2 * TURN).await;
        assert_eq!(snapshots.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_lag_is_that_of_the_agent_that_has_taken_least() {
        let hub = hub_with_apps(1);
        let snapshots = Arc::new(Semaphore::new(2));
        let mut streams = vec![open_stream(&hub, &snapshots), open_stream(&hub, &snapshots)];
        for stream in &mut streams {
            take_snapshot(stream, &mut Mirror::default()).await;
        }
        let lag = || {
            let lag = hub.most_untaken();
            (lag.bytes, lag.age.as_secs())
        };
        assert_eq!(lag(), (0, 0));
        let length = hub.comment().text().len() as u64;
        for _ in 0..2 {
            let (number, segment) = (hub.core().position().number, hub.comment());
            hub.publish(vec![relay::Published { number, scope: Scope::Vips, segment }]);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for _ in 0..2 {
            streams[0].next_bytes().await.unwrap();
        }
        assert_eq!(lag(), (2 * length, 2));
        streams[1].next_bytes().await.unwrap();
        assert_eq!(lag(), (length, 1));
        streams.truncate(1);
        assert_eq!(lag(), (0, 0), "the one that lagged is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_counts_as_sent_from_its_turn_until_it_is_taken() {
        let hub = hub_with_apps(1);
        let snapshots = Arc::new(Semaphore::new(1));
        let mut stream = open_stream(&hub, &snapshots);
        let counts = Arc::clone(&stream.setup.counts);
        let counted =
            || [&counts.sending, &counts.snapshots].map(|each| each.load(Ordering::Relaxed));
        assert_eq!(counted(), [0, 0]);
        take_snapshot(&mut stream, &mut Mirror::default()).await;
        assert_eq!(counted(), [1, 1], "the next thing is not asked for yet");
        hub.announce_acceptance();
        stream.next_bytes().await.unwrap();
        assert_eq!(counted(), [0, 1]);
    }

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
