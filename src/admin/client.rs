//! A client of the agent on this node.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use marathon::events::sse::Decoder;
use node::folder::{Folder, SocketFile, split_path};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use vip::controller::LocalFacts;
use vip::naming::VipName;

use super::answer::{Accepted, Reassigned};
use crate::agent::journal::JournalEntry;
use crate::agent::status::Hold;
use crate::report::agent::AgentReport;
use crate::report::explanation::Explanation;
use crate::report::names::ReportedLabel;
use crate::report::vips::VipReport;

/// The longest time to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An agent that listens on a Unix socket.
#[derive(Debug)]
pub struct AgentClient {
    /// The path that people know.
    path: PathBuf,
    socket: SocketFile,
}

impl AgentClient {
    /// Returns a client if an agent listens on this socket.
    #[must_use]
    pub fn find_listening(socket: &Path) -> Option<Self> {
        let (folder, name) = split_path(socket).ok()?;
        let found = Folder::open(folder).and_then(|folder| folder.find_socket(name)).ok()??;
        std::os::unix::net::UnixStream::connect(found.connect_path()).ok()?;
        Some(Self { path: socket.to_owned(), socket: found })
    }

    /// Returns a client.
    ///
    /// # Errors
    /// When no agent listens on this socket.
    pub fn connect(socket: &Path) -> Result<Self> {
        Self::find_listening(socket).with_context(|| {
            format!(
                "no agent listens on {}: start `vipd run`, or set [agent] socket to its socket; only \
                 the socket's owner may use it",
                socket.display()
            )
        })
    }

    /// Returns the state of the agent.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_status(&self) -> Result<AgentReport> {
        self.request_json(Method::GET, "/v1/status", None)?.context("the agent has no status")
    }

    /// Returns the configuration in force, without secrets.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_config(&self) -> Result<serde_json::Value> {
        let config = self.request_json(Method::GET, "/v1/config", None)?;
        config.context("the agent is of another version")
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
            let request = client.get(format!("http://agent/v1/events?after={after}"));
            let mut response = request.header("accept", "text/event-stream").send().await?;
            if !response.status().is_success() {
                bail!("the agent refused: {}", response.text().await?);
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

    /// Returns why the tasks of an app or VIP are, or aren't, real servers. None: there is no such
    /// name.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn fetch_explanation(&self, what: &str) -> Result<Option<Explanation>> {
        let mut url = Url::parse("http://agent/v1/explain")?;
        url.query_pairs_mut().append_pair("what", what);
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        self.request_json(Method::GET, &path, None)
    }

    /// Stops the agent from changing anything.
    ///
    /// # Errors
    /// When it doesn't answer, or can't save the hold.
    pub fn request_hold(&self, reason: &str) -> Result<Hold> {
        let body = serde_json::json!({ "reason": reason }).to_string();
        self.request_json(Method::POST, "/v1/hold", Some(body))?
            .context("the agent is of a version without holds")
    }

    /// Lets the agent make changes again.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn request_release(&self) -> Result<()> {
        self.send_request(Method::POST, "/v1/release", None).map(drop)
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
        let other = || format!("the agent on {} is of another version", self.path.display());
        serde_json::from_slice(&body).map(Some).with_context(other)
    }

    fn send_request(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let asked = async {
            let client = self.client_builder().timeout(PATIENCE).build()?;
            let mut request = client.request(method, format!("http://agent{path}"));
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body);
            }
            let response = request.send().await?;
            Ok((response.status(), response.bytes().await?.to_vec()))
        };
        let doesnt = || format!("the agent on {} doesn't answer", self.path.display());
        let (status, body) = block_on(asked).with_context(doesnt)?;
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            bail!("the agent refused: {}", String::from_utf8_lossy(&body));
        }
        Ok((status, body))
    }

    fn client_builder(&self) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder().unix_socket(self.socket.connect_path());
        builder.no_proxy().tls_certs_only([])
    }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
