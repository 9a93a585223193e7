//! Asks a relay over HTTP, as an agent reaches it: with its token, authority and certificate.

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use marathon::client::{Secret, Url, with_sources};
use reqwest::StatusCode;

use crate::cli::reload::create_relay_http;
use crate::config::Relays;

/// The time that a relay has for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A client of the relays of one Marathon.
pub(in crate::cli) struct RelayAsker {
    http: reqwest::Client,
    token: Option<Secret>,
}

impl RelayAsker {
    /// # Errors
    /// When the authority or the certificate can't be used.
    pub(in crate::cli) fn new(relays: &Relays) -> Result<Self> {
        Ok(Self { http: create_relay_http(relays)?, token: relays.token.clone() })
    }

    /// Returns the answer at a path, no more than `most` bytes and a little of it.
    ///
    /// # Errors
    /// When there is none.
    pub(in crate::cli) async fn get(
        &self,
        base: &Url,
        path: &str,
        most: usize,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let mut url = base.clone();
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        let mut request = self.http.get(url).timeout(ANSWER_WITHIN);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        let explain = |error: reqwest::Error| with_sources(&error.without_url());
        let response = request.send().await.map_err(explain)?;
        let status = response.status();
        let mut chunks = response.bytes_stream();
        let mut body = Vec::new();
        while body.len() < most
            && let Some(chunk) = chunks.next().await
        {
            body.extend_from_slice(&chunk.map_err(explain)?);
        }
        Ok((status, body))
    }
}
