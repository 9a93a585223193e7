//! Tokens of a DC/OS service account, that expire. Who somebody is is not checked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::id;

/// Beyond this the oldest token ends early.
const MOST_TOKENS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Access {
    /// None: nobody needs a token.
    lifetime: Option<Duration>,
    /// The tokens handed out, each with its end.
    tokens: Mutex<Vec<(String, Instant)>>,
}

impl Access {
    pub(crate) fn new(lifetime: Option<Duration>) -> Self {
        Self { lifetime, tokens: Mutex::default() }
    }

    /// A new token; None where nobody needs one.
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

    /// Ends every token at once.
    pub(crate) fn expire_all(&self) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether a request with this `Authorization` may be answered.
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
