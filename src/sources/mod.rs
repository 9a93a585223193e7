//! Sources of claims. The agent follows Marathons; a command reads each source once (`once.rs`).
//!
//! The agent's core and its event loop know a source by its [`SourceId`] and through the types of
//! this file only: messages from its connection to the core, requests from the core to its
//! connection, and the knowledge that is kept on disk. Each is an enum with one variant for each
//! kind of source, and the core never looks inside.
//!
//! They are enums and not trait objects, because the kinds are few and all known here, and each has
//! messages and requests of its own: with enums the compiler lists every place that a new kind has
//! to fill in. A new kind needs a module like `marathon`, a variant in each enum of this file, of
//! `config.rs` and of `kept.rs`, and its place in the configuration. A message of one kind never
//! reaches a source of another, since a connection is opened for one source; such a pair is
//! ignored.

pub mod config;
pub(crate) mod facts;
pub mod hosts;
pub(crate) mod kept;
pub mod marathon;
pub mod once;
mod refcount;
pub mod relay;
pub mod resolve;
pub(crate) mod scan;
pub(crate) mod step;
pub mod survey;
pub mod unread;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::marathon::client::Client;
use ::marathon::watch::Action;
use tokio::sync::mpsc;
use vip::plan::Losses;
use vip::{AppId, LabelReport};

pub use self::config::{NameConfig, SourceConfig, SourceKind};
pub use view::{STALE, SourceDoubt, SourceView};
pub use vip::SourceId;

use self::marathon::MarathonSource;
use self::marathon::connection::Connection;
use self::marathon::messages::Message;
pub use self::relay::connection::RelayClient;
use self::relay::connection::RelayConnection;
use crate::clock::Moment;
use hosts::HostCache;
pub(crate) use kept::KeptState;
use step::{MessageSummary, Place, SourceContext, SourceStep};

/// A message from the connection of a source, for [`Source::on_message`].
#[derive(Debug)]
pub enum SourceMessage {
    /// From a Marathon.
    Marathon(Message),
}

/// A request of a source to its connection. Every answer comes as a [`SourceMessage`].
#[derive(Debug)]
pub enum SourceRequest {
    /// To a Marathon.
    Marathon(Action),
}

/// The client that a connection is made of.
#[derive(Debug, Clone)]
pub enum SourceClient {
    /// Of a Marathon.
    Marathon(Arc<Client>),
    /// Of a Marathon that is read through relays.
    Relay(Arc<RelayClient>),
}

/// The connection of a source, with its tasks in the runtime. Dropping it ends them.
#[derive(Debug)]
pub(crate) enum SourceConnection {
    Marathon(Connection<SourceMessage>),
    Relay(RelayConnection),
}

/// A source as the agent's core knows it. Pure: it takes messages and returns requests.
#[derive(Debug)]
pub(crate) enum Source {
    Marathon(Box<MarathonSource>),
}

impl From<Message> for SourceMessage {
    fn from(message: Message) -> Self {
        Self::Marathon(message)
    }
}

impl SourceMessage {
    /// Summarizes the message for the metrics.
    pub(crate) fn summarize(&self) -> MessageSummary {
        match self {
            Self::Marathon(message) => message.summarize(),
        }
    }
}

impl SourceConnection {
    /// Makes a connection. Answers to requests go to `answer`, the messages of the event stream to
    /// `stream`, which is bounded. It does nothing until it gets a request.
    pub(crate) fn new(
        client: SourceClient,
        answer: impl Fn(SourceMessage) + Send + Sync + 'static,
        stream: mpsc::Sender<SourceMessage>,
    ) -> Self {
        let answer = Arc::new(move |message: Message| answer(message.into()));
        match client {
            SourceClient::Marathon(client) => {
                Self::Marathon(Connection::new(client, answer, stream))
            }
            SourceClient::Relay(client) => {
                Self::Relay(RelayConnection::new(client, answer, stream))
            }
        }
    }

    /// Carries out a request.
    pub(crate) fn send_request(&mut self, request: SourceRequest) {
        match (self, request) {
            (Self::Marathon(connection), SourceRequest::Marathon(request)) => {
                connection.send_request(request);
            }
            (Self::Relay(connection), SourceRequest::Marathon(request)) => {
                connection.send_request(request);
            }
        }
    }

    /// Tells how many hosts an earlier run knew: as many agents read the source themselves if what is
    /// between fails.
    pub(crate) fn restore_hosts(&self, hosts: u64) {
        match self {
            Self::Relay(connection) => connection.restore_hosts(hosts),
            // Its watch knows them.
            Self::Marathon(_) => {}
        }
    }
}

