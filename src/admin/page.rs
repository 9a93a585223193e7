//! The status page, and the headers that keep every answer to itself.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::problem;
use super::state::{AdminState, Ask};

/// One page, with all it needs in it.
const PAGE: &str = include_str!("page.html");

/// In the page, where its own scripts and styles say that they are.
const NONCE: &str = "NONCE";

/// Nothing from elsewhere is loaded, nothing is sent elsewhere, nobody frames it.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Arc<AdminState>> {
    Router::new().route("/", get(page))
}

async fn page() -> Response {
    let nonce = nonce();
    let policy = format!("{POLICY}; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'");
    let html = "text/html; charset=utf-8".to_owned();
    let headers = [(header::CONTENT_TYPE, html), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, PAGE.replace(NONCE, &nonce)).into_response()
}

/// What nobody can know beforehand: std's hashers have random keys.
fn nonce() -> String {
    let half = || RandomState::new().hash_one(NONCE);
    format!("{:016x}{:016x}", half(), half())
}

/// Refuses what only a page of somebody else would send, and marks the answer as nobody else's.
///
/// A browser that was told that `evil.example` is 127.0.0.1 asks with that name as its host.
pub(super) async fn guard(State(shared): Ask, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = match host {
        Some(host) if shared.is_local && !is_here(host) => {
            let why = format!("{host} is not this node: ask for it by address, or as localhost");
            problem(StatusCode::MISDIRECTED_REQUEST, &why)
        }
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    // The page has its own.
    let policy = HeaderValue::from_static(POLICY);
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    response
}

/// Whether a Host header names this node as a local client does.
fn is_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    // `agent` is what vipd's own commands call it on its socket.
    bare.parse::<IpAddr>().is_ok() || name == "localhost" || name == "agent"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_here_by_address_or_as_localhost_and_by_no_other_name() {
        for host in ["127.0.0.1:9614", "127.0.0.1", "[::1]:9614", "localhost:9614", "localhost"] {
            assert!(is_here(host), "{host}");
        }
        for host in ["evil.example:9614", "evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!is_here(host), "{host}");
        }
    }

    #[test]
    fn the_page_has_everything_in_it() {
        for outside in ["http://", "https://", "src=", "url(", "@import", "<link"] {
            let places: Vec<_> = PAGE.match_indices(outside).map(|(at, _)| at).collect();
            assert!(places.is_empty(), "{outside} at {places:?}");
        }
    }
}
