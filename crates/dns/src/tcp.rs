//! Queries over TCP.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::forwarder::Forwarder;
use crate::query::Transport;
use crate::responder::{Responder, Verdict};
use crate::tcp_message::{read_message, write_message};

/// The time that a client has for its next query, and for taking an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause after a connection that could not be accepted, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections need.
#[derive(Debug)]
pub(crate) struct TcpService {
    pub(crate) responder: Arc<Responder>,
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) connections: Mutex<Connections>,
}

/// The open connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    last_number: u64,
    open: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    active: Instant,
    task: AbortHandle,
}

impl TcpService {
    /// Accepts connections for ever.
    pub(crate) async fn accept_connections(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => self.open_connection(stream, client),
                Err(error) => {
                    tracing::debug!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection beside the others. The one that was idle for longest makes room.
    fn open_connection(self: &Arc<Self>, stream: TcpStream, client: SocketAddr) {
        if !self.responder.accepts_client(client) {
            return;
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.make_room();
        connections.last_number += 1;
        let number = connections.last_number;
        let service = Arc::clone(self);
        // It can't end before it is entered: it needs the lock for that.
        let task = tokio::spawn(async move {
            let _ = service.serve_queries(stream, number).await;
            service.with_connections(|connections| connections.open.remove(&number));
        });
        let connection = Connection { active: Instant::now(), task: task.abort_handle() };
        connections.open.insert(number, connection);
    }

    /// Answers the queries of a connection, one after the other.
    async fn serve_queries(&self, mut stream: TcpStream, number: u64) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        let (mut message, mut reply) = (Vec::new(), Vec::new());
        loop {
            timeout(PATIENCE, read_message(&mut stream, &mut message)).await??;
            self.with_connections(|connections| connections.note_activity(number));
            match self.responder.answer_message(&message, Transport::Tcp, &mut reply) {
                // Who speaks another language is not listened to.
                Verdict::Drop => return Ok(()),
                Verdict::Reply => {}
                Verdict::Forward => match self.forwarder.ask_over_tcp(&message).await {
                    Some(answer) => reply = answer,
                    None => self.responder.answer_failure(&message, &mut reply),
                },
            }
            timeout(PATIENCE, write_message(&mut stream, &reply)).await??;
        }
    }

    fn with_connections<T>(&self, change: impl FnOnce(&mut Connections) -> T) -> T {
        change(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Connections {
    fn make_room(&mut self) {
        while self.open.len() >= caps::NAME_CONNECTIONS {
            let idle = self.open.iter().min_by_key(|(_, connection)| connection.active);
            let Some(number) = idle.map(|(number, _)| *number) else { return };
            if let Some(connection) = self.open.remove(&number) {
                connection.task.abort();
            }
        }
    }

    fn note_activity(&mut self, number: u64) {
        if let Some(connection) = self.open.get_mut(&number) {
            connection.active = Instant::now();
        }
    }
}
