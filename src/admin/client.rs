//! A client of the agent, over its socket or over HTTP.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use marathon::events::sse::Decoder;
use node::folder::{Folder, SocketFile, split_path};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use vip::controller::LocalFacts;
use vip::naming::VipName;

use super::answer::{Accepted, Reassigned, Released};
use crate::agent::journal::JournalEntry;
use crate::agent::status::{Held, Hold};
use crate::http_answer::read_bounded;
use crate::report::agent::AgentReport;
use crate::report::explanation::Explanation;
use crate::report::names::ReportedLabel;
use crate::report::vips::VipReport;

/// The longest time to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest time to wait for a connection over TCP, so that nobody waits for a host that is gone.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// A client of an agent: over its Unix socket, or over HTTP, where it only reads.
#[derive(Debug)]
pub struct AgentClient {
    /// The socket's path or the URL, as people know it.
    place: String,
    /// The URL that paths are appended to.
    base: String,
    /// The socket. None: TCP.
    socket: Option<SocketFile>,
}

/// The reason why an agent can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum NoAgent {
    /// The socket is there for others.
    #[error(
        "permission denied on {}{}: run as root, or as the user that the agent runs as",
        socket.display(),
        http.as_ref().map(|url| format!(", and no agent answers at {url}")).unwrap_or_default()
    )]
    Denied {
        /// The socket.
        socket: PathBuf,
        /// The URL at which nobody answered, where that was tried instead.
        http: Option<String>,
    },
    /// There is no socket, or nobody listens on it.
    #[error("no agent listens on {}: start `vipd run`, or set [agent] socket to its socket", .0.display())]
    Nobody(PathBuf),
    /// No agent answers at an address.
    #[error("no agent answers at {url}")]
    Silent {
        /// The URL.
        url: String,
        /// The cause.
        #[source]
        error: io::Error,
    },
}

impl NoAgent {
    /// Adds that a socket was tried before, which this process may not use.
    #[must_use]
    pub fn beside_denied(self, socket: PathBuf) -> Self {
        let http = match self {
            Self::Silent { url, .. } => Some(url),
            Self::Denied { http, .. } => http,
            Self::Nobody(_) => None,
        };
        Self::Denied { socket, http }
    }
}

