//! Connections that a handler can take over.
//!
//! The event stream is sent without a length and without chunks, its heartbeat in two pieces, and
//! faults break it off where no HTTP library would. So a handler can take over the connection: then
//! the output of the HTTP server is dropped, and the handler sends raw bytes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Accepts the connections of one member of the cluster.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) listener: TcpListener,
    /// Index of the member.
    pub(crate) member: usize,
}

/// A connection, as handlers see it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) member: usize,
    pub(crate) address: SocketAddr,
    wire: Arc<Wire>,
}

#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    taken: AtomicBool,
}

/// A connection, as the HTTP server sees it.
#[derive(Debug)]
pub(crate) struct Io(Peer);

impl Peer {
    /// Takes over the connection: from now on only [`Peer::send_bytes`] writes.
    pub(super) fn take_over(&self) {
        self.wire.taken.store(true, Ordering::Relaxed);
    }

    /// Sends raw bytes. An error means that the client is gone.
    pub(super) async fn send_bytes(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.wire.stream.writable().await?;
            match self.wire.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Listener for Front {
    type Io = Io;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Io, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Without it the second byte of a heartbeat waits for the ACK of the first.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "TCP_NODELAY is not set");
        }
        let wire = Arc::new(Wire { stream, taken: AtomicBool::new(false) });
        (Io(Peer { member: self.member, address, wire }), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Front>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Front>) -> Self {
        stream.io().0.clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.wire.stream.poll_read_ready(cx))?;
            match self.0.wire.stream.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = &self.0.wire;
        loop {
            if wire.taken.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(bytes.len()));
            }
            ready!(wire.stream.poll_write_ready(cx))?;
            match wire.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the connection is closed when its last owner drops it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
