//! Names that aren't ours, asked of the node's name servers. Nothing is remembered.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::counters::Event;
use crate::query::{HEADER, Query, answers_question};
use crate::responder::Responder;
use crate::tcp_message::{read_message, write_message};
use crate::udp::ForwardRequest;
use crate::upstreams::{UpstreamSource, Upstreams};

/// The time that a server has for its answer. Two servers have the five seconds of a client.
const PATIENCE: Duration = Duration::from_millis(2500);

/// How many servers are asked for one query.
const MAX_TRIES: usize = 2;

/// The longest answer over UDP that is passed on.
const MAX_ANSWER: usize = 4096;

/// The bit `TC` in the third byte of the header.
const TRUNCATED: u8 = 0x02;

/// Passes queries on, and their answers back.
#[derive(Debug)]
pub(crate) struct Forwarder {
    responder: Arc<Responder>,
    upstreams: Upstreams,
    /// One for each query that may be under way.
    permits: Arc<Semaphore>,
    /// The queries over UDP that are under way, by client: none takes what all others need.
    shares: Mutex<HashMap<IpAddr, usize>>,
}

/// One query of a client that is under way.
struct Share {
    forwarder: Arc<Forwarder>,
    client: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.forwarder.lock_shares();
        match shares.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(shares.remove(&self.client)),
        }
    }
}

impl Forwarder {
    pub(crate) fn new(
        responder: Arc<Responder>,
        source: UpstreamSource,
        own: Vec<SocketAddr>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(caps::FORWARDED_QUERIES));
        Self {
            responder,
            upstreams: Upstreams::new(source, own),
            permits,
            shares: Mutex::default(),
        }
    }

    /// Counts one more query of a client; `None` if it has too many under way.
    fn take_share(self: &Arc<Self>, client: IpAddr) -> Option<Share> {
        let mut shares = self.lock_shares();
        let count = shares.entry(client).or_default();
        if *count >= caps::FORWARDED_QUERIES_OF_CLIENT {
            return None;
        }
        *count += 1;
        Some(Share { forwarder: Arc::clone(self), client })
    }

    fn lock_shares(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forwards what comes over UDP, for ever.
    pub(crate) async fn forward_requests(
        self: Arc<Self>,
        mut requests: mpsc::Receiver<ForwardRequest>,
    ) {
        while let Some(request) = requests.recv().await {
            let forwarder = Arc::clone(&self);
            let permit = Arc::clone(&self.permits).try_acquire_owned();
            let share = self.take_share(request.client.ip());
            let (Ok(permit), Some(share)) = (permit, share) else {
                self.refuse_request(&request);
                continue;
            };
            tokio::spawn(async move {
                match forwarder.ask_upstreams(&request.message, Way::Udp).await {
                    Some(answer) => {
                        let _ = request.socket.send_to(&answer, request.client);
                    }
                    None => forwarder.refuse_request(&request),
                }
                drop((permit, share));
            });
        }
    }

    /// Waits until no query is under way.
    pub(crate) async fn wait_until_idle(&self) {
        let all = u32::try_from(caps::FORWARDED_QUERIES).unwrap_or(u32::MAX);
        // Fails only when the semaphore is closed, which it never is.
        let _ = self.permits.acquire_many(all).await;
    }

    /// Asks over TCP, for a client that did.
    pub(crate) async fn ask_over_tcp(&self, message: &[u8]) -> Option<Vec<u8>> {
        let _permit = self.permits.try_acquire().ok()?;
        self.ask_upstreams(message, Way::Tcp).await
    }

    fn refuse_request(&self, request: &ForwardRequest) {
        let mut reply = Vec::new();
        self.responder.answer_failure(&request.message, &mut reply);
        let _ = request.socket.send_to(&reply, request.client);
    }

    async fn ask_upstreams(&self, message: &[u8], way: Way) -> Option<Vec<u8>> {
        self.responder.counters.count_event(Event::Forwarded);
        let question = Query::parse(message).ok()?.head[HEADER..].to_vec();
        let mut failure = None;
        for server in self.upstreams.list_servers().into_iter().take(MAX_TRIES) {
            match timeout(PATIENCE, way.ask_server(server, message, &question)).await {
                Ok(Ok(answer)) if !is_failure(&answer) => return Some(answer),
                // As a client does that knows both: the next one may know more.
                Ok(Ok(answer)) => {
                    failure.get_or_insert(answer);
                    continue;
                }
                Ok(Err(error)) => tracing::debug!("{server} can't be asked: {error}"),
                Err(_) => tracing::debug!("{server} doesn't answer"),
            }
            self.responder.counters.count_event(Event::UpstreamFailed);
            self.upstreams.demote_server(server);
        }
        failure
    }
}

/// Tells whether a server says that it can't, or won't, answer: SERVFAIL and REFUSED of RFC 1035, 4.1.1.
fn is_failure(answer: &[u8]) -> bool {
    matches!(answer.get(3).map(|byte| byte & 0xf), Some(2 | 5))
}

/// How a server is asked.
#[derive(Debug, Clone, Copy)]
enum Way {
    Udp,
    Tcp,
}

impl Way {
    /// Asks with an id of our own, and waits for the answer to it. The client gets its own id and its
    /// own spelling of the name back.
    async fn ask_server(
        self,
        server: SocketAddr,
        message: &[u8],
        question: &[u8],
    ) -> io::Result<Vec<u8>> {
        let mut asked = message.to_vec();
        let mut id = [0; 2];
        getrandom(&mut id[..], GetRandomFlags::empty())?;
        asked[..2].copy_from_slice(&id);
        let mut answer = match self {
            Self::Udp => ask_over_udp(server, &asked, question).await?,
            Self::Tcp => ask_over_tcp(server, &asked, question).await?,
        };
        answer[..2].copy_from_slice(&message[..2]);
        answer[HEADER..HEADER + question.len()].copy_from_slice(question);
        Ok(answer)
    }
}

async fn ask_over_udp(server: SocketAddr, asked: &[u8], question: &[u8]) -> io::Result<Vec<u8>> {
    // The kernel chooses a random port, and drops what anybody but the server sends to it.
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(asked).await?;
    let mut answer = vec![0; MAX_ANSWER + 1];
    loop {
        let length = socket.recv(&mut answer).await?;
        if !answers_question(&answer[..length], asked, question) {
            continue;
        }
        answer.truncate(length);
        if length > MAX_ANSWER {
            // The client has to ask over TCP.
            answer.truncate(HEADER + question.len());
            answer[2] |= TRUNCATED;
            answer[6..HEADER].fill(0);
        }
        return Ok(answer);
    }
}

async fn ask_over_tcp(server: SocketAddr, asked: &[u8], question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_message(&mut stream, asked).await?;
    let mut answer = Vec::new();
    read_message(&mut stream, &mut answer).await?;
    match answers_question(&answer, asked, question) {
        true => Ok(answer),
        false => Err(io::Error::other("it answers another question")),
    }
}