impl AgentClient {
    /// Returns a client of the agent that listens on a socket.
    ///
    /// # Errors
    /// When none does, or this process may not use the socket.
    pub fn connect(socket: &Path) -> Result<Self, NoAgent> {
        let denied_or_nobody = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                NoAgent::Denied { socket: socket.to_owned(), http: None }
            }
            _ => NoAgent::Nobody(socket.to_owned()),
        };
        let find = || {
            let (folder, name) = split_path(socket)?;
            let found = Folder::open(folder)?.find_socket(name)?;
            let found = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            std::os::unix::net::UnixStream::connect(found.connect_path())?;
            Ok(found)
        };
        let found = find().map_err(denied_or_nobody)?;
        let place = socket.display().to_string();
        Ok(Self { place, base: "http://agent".to_owned(), socket: Some(found) })
    }

    /// Returns a client of the agent that answers at an address. It may read, and nothing else.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect_tcp(listen: SocketAddr) -> Result<Self, NoAgent> {
        let reached = reachable(listen);
        let client = Self::at_url(&format!("http://{reached}"));
        match std::net::TcpStream::connect_timeout(&reached, CONNECT_PATIENCE) {
            Ok(_) => Ok(client),
            Err(error) => Err(NoAgent::Silent { url: client.place, error }),
        }
    }

    /// Returns a client of the agent at a URL. It may read, and nothing else.
    #[must_use]
    pub fn at_url(url: &str) -> Self {
        let base = url.trim_end_matches('/').to_owned();
        Self { place: base.clone(), base, socket: None }
    }

    /// Returns whether somebody listens there now.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        if self.socket.is_some() {
            return Self::connect(Path::new(&self.place)).is_ok();
        }
        let addresses = Url::parse(&self.base).ok().and_then(|url| url.socket_addrs(|| None).ok());
        let connect = |at: &SocketAddr| std::net::TcpStream::connect_timeout(at, CONNECT_PATIENCE);
        addresses.iter().flatten().any(|at| connect(at).is_ok())
    }

    /// Returns whether it is asked on its socket, as only its own user and root may.
    #[must_use]
    pub fn is_on_socket(&self) -> bool {
        self.socket.is_some()
    }

    /// Returns the socket's path or the URL.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns the state of the agent.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_status(&self) -> Result<AgentReport> {
        let status = self.request_json(Method::GET, "/v1/status", None)?;
        status.with_context(|| self.no_vipd())
    }

    /// Returns the configuration in force, without secrets.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_config(&self) -> Result<serde_json::Value> {
        let config = self.request_json(Method::GET, "/v1/config", None)?;
        config.context("the agent is of another version")
    }

    /// Returns the answer at a path, whatever it is.
    ///
    /// # Errors
    /// When the agent doesn't answer, or has no such path.
    pub fn fetch_raw(&self, path: &str) -> Result<Vec<u8>> {
        let (status, body) = self.exchange(Method::GET, path, None)?;
        if status == StatusCode::NOT_FOUND {
            bail!("the agent is of another version");
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            bail!("it doesn't tell: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    /// Returns the facts that only the agent knows. None: it is of an older version without them.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_local_facts(&self) -> Result<Option<LocalFacts>> {
        self.request_json(Method::GET, "/v1/local-facts", None)
    }

    /// Returns the labels that aren't obeyed, or not exactly.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_labels(&self) -> Result<Vec<ReportedLabel>> {
        let labels = self.request_json(Method::GET, "/v1/labels", None)?;
        labels.context("the agent is of another version")
    }

    /// Returns every VIP with its real servers.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_vips(&self) -> Result<Vec<VipReport>> {
        self.request_json(Method::GET, "/v1/vips", None)?.context("the agent is of another version")
    }

    /// Returns the remembered changes with a number higher than `after`.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_changes(&self, after: u64) -> Result<Vec<JournalEntry>> {
        let path = format!("/v1/events?after={after}");
        self.request_json(Method::GET, &path, None)?.context("the agent is of another version")
    }

    /// Passes each change with a number higher than `after` to `each`, those of the past and those to
    /// come, until `each` fails or the agent ends the stream, as it does from time to time. Returns
    /// the last number.
    ///
    /// # Errors
    /// When the agent doesn't answer, or `each` fails.
    pub fn follow_changes(
        &self,
        after: u64,
        mut each: impl FnMut(JournalEntry) -> Result<()>,
    ) -> Result<u64> {
        let mut last = after;
        let following = async {
            // The agent sends at least a keep-alive every few seconds.
            let client = self.client_builder().read_timeout(PATIENCE).build()?;
            let request = client.get(format!("{}/v1/events?after={after}", self.base));
            let mut response = request.header("accept", "text/event-stream").send().await?;
            if !response.status().is_success() {
                bail!("the agent refused: {}", parse_problem(&read_whole(response).await?));
            }
            let mut decoder = Decoder::default();
            while let Some(bytes) = response.chunk().await? {
                for frame in decoder.push_bytes(&bytes) {
                    let change: JournalEntry = serde_json::from_str(&frame.data)?;
                    last = change.number;
                    each(change)?;
                }
            }
            Ok(())
        };
        block_on(following)?;
        Ok(last)
    }

    /// Returns why the tasks of an app, a VIP, a real server and so on are, or aren't, real servers.
    ///
    /// # Errors
    /// When it doesn't answer, or there is nothing by that name.
    pub fn fetch_explanation(&self, what: &str) -> Result<Explanation> {
        let mut url = Url::parse("http://agent/v1/explain")?;
        url.query_pairs_mut().append_pair("what", what);
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let (status, body) = self.send_request(Method::GET, &path, None)?;
        if status == StatusCode::NOT_FOUND {
            bail!("{}", parse_problem(&body));
        }
        self.parse_answer(&body)
    }

    /// Returns the changes that the agent would make now if it were not held, in the shape of
    /// `vipd diff --output json`.
    ///
    /// # Errors
    /// When it doesn't answer, or can't read the kernel.
    pub fn fetch_diff(&self) -> Result<serde_json::Value> {
        let diff = self.request_json(Method::GET, "/v1/diff", None)?;
        diff.context("the agent is of another version")
    }

    /// Stops the agent from changing anything. Returns the hold, and the one from before.
    ///
    /// # Errors
    /// When it doesn't answer, or can't save the hold.
    pub fn request_hold(&self, reason: &str) -> Result<Held> {
        let body = serde_json::json!({ "reason": reason }).to_string();
        self.request_json(Method::POST, "/v1/hold", Some(body))?
            .context("the agent is of a version without holds")
    }

    /// Lets the agent make changes again. Returns the hold that ended, if there was one and the agent
    /// tells.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn request_release(&self) -> Result<Option<Hold>> {
        let (status, body) = self.send_request(Method::POST, "/v1/release", None)?;
        // An agent of an older version answers with nothing.
        match status {
            StatusCode::NO_CONTENT => Ok(None),
            _ => self.parse_answer(&body).map(|Released { hold }| hold),
        }
    }

    /// Accepts what the doubted answers of a source lack, or of all. Returns the names of those
    /// that were doubted.
    ///
    /// # Errors
    /// When it doesn't answer, or knows no such source.
    pub fn request_accept(&self, source: Option<&str>) -> Result<Vec<String>> {
        let body = serde_json::json!({ "source": source }).to_string();
        let accepted: Option<Accepted> =
            self.request_json(Method::POST, "/v1/accept", Some(body))?;
        Ok(accepted.context("the agent is of a version without doubts")?.accepted)
    }

    /// Makes the agent forget the address of a name and choose again. Returns those that it has
    /// then. None: it knows no such name.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn request_reassign(&self, name: &VipName) -> Result<Option<BTreeSet<IpAddr>>> {
        let body = serde_json::json!({ "name": name }).to_string();
        let reassigned: Option<Reassigned> =
            self.request_json(Method::POST, "/v1/reassign", Some(body))?;
        Ok(reassigned.map(|reassigned| reassigned.addresses))
    }

    fn request_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Option<T>> {
        let (status, body) = self.send_request(method, path, body)?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.parse_answer(&body).map(Some)
    }

    fn parse_answer<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() {
            bail!(self.no_vipd());
        }
        let other = || format!("the agent on {} is of another version", self.place);
        serde_json::from_slice(body).with_context(other)
    }

    /// Says that something else answers there: every version of vipd has a status, and answers in JSON.
    fn no_vipd(&self) -> String {
        format!("no vipd answers at {}", self.place)
    }

    /// Sends a request that must succeed, or find nothing.
    fn send_request(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let (status, body) = self.exchange(method, path, body)?;
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            bail!("the agent refused: {}", parse_problem(&body));
        }
        Ok((status, body))
    }

    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let asked = async {
            let client = self.client_builder().timeout(PATIENCE).build()?;
            let mut request = client.request(method, format!("{}{path}", self.base));
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body);
            }
            let response = request.send().await?;
            let status = response.status();
            Ok((status, read_whole(response).await?))
        };
        let doesnt = || format!("the agent on {} doesn't answer", self.place);
        block_on(asked).with_context(doesnt)
    }

    fn client_builder(&self) -> reqwest::ClientBuilder {
        let mut builder = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_PATIENCE);
        if let Some(socket) = &self.socket {
            builder = builder.unix_socket(socket.connect_path());
        }
        builder.tls_certs_only([])
    }
}

async fn read_whole(response: reqwest::Response) -> Result<Vec<u8>> {
    read_bounded(response).await?.context("its answer has no end")
}

/// Returns an address at which a listener on this one is reached from its own host.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Returns the reason in an answer of the agent, which is JSON or text.
fn parse_problem(body: &[u8]) -> String {
    let reason = serde_json::from_slice(body).ok();
    let reason =
        reason.and_then(|body: serde_json::Value| body["error"].as_str().map(str::to_owned));
    reason.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
