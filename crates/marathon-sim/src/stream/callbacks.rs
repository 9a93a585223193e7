//! Event subscriptions by callback: each event is posted to a URL (`core/event/impl/callback`,
//! until 1.4).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bus::{Bus, Filter, Subscription};

/// Longest time for one POST; a subscriber that is slower misses the event.
const POST_TIMEOUT: Duration = Duration::from_secs(5);

/// The subscribed URLs, with the ids of their subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Callbacks(Mutex<BTreeMap<String, u64>>);

impl Callbacks {
    /// Returns the subscribed URLs.
    pub(crate) fn list_urls(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Subscribes a URL, once. False: it isn't `http://ADDRESS:PORT/...`.
    pub(crate) fn add_url(&self, bus: &Bus, url: &str) -> bool {
        let Some((address, path)) = split_url(url) else { return false };
        let mut urls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if urls.contains_key(url) {
            return true;
        }
        let (subscription, _too_slow) = bus.subscribe(Filter::default());
        urls.insert(url.to_owned(), subscription.id);
        // It ends with its subscription, which ends with the bus.
        tokio::spawn(post_events(address, path, subscription));
        true
    }

    /// Ends the subscription of a URL, if there is one.
    pub(crate) fn remove_url(&self, bus: &Bus, url: &str) {
        let removed = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(url);
        if let Some(id) = removed {
            bus.unsubscribe(id);
        }
    }
}

/// Splits `http://127.0.0.1:8000/path` into address and path.
fn split_url(url: &str) -> Option<(SocketAddr, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((host.parse().ok()?, format!("/{path}")))
}

/// Posts the events one after another until the subscription ends.
async fn post_events(address: SocketAddr, path: String, mut subscription: Subscription) {
    while let Some(frame) = subscription.frames.recv().await {
        tokio::time::sleep_until(frame.due).await;
        let body = frame.text.lines().find_map(|line| line.strip_prefix("data: "));
        let post = post_body(address, &path, body.unwrap_or_default());
        // As in Marathon, an event that can't be delivered is gone.
        let _ = tokio::time::timeout(POST_TIMEOUT, post).await;
    }
}

async fn post_body(address: SocketAddr, path: &str, body: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(1 << 16).read_to_end(&mut answer).await?;
    Ok(())
}
