//! Asking the agent that runs on this node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use marathon::events::sse::Decoder;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use vip::controller::LocalFacts;

use crate::agent::journal::JournalEntry;
use crate::agent::status::Hold;
use crate::report::agent::AgentReport;
use crate::report::explanation::Explanation;
use crate::report::vips::VipReport;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An agent that listens on a Unix socket.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent of this socket, if one listens there.
    #[must_use]
    pub fn find(socket: &Path) -> Option<Self> {
        std::os::unix::net::UnixStream::connect(socket).ok()?;
        Some(Self { socket: socket.to_owned() })
    }

    /// The same, where it has to be there.
    ///
    /// # Errors
    /// When none listens there.
    pub fn get(socket: &Path) -> Result<Self> {
        Self::find(socket).with_context(|| {
            format!(
                "no agent listens on {}: start `vipd run`, or name its socket as [agent] socket; \
                 only its owner may ask it",
                socket.display()
            )
        })
    }

    /// How it fares.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn status(&self) -> Result<AgentReport> {
        self.json(Method::GET, "/v1/status", None)?.context("the agent has no status")
    }

    /// Facts that only it knows. `None`: it is of an older version and doesn't tell them.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn local_facts(&self) -> Result<Option<LocalFacts>> {
        self.json(Method::GET, "/v1/local-facts", None)
    }

    /// Every VIP with its real servers.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn vips(&self) -> Result<Vec<VipReport>> {
        self.json(Method::GET, "/v1/vips", None)?.context("the agent is of another version")
    }

    /// The changes with a higher number, of those it remembers.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn changes(&self, after: u64) -> Result<Vec<JournalEntry>> {
        let path = format!("/v1/events?after={after}");
        self.json(Method::GET, &path, None)?.context("the agent is of another version")
    }

    /// Gives each change with a higher number to `each`, now and as they come, until that fails or
    /// the stream ends: the agent ends it every now and then. Returns the last number.
    ///
    /// # Errors
    /// When the agent doesn't answer, or `each` fails.
    pub fn follow(
        &self,
        after: u64,
        mut each: impl FnMut(JournalEntry) -> Result<()>,
    ) -> Result<u64> {
        let mut last = after;
        let following = async {
            // The agent says something every few seconds.
            let client = self.client().read_timeout(PATIENCE).build()?;
            let request = client.get(format!("http://agent/v1/events?after={after}"));
            let mut response = request.header("accept", "text/event-stream").send().await?;
            if !response.status().is_success() {
                bail!("the agent refuses: {}", response.text().await?);
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
        run(following)?;
        Ok(last)
    }

    /// Why the tasks of an app or VIP are, or aren't, real servers. `None`: it knows no such name.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn explain(&self, what: &str) -> Result<Option<Explanation>> {
        let mut url = Url::parse("http://agent/v1/explain")?;
        url.query_pairs_mut().append_pair("what", what);
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        self.json(Method::GET, &path, None)
    }

    /// Has it change nothing from now on.
    ///
    /// # Errors
    /// When it doesn't answer, or can't keep that.
    pub fn hold(&self, reason: &str) -> Result<Hold> {
        let body = serde_json::json!({ "reason": reason }).to_string();
        self.json(Method::POST, "/v1/hold", Some(body))?.context("the agent doesn't know of holds")
    }

    /// Has it go on.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn release(&self) -> Result<()> {
        self.ask(Method::POST, "/v1/release", None).map(drop)
    }

    fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Option<T>> {
        let (status, body) = self.ask(method, path, body)?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let other = || format!("the agent on {} is of another version", self.socket.display());
        serde_json::from_slice(&body).map(Some).with_context(other)
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let asked = async {
            let client = self.client().timeout(PATIENCE).build()?;
            let mut request = client.request(method, format!("http://agent{path}"));
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body);
            }
            let response = request.send().await?;
            Ok((response.status(), response.bytes().await?.to_vec()))
        };
        let doesnt = || format!("the agent on {} doesn't answer", self.socket.display());
        let (status, body) = run(asked).with_context(doesnt)?;
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            bail!("the agent refuses: {}", String::from_utf8_lossy(&body));
        }
        Ok((status, body))
    }

    fn client(&self) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder().unix_socket(self.socket.clone());
        builder.no_proxy().tls_certs_only([])
    }
}

fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
