//! The protection of all answers against pages of other sites.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::answer_problem;

/// The Content-Security-Policy: load nothing from elsewhere, send nothing elsewhere, no frames.
pub(crate) const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Refuses requests that pages of other sites cause, and sets headers that keep answers from them.
/// `is_local`: only clients of this node are meant to ask.
pub(crate) async fn guard_answer(is_local: bool, request: Request, next: Next) -> Response {
    let foreign = foreign_host(request.headers()).filter(|_| is_local);
    let mut response = match foreign {
        Some(host) => {
            let why = format!("{host} is not this node: use its address, or localhost");
            answer_problem(StatusCode::MISDIRECTED_REQUEST, &why)
        }
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    // A page has a policy of its own.
    let policy = HeaderValue::from_static(POLICY);
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    response
}

/// Returns the host that a request is for, if it is a name that no local client sends.
///
/// A browser that resolved `evil.example` to 127.0.0.1 (DNS rebinding) sends that name as Host.
pub(crate) fn foreign_host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    (!is_local_host(host)).then(|| host.to_owned())
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
}
