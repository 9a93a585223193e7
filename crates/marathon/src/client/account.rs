//! Login with a DC/OS service account, for a token that is renewed before it expires.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::config::{Account, ConfigError, Secret};
use super::error::{Cause, ClientError, LoginError, sending_error};
use super::jwt::{SigningKey, read_expiry};

/// Lifetime of the signed token that a login sends.
const LOGIN_LIFETIME: Duration = Duration::from_secs(60);
/// Lifetime assumed for a token that doesn't say when it expires.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(3600);
/// Longest time that a token is used, whatever it says.
const MAX_LIFETIME: Duration = Duration::from_secs(86400 * 5);
/// A token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(60);
/// Longest answer to a login, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// The token of a service account, obtained when it is first needed.
pub(super) struct Tokens {
    account: Account,
    key: SigningKey,
    token: Mutex<Option<(Secret, Instant)>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("account", &self.account).finish_non_exhaustive()
    }
}

/// The answer to a login.
#[derive(Deserialize)]
struct LoggedIn {
    token: String,
}

impl Tokens {
    pub(super) fn new(account: Account) -> Result<Self, ConfigError> {
        let key = SigningKey::from_pem(account.private_key.reveal())
            .map_err(|error| ConfigError::BadKey { uid: account.uid.clone(), error })?;
        Ok(Self { account, key, token: Mutex::new(None) })
    }

    /// Returns a valid token, other than `refused`; logs in if there is none.
    pub(super) async fn valid_token(
        &self,
        client: &reqwest::Client,
        refused: Option<&Secret>,
    ) -> Result<Secret, ClientError> {
        // Locked during the login, so that concurrent requests wait for one login.
        let mut kept = self.token.lock().await;
        if let Some((token, until)) = &*kept
            && *until > Instant::now()
            && Some(token) != refused
        {
            return Ok(token.clone());
        }
        let token = self.log_in(client).await?;
        let until = Instant::now() + remaining_lifetime(&token).saturating_sub(MARGIN);
        *kept = Some((token.clone(), until));
        Ok(token)
    }

    async fn log_in(&self, client: &reqwest::Client) -> Result<Secret, ClientError> {
        let Account { uid, login_endpoint: url, .. } = &self.account;
        let failed = |reason| ClientError::Login { url: url.to_string(), reason };
        let exp = seconds_since_epoch() + LOGIN_LIFETIME.as_secs();
        let signed = self
            .key
            .sign_token(&json!({"uid": uid, "exp": exp}))
            .map_err(|_| failed(LoginError::Signing))?;
        let body = json!({"uid": uid, "token": signed}).to_string();
        let started = Instant::now();
        let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let mut response =
            request.send().await.map_err(|error| sending_error(error, url, started))?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(LoginError::Status(status.as_u16())));
        }
        let mut answer = Vec::new();
        let broken_off = |error| failed(LoginError::BrokenOff(Cause::from(error)));
        while let Some(chunk) = response.chunk().await.map_err(broken_off)? {
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_ANSWER {
                return Err(failed(LoginError::TooLong));
            }
        }
        // The parser's own error would quote the answer.
        let answer: LoggedIn =
            serde_json::from_slice(&answer).map_err(|_| failed(LoginError::NoToken))?;
        Ok(answer.token.into())
    }
}

/// Time until a token expires by its own account. A token that is refused earlier is renewed, so
/// nothing depends on the claim.
fn remaining_lifetime(token: &Secret) -> Duration {
    let left = |exp: u64| Duration::from_secs(exp.saturating_sub(seconds_since_epoch()));
    read_expiry(token.reveal()).map_or(ASSUMED_LIFETIME, left).min(MAX_LIFETIME)
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
