//! TCP: an answer to HTTP requests, a greeting and an echo to everything else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::identity::Identity;

/// Time after which a silent client gets the greeting, as from a server that speaks first.
const SILENCE: Duration = Duration::from_millis(200);

/// Timeout of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest head of a request.
const HEAD: usize = 16 * 1024;

pub(super) async fn serve_tcp(listener: TcpListener, identity: Arc<Identity>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors; some will be freed.
            tokio::time::sleep(SILENCE).await;
            continue;
        };
        let identity = Arc::clone(&identity);
        tokio::spawn(async move {
            // A client that goes away is not an error.
            let _ = serve_client(stream, &identity).await;
        });
    }
}

async fn serve_client(mut stream: TcpStream, identity: &Identity) -> io::Result<()> {
    let port = stream.local_addr()?.port();
    let mut first = vec![0; 1024];
    let length = match tokio::time::timeout(SILENCE, stream.read(&mut first)).await {
        Ok(read) => read?,
        Err(_) => 0,
    };
    first.truncate(length);
    if is_http(&first) {
        let answer = tokio::time::timeout(PATIENCE, read_head(&mut stream, first)).await;
        let Ok(Ok(head)) = answer else { return Ok(()) };
        stream.write_all(format_answer(&head, identity, port).as_bytes()).await?;
        return stream.shutdown().await;
    }
    stream.write_all(format!("{}\n", identity.greeting(port)).as_bytes()).await?;
    stream.write_all(&first).await?;
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

fn is_http(first: &[u8]) -> bool {
    const METHODS: [&[u8]; 7] =
        [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH "];
    METHODS.iter().any(|method| first.starts_with(method))
}

/// Reads the rest of the head of a request.
async fn read_head(stream: &mut TcpStream, mut read: Vec<u8>) -> io::Result<Vec<u8>> {
    while read.len() < HEAD && !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut read).await? == 0 {
            break;
        }
    }
    Ok(read)
}

/// Formats the answer, with the identity. `/status/503` is answered with that status, for checks
/// that should fail.
fn format_answer(head: &[u8], identity: &Identity, port: u16) -> String {
    let text = String::from_utf8_lossy(head);
    let path = text.split_whitespace().nth(1).unwrap_or("/");
    let wanted = path.strip_prefix("/status/").and_then(|status| status.parse::<u16>().ok());
    let status = wanted.filter(|status| (100..600).contains(status)).unwrap_or(200);
    let Identity { app, task, host } = identity;
    let body = format!("{}\n", json!({"app": app, "task": task, "host": host, "port": port}));
    let length = body.len();
    let body = if text.starts_with("HEAD ") { "" } else { &body };
    format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