impl Source {
    /// Makes a source that knows nothing yet. Its first [`Source::tick`] starts it.
    pub(crate) fn new(config: &SourceConfig, now: Duration) -> Self {
        let names = config.names.clone();
        match &config.kind {
            SourceKind::Marathon(config) => {
                Self::Marathon(Box::new(MarathonSource::new(config, names, now)))
            }
        }
    }

    /// Takes in a message from its connection.
    pub(crate) fn on_message(
        &mut self,
        message: SourceMessage,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<SourceRequest> {
        match (self, message) {
            (Self::Marathon(source), SourceMessage::Marathon(message)) => {
                source.on_message(message, context).map_requests(SourceRequest::Marathon)
            }
        }
    }

    /// Does what is due at this time.
    pub(crate) fn handle_due(
        &mut self,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<SourceRequest> {
        match self {
            Self::Marathon(source) => {
                source.handle_due(context).map_requests(SourceRequest::Marathon)
            }
        }
    }

    /// The time of the next [`Source::tick`].
    pub(crate) fn wake_at(&self) -> Duration {
        match self {
            Self::Marathon(source) => source.wake_at(),
        }
    }

    /// Doubts that it lists everything, since the kernel has more; `None`: no longer.
    pub(crate) fn doubt_answers(
        &mut self,
        losses: Option<Losses>,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<SourceRequest> {
        match self {
            Self::Marathon(source) => {
                source.doubt_answers(losses, context).map_requests(SourceRequest::Marathon)
            }
        }
    }

    /// Drops the tasks that it keeps in doubt where tasks of another source are.
    pub(crate) fn evict_kept(
        &mut self,
        places: BTreeSet<Place>,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<SourceRequest> {
        match self {
            Self::Marathon(source) => {
                source.evict_kept(places, context).map_requests(SourceRequest::Marathon)
            }
        }
    }

    /// The places of the tasks that it lists.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        match self {
            Self::Marathon(source) => source.places(),
        }
    }

    /// Accepts what its last answer lacks: that goes at once.
    pub(crate) fn accept_loss(
        &mut self,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<SourceRequest> {
        match self {
            Self::Marathon(source) => {
                source.accept_loss(context).map_requests(SourceRequest::Marathon)
            }
        }
    }

    /// Works out the claims of the apps on a host whose addresses changed.
    pub(crate) fn update_host(
        &mut self,
        host: &str,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<SourceRequest> {
        match self {
            Self::Marathon(source) => {
                source.update_host(host, context).map_requests(SourceRequest::Marathon)
            }
        }
    }

    /// Takes over what an earlier run knew, from the JSON of [`Source::kept`]. Nothing is removed
    /// because of it.
    pub(crate) fn restore_state(
        &mut self,
        json: &[u8],
        context: &mut SourceContext<'_>,
    ) -> serde_json::Result<SourceStep<SourceRequest>> {
        match self {
            Self::Marathon(source) => {
                let saved = serde_json::from_slice(json)?;
                Ok(source.restore_state(saved, context).map_requests(SourceRequest::Marathon))
            }
        }
    }

    /// Returns what a later run should know.
    pub(crate) fn state_to_save(&self, hosts: &HostCache, now: Moment) -> KeptState {
        match self {
            Self::Marathon(source) => KeptState::Marathon(source.state_to_save(hosts, now)),
        }
    }

    /// Returns whether it was read as a whole at least once: apps that it doesn't name don't exist then.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Marathon(source) => source.is_complete(),
        }
    }

    pub(crate) fn view(&self) -> &SourceView {
        match self {
            Self::Marathon(source) => source.view(),
        }
    }

    /// The names of all apps.
    pub(crate) fn app_ids(&self) -> BTreeSet<AppId> {
        match self {
            Self::Marathon(source) => source.app_ids(),
        }
    }

    /// The version that each task runs, by task id.
    pub(crate) fn task_versions(&self) -> impl Iterator<Item = (Arc<str>, String)> {
        match self {
            Self::Marathon(source) => source.task_versions(),
        }
    }

    /// The hosts that its tasks run on.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Marathon(source) => source.hosts(),
        }
    }

    /// Returns whether one of its tasks runs on this host.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        match self {
            Self::Marathon(source) => source.has_host(host),
        }
    }

    /// Reports on labels that make no claim.
    pub(crate) fn label_reports(&self) -> impl Iterator<Item = &LabelReport> {
        match self {
            Self::Marathon(source) => source.label_reports(),
        }
    }
}
