//! The status page, and the protection of all answers against pages of other sites.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::answer_problem;
use super::state::{AdminState, SharedState};

/// The page, with its styles and its script, which stand in files of their own.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let page = include_str!("page.html").replacen("STYLE", include_str!("page.css"), 1);
    page.replacen("SCRIPT", include_str!("page.js"), 1)
});

/// The placeholder for the nonce in the page's scripts and styles.
const NONCE: &str = "NONCE";

/// The Content-Security-Policy: load nothing from elsewhere, send nothing elsewhere, no frames.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(super) fn page_routes() -> Router<Arc<AdminState>> {
    Router::new().route("/", get(answer_page))
}

async fn answer_page() -> Response {
    let nonce = fresh_nonce();
    let policy = format!("{POLICY}; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'");
    let html = "text/html; charset=utf-8".to_owned();
    let headers = [(header::CONTENT_TYPE, html), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, PAGE.replace(NONCE, &nonce)).into_response()
}

/// Returns a random text: the hashers of `std` have random keys.
fn fresh_nonce() -> String {
    let half = || RandomState::new().hash_one(NONCE);
    format!("{:016x}{:016x}", half(), half())
}

/// Refuses requests that pages of other sites cause, and sets headers that keep answers from them.
///
/// A browser that resolved `evil.example` to 127.0.0.1 (DNS rebinding) sends that name as Host.
pub(super) async fn guard_answers(
    State(state): SharedState,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = match host {
        Some(host) if state.is_local && !is_local_host(host) => {
            let why = format!("{host} is not this node: use its address, or localhost");
            answer_problem(StatusCode::MISDIRECTED_REQUEST, &why)
        }
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    // The page has a policy of its own, with a nonce.
    let policy = HeaderValue::from_static(POLICY);
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    response
}

/// Returns whether a Host header is one that a local client sends.
fn is_local_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    // vipd's own commands send `agent` on the socket.
    bare.parse::<IpAddr>().is_ok() || name == "localhost" || name == "agent"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_here_by_address_or_as_localhost_and_by_no_other_name() {
        for host in ["127.0.0.1:9614", "127.0.0.1", "[::1]:9614", "localhost:9614", "localhost"] {
            assert!(is_local_host(host), "{host}");
        }
        for host in ["evil.example:9614", "evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!is_local_host(host), "{host}");
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
