//! The connection of a source that follows relays.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use marathon::client::{Client, Secret, Url, with_sources};
use marathon::events::sse::{Decoder, Frame};
use marathon::watch::Action;
use relay::Position;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::super::marathon::connection::{Answer, Connection};
use super::super::marathon::messages::Message;
use super::follower::Follower;
use super::orders::{Now, Order};

/// The longest time for an answer whether a relay is ready.
const PROBE: Duration = Duration::from_secs(5);
/// The most chunks that are taken in together if they are there: they are small, and each passes from one
/// task to another.
const CHUNKS: usize = 32;
/// The longest error of a relay, in bytes.
const MAX_ERROR: usize = 4 << 10;

/// How relays are reached.
#[derive(Debug, Clone)]
pub struct RelayClient {
    /// The HTTP client, which trusts the relays' authority and has the agent's certificate.
    pub http: reqwest::Client,
    /// The relays.
    pub urls: Vec<Url>,
    /// The token that they want.
    pub token: Option<Secret>,
    /// Also the apps and pods without a VIP label are wanted, for the names of tasks.
    pub wants_all: bool,
    /// The name of this node.
    pub node: String,
    /// The number of agents, if it is known.
    pub agents: Option<u32>,
    /// The client of Marathon itself, for when no relay answers.
    pub direct: Arc<Client>,
}

/// What the source tells its connection.
enum Request {
    Marathon(Action),
    Hosts(u64),
}

/// A connection to one of several relays. Dropping it closes the stream.
#[derive(Debug)]
pub(crate) struct RelayConnection {
    requests: mpsc::UnboundedSender<Request>,
    task: JoinHandle<()>,
}

impl Drop for RelayConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RelayConnection {
    /// Makes a connection. Answers to reads go to `answer`, the messages of the stream to `queue`.
    pub(crate) fn new<M: From<Message> + Send + 'static>(
        client: Arc<RelayClient>,
        answer: Answer,
        queue: mpsc::Sender<M>,
    ) -> Self {
        let (requests, requested) = mpsc::unbounded_channel();
        let follow = Follow {
            direct: Connection::new(Arc::clone(&client.direct), answer, queue.clone()),
            follower: new_follower(&client),
            client,
            queue,
            stream: None,
            relay: None,
            number: 0,
            start: Instant::now(),
        };
        Self { requests, task: tokio::spawn(follow.run(requested)) }
    }

    /// Carries out a request.
    pub(crate) fn send_request(&self, request: Action) {
        self.send(Request::Marathon(request));
    }

    /// Tells how many hosts an earlier run knew.
    pub(crate) fn restore_hosts(&self, hosts: u64) {
        self.send(Request::Hosts(hosts));
    }

    fn send(&self, request: Request) {
        // Fails only when the task has ended, which it never does.
        let _ = self.requests.send(request);
    }
}

fn new_follower(client: &RelayClient) -> Follower {
    let names = client.urls.iter().map(|url| name_of(url).to_owned());
    let now = Now { at: Duration::ZERO, second: unix_second() };
    Follower::new(names.collect(), &client.node, client.agents, now)
}

/// Returns the name of a relay: its URL, which has no secrets.
fn name_of(relay: &Url) -> &str {
    relay.as_str().trim_end_matches('/')
}

fn unix_second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What comes of a stream.
enum Arrival {
    Frames(Vec<Frame>),
    End(String),
    /// Whether a relay is ready.
    Probed {
        relay: usize,
        is_ready: bool,
    },
}

/// The task that follows relays.
struct Follow<M> {
    client: Arc<RelayClient>,
    follower: Follower,
    queue: mpsc::Sender<M>,
    direct: Connection<M>,
    stream: Option<JoinHandle<()>>,
    /// The name of the relay that was connected to last.
    relay: Option<Arc<str>>,
    /// The number of the stream: what comes of an earlier one is dropped.
    number: u64,
    start: Instant,
}

impl<M> Drop for Follow<M> {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl<M> Follow<M> {
    fn disconnect(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
    }

    fn now(&self) -> Now {
        Now { at: self.start.elapsed(), second: unix_second() }
    }
}

impl<M: From<Message> + Send + 'static> Follow<M> {
    async fn run(mut self, mut requested: mpsc::UnboundedReceiver<Request>) {
        let (arrivals, mut arrived) = mpsc::channel::<(u64, Arrival)>(16);
        loop {
            let due = self.start + self.follower.wake_at(self.now());
            let mut orders = Vec::new();
            tokio::select! {
                // What has come counts before silence: this task may have waited itself.
                biased;
                request = requested.recv() => {
                    let Some(request) = request else { return };
                    let now = self.now();
                    match request {
                        Request::Marathon(action) => {
                            self.follower.on_request(action, now, &mut orders);
                        }
                        Request::Hosts(hosts) => self.follower.restore_hosts(hosts),
                    }
                }
                Some((number, arrival)) = arrived.recv() => {
                    if number == self.number {
                        self.take_in(arrival, &mut orders);
                    }
                }
                () = sleep_until(due) => {
                    let now = self.now();
                    self.follower.tick(now, &mut orders);
                }
            }
            for order in orders {
                self.carry_out(order, &arrivals).await;
            }
        }
    }

