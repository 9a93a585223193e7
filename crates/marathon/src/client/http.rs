//! GET with limits: of time, of length, of redirects, and of the servers that get credentials.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Proxy, RequestBuilder, Response, Url};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::account::Tokens;
use super::config::{Auth, ClientConfig, ConfigError, Secret};
use super::error::{ClientError, LoginError, RedirectError, Stage, receiving_error, sending_error};
use super::host_names::HostNames;
use super::request::{Base, auth_for, resolve_redirect};
use crate::DocumentError;
use crate::document::message_in;

/// Limit of redirects. A standby redirects once, to the leader; proxies may add some.
const MAX_REDIRECTS: usize = 5;

/// Longest body of an error status that is read; the rest is ignored.
const MAX_ERROR_BODY: usize = 64 << 10;

/// Timeout of a silent event stream. Marathon sends a heartbeat every 10 s.
const STREAM_SILENCE: Duration = Duration::from_secs(60);

/// An HTTP client that applies the limits and adds credentials.
#[derive(Debug)]
pub(super) struct Http {
    config: ClientConfig,
    /// Made for the first request where all servers speak plain HTTP: only a redirect may need the
    /// system's certificates then, reading them takes a while, and an agent behind relays makes no
    /// request.
    clients: OnceLock<Clients>,
    /// Those that were made to check the configuration.
    checked: Clients,
    tokens: Option<Tokens>,
    max_body: usize,
}

#[derive(Debug, Clone)]
struct Clients {
    reads: reqwest::Client,
    /// Client for event streams: without a total timeout, and without compression, which would
    /// hold events back.
    streams: reqwest::Client,
}

impl Clients {
    fn new(config: &ClientConfig, trust: Trust) -> Result<Self, ConfigError> {
        let reads = build_client(config, trust, |builder| {
            builder.timeout(config.read_timeout).read_timeout(config.idle_timeout).gzip(true)
        })?;
        let streams = build_client(config, trust, |builder| {
            builder.read_timeout(STREAM_SILENCE).gzip(false)
        })?;
        Ok(Self { reads, streams })
    }
}

/// The authorities that a client trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Those that are configured.
    Configured,
    /// Also the system's.
    System,
}

/// The kind of answer that is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Json,
    Events,
}

impl Wanted {
    /// Returns the `Accept` header. Jetty's event source expects exactly this text.
    fn accept_header(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Events => "text/event-stream",
        }
    }
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    /// The URL that answered, after redirects.
    pub(super) url: Url,
    pub(super) status: u16,
    /// `X-Marathon-Leader`.
    pub(super) leader: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Returns the answer if its status is a success, otherwise an error with Marathon's message.
    pub(super) fn check_status(self) -> Result<Self, ClientError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let message = message_in(&self.body);
        Err(ClientError::Status { url: self.url.into(), status: self.status, message })
    }

    /// Parses the body with `parse`, and drops it.
    pub(super) fn parse_body<T>(
        self,
        parse: impl FnOnce(&[u8]) -> Result<T, DocumentError>,
    ) -> Result<T, ClientError> {
        parse(&self.body).map_err(|error| ClientError::Document { url: self.url.into(), error })
    }
}

