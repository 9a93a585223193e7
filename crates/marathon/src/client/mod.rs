//! A client that reads a live Marathon over HTTP.

mod account;
mod config;
mod error;
mod events;
mod http;
mod info;
mod jwt;
mod request;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use config::{Account, Auth, BasicAuth, ClientConfig, ConfigError, Identity, Secret};
pub use error::{Cause, ClientError, LoginError, RedirectError, Stage, with_sources};
pub use events::EventStream;
use futures_util::StreamExt;
pub use info::ServerInfo;
pub use jwt::KeyError;
pub use reqwest::Url;
use tokio::time::{Instant, timeout_at};

use crate::document::message_in;
use crate::{Document, Finding, Records, Snapshot, VersionKey, Workload, WorkloadKey};
use http::{Http, run_long};
use request::{APPS, Base, PODS, version_path, workload_path};

/// Longest time for all version records of one snapshot.
const VERSIONS_TIMEOUT: Duration = Duration::from_secs(60);

/// Version records that are read concurrently.
const CONCURRENT_VERSIONS: usize = 8;

/// A client of one Marathon. It uses the URL that worked last, and keeps the version records that
/// it has read.
#[derive(Debug)]
pub struct Client {
    http: Http,
    bases: Vec<Base>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Index of the URL that worked last.
    good: usize,
    records: Records,
    /// Marathon has answered about pods.
    has_pods: bool,
}

/// The result of a read, and the leader of that moment.
#[derive(Debug)]
pub struct Answered<T> {
    /// The data, or why it could not be read.
    pub result: Result<T, ClientError>,
    /// `X-Marathon-Leader` of the answer, if it has one.
    pub leader: Option<String>,
}