    fn take_in(&mut self, arrival: Arrival, orders: &mut Vec<Order>) {
        let now = self.now();
        match arrival {
            Arrival::Frames(frames) if frames.is_empty() => self.follower.on_bytes(now),
            Arrival::Frames(frames) => {
                for frame in frames {
                    self.follower.on_frame(&frame, now, orders);
                }
            }
            Arrival::End(why) => self.follower.on_end(&why, now, orders),
            Arrival::Probed { relay, is_ready } => {
                self.follower.on_probe(relay, is_ready, now, orders);
            }
        }
    }

    async fn carry_out(&mut self, order: Order, arrivals: &mpsc::Sender<(u64, Arrival)>) {
        match order {
            Order::Connect { relay, position } => {
                self.disconnect();
                self.number += 1;
                self.relay = self.client.urls.get(relay).map(|url| name_of(url).into());
                let client = Arc::clone(&self.client);
                let outlet = Outlet { number: self.number, arrivals: arrivals.clone() };
                self.stream = Some(tokio::spawn(async move {
                    let why = listen(&client, relay, position, &outlet).await;
                    outlet.send(Arrival::End(why)).await;
                }));
            }
            Order::Disconnect => {
                self.number += 1;
                self.disconnect();
            }
            Order::Tell(mut message) => {
                if let Message::Opened { relay, .. } = &mut message {
                    relay.clone_from(&self.relay);
                }
                // In one queue: an answer from the mirror must not overtake older changes. Fails only
                // when the agent has stopped.
                drop(self.queue.send(message.into()).await);
            }
            Order::Probe { relay } => {
                let client = Arc::clone(&self.client);
                let outlet = Outlet { number: self.number, arrivals: arrivals.clone() };
                tokio::spawn(async move {
                    let is_ready = probe(&client, relay).await;
                    outlet.send(Arrival::Probed { relay, is_ready }).await;
                });
            }
            Order::Ask(action) => self.direct.send_request(action),
        }
    }
}

/// The way from a stream to the task.
struct Outlet {
    number: u64,
    arrivals: mpsc::Sender<(u64, Arrival)>,
}

impl Outlet {
    async fn send(&self, arrival: Arrival) {
        // Fails only when the task has ended, and the stream ends with it.
        let _ = self.arrivals.send((self.number, arrival)).await;
    }
}

/// Takes in the stream of a relay until it ends, and returns the reason.
async fn listen(
    client: &RelayClient,
    relay: usize,
    position: Option<Position>,
    outlet: &Outlet,
) -> String {
    let response = match open(client, relay, position).await {
        Ok(response) => response,
        Err(why) => return why,
    };
    let mut decoder = Decoder::new(caps::WORKLOAD_MEMORY);
    let mut chunks = response.bytes_stream().ready_chunks(CHUNKS);
    while let Some(together) = chunks.next().await {
        let (mut frames, mut error) = (Vec::new(), None);
        for chunk in together {
            match chunk {
                Ok(chunk) => frames.extend(decoder.push_bytes(&chunk)),
                Err(broken) => error = Some(with_sources(&broken.without_url())),
            }
        }
        if decoder.skipped_frames() > 0 {
            return "it sent a record that is too long".to_owned();
        }
        outlet.send(Arrival::Frames(frames)).await;
        if let Some(error) = error {
            return error;
        }
    }
    "it closed the stream".to_owned()
}

/// Asks whether a relay is ready.
async fn probe(client: &RelayClient, relay: usize) -> bool {
    let Some(base) = client.urls.get(relay) else { return false };
    let mut url = base.clone();
    url.set_path(&format!("{}/readyz", base.path().trim_end_matches('/')));
    let answer = client.http.get(url).timeout(PROBE).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

async fn open(
    client: &RelayClient,
    relay: usize,
    position: Option<Position>,
) -> Result<reqwest::Response, String> {
    let base = client.urls.get(relay).ok_or("there is no such relay")?;
    let mut url = base.clone();
    url.set_path(&format!("{}/v1/stream", base.path().trim_end_matches('/')));
    url.set_query(client.wants_all.then_some("scope=all"));
    let mut request = client.http.get(url).header(ACCEPT, "text/event-stream");
    if let Some(position) = position {
        request = request.header(HeaderName::from_static("last-event-id"), position.to_string());
    }
    if let Some(token) = &client.token {
        request = request.bearer_auth(token.reveal());
    }
    let response = request.send().await.map_err(|error| with_sources(&error.without_url()))?;
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_stream = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
    match status.is_success() && is_stream {
        true => Ok(response),
        false if status.is_success() => {
            Err("it is no relay: it answers with no event stream".into())
        }
        false => Err(format!("status {status}: {}", read_reason(response).await)),
    }
}

/// Reads the reason of an error.
async fn read_reason(response: reqwest::Response) -> String {
    let mut chunks = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ERROR {
            break;
        }
    }
    let told: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let told = told.as_ref().and_then(|told| told["error"].as_str()).unwrap_or("without a reason");
    caps::cut_text(told, caps::REASON).into_owned()
}
