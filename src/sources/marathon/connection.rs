//! The connection to one Marathon: its event stream, and reads. Every request ends in a message.

use std::fmt;
use std::sync::Arc;

use marathon::client::{Answered, Client, with_sources};
use marathon::events::sse::Decoder;
use marathon::events::{Change, Event};
use marathon::watch::{Action, StreamId};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::messages::{Message, ReadError};
use super::outbox::Outbox;

/// Takes answers to requests to the source.
pub(crate) type Answer = Arc<dyn Fn(Message) + Send + Sync>;

/// A connection to one Marathon. Dropping it closes the event stream. `M` are the messages of its
/// owner.
pub(crate) struct Connection<M> {
    client: Arc<Client>,
    answer: Answer,
    /// Takes the messages of the event stream.
    queue: mpsc::Sender<M>,
    stream: Option<JoinHandle<()>>,
}

impl<M> fmt::Debug for Connection<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, answer: _, queue: _, stream } = self;
        f.debug_struct("Connection").field("client", client).field("stream", stream).finish()
    }
}

impl<M> Drop for Connection<M> {
    fn drop(&mut self) {
        self.close_stream();
    }
}

impl<M> Connection<M> {
    pub(crate) fn new(client: Arc<Client>, answer: Answer, queue: mpsc::Sender<M>) -> Self {
        Self { client, answer, queue, stream: None }
    }

    fn close_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
    }
}

impl<M: From<Message> + Send + 'static> Connection<M> {
    /// Carries out a request. Reads run side by side.
    pub(crate) fn send_request(&mut self, request: Action) {
        let (client, deliver) = (self.client.clone(), self.answer.clone());
        match request {
            Action::Open { stream, url } => {
                self.close_stream();
                let mut outbox = Outbox::new(stream, self.queue.clone());
                self.stream = Some(tokio::spawn(async move {
                    let why = listen(&client, url, stream, &mut outbox).await;
                    outbox.send_message(Message::Ended { stream, why }).await;
                }));
            }
            Action::Close => self.close_stream(),
            Action::ReadEverything => {
                let read = tokio::spawn(async move { client.read_everything().await });
                tokio::spawn(async move {
                    let (answer, leader) = unpack_answer(read.await);
                    deliver(Message::ReadEverything { answer, leader });
                });
            }
            Action::Read(key) => {
                let asked = key.clone();
                let read = tokio::spawn(async move { client.read_workload(&asked).await });
                tokio::spawn(async move {
                    let (answer, leader) = unpack_answer(read.await);
                    deliver(Message::Read { key, answer, leader });
                });
            }
        }
    }
}

/// Turns a panic of the reading task into a failed read: without an answer the source would wait
/// for ever.
fn unpack_answer<T>(
    answered: Result<Answered<T>, JoinError>,
) -> (Result<T, ReadError>, Option<String>) {
    match answered {
        Ok(Answered { result, leader }) => (result.map_err(ReadError::from), leader),
        Err(error) => (Err(error.into()), None),
    }
}

/// Sends the events of a stream until it ends, and returns the reason.
async fn listen<M: From<Message>>(
    client: &Client,
    url: usize,
    stream: StreamId,
    outbox: &mut Outbox<M>,
) -> String {
    let mut events = match client.open_events(url).await {
        Ok(events) => events,
        Err(error) => return with_sources(&error),
    };
    outbox.send_message(Message::Servers(std::mem::take(&mut events.servers))).await;
    let leader = events.leader.clone();
    outbox.send_message(Message::Opened { stream, leader, relay: None }).await;
    let mut decoder = Decoder::default();
    loop {
        let chunk = tokio::select! {
            () = outbox.report_overflow() => continue,
            chunk = events.next() => chunk,
        };
        let chunk = match chunk {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return "Marathon closed it".to_owned(),
            Err(error) => return with_sources(&error),
        };
        let skipped = decoder.skipped_frames();
        let frames = decoder.push_bytes(&chunk);
        if frames.is_empty() {
            outbox.note_bytes();
        }
        for frame in frames {
            outbox.send_event(Event::parse(&frame)).await;
        }
        if decoder.skipped_frames() > skipped {
            outbox.send_event(Event { at: None, change: Change::Unreadable }).await;
        }
    }
}