impl Http {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let tokens = match &config.auth {
            Some(Auth::Account(account)) => Some(Tokens::new(account.clone())?),
            _ => None,
        };
        let trust = if is_plain(config) { Trust::Configured } else { Trust::System };
        let checked = Clients::new(config, trust)?;
        let clients = match trust {
            Trust::Configured => OnceLock::new(),
            Trust::System => OnceLock::from(checked.clone()),
        };
        let (config, max_body) = (config.clone(), config.max_body);
        Ok(Self { config, clients, checked, tokens, max_body })
    }

    fn clients(&self) -> &Clients {
        let make = || {
            let made = Clients::new(&self.config, Trust::System);
            // Nothing can fail that did not when the configuration was checked.
            made.unwrap_or_else(|_| self.checked.clone())
        };
        // Whoever comes meanwhile waits for them, too.
        match self.clients.get() {
            Some(clients) => clients,
            None => run_long(|| self.clients.get_or_init(make)),
        }
    }

    /// Requests `url` and follows redirects. The servers of `bases` get their credentials.
    pub(super) async fn get(&self, url: Url, bases: &[Base]) -> Result<Answer, ClientError> {
        self.get_at_most(self.max_body, url, bases).await
    }

    /// Requests `url` like [`Http::get`], for an answer of at most so many bytes.
    pub(super) async fn get_at_most(
        &self,
        limit: usize,
        url: Url,
        bases: &[Base],
    ) -> Result<Answer, ClientError> {
        let started = Instant::now();
        let (response, url) = self.follow_redirects(url, bases, Wanted::Json).await?;
        receive_body(response, limit.min(self.max_body), url, started).await
    }

    /// Follows redirects to the first other answer, and returns it with its URL.
    pub(super) async fn follow_redirects(
        &self,
        url: Url,
        bases: &[Base],
        wanted: Wanted,
    ) -> Result<(Response, Url), ClientError> {
        let first = url.clone();
        let mut url = url;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send_request(&url, bases, wanted).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((response, url));
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            url = resolve_redirect(&url, location)
                .map_err(|reason| ClientError::Redirect { url: url.to_string(), reason })?;
        }
        let reason = RedirectError::TooMany { limit: MAX_REDIRECTS, last: url.into() };
        Err(ClientError::Redirect { url: first.into(), reason })
    }

    /// Sends one request, and a second one with a new token if the token may have expired.
    async fn send_request(
        &self,
        url: &Url,
        bases: &[Base],
        wanted: Wanted,
    ) -> Result<Response, ClientError> {
        let started = Instant::now();
        let auth = auth_for(bases, url);
        let mut refused = None;
        loop {
            let Clients { reads, streams } = self.clients();
            let client = match wanted {
                Wanted::Json => reads,
                Wanted::Events => streams,
            };
            let mut request = client.get(url.clone()).header(ACCEPT, wanted.accept_header());
            let mut used = None;
            match (auth, &self.tokens) {
                (Some(Auth::Basic(auth)), _) => {
                    request = request.basic_auth(&auth.user, Some(auth.password.reveal()));
                }
                (Some(Auth::Account(_)), Some(tokens)) => {
                    let token = tokens.valid_token(reads, refused.as_ref()).await?;
                    request = with_token(request, &token, url)?;
                    used = Some(token);
                }
                _ => {}
            }
            let sent = match wanted {
                Wanted::Json => request.send().await,
                // A stream without a total timeout still has to begin in time.
                Wanted::Events => {
                    match tokio::time::timeout(STREAM_SILENCE, request.send()).await {
                        Ok(sent) => sent,
                        Err(_) => {
                            let (url, stage) = (url.to_string(), Stage::Answering);
                            let after = started.elapsed();
                            return Err(ClientError::Silent { url, stage, after });
                        }
                    }
                }
            };
            let response = sent.map_err(|error| sending_error(error, url, started))?;
            match used {
                Some(token) if response.status().as_u16() == 401 && refused.is_none() => {
                    refused = Some(token);
                }
                _ => return Ok(response),
            }
        }
    }
}

async fn receive_body(
    mut response: Response,
    limit: usize,
    url: Url,
    started: Instant,
) -> Result<Answer, ClientError> {
    let status = response.status();
    let leader = leader_header(&response);
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| receiving_error(error, &url, started))?
    {
        if !status.is_success() && body.len() + chunk.len() > MAX_ERROR_BODY {
            break;
        }
        if body.len() + chunk.len() > limit {
            return Err(ClientError::TooLarge { url: url.into(), limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { url, status: status.as_u16(), leader, body })
}

/// Runs work that may take long. It must not keep the worker's other tasks waiting, such as an event
/// stream that reports a death meanwhile.
pub(super) fn run_long<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // There is one thread, and nothing else to do.
        _ => work(),
    }
}

