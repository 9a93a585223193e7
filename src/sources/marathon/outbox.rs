//! The way from an event stream to its source: a bounded queue. If the source can't keep up, events
//! are dropped, and a single event that stands for any change takes their place.

use std::time::Duration;

use marathon::events::{Change, Event};
use marathon::watch::StreamId;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::messages::Message;

/// Longest time that one event waits for a place in the queue. Meanwhile the socket is not read:
/// Marathon closes the connection of a client that is slow for longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The sending end of the queue of one event stream.
pub(super) struct Outbox<M> {
    stream: StreamId,
    queue: mpsc::Sender<M>,
    /// Events were dropped, and the source doesn't know yet.
    overflowed: bool,
}

impl<M: From<Message>> Outbox<M> {
    pub(super) fn new(stream: StreamId, queue: mpsc::Sender<M>) -> Self {
        Self { stream, queue, overflowed: false }
    }

    /// Sends a message about the stream itself, however long that takes.
    pub(super) async fn send_message(&self, message: Message) {
        // Fails only when the agent has stopped.
        let _ = self.queue.send(message.into()).await;
    }

    /// Sends an event, or drops it if the queue stays full.
    pub(super) async fn send_event(&mut self, event: Event) {
        if self.overflowed {
            return;
        }
        match timeout(PATIENCE, self.queue.reserve()).await {
            Ok(place) => self.fill_place(place, event),
            Err(_) => {
                tracing::warn!("events come faster than they can be handled: reading everything");
                self.overflowed = true;
            }
        }
    }

    /// Notes that bytes came which complete no event. Anything that waits in the queue says as much.
    pub(super) fn note_bytes(&self) {
        let _ = self.queue.try_send(Message::Bytes { stream: self.stream }.into());
    }

    /// Waits until the source can be told of dropped events, and tells it. Without any this waits
    /// for ever.
    pub(super) async fn report_overflow(&mut self) {
        if !self.overflowed {
            return std::future::pending().await;
        }
        let place = self.queue.reserve().await;
        self.fill_place(place, Event { at: None, change: Change::Unreadable });
        self.overflowed = false;
    }

    fn fill_place(&self, place: Result<mpsc::Permit<'_, M>, impl Sized>, event: Event) {
        // There is no place only when the agent has stopped.
        if let Ok(place) = place {
            place.send(Message::Event { stream: self.stream, event }.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(message: Option<Message>) -> Change {
        match message {
            Some(Message::Event { event, .. }) => event.change,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_are_too_many_are_one_that_stands_for_all() {
        let (queue, mut received) = mpsc::channel(2);
        let mut outbox = Outbox { stream: StreamId::default(), queue, overflowed: false };
        for _ in 0..100 {
            outbox.send_event(Event { at: None, change: Change::Other }).await;
        }
        outbox.note_bytes();
        let unreported = timeout(PATIENCE, outbox.report_overflow()).await;
        assert!(unreported.is_err(), "there is no place for it yet");
        assert_eq!(change(received.recv().await), Change::Other);
        outbox.report_overflow().await;
        outbox.send_event(Event { at: None, change: Change::Group("/".into()) }).await;
        let rest = [change(received.recv().await), change(received.recv().await)];
        assert_eq!(rest, [Change::Other, Change::Unreadable]);
    }
}