impl Client {
    /// Creates a client.
    ///
    /// # Errors
    /// When a URL can't be Marathon's, a certificate or key can't be used, or this machine has no
    /// working TLS and needs it.
    pub fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let bases = Base::from_config(config)?;
        Ok(Self { http: Http::new(config)?, bases, memory: Mutex::default() })
    }

    /// Reads all apps and pods, and the version records that instances run by. A record that
    /// can't be read is a finding, and its instances have [`InstanceSpec::Unknown`].
    ///
    /// # Errors
    /// When none of the URLs gives a complete answer. A partial answer is never a snapshot.
    ///
    /// [`InstanceSpec::Unknown`]: crate::InstanceSpec::Unknown
    pub async fn read_snapshot(&self) -> Result<Snapshot, ClientError> {
        self.read_everything().await.result
    }

    /// Reads the same as [`Client::read_snapshot`], and the leader.
    pub async fn read_everything(&self) -> Answered<Snapshot> {
        let Answered { result, leader } = self.try_urls(|base| self.read_documents(base)).await;
        let result = match result {
            Ok(document) => {
                let snapshot = self.complete_snapshot(&document).await;
                self.lock_memory().records.retain_used(&snapshot);
                Ok(snapshot)
            }
            Err(error) => Err(error),
        };
        Answered { result, leader }
    }

    /// Reads one app or pod, and the version records that its instances run by. None: Marathon
    /// has no such app or pod.
    pub async fn read_workload(&self, key: &WorkloadKey) -> Answered<Option<Workload>> {
        let Some(path) = workload_path(key) else {
            let error = ClientError::StrangeId { key: key.to_string() };
            return Answered { result: Err(error), leader: None };
        };
        let read = |base| self.read_document(base, &path);
        let Answered { result, leader } = self.try_urls(read).await;
        let result = match result {
            Ok(Some(document)) => {
                let workloads = self.complete_snapshot(&document).await.workloads;
                let found = workloads.into_iter().find(|each| each.key() == *key);
                // Only Marathon's own 404 says that it doesn't exist.
                found.map(Some).ok_or_else(|| ClientError::OtherAnswer { key: key.to_string() })
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        Answered { result, leader }
    }

    /// Opens the event stream of the URL with this index. The server's version decides which events
    /// it can send, and is read first.
    ///
    /// # Errors
    /// When it can't be opened, or the answer is not an event stream.
    pub async fn open_events(&self, url: usize) -> Result<EventStream, ClientError> {
        let base = &self.bases[url % self.bases.len()];
        events::open_stream(&self.http, base, &self.bases).await
    }

    /// Reads `/v2/info` of the URL with this index.
    ///
    /// # Errors
    /// When the server doesn't answer, or refuses.
    pub async fn read_info(&self, url: usize) -> Result<ServerInfo, ClientError> {
        let base = &self.bases[url % self.bases.len()];
        info::read_info(&self.http, base, &self.bases).await
    }

    /// Reads `/v2/info` of the first URL that answers.
    pub async fn read_any_info(&self) -> Answered<ServerInfo> {
        let read = |base| async move {
            let info = info::read_info(&self.http, base, &self.bases).await?;
            Ok((info, None))
        };
        self.try_urls(read).await
    }

    fn lock_memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries the URLs in turn, beginning with the one that worked last.
    async fn try_urls<'a, T, F>(&'a self, read: impl Fn(&'a Base) -> F) -> Answered<T>
    where
        F: Future<Output = Result<(T, Option<String>), ClientError>>,
    {
        let good = self.lock_memory().good;
        let mut errors = Vec::new();
        for index in (good..self.bases.len()).chain(0..good) {
            match read(&self.bases[index]).await {
                Ok((read, leader)) => {
                    self.lock_memory().good = index;
                    return Answered { result: Ok(read), leader };
                }
                Err(error) => errors.push(error),
            }
        }
        let error = if errors.len() == 1 { errors.remove(0) } else { ClientError::All(errors) };
        Answered { result: Err(error), leader: None }
    }

    /// Reads all apps and pods of one server.
    async fn read_documents(&self, base: &Base) -> Result<(Document, Option<String>), ClientError> {
        let apps = self.http.get(base.url_of(APPS), &self.bases).await?.check_status()?;
        let leader = apps.leader.clone();
        let document = apps.parse_body(Document::parse_apps)?;
        let pods = self.http.get(base.url_of(PODS), &self.bases).await?;
        // Generations before 1.4 have no pods and no such path. A Marathon that has answered about
        // pods is a later one: then the status comes from a proxy.
        let pods = match pods.status {
            404 | 405 | 501 if !self.lock_memory().has_pods => Document::no_pods(),
            _ => {
                let pods = pods.check_status()?.parse_body(Document::parse_pods)?;
                self.lock_memory().has_pods = true;
                pods
            }
        };
        Ok((document.merge(pods), leader))
    }

    /// Reads one app or pod of one server.
    async fn read_document(
        &self,
        base: &Base,
        path: &str,
    ) -> Result<(Option<Document>, Option<String>), ClientError> {
        let answer = self.http.get(base.url_of(path), &self.bases).await?;
        let leader = answer.leader.clone();
        // A 404 without Marathon's message comes from a proxy.
        if answer.status == 404 && is_marathon_error(&answer.body) {
            return Ok((None, leader));
        }
        Ok((Some(answer.check_status()?.parse_body(Document::parse)?), leader))
    }

    /// Makes a snapshot of a document, and reads the version records that it lacks.
    async fn complete_snapshot(&self, document: &Document) -> Snapshot {
        let to_snapshot = || run_long(|| document.to_snapshot(&self.lock_memory().records));
        let snapshot = to_snapshot();
        let mut missing = snapshot.missing_versions();
        missing.retain(|key| !self.lock_memory().records.contains(key));
        if missing.is_empty() {
            self.lock_memory().records.remember_current(&snapshot);
            return snapshot;
        }
        // It would take as much memory as the one that follows.
        drop(snapshot);
        let findings = self.read_versions(missing).await;
        let mut snapshot = to_snapshot();
        self.lock_memory().records.remember_current(&snapshot);
        snapshot.findings.extend(findings);
        snapshot
    }

    /// Reads version records, until one fails for a reason that would make the others fail too.
    /// Those are left to the next snapshot.
    async fn read_versions(&self, mut missing: Vec<VersionKey>) -> Vec<Finding> {
        let base = &self.bases[self.lock_memory().good];
        let read = |key: VersionKey| async move {
            let answer = match version_path(&key) {
                Some(path) => {
                    let url = base.url_of(&path);
                    self.http.get_at_most(caps::VERSION, url, &self.bases).await.map(Some)
                }
                None => Ok(None),
            };
            (key, answer)
        };
        missing.truncate(caps::VERSIONS);
        let deadline = Instant::now() + VERSIONS_TIMEOUT;
        let mut answers =
            futures_util::stream::iter(missing).map(read).buffer_unordered(CONCURRENT_VERSIONS);
        let mut findings = Vec::new();
        // What isn't read in time is left to the next snapshot: this one must not wait for it.
        while let Ok(Some((key, answer))) = timeout_at(deadline, answers.next()).await {
            let name = format!("version {:.3} of {} {}", key.version, key.kind, key.id);
            let read = match answer {
                Ok(Some(answer)) if answer.status != 404 => {
                    let spec = answer.check_status().and_then(|answer| {
                        answer.parse_body(|body| Document::parse_version(key.kind, body))
                    });
                    spec.map(|spec| self.lock_memory().records.insert(key, spec))
                }
                Ok(_) => {
                    self.lock_memory().records.insert_gone(key);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                let reason = format!("{name} could not be read: {}", with_sources(&error));
                findings.push(Finding { path: "$".to_owned(), reason });
                if !matches!(error, ClientError::Document { .. }) {
                    break;
                }
            }
        }
        findings
    }
}

/// Tells whether a body is an error of Marathon's own: a JSON object with a message.
fn is_marathon_error(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{') && message_in(body).is_some()
}
