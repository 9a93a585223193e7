//! Who may ask a relay: whoever has its token, as an agent or in a browser.

use std::borrow::Cow;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use marathon::client::Secret;

/// The ways in which a request may have the token. A browser asks a person for the second one.
pub(super) const CHALLENGES: [&str; 2] =
    ["Bearer", "Basic realm=\"vipd relay: the token is the password\", charset=\"UTF-8\""];

/// Tells whether a request has the token, if there is one. How long that takes says nothing about it.
pub(super) fn is_allowed(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let told = headers.get(header::AUTHORIZATION).and_then(|value| token_in(value.as_bytes()));
    told.is_some_and(|told| verify_slices_are_equal(&told, token.reveal().as_bytes()).is_ok())
}

/// Returns the token that the header `Authorization` has: itself, or as the password of any user.
fn token_in(header: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (scheme, rest) = header.split_at(header.iter().position(|byte| *byte == b' ')?);
    let told = rest.get(1..)?;
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(told.into());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let mut told = BASE64_STANDARD.decode(told).ok()?;
    // A user's name has no colon, a token may.
    let colon = told.iter().position(|byte| *byte == b':')?;
    Some(told.split_off(colon + 1).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(header: &str) -> Option<String> {
        token_in(header.as_bytes()).map(|told| String::from_utf8(told.into_owned()).unwrap())
    }

    #[test]
    fn the_token_is_found_in_both_schemes() {
        let basic = |text: &str| token_of(&format!("Basic {}", BASE64_STANDARD.encode(text)));
        assert_eq!(token_of("Bearer a b").as_deref(), Some("a b"));
        assert_eq!(token_of("bEARER x").as_deref(), Some("x"));
        assert_eq!(basic("somebody:x:y").as_deref(), Some("x:y"));
        assert_eq!(basic(":x").as_deref(), Some("x"));
        assert_eq!(basic("x"), None);
        for none in ["", "x", "Bearer", "Basic", "Basic x", "Basic ====", "Digest x"] {
            assert_eq!(token_of(none), None, "{none}");
        }
    }
}
