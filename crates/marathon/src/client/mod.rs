//! A client that reads a live Marathon over HTTP.

mod account;
mod config;
mod error;
mod events;
mod host_names;
mod http;
mod info;
mod jwt;
mod mesos;
mod request;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use config::{Account, Auth, BasicAuth, ClientConfig, ConfigError, Identity, Secret};
pub use error::{Cause, ClientError, LoginError, RedirectError, Stage, with_sources};
pub use events::EventStream;
use futures_util::StreamExt;
pub use host_names::{HostNames, LookUpError, ResolverFiles, look_up_host, look_up_host_by};
pub use http::plain_client;
pub use info::ServerInfo;
pub use jwt::KeyError;
pub use reqwest::Url;
use tokio::time::{Instant, timeout_at};

use crate::document::message_in;
use crate::{Document, Finding, Records, Snapshot, VersionKey, Workload, WorkloadKey};
use http::{Answer, Http, run_long};
use request::{APPS, Base, PODS, version_path, workload_path};

/// Longest time for all version records of one snapshot.
const VERSIONS_TIMEOUT: Duration = Duration::from_secs(60);

/// Version records that are read concurrently.
const CONCURRENT_VERSIONS: usize = 8;

/// The first generation that has pods.
const FIRST_WITH_PODS: (u32, u32) = (1, 4);

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
    /// The last version record that Marathon has dropped and that was requested again.
    gone: Option<VersionKey>,
    /// Marathon has answered about pods.
    has_pods: bool,
    /// The last answer to `/v2/info`. It is read anew with each attempt to open the stream, so it
    /// is that of the Marathon that runs now: a stream ends with its process.
    info: Option<ServerInfo>,
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
        self.read_all().await.result
    }

    /// Reads the same as [`Client::read_snapshot`], the leader, and the framework id.
    pub async fn read_everything(&self) -> Answered<Snapshot> {
        let mut answered = self.read_all().await;
        if let Ok(snapshot) = &mut answered.result {
            let base = &self.bases[self.lock_memory().good];
            // Without an answer the id is unknown.
            let info = self.known_server_info(base).await.unwrap_or_default();
            snapshot.framework = info.framework.map(Arc::from);
            snapshot.framework_name = info.framework_name.map(Arc::from);
        }
        answered
    }

    async fn read_all(&self) -> Answered<Snapshot> {
        let Answered { result, leader } = self.try_urls(|base| self.read_documents(base)).await;
        let result = match result {
            Ok(document) => {
                let gone = self.choose_gone();
                let snapshot = self.complete_snapshot(&document, gone).await;
                self.lock_memory().records.retain_used(&snapshot);
                Ok(snapshot)
            }
            Err(error) => Err(error),
        };
        Answered { result, leader }
    }

    /// Reads one app or pod, and the version records that its instances run by. None: Marathon
    /// has no such app or pod.
    pub async fn read_workload(&self, key: &WorkloadKey) -> Answered<Option<Arc<Workload>>> {
        let Some(path) = workload_path(key) else {
            let error = ClientError::StrangeId { key: key.to_string() };
            return Answered { result: Err(error), leader: None };
        };
        let read = |base| self.read_document(base, &path);
        let Answered { result, leader } = self.try_urls(read).await;
        let result = match result {
            Ok(Some(document)) => {
                let workloads = self.complete_snapshot(&document, Vec::new()).await.workloads;
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
        let info = self.read_server_info(base).await.unwrap_or_default();
        events::open_stream(&self.http, base, &self.bases, info).await
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

    /// Reads the addresses of all Mesos agents, those without tasks included, of the master that a
    /// server of this Marathon names. The answer of a large cluster has megabytes.
    ///
    /// # Errors
    /// When it names none, or the master doesn't answer.
    pub async fn read_mesos_agents(
        &self,
        info: &ServerInfo,
    ) -> Result<BTreeSet<IpAddr>, ClientError> {
        let ui = info.mesos.as_deref().ok_or(ClientError::NoMesos)?;
        mesos::read_agents(&self.http, ui, &self.bases).await
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
        let pods = if self.lacks_pods(base, &pods).await {
            Document::no_pods()
        } else {
            let pods = pods.check_status()?.parse_body(Document::parse_pods)?;
            self.lock_memory().has_pods = true;
            pods
        };
        Ok((document.merge(pods), leader))
    }

    /// Tells whether an answer about pods says that this Marathon has none. Generations before 1.4
    /// have no such path; from a later one the status comes from a proxy. A Marathon that doesn't
    /// tell its version has to say it in its own words.
    async fn lacks_pods(&self, base: &Base, pods: &Answer) -> bool {
        if !matches!(pods.status, 404 | 405 | 501) || self.lock_memory().has_pods {
            return false;
        }
        match self.known_server_info(base).await {
            Ok(info) => match info.version.as_deref().and_then(events::parse_version) {
                Some((major, minor, _)) => (major, minor) < FIRST_WITH_PODS,
                None => true,
            },
            Err(_) => pods.status == 404 && error_message(&pods.body).is_some(),
        }
    }

    /// Returns the last answer to `/v2/info`, or reads it from this server.
    async fn known_server_info(&self, base: &Base) -> Result<ServerInfo, ClientError> {
        let known = self.lock_memory().info.clone();
        match known {
            Some(info) => Ok(info),
            None => self.read_server_info(base).await,
        }
    }

    /// Reads `/v2/info` of one server.
    async fn read_server_info(&self, base: &Base) -> Result<ServerInfo, ClientError> {
        let info = info::read_info(&self.http, base, &self.bases).await;
        self.lock_memory().info = info.as_ref().ok().cloned();
        info
    }

    /// Chooses records that Marathon had dropped, to request them again: a few at each read, in
    /// turn.
    fn choose_gone(&self) -> Vec<VersionKey> {
        let mut memory = self.lock_memory();
        let chosen = memory.records.gone_after(memory.gone.as_ref(), CONCURRENT_VERSIONS);
        memory.gone = chosen.last().cloned();
        chosen
    }

    /// Reads one app or pod of one server.
    async fn read_document(
        &self,
        base: &Base,
        path: &str,
    ) -> Result<(Option<Document>, Option<String>), ClientError> {
        let answer = self.http.get(base.url_of(path), &self.bases).await?;
        let leader = answer.leader.clone();
        if denies_existence(&answer) {
            return Ok((None, leader));
        }
        Ok((Some(answer.check_status()?.parse_body(Document::parse)?), leader))
    }

    /// Makes a snapshot of a document, and reads the version records that it lacks, and these.
    async fn complete_snapshot(&self, document: &Document, more: Vec<VersionKey>) -> Snapshot {
        let to_snapshot = || run_long(|| document.to_snapshot(&self.lock_memory().records));
        let snapshot = to_snapshot();
        let mut missing = snapshot.missing_versions();
        missing.retain(|key| !self.lock_memory().records.contains(key));
        missing.extend(more);
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
                Ok(Some(answer)) if !denies_existence(&answer) => {
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

/// Tells whether an answer is Marathon's own 404. Other servers answer with a page, or with a
/// message of their own, such as `{"message":"no Route matched with those values"}` of Kong.
fn denies_existence(answer: &Answer) -> bool {
    let is_own = |message: String| answer.leader.is_some() || message.contains("does not exist");
    answer.status == 404 && error_message(&answer.body).is_some_and(is_own)
}

/// Returns the message of a body that is a JSON object with one, as Marathon's errors are.
fn error_message(body: &[u8]) -> Option<String> {
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    is_object.then(|| message_in(body)).flatten()
}
