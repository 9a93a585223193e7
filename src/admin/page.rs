//! The status page.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::guard::POLICY;
use super::state::AdminState;

/// The page, with its styles and its script, which stand in files of their own.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let page = include_str!("page.html").replacen("STYLE", include_str!("page.css"), 1);
    page.replacen("SCRIPT", include_str!("page.js"), 1)
});

/// The placeholder for the nonce in the page's scripts and styles.
const NONCE: &str = "NONCE";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_everything_in_it() {
        for outside in ["http://", "https://", "src=", "url(", "@import", "<link"] {
            let places: Vec<_> = PAGE.match_indices(outside).map(|(at, _)| at).collect();
            assert!(places.is_empty(), "{outside} at {places:?}");
        }
    }
}
