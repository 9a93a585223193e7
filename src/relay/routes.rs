//! The answers of a relay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use marathon::client::Secret;
use prometheus_client::registry::Registry;
use relay::{MarathonStatus, Position, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

use super::counts::{Counts, Scrape};
use super::hub::Hub;
use super::listener::Peer;
use super::pace::Pace;
use super::rights::{CHALLENGES, is_allowed};
use super::stream::{LastTaken, StreamSetup, body_of};
use super::waiting::Encoding;
use crate::admin::answer::answer_problem;
use crate::admin::guard::{POLICY, foreign_host, guard_answer};
use crate::admin::metrics::answer_scrape;
use crate::agent::metrics::declared::encode_metrics;
use crate::version::BUILD;

/// The most apps and pods that the answer of `/v1/status` names.
const NAMED: usize = 100;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    pub(super) counts: Arc<Counts>,
    pub(super) token: Option<Secret>,
    /// It listens on the loopback interface alone.
    pub(super) is_local: bool,
    /// Its name is proved to clients, so that no other name leads to it.
    pub(super) has_tls: bool,
    /// The snapshots that may be on their way at the same time.
    pub(super) snapshots: Arc<Semaphore>,
    /// How often an address may ask for anything, and for a snapshot.
    pub(super) requests_pace: Pace,
    pub(super) snapshots_pace: Pace,
}

type SharedState = State<Arc<Shared>>;

/// Returns the paths. All but `/healthz`, `/readyz` and `/version` need the token, if there is one.
pub(super) fn routes(shared: Arc<Shared>) -> Router {
    let open = Router::new()
        .route("/version", get(|| async { Json(BUILD) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(answer_readyz));
    let closed = Router::new()
        .route("/", get(answer_page))
        .route("/metrics", get(answer_metrics))
        .route("/v1/status", get(answer_status))
        .route("/v1/stream", get(answer_stream))
        .route("/v1/accept", post(answer_accept))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), check_token));
    let pace = middleware::from_fn_with_state(Arc::clone(&shared), check_pace);
    let guard = middleware::from_fn_with_state(Arc::clone(&shared), check_host);
    open.merge(closed).layer(guard).layer(pace).with_state(shared)
}

/// Refuses requests for the name of another site, of which a browser takes an answer here for that site's.
/// Such a page has no token, and no certificate for its name.
async fn check_host(
    State(shared): SharedState,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let is_local = shared.is_local && !shared.has_tls && shared.token.is_none();
    let answer = guard_answer(is_local, request, next).await;
    if answer.status() == StatusCode::MISDIRECTED_REQUEST {
        shared.counts.note_refused(peer.address, "it is for the name of another site");
    }
    answer
}

async fn check_pace(
    State(shared): SharedState,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match shared.requests_pace.allows(peer.address, Instant::now()) {
        true => next.run(request).await,
        false => refuse_haste(&shared, peer, "too many requests from this address: ask less often"),
    }
}

fn refuse_haste(shared: &Shared, peer: Peer, why: &str) -> Response {
    shared.counts.note_refused(peer.address, why);
    answer_problem(StatusCode::TOO_MANY_REQUESTS, why)
}

