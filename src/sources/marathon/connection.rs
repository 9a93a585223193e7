//! The connection to one Marathon: its event stream, and reads. Every request ends in a message.

use std::fmt;
use std::sync::Arc;

use marathon::client::{Answered, Client, with_sources};
use marathon::events::sse::Decoder;
use marathon::events::{Change, Event};
use marathon::watch::{Action, StreamId};
use tokio::task::{JoinError, JoinHandle};

use super::messages::{Message, ReadError};

/// Takes the messages of a connection to its source.
pub(crate) type Deliver = Arc<dyn Fn(Message) + Send + Sync>;

/// A connection to one Marathon. Dropping it closes the event stream.
pub(crate) struct Connection {
    client: Arc<Client>,
    deliver: Deliver,
    stream: Option<JoinHandle<()>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, deliver: _, stream } = self;
        f.debug_struct("Connection").field("client", client).field("stream", stream).finish()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close_stream();
    }
}

impl Connection {
    pub(crate) fn new(client: Arc<Client>, deliver: Deliver) -> Self {
        Self { client, deliver, stream: None }
    }

    fn close_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
    }

    /// Carries out a request. Reads run side by side.
    pub(crate) fn send_request(&mut self, request: Action) {
        let (client, deliver) = (self.client.clone(), self.deliver.clone());
        match request {
            Action::Open { stream, url } => {
                self.close_stream();
                let listener = Listener { stream, deliver };
                self.stream = Some(tokio::spawn(async move {
                    let why = listener.listen(&client, url).await;
                    (listener.deliver)(Message::Ended { stream, why });
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

/// Listens to one event stream.
struct Listener {
    stream: StreamId,
    deliver: Deliver,
}

impl Listener {
    /// Delivers events until the stream ends, and returns the reason.
    async fn listen(&self, client: &Client, url: usize) -> String {
        let Self { stream, ref deliver } = *self;
        let mut events = match client.open_events(url).await {
            Ok(events) => events,
            Err(error) => return with_sources(&error),
        };
        deliver(Message::Servers(std::mem::take(&mut events.servers)));
        deliver(Message::Opened { stream, leader: events.leader.clone() });
        let mut decoder = Decoder::default();
        loop {
            let chunk = match events.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return "Marathon closed it".to_owned(),
                Err(error) => return with_sources(&error),
            };
            let skipped = decoder.skipped_frames();
            let frames = decoder.push_bytes(&chunk);
            if frames.is_empty() {
                deliver(Message::Bytes { stream });
            }
            for frame in frames {
                deliver(Message::Event { stream, event: Event::parse(&frame) });
            }
            if decoder.skipped_frames() > skipped {
                let event = Event { at: None, change: Change::Unreadable };
                deliver(Message::Event { stream, event });
            }
        }
    }
}
