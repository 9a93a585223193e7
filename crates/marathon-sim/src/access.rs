//! Tokens of DC/OS service accounts, which expire. Credentials are not checked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::id;

/// Limit of valid tokens. Above it the oldest one expires early.
const MOST_TOKENS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Access {
    /// Lifetime of a token. None: no request needs one.
    lifetime: Option<Duration>,
    /// The valid tokens with their expiry times.
    tokens: Mutex<Vec<(String, Instant)>>,
}

impl Access {
    pub(crate) fn new(lifetime: Option<Duration>) -> Self {
        Self { lifetime, tokens: Mutex::default() }
    }

    /// Creates a token; None if no request needs one.
    pub(crate) fn log_in(&self) -> Option<String> {
        let (now, token) = (Instant::now(), id::new_uuid());
        let end = now.checked_add(self.lifetime?)?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|(_, end)| *end > now);
        if tokens.len() >= MOST_TOKENS {
            tokens.remove(0);
        }
        tokens.push((token.clone(), end));
        Some(token)
    }

    /// Expires all tokens.
    pub(crate) fn expire_all(&self) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Tells whether a request with this `Authorization` is allowed.
    pub(crate) fn is_allowed(&self, authorization: Option<&str>) -> bool {
        if self.lifetime.is_none() {
            return true;
        }
        let token = authorization
            .and_then(|text| text.strip_prefix("token=").or_else(|| text.strip_prefix("Bearer ")));
        let now = Instant::now();
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().any(|(known, end)| Some(known.as_str()) == token && *end > now)
    }
}
