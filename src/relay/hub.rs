//! The one task that follows Marathon, and what it shares with the connections of agents.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use marathon::client::Client;
use marathon::watch::Action;
use relay::{Position, Published, Scope, Segment, Start};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::backlog::{Backlog, Untaken};
use super::core::{RelayCore, RelayStep};
use super::notices::{Notice, condition_notices};
use super::waiting::{PieceCache, Pieces, Together};
use crate::sources::marathon::connection::Connection;
use crate::sources::marathon::messages::Message;

/// The time between two heartbeats. An agent goes to another relay after three times as long.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Records that are published together.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) together: Arc<Together>,
    /// The length of all records up to and with these.
    pub(super) end: u64,
}

/// What the task and the connections share.
#[derive(Debug)]
pub(super) struct Hub {
    core: Mutex<RelayCore>,
    /// Published under the lock of the core, so that who subscribes under it misses nothing and gets
    /// nothing twice.
    batches: broadcast::Sender<Batch>,
    backlog: Mutex<Backlog>,
    pieces: Mutex<PieceCache>,
    /// The least that a stream must have reached, in the length of all records that were published.
    least: AtomicU64,
    comment: Segment,
    start: Instant,
    /// Marathon's name.
    name: String,
}

/// The start of an agent's stream.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) first: Start,
    /// The same snapshot in pieces, unless there are too many others.
    pub(super) pieces: Option<Arc<Pieces>>,
    pub(super) batches: broadcast::Receiver<Batch>,
    /// The length of all records that were published before.
    pub(super) end: u64,
}

impl Hub {
    pub(super) fn new(core: RelayCore, name: &str) -> Arc<Self> {
        let (batches, _) = broadcast::channel(caps::RELAY_BATCHES);
        let comment = Segment::comment("waiting");
        let (core, backlog, pieces) = (Mutex::new(core), Mutex::default(), Mutex::default());
        let least = AtomicU64::new(0);
        let (start, name) = (Instant::now(), name.to_owned());
        Arc::new(Self { core, batches, backlog, pieces, least, comment, start, name })
    }

    /// Returns what the relay knows. Locked for a moment only.
    pub(super) fn core(&self) -> MutexGuard<'_, RelayCore> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time since the start, the core's clock.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Subscribes an agent. None: not everything is known yet.
    pub(super) fn subscribe(
        &self,
        position: Option<&Position>,
        scope: Scope,
    ) -> Option<Subscription> {
        let now = self.now();
        let mut core = self.core();
        let first = core.start_stream(position, scope, now)?;
        let end = self.backlog().end();
        let pieces = match first.is_resumed {
            true => None,
            false => {
                let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
                pieces.get(&first.segments)
            }
        };
        Some(Subscription { first, pieces, batches: self.batches.subscribe(), end })
    }

    /// Returns a comment, for a stream that has nothing else to say.
    pub(super) fn comment(&self) -> Segment {
        self.comment.clone()
    }

    /// Passes on that somebody accepts what the last answer lacks.
    pub(super) fn announce_acceptance(&self) {
        let mut core = self.core();
        let published = core.announce_acceptance();
        self.publish(vec![published]);
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether an agent that takes what ends there is too slow. What waits for agents is in memory
    /// once for all of them: no more than the caps allow, and what the slowest one is taking.
    pub(super) fn is_left_behind(&self, end: u64) -> bool {
        end < self.least.load(Ordering::Relaxed)
    }

    /// Returns what waits for the agent that lags most.
    pub(super) fn most_untaken(&self) -> Untaken {
        // Under the lock under which batches are sent, so that both know the same ones.
        let backlog = self.backlog();
        backlog.untaken(self.batches.len(), self.now())
    }

    /// Publishes records. The caller holds the lock of the core.
    pub(super) fn publish(&self, published: Vec<Published>) {
        if !published.is_empty() {
            let length: usize = published.iter().map(|each| each.segment.text().len()).sum();
            let mut backlog = self.backlog();
            backlog.note(length as u64, self.now());
            let end = backlog.end();
            let late = backlog.due().saturating_sub(caps::RELAY_LAG as u64);
            let least = late.max(end.saturating_sub(caps::RELAY_UNTAKEN as u64));
            self.least.store(least, Ordering::Relaxed);
            // Fails only while nobody listens.
            let _ = self.batches.send(Batch { together: Arc::new(Together::new(published)), end });
        }
    }

    fn beat(&self) {
        let now = self.now();
        let mut core = self.core();
        let heartbeat = core.heartbeat(now);
        self.publish(vec![heartbeat]);
    }

    /// Takes one step of the core, and publishes what comes of it. Returns the requests to Marathon.
    fn take_step(&self, step: impl FnOnce(&mut RelayCore, Duration) -> RelayStep) -> Vec<Action> {
        let now = self.now();
        let mut core = self.core();
        let RelayStep { actions, published } = step(&mut core, now);
        self.publish(published);
        let Some((before, after)) = core.take_condition_change() else { return actions };
        let workloads = core.count(Scope::All);
        drop(core);
        let notices = condition_notices(&self.name, workloads, &before, &after);
        for Notice { is_warning, text } in notices {
            match is_warning {
                true => tracing::warn!("{text}"),
                false => tracing::info!("{text}"),
            }
        }
        actions
    }

    /// Follows Marathon for ever.
    pub(super) async fn follow(&self, client: Arc<Client>) {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let (queue, mut streamed) = mpsc::channel::<Message>(caps::EVENTS);
        let answer = move |message| {
            // Fails only when this task has ended.
            let _ = answers.send(message);
        };
        let mut connection = Connection::new(client, Arc::new(answer), queue);
        let mut beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.start + self.core().wake_at();
            let actions = tokio::select! {
                biased;
                Some(message) = answered.recv() => {
                    self.take_step(|core, now| {
                        core.on_message(message, now, &mut |ahead| self.publish(ahead))
                    })
                }
                Some(message) = streamed.recv() => {
                    self.take_step(|core, now| {
                        core.on_message(message, now, &mut |ahead| self.publish(ahead))
                    })
                }
                _ = beats.tick() => {
                    self.beat();
                    continue;
                }
                () = sleep_until(due) => self.take_step(RelayCore::tick),
            };
            for action in actions {
                connection.send_request(action);
            }
        }
    }
}
