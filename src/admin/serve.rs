//! HTTP connections, so many at a time and each for so long.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// More wait for one of these to end.
const CONNECTIONS: usize = 32;
/// A connection, all in all.
const LONGEST: Duration = Duration::from_secs(30);
/// A request's headers.
const HEADERS: Duration = Duration::from_secs(5);

/// Where connections come from.
pub(super) trait Listen {
    type Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = std::io::Result<Self::Connection>> + Send;
}

impl Listen for TcpListener {
    type Connection = tokio::net::TcpStream;

    async fn next(&self) -> std::io::Result<Self::Connection> {
        Ok(self.accept().await?.0)
    }
}

impl Listen for UnixListener {
    type Connection = tokio::net::UnixStream;

    async fn next(&self) -> std::io::Result<Self::Connection> {
        Ok(self.accept().await?.0)
    }
}

/// Serves for ever.
pub(super) async fn serve(listener: impl Listen, router: Router) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Ok(connection) = listener.next().await else {
            // Out of file descriptors, most likely.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(16 << 10);
            // Whoever asks may go away in the middle.
            let connection = builder.serve_connection(TokioIo::new(connection), service);
            let _ = timeout(LONGEST, connection).await;
            drop(permit);
        });
    }
}
