//! Asks each relay of a Marathon about itself.

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use marathon::client::{Url, with_sources};
use relay::MarathonStatus;
use serde::Deserialize;

use crate::cli::reload::create_relay_http;
use crate::config::Relays;
use crate::doctor::{RelayAnswer, RelayFacts};

/// The time that a relay has for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// The answer of `/v1/status`, as far as it matters.
#[derive(Deserialize)]
struct Status {
    version: String,
    complete: bool,
    clients: u64,
    marathon: MarathonStatus,
}

/// The answer of a relay that refuses.
#[derive(Deserialize)]
struct Problem {
    error: String,
}

/// Asks all relays of a Marathon, at the same time.
pub(super) fn ask_relays(relays: &Relays) -> Vec<RelayAnswer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, http) = match (runtime, create_relay_http(relays)) {
        (Ok(runtime), Ok(http)) => (runtime, http),
        (runtime, http) => {
            let error = runtime.err().map(Into::into).or(http.err());
            let why = error.map_or_else(String::new, |error: anyhow::Error| format!("{error:#}"));
            return relays.urls.iter().map(|url| answer(url, Err(why.clone()))).collect();
        }
    };
    let asked = relays.urls.iter().map(|url| async { answer(url, ask(&http, relays, url).await) });
    runtime.block_on(futures_util::future::join_all(asked))
}

fn answer(url: &Url, status: Result<RelayFacts, String>) -> RelayAnswer {
    RelayAnswer { url: url.as_str().trim_end_matches('/').to_owned(), status }
}

async fn ask(http: &reqwest::Client, relays: &Relays, base: &Url) -> Result<RelayFacts, String> {
    let mut url = base.clone();
    url.set_path(&format!("{}/v1/status", base.path().trim_end_matches('/')));
    let mut request = http.get(url).timeout(ANSWER_WITHIN);
    if let Some(token) = &relays.token {
        request = request.bearer_auth(token.reveal());
    }
    let response = request.send().await.map_err(|error| with_sources(&error.without_url()))?;
    let status = response.status();
    let body = read_start(response).await?;
    if !status.is_success() {
        let problem = serde_json::from_slice::<Problem>(&body);
        let why = problem.map_or_else(|_| "without a reason".to_owned(), |problem| problem.error);
        return Err(format!("status {status}: {}", caps::cut_text(&why, caps::REASON)));
    }
    let Status { version, complete, clients, marathon } =
        serde_json::from_slice(&body).map_err(|_| "it is no relay of vipd".to_owned())?;
    Ok(RelayFacts { version, complete, clients, marathon })
}

/// Reads an answer, no more of it than any has that makes sense.
async fn read_start(response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut chunks = response.bytes_stream();
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER
        && let Some(chunk) = chunks.next().await
    {
        body.extend_from_slice(&chunk.map_err(|error| with_sources(&error.without_url()))?);
    }
    Ok(body)
}
