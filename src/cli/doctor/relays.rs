//! Asks each relay of a Marathon about itself.

use marathon::client::Url;
use relay::MarathonStatus;
use serde::Deserialize;

use super::ask_relay::RelayAsker;
use crate::config::Relays;
use crate::doctor::{RelayAnswer, RelayFacts};

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
    let (runtime, asker) = match (runtime, RelayAsker::new(relays)) {
        (Ok(runtime), Ok(asker)) => (runtime, asker),
        (runtime, asker) => {
            let error = runtime.err().map(Into::into).or(asker.err());
            let why = error.map_or_else(String::new, |error: anyhow::Error| format!("{error:#}"));
            return relays.urls.iter().map(|url| answer(url, Err(why.clone()))).collect();
        }
    };
    let asked = relays.urls.iter().map(|url| async { answer(url, ask(&asker, url).await) });
    runtime.block_on(futures_util::future::join_all(asked))
}

fn answer(url: &Url, status: Result<RelayFacts, String>) -> RelayAnswer {
    RelayAnswer { url: url.as_str().trim_end_matches('/').to_owned(), status }
}

async fn ask(asker: &RelayAsker, base: &Url) -> Result<RelayFacts, String> {
    let (status, body) = asker.get(base, "/v1/status", MAX_ANSWER).await?;
    if !status.is_success() {
        let problem = serde_json::from_slice::<Problem>(&body);
        let why = problem.map_or_else(|_| "without a reason".to_owned(), |problem| problem.error);
        return Err(format!("status {status}: {}", caps::cut_text(&why, caps::REASON)));
    }
    let Status { version, complete, clients, marathon } =
        serde_json::from_slice(&body).map_err(|_| "it is no relay of vipd".to_owned())?;
    Ok(RelayFacts { version, complete, clients, marathon })
}
