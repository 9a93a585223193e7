//! The event bus: passes every event to all listeners (`core/event/impl/stream`).

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::event::Event;
use crate::fault::{Fault, Faults};

/// The selection of a listener.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// The types of events; None: all.
    pub(crate) kinds: Option<BTreeSet<String>>,
    /// Plans in the light format, without groups.
    pub(crate) light: bool,
}

/// One event for one listener.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) text: String,
    /// The earliest time to send it.
    pub(super) due: Instant,
}

/// The receiving end of a subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: u64,
    pub(super) frames: mpsc::Receiver<Frame>,
}

#[derive(Debug)]
struct Listener {
    id: u64,
    filter: Filter,
    frames: mpsc::Sender<Frame>,
    _open: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct Bus {
    /// Number of events that a listener may be behind.
    capacity: usize,
    /// Slow listeners are closed, as from 1.8 on; before, they missed events.
    closes_slow: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    listeners: Vec<Listener>,
    last_id: u64,
    /// An event to be sent after the next one.
    held: Option<Event>,
}

impl Bus {
    pub(crate) fn new(capacity: usize, closes_slow: bool) -> Self {
        Self { capacity: capacity.max(1), closes_slow, state: Mutex::default() }
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a subscription, and a receiver that resolves when it is closed because the listener
    /// is too slow.
    pub(super) fn subscribe(&self, filter: Filter) -> (Subscription, oneshot::Receiver<()>) {
        let mut state = self.lock_state();
        state.last_id += 1;
        let id = state.last_id;
        let (sender, frames) = mpsc::channel(self.capacity);
        let (open, too_slow) = oneshot::channel();
        state.listeners.push(Listener { id, filter, frames: sender, _open: open });
        (Subscription { id, frames }, too_slow)
    }

    pub(super) fn unsubscribe(&self, id: u64) {
        self.lock_state().listeners.retain(|listener| listener.id != id);
    }

    /// Sends events in their order, with the enabled faults.
    pub(crate) fn publish_events(&self, events: Vec<Event>, faults: &Faults) {
        let mut state = self.lock_state();
        for event in events {
            let now = Instant::now();
            match faults.of_event(&event.kind) {
                Some(Fault::Lost) => continue,
                Some(Fault::Reordered) if state.held.is_none() => {
                    state.held = Some(event);
                    continue;
                }
                Some(Fault::Late { ms }) => {
                    self.send_event(&mut state, &event, now + Duration::from_millis(ms));
                }
                Some(Fault::Doubled) => {
                    self.send_event(&mut state, &event, now);
                    self.send_event(&mut state, &event, now);
                }
                _ => self.send_event(&mut state, &event, now),
            }
            if let Some(held) = state.held.take() {
                self.send_event(&mut state, &held, now);
            }
        }
    }

    fn send_event(&self, state: &mut State, event: &Event, due: Instant) {
        state.listeners.retain(|listener| {
            if listener.filter.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&*event.kind)) {
                return true;
            }
            let text = event.to_frame(listener.filter.light);
            let sent = listener.frames.try_send(Frame { text, due });
            sent.is_ok() || !self.closes_slow
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &'static str) -> Event {
        Event::new(kind, [])
    }

    fn texts(subscription: &mut Subscription) -> Vec<String> {
        let frames = std::iter::from_fn(|| subscription.frames.try_recv().ok());
        let kind = |frame: Frame| {
            frame.text.lines().next().unwrap().trim_start_matches("event: ").to_owned()
        };
        frames.map(kind).collect()
    }

    #[test]
    fn one_who_is_too_slow_misses_events_or_is_closed_by_generation() {
        let faults = Faults::default();
        for closes in [false, true] {
            let bus = Bus::new(2, closes);
            let (mut slow, mut too_slow) = bus.subscribe(Filter::default());
            let kinds = Some(["b".to_owned()].into());
            let (mut picky, _open) = bus.subscribe(Filter { kinds, light: true });
            bus.publish_events(["a", "b", "c"].map(event).into(), &faults);
            assert_eq!(texts(&mut slow), ["a", "b"]);
            let is_closed = too_slow.try_recv() == Err(oneshot::error::TryRecvError::Closed);
            assert_eq!(is_closed, closes);
            bus.publish_events(vec![event("b")], &faults);
            assert_eq!(texts(&mut slow).is_empty(), closes);
            assert_eq!(texts(&mut picky), ["b", "b"]);
        }
    }

    #[test]
    fn events_are_lost_doubled_reordered_and_late() {
        let faults = Faults::default();
        let bus = Bus::new(100, true);
        let (mut all, _open) = bus.subscribe(Filter::default());
        for (fault, seen) in [
            (Fault::Lost, vec!["b", "c"]),
            (Fault::Doubled, vec!["a", "a", "b", "c"]),
            (Fault::Reordered, vec!["b", "a", "c"]),
        ] {
            faults.add_rule(fault.times(1));
            bus.publish_events(["a", "b", "c"].map(event).into(), &faults);
            assert_eq!(texts(&mut all), seen, "{fault:?}");
        }
        faults.add_rule(Fault::Late { ms: 60_000 }.times(1));
        let now = Instant::now();
        bus.publish_events(["a", "b"].map(event).into(), &faults);
        assert!(all.frames.try_recv().unwrap().due >= now + Duration::from_secs(60));
        assert!(all.frames.try_recv().unwrap().due < now + Duration::from_secs(60));
    }
}
