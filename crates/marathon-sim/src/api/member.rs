//! The way of a request to the leader's handlers: election, standbys, access, faults
//! (`api/LeaderProxyFilter.scala`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::{Answer, Error};
use super::control;
use super::leader::{add_headers, answer_as_leader, dispatch_wiped};
use super::request::Request;
use super::route::Route;
use crate::config::Generation;
use crate::fault::Fault;
use crate::shared::Shared;
use crate::stream::{self, Filter, Peer};

/// A mark of a response whose body is to be cut.
#[derive(Clone, Copy)]
struct Cut;

pub(super) async fn serve_request(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    if let Some(inner) = path.strip_prefix("/_sim/") {
        let answer = control::answer_control(&shared, &method, inner, &body);
        return answer.unwrap_or_else(Answer::from).into_response();
    }
    shared.record_request(format!("{method} {uri}"));
    let Some(leader) = shared.wait_for_leader().await else {
        let status = if shared.config.generation >= Generation::V1_6 { 502 } else { 503 };
        return Answer::html(status, path, "Could not determine the current leader")
            .into_response();
    };
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let query = Query::<Vec<(String, String)>>::try_from_uri(&uri).map(|query| query.0);
    let request = Request {
        method,
        path: path.to_owned(),
        query: query.unwrap_or_default(),
        accept: text(header::ACCEPT).unwrap_or("*/*").to_owned(),
        client: peer.address,
        body,
    };
    let allowed = shared.access.is_allowed(text(header::AUTHORIZATION));
    let mut response = match admit_request(&shared, leader, &request, allowed).await {
        Err(early) => early,
        Ok(cut) if path == "/v2/events" => {
            match check_listener(&shared, &peer, leader, &request, uri.query()) {
                Ok(filter) => return stream::serve_events(&shared, &peer, leader, filter).await,
                Err(answer) => mark_for_cut(cut, answer.into_response()),
            }
        }
        Ok(cut) => mark_for_cut(cut, answer_as_leader(&shared, leader, &request)),
    };
    if peer.member != leader
        && let Ok(via) = HeaderValue::from_str(&shared.via_header(peer.member))
    {
        response.headers_mut().insert(HeaderName::from_static("x-marathon-via"), via);
    }
    response
}

fn mark_for_cut(cut: Option<Cut>, mut response: Response) -> Response {
    if let Some(cut) = cut {
        response.extensions_mut().insert(cut);
    }
    response
}

/// Admits a request to the leader, or returns the answer that it gets instead.
async fn admit_request(
    shared: &Shared,
    leader: usize,
    request: &Request,
    allowed: bool,
) -> Result<Option<Cut>, Response> {
    let path = &*request.path;
    let by_leader = |answer: Answer| {
        let mut response = answer.into_response();
        add_headers(&shared.members[leader], response.headers_mut());
        response
    };
    let mut cut = None;
    match shared.faults.of_answer(request.method.as_str(), path) {
        Some(Fault::Stall { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Fault::Empty) => return Err(Answer::empty(200).into_response()),
        Some(Fault::NoApps) => return Err(by_leader(Answer::ok(&json!({"apps": []})))),
        Some(Fault::Wiped) => {
            let answer = dispatch_wiped(shared, &Route::parse(path));
            return Err(by_leader(answer.unwrap_or_else(Answer::from)));
        }
        Some(Fault::HealthAsk) => {
            let app = shared.lock_store().apps().next().map(|entry| entry.spec.id.clone());
            return Err(by_leader(Error::HealthAsk(app.unwrap_or_default()).into()));
        }
        Some(Fault::BadGateway) => {
            return Err(Answer::html(502, path, "Bad Gateway").into_response());
        }
        Some(Fault::Unavailable) => {
            return Err(Answer::html(503, path, "Service Unavailable").into_response());
        }
        Some(Fault::Truncated) => cut = Some(Cut),
        _ => {}
    }
    if request.method == "POST" && path == "/acs/api/v1/auth/login" {
        let token = shared.access.log_in().ok_or(Error::NoRoute);
        let answer = token.map(|token| Answer::ok(&json!({"token": token})));
        return Err(answer.unwrap_or_else(Answer::from).into_response());
    }
    match allowed {
        true => Ok(cut),
        false => {
            let refusal = Answer::html(401, path, "Unauthorized");
            Err(refusal.with_header(header::WWW_AUTHENTICATE, "oauthjwt").into_response())
        }
    }
}

/// Returns the filter of a listener to events, or the answer that it gets instead.
fn check_listener(
    shared: &Shared,
    peer: &Peer,
    leader: usize,
    request: &Request,
    query: Option<&str>,
) -> Result<Filter, Answer> {
    let generation = shared.config.generation;
    if peer.member != leader && generation >= Generation::V1_6 {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let location = format!("{}/v2/events{query}", shared.members[leader]);
        return Err(Answer::empty(302).with_header(header::LOCATION, location));
    }
    // Jetty compares the whole header.
    if request.method != "GET" || request.accept != "text/event-stream" {
        let reason = format!("HTTP method {} is not supported by this URL", request.method);
        return Err(Answer::html(405, &request.path, &reason));
    }
    let kinds: BTreeSet<String> = request.parameters("event_type").map(str::to_owned).collect();
    let asks = !kinds.is_empty() && generation >= Generation::V1_4;
    let light = match generation {
        Generation::V1_1 | Generation::V1_4 => false,
        Generation::V1_5 => request.parameter("plan-format") == Some("light"),
        // 1.8 has no other format.
        Generation::V1_6 => true,
    };
    Ok(Filter { kinds: asks.then_some(kinds), light })
}

/// Cuts a marked body in the middle. It runs after compression.
pub(super) async fn cut_body(mut response: Response) -> Response {
    if response.extensions_mut().remove::<Cut>().is_none() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The bodies are made here: an error would be a bug, and leads to an empty body.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body.slice(..body.len() / 2)))
}