/// Creates an HTTP client for other servers than Marathon, such as relays: with the certificates, the
/// proxy and the look-up of host names of a Marathon's, and without a limit of a request's time.
///
/// # Errors
/// When the certificates can't be used.
pub fn plain_client(config: &ClientConfig) -> Result<reqwest::Client, ConfigError> {
    // They redirect nowhere.
    let needs_none = is_plain(config) && config.proxy.is_none();
    let trust = if needs_none { Trust::Configured } else { Trust::System };
    build_client(config, trust, |builder| builder)
}

/// Tells whether all servers speak plain HTTP.
fn is_plain(config: &ClientConfig) -> bool {
    config.urls.iter().all(|url| url.scheme() == "http")
}

fn build_client(
    config: &ClientConfig,
    trust: Trust,
    limits: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, ConfigError> {
    let mut roots = Vec::new();
    if let Some(pem) = &config.ca {
        roots =
            Certificate::from_pem_bundle(pem).map_err(|error| ConfigError::BadCa(error.into()))?;
        if roots.is_empty() {
            return Err(ConfigError::EmptyCa);
        }
    }
    let identity = config.identity.as_ref().map(|identity| {
        reqwest::Identity::from_pem(identity.as_pem()).map_err(|_| ConfigError::BadIdentity)
    });
    let identity = identity.transpose()?;
    let proxy = config.proxy.clone().map(Proxy::all).transpose();
    let proxy = proxy.map_err(|error| ConfigError::Setup(error.into()))?;
    let builder = || {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            // Marathon's Jetty closes idle connections after 30 s.
            .pool_idle_timeout(Duration::from_secs(25))
            .redirect(Policy::none())
            .dns_resolver(Arc::new(HostNames))
            .tcp_nodelay(true)
            .user_agent(&config.user_agent);
        builder = match &proxy {
            Some(proxy) => builder.no_proxy().proxy(proxy.clone()),
            None => builder.no_proxy(),
        };
        if let Some(identity) = &identity {
            builder = builder.identity(identity.clone());
        }
        limits(builder)
    };
    if trust == Trust::Configured {
        let built = builder().tls_certs_only(roots).build();
        return built.map_err(|error| ConfigError::Setup(error.into()));
    }
    let built = builder().tls_certs_merge(roots.clone()).build();
    // A machine without CA certificates can still use http, and trust those that are configured.
    let client = match built {
        Err(_) if is_plain(config) || !roots.is_empty() => builder().tls_certs_only(roots).build(),
        Err(_) if builder().tls_certs_only([]).build().is_ok() => return Err(ConfigError::NoCa),
        built => built,
    };
    client.map_err(|error| ConfigError::Setup(error.into()))
}

fn with_token(
    request: RequestBuilder,
    token: &Secret,
    url: &Url,
) -> Result<RequestBuilder, ClientError> {
    let mut value = HeaderValue::from_str(&format!("token={}", token.reveal()))
        .map_err(|_| ClientError::Login { url: url.to_string(), reason: LoginError::BadToken })?;
    value.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, value))
}

/// Reads `X-Marathon-Leader`.
pub(super) fn leader_header(response: &Response) -> Option<String> {
    let leader = response.headers().get("x-marathon-leader")?.to_str().ok()?;
    (leader.len() <= 512).then(|| leader.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_for_plain_http_are_made_for_the_first_request() {
        for (url, at_once) in [("http://m.example:8080", false), ("https://m.example", true)] {
            let config = ClientConfig {
                // So that no certificates of the system are needed.
                ca: Some(include_bytes!("../../tests/fixtures/tls/ca.pem").to_vec()),
                ..ClientConfig::new(vec![Url::parse(url).unwrap()])
            };
            let http = Http::new(&config).unwrap();
            assert_eq!(http.clients.get().is_some(), at_once, "{url}");
            http.clients();
            assert!(http.clients.get().is_some(), "{url}");
        }
    }
}
