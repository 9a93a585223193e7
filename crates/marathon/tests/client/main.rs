//! Reading a live Marathon, from servers that answer well, badly or not at all.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod answers;
mod server;
mod tls;
mod trouble;

use std::time::Duration;

use marathon::Snapshot;
use marathon::client::{Client, ClientConfig, ClientError, Url};

/// Limits for tests: short where the test waits for them, else never reached.
pub(crate) fn config(urls: Vec<Url>) -> ClientConfig {
    let mut config = ClientConfig::new(urls);
    config.max_body = 1 << 20;
    config.idle_timeout = Duration::from_secs(50);
    config
}

/// Does it on a runtime of one thread.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// One snapshot with a client of its own.
pub(crate) fn read(config: &ClientConfig) -> Result<Snapshot, ClientError> {
    block_on(Client::new(config).unwrap().read_snapshot())
}

/// The error of reading from one URL.
pub(crate) fn error(url: &Url) -> ClientError {
    read(&config(vec![url.clone()])).unwrap_err()
}

/// The text of a file in tests/fixtures.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
