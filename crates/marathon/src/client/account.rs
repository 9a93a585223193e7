//! Logging in with a service account of DC/OS.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, dangerous, encode};
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::config::{Account, ConfigError, Secret};
use super::error::{ClientError, innermost, sending};

/// How long the text that is signed is good for.
const LOGIN_LIFETIME: Duration = Duration::from_secs(60);
/// A token that doesn't say how long it is good for is used for this long.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(3600);
/// A token is renewed this long before its end.
const MARGIN: Duration = Duration::from_secs(60);
/// An answer with a token is no longer than this.
const MAX_ANSWER: usize = 64 << 10;

/// A token that is got when it is needed, and kept.
pub(super) struct Tokens {
    account: Account,
    key: EncodingKey,
    token: Mutex<Option<(Secret, Instant)>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("account", &self.account).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Signed<'a> {
    uid: &'a str,
    exp: u64,
}

#[derive(Serialize)]
struct LogIn<'a> {
    uid: &'a str,
    token: String,
}

#[derive(Deserialize)]
struct LoggedIn {
    token: String,
}

#[derive(Deserialize)]
struct Lifetime {
    exp: Option<u64>,
}

impl Tokens {
    pub(super) fn new(account: Account) -> Result<Self, ConfigError> {
        let key = EncodingKey::from_rsa_pem(account.private_key.reveal().as_bytes())
            .map_err(|_| ConfigError::BadKey(account.uid.clone()))?;
        Ok(Self { account, key, token: Mutex::new(None) })
    }

    /// A token that is good for a while, unless it is this one, which was refused.
    pub(super) async fn token(
        &self,
        client: &reqwest::Client,
        refused: Option<&Secret>,
    ) -> Result<Secret, ClientError> {
        // Held over the login: nobody else needs to log in meanwhile.
        let mut kept = self.token.lock().await;
        if let Some((token, until)) = &*kept
            && *until > Instant::now()
            && Some(token) != refused
        {
            return Ok(token.clone());
        }
        let token = self.log_in(client).await?;
        let until = Instant::now() + lifetime(&token).saturating_sub(MARGIN);
        *kept = Some((token.clone(), until));
        Ok(token)
    }

    async fn log_in(&self, client: &reqwest::Client) -> Result<Secret, ClientError> {
        let Account { uid, login_endpoint: url, .. } = &self.account;
        let failed = |reason: String| ClientError::Login { url: url.to_string(), reason };
        let exp = since_epoch() + LOGIN_LIFETIME.as_secs();
        let signed = encode(&Header::new(Algorithm::RS256), &Signed { uid, exp }, &self.key)
            .map_err(|error| failed(error.to_string()))?;
        let body = serde_json::to_vec(&LogIn { uid, token: signed })
            .map_err(|error| failed(error.to_string()))?;
        let started = Instant::now();
        let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let mut response = request.send().await.map_err(|error| sending(&error, url, started))?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(format!("status {}", status.as_u16())));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(innermost(&error)))? {
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_ANSWER {
                return Err(failed("the answer is too long for a token".into()));
            }
        }
        // The error would repeat what it read.
        let answer: LoggedIn = serde_json::from_slice(&answer)
            .map_err(|_| failed("the answer holds no token".into()))?;
        Ok(answer.token.into())
    }
}

/// How long a token says that it is good for. Nothing depends on it being true: one that is
/// refused is renewed.
fn lifetime(token: &Secret) -> Duration {
    let said = dangerous::insecure_decode::<Lifetime>(token.reveal()).ok();
    let exp = said.and_then(|token| token.claims.exp);
    let left = exp.map(|exp| Duration::from_secs(exp.saturating_sub(since_epoch())));
    left.unwrap_or(ASSUMED_LIFETIME).min(Duration::from_secs(86400 * 5))
}

fn since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