async fn check_token(
    State(shared): SharedState,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if is_allowed(shared.token.as_ref(), request.headers()) {
        return next.run(request).await;
    }
    let why = "this relay wants a token: set relay-token-file of the [[marathon]] on this node";
    shared.counts.note_refused(peer.address, why);
    let mut answer = answer_problem(StatusCode::UNAUTHORIZED, why);
    for challenge in CHALLENGES {
        answer.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    answer
}

/// Chooses the encoding for a client with this `Accept-Encoding`.
fn encoding_for(accepted: &str) -> Encoding {
    let is_gzip = |each: &str| {
        let (name, weight) = each.split_once(';').unwrap_or((each, ""));
        let weight = weight.trim().trim_start_matches("q=").parse();
        name.trim().eq_ignore_ascii_case("gzip") && weight != Ok(0.0)
    };
    if accepted.split(',').any(is_gzip) { Encoding::Gzip } else { Encoding::Plain }
}

/// The query of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamQuery {
    scope: ScopeName,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScopeName {
    #[default]
    Vips,
    All,
}

async fn answer_stream(
    State(shared): SharedState,
    Extension(peer): Extension<Peer>,
    Extension(taken): Extension<Arc<LastTaken>>,
    Query(StreamQuery { scope }): Query<StreamQuery>,
    headers: HeaderMap,
) -> Response {
    let scope = match scope {
        ScopeName::Vips => Scope::Vips,
        ScopeName::All => Scope::All,
    };
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let position: Option<Position> =
        text(HeaderName::from_static("last-event-id")).and_then(|id| id.parse().ok());
    let encoding = encoding_for(text(header::ACCEPT_ENCODING).unwrap_or_default());
    if !shared.hub.core().is_complete() {
        let why = "this relay hasn't read Marathon as a whole yet: use another one, or try again";
        return answer_problem(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    let Some(subscription) = shared.hub.subscribe(position.as_ref(), scope) else {
        return answer_problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the relay has forgotten everything",
        );
    };
    if !subscription.first.is_resumed && !shared.snapshots_pace.allows(peer.address, Instant::now())
    {
        let why = "this address got too many snapshots within 5 s: raise [relay] clients-per-address \
                   if so many agents share it";
        return refuse_haste(&shared, peer, why);
    }
    shared.counts.streams.fetch_add(1, Ordering::Relaxed);
    shared.counts.resumed.fetch_add(subscription.first.is_resumed.into(), Ordering::Relaxed);
    let setup = StreamSetup {
        scope,
        encoding,
        taken,
        counts: Arc::clone(&shared.counts),
        hub: Arc::clone(&shared.hub),
        snapshots: Arc::clone(&shared.snapshots),
        address: peer.address,
    };
    let body = body_of(subscription, setup);
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    let fixed = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, fixed("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, fixed("no-store"));
    headers.insert(header::VARY, fixed("accept-encoding"));
    if encoding == Encoding::Gzip {
        headers.insert(header::CONTENT_ENCODING, fixed("gzip"));
    }
    answer
}

async fn answer_readyz(State(shared): SharedState) -> Response {
    match unready_reason(&shared) {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Returns why agents do better with another relay.
fn unready_reason(shared: &Shared) -> Option<String> {
    let core = shared.hub.core();
    core.unready_reason(shared.hub.now())
}

/// The answer of `/v1/status`.
#[derive(Debug, Serialize)]
struct RelayStatus {
    version: &'static str,
    position: String,
    complete: bool,
    /// Apps and pods with VIP labels.
    workloads: usize,
    /// All apps and pods.
    all_workloads: usize,
    clients: u64,
    /// Apps and pods whose records would be too long for agents.
    left_out: usize,
    /// Their ids with the lengths of their records, as far as there is room.
    left_out_bytes: BTreeMap<Arc<str>, usize>,
    marathon: MarathonStatus,
}

fn status_of(shared: &Shared) -> RelayStatus {
    let core = shared.hub.core();
    RelayStatus {
        version: BUILD.version,
        position: core.position().to_string(),
        complete: core.is_complete(),
        workloads: core.count(Scope::Vips),
        all_workloads: core.count(Scope::All),
        clients: shared.counts.clients.load(Ordering::Relaxed),
        left_out: core.left_out().len(),
        left_out_bytes: core
            .left_out()
            .iter()
            .take(NAMED)
            .map(|(key, length)| (Arc::clone(&key.id), *length))
            .collect(),
        marathon: core.status(shared.hub.now()),
    }
}

async fn answer_status(State(shared): SharedState) -> Response {
    Json(status_of(&shared)).into_response()
}

async fn answer_page(State(shared): SharedState) -> Response {
    let state = unready_reason(&shared).unwrap_or_else(|| "ready".to_owned());
    let status = status_of(&shared);
    let RelayStatus { version, position, workloads, all_workloads, clients, marathon, .. } = status;
    let silent = marathon.silent_ms.map_or("never".to_owned(), |ms| format!("{} s ago", ms / 1000));
    let rows = [
        ("State", state),
        ("Agents with a stream", clients.to_string()),
        ("Apps and pods with VIP labels", format!("{workloads} of {all_workloads}")),
        ("Marathon's leader", marathon.leader.as_deref().unwrap_or("unknown").to_owned()),
        ("Marathon last heard", silent),
        ("Last record", position),
        ("Version", version.to_owned()),
    ];
    let rows: String = rows
        .iter()
        .map(|(name, value)| {
            format!("<tr><th scope=row>{name}</th><td>{}</td></tr>\n", escape(value))
        })
        .collect();
    let page = Html(format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\n\
         <meta name=viewport content='width=device-width'><title>vipd relay</title>\n\
         <style>body{{font:16px system-ui;margin:2em;color-scheme:light dark}}\
         th{{text-align:left;padding-right:2em}}</style>\n\
         <h1>vipd relay</h1>\n<table>\n{rows}</table>\n"
    ));
    let policy = format!("{POLICY}; style-src 'unsafe-inline'");
    ([(header::CONTENT_SECURITY_POLICY, policy)], page).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

async fn answer_metrics(State(shared): SharedState, headers: HeaderMap) -> Response {
    let scrape = Scrape::new(&shared.hub, &shared.counts);
    answer_scrape(&headers, |format| encode_metrics(scrape, &Registry::default(), format))
}

/// The header that says that a person means it: no page of another site can send it unasked.
const ACCEPT_HEADER: &str = "x-vipd-accept";

/// Passes on that somebody accepts what the last answer lacks. Every agent has the token, so only
/// somebody on the relay's own host may.
async fn answer_accept(
    State(shared): SharedState,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    // A page whose name leads to this host is of this site to its browser, and can send the header: a
    // browser would even add a token that it was given for that name.
    let is_rebound = !shared.has_tls && foreign_host(&headers).is_some();
    if is_rebound || !peer.is_here || !headers.contains_key(ACCEPT_HEADER) {
        let why = "a loss is accepted on the relay's own host, at the address that it listens on, with \
                   the header x-vipd-accept";
        shared.counts.note_refused(peer.address, why);
        return answer_problem(StatusCode::FORBIDDEN, why);
    }
    tracing::warn!("what Marathon's last answer lacks was accepted: all agents are told");
    shared.hub.announce_acceptance();
    let agents = shared.counts.clients.load(Ordering::Relaxed);
    Json(json!({ "announced_to": agents })).into_response()
}
