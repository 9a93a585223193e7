//! Speaking with a Marathon: its event stream, and reads. Every request ends in an input.

use std::sync::Arc;

use marathon::client::{Answered, Client, ClientError};
use marathon::events::sse::Decoder;
use marathon::events::{Change, Event};
use marathon::watch::{Action, StreamId};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::agent::core::Input;

/// One Marathon.
#[derive(Debug)]
pub(crate) struct Connection {
    source: usize,
    client: Arc<Client>,
    inputs: UnboundedSender<Input>,
    stream: Option<JoinHandle<()>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl Connection {
    pub(crate) fn new(source: usize, client: Arc<Client>, inputs: UnboundedSender<Input>) -> Self {
        Self { source, client, inputs, stream: None }
    }

    fn close(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
    }

    /// Does what a watch asks for.
    pub(crate) fn act(&mut self, action: Action) {
        let (source, client, inputs) = (self.source, self.client.clone(), self.inputs.clone());
        match action {
            Action::Open { stream, url } => {
                self.close();
                let listener = Listener { source, stream, inputs };
                self.stream = Some(tokio::spawn(async move {
                    let why = listener.listen(&client, url).await;
                    listener.say(Input::Ended { source, stream, why });
                }));
            }
            Action::Close => self.close(),
            Action::ReadEverything => {
                let read = tokio::spawn(async move { client.read_everything().await });
                tokio::spawn(async move {
                    let (answer, leader) = unpack(read.await);
                    let _ = inputs.send(Input::ReadEverything { source, answer, leader });
                });
            }
            Action::Read(key) => {
                let asked = key.clone();
                let read = tokio::spawn(async move { client.read_workload(&asked).await });
                tokio::spawn(async move {
                    let (answer, leader) = unpack(read.await);
                    let _ = inputs.send(Input::Read { source, key, answer, leader });
                });
            }
        }
    }
}

/// A read that never comes to an end would be waited for for ever: one that panics has failed.
fn unpack<T>(
    answered: Result<Answered<T>, tokio::task::JoinError>,
) -> (Result<T, String>, Option<String>) {
    match answered {
        Ok(Answered { result, leader }) => (result.map_err(|error| error.to_string()), leader),
        Err(error) => (Err(format!("reading broke down: {error}")), None),
    }
}

/// Listens to one stream.
struct Listener {
    source: usize,
    stream: StreamId,
    inputs: UnboundedSender<Input>,
}

impl Listener {
    fn say(&self, input: Input) {
        let _ = self.inputs.send(input);
    }

    /// Until the stream ends; why it did.
    async fn listen(&self, client: &Client, url: usize) -> String {
        let Self { source, stream, .. } = *self;
        let mut events = match client.open_events(url).await {
            Ok(events) => events,
            Err(error) => return error.to_string(),
        };
        self.say(Input::Servers(std::mem::take(&mut events.servers)));
        self.say(Input::Opened { source, stream, leader: events.leader.clone() });
        let mut decoder = Decoder::default();
        loop {
            let chunk = match events.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return "Marathon closed it".to_owned(),
                Err(error) => return ClientError::to_string(&error),
            };
            let skipped = decoder.skipped_frames();
            let frames = decoder.push_bytes(&chunk);
            if frames.is_empty() {
                self.say(Input::Bytes { source, stream });
            }
            for frame in frames {
                self.say(Input::Event { source, stream, event: Event::parse(&frame) });
            }
            if decoder.skipped_frames() > skipped {
                let event = Event { at: None, change: Change::Unreadable };
                self.say(Input::Event { source, stream, event });
            }
        }
    }
}
