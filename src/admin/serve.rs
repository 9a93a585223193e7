//! HTTP connections, limited in number and duration.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// The longest duration of a connection.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest time for the headers of a request.
const HEADERS: Duration = Duration::from_secs(5);

/// A source of connections.
pub(super) trait Listen {
    type Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept_next(&self) -> impl Future<Output = std::io::Result<Self::Connection>> + Send;
}

impl Listen for TcpListener {
    type Connection = tokio::net::TcpStream;

    async fn accept_next(&self) -> std::io::Result<Self::Connection> {
        Ok(self.accept().await?.0)
    }
}

impl Listen for UnixListener {
    type Connection = tokio::net::UnixStream;

    async fn accept_next(&self) -> std::io::Result<Self::Connection> {
        Ok(self.accept().await?.0)
    }
}

/// Accepts and serves connections. Clients that are slow don't keep others waiting: the oldest
/// connection is closed for a new one that would be too many.
pub(super) async fn serve_forever(listener: impl Listen, router: Router) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok(connection) = listener.accept_next().await else {
            // Most likely the process has no free file descriptor.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= caps::CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let service = TowerToHyperService::new(router.clone());
        let serve = async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(16 << 10);
            // The client may close the connection at any time.
            let connection = builder.serve_connection(TokioIo::new(connection), service);
            let _ = timeout(LONGEST, connection).await;
        };
        open.push_back(tokio::spawn(serve).abort_handle());
    }
}
