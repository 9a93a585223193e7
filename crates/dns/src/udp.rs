//! Queries over UDP: a thread for each socket, which does nothing else.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::query::Transport;
use crate::responder::{Responder, Verdict};

/// The longest query. One question and a few EDNS options need a small part of it.
const MAX_QUERY: usize = 4096;

/// The pause after an error of the socket.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// A query over UDP that is to be forwarded.
#[derive(Debug)]
pub(crate) struct ForwardRequest {
    pub(crate) message: Vec<u8>,
    pub(crate) client: SocketAddr,
    /// The socket that the answer leaves by.
    pub(crate) socket: Arc<UdpSocket>,
}

/// What the thread of a socket needs.
#[derive(Debug)]
pub(crate) struct UdpService {
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) responder: Arc<Responder>,
    pub(crate) forward: mpsc::Sender<ForwardRequest>,
    /// Set before the last datagram, which is empty.
    pub(crate) is_stopping: Arc<AtomicBool>,
}

impl UdpService {
    /// Answers until it is stopped. A query that was taken from the socket is answered before.
    pub(crate) fn run_thread(self) {
        let mut message = [0; MAX_QUERY];
        let mut reply = Vec::with_capacity(MAX_QUERY);
        while !self.is_stopping.load(Ordering::Acquire) {
            match self.socket.recv_from(&mut message) {
                Ok((length, client)) => {
                    self.answer_datagram(&message[..length], client, &mut reply);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Such as ECONNREFUSED for an answer that nobody waited for.
                Err(error) => {
                    tracing::debug!("cannot receive a query: {error}");
                    std::thread::sleep(ERROR_PAUSE);
                }
            }
        }
    }

    fn answer_datagram(&self, message: &[u8], client: SocketAddr, reply: &mut Vec<u8>) {
        // Nobody queries from port 0, and an answer to our own port could come back for ever.
        if message.is_empty() || client.port() == 0 || !self.responder.accepts_client(client) {
            return;
        }
        match self.responder.answer_message(message, Transport::Udp, reply) {
            Verdict::Drop => return,
            Verdict::Reply => {}
            Verdict::Forward => {
                let (message, socket) = (message.to_vec(), self.socket.clone());
                let request = ForwardRequest { message, client, socket };
                let Err(refused) = self.forward.try_send(request) else { return };
                self.responder.answer_failure(&refused.into_inner().message, reply);
            }
        }
        // A client that is gone is none of our business.
        let _ = self.socket.send_to(reply, client);
    }
}
