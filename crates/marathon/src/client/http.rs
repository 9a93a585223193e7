use std::error::Error;
use std::time::Instant;

use reqwest::header::{ACCEPT, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};

use super::config::{ClientConfig, ConfigError};
use super::error::{ClientError, Stage};
use super::request::{Base, auth_for, redirected};

/// From a standby to the leader is one; proxies before them may add some.
const MAX_REDIRECTS: usize = 5;

/// As much of an error's page as is read.
const MAX_ERROR_BODY: usize = 64 << 10;

/// GET with limits: of time, of length, of redirects, and of whom credentials are told.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    max_body: usize,
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where it came from, after redirects.
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Http {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(config.connect_timeout)
                .timeout(config.read_timeout)
                .read_timeout(config.idle_timeout)
                // Marathon's Jetty closes idle connections after 30 s.
                .pool_idle_timeout(std::time::Duration::from_secs(25))
                .redirect(Policy::none())
                .gzip(true)
                .no_proxy()
                .user_agent(&config.user_agent)
        };
        let plain = config.urls.iter().all(|url| url.scheme() == "http");
        let client = match builder().build() {
            // A machine without any CA certificates can still read over http.
            Err(_) if plain => builder().tls_certs_only([]).build(),
            built => built,
        };
        let client = client.map_err(|error| ConfigError::Setup(innermost(&error)))?;
        Ok(Self { client, max_body: config.max_body })
    }

    /// Follows redirects to the answer. `bases` are those who may be told their credentials.
    pub(super) async fn get(&self, url: Url, bases: &[Base]) -> Result<Answer, ClientError> {
        let first = url.clone();
        let mut url = url;
        for _ in 0..=MAX_REDIRECTS {
            let started = Instant::now();
            let mut request = self.client.get(url.clone()).header(ACCEPT, "application/json");
            if let Some(auth) = auth_for(bases, &url) {
                request = request.basic_auth(&auth.user, Some(auth.password.reveal()));
            }
            let response = request.send().await;
            let response = response.map_err(|error| sending(&error, &url, started))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return self.answer(response, url, started).await;
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            url = redirected(&url, location).map_err(|reason| ClientError::Redirect {
                url: url.to_string(),
                reason: reason.to_owned(),
            })?;
        }
        let reason = format!("it redirects more than {MAX_REDIRECTS} times, last to {url}");
        Err(ClientError::Redirect { url: first.into(), reason })
    }

    async fn answer(
        &self,
        mut response: Response,
        url: Url,
        started: Instant,
    ) -> Result<Answer, ClientError> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| receiving(&error, &url, started))?
        {
            if !status.is_success() && body.len() + chunk.len() > MAX_ERROR_BODY {
                break;
            }
            if body.len() + chunk.len() > self.max_body {
                return Err(ClientError::TooLarge { url: url.into(), limit: self.max_body });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { url, status: status.as_u16(), body })
    }
}

fn sending(error: &reqwest::Error, url: &Url, started: Instant) -> ClientError {
    let url = url.to_string();
    match (error.is_timeout(), error.is_connect()) {
        (true, connecting) => {
            let stage = if connecting { Stage::Connecting } else { Stage::Answering };
            ClientError::Silent { url, stage, after: started.elapsed() }
        }
        (false, true) => ClientError::NoConnection { url, reason: innermost(error) },
        (false, false) => ClientError::BrokenOff { url, reason: innermost(error) },
    }
}

fn receiving(error: &reqwest::Error, url: &Url, started: Instant) -> ClientError {
    let url = url.to_string();
    if error.is_timeout() {
        ClientError::Silent { url, stage: Stage::Sending, after: started.elapsed() }
    } else {
        ClientError::BrokenOff { url, reason: innermost(error) }
    }
}

/// The cause of it all: what stands around it repeats the URL and says little.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
