//! Reading a live Marathon over HTTP.

mod config;
mod error;
mod http;
mod request;

pub use config::{BasicAuth, ClientConfig, ConfigError, Secret};
pub use error::{ClientError, Stage};
use futures_util::StreamExt;
pub use reqwest::Url;

use crate::document::{Document, DocumentError, message_in};
use crate::{Finding, Records, Snapshot, VersionKey};
use http::{Answer, Http};
use request::{APPS, Base, PODS, version_path};

/// Version records that are read at the same time.
const CONCURRENT_VERSIONS: usize = 8;

/// Reads one Marathon, by whichever of its URLs works. Remembers which one did, and the version
/// records it has read.
#[derive(Debug)]
pub struct Client {
    http: Http,
    bases: Vec<Base>,
    /// The one that worked last.
    good: usize,
    records: Records,
}

impl Client {
    /// # Errors
    /// When a URL can't be Marathon's, or this machine has no working TLS and needs it.
    pub fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let bases = Base::all(config)?;
        Ok(Self { http: Http::new(config)?, bases, good: 0, records: Records::default() })
    }

    /// Reads all apps and pods, and the version records that instances run by. A record that
    /// can't be read is a finding, and its instances have [`InstanceSpec::Unknown`].
    ///
    /// # Errors
    /// When none of the URLs gives a whole answer. Half an answer is never a snapshot.
    ///
    /// [`InstanceSpec::Unknown`]: crate::InstanceSpec::Unknown
    pub async fn snapshot(&mut self) -> Result<Snapshot, ClientError> {
        let mut errors = Vec::new();
        let from_good = self.good..self.bases.len();
        for index in from_good.chain(0..self.good) {
            match self.documents(&self.bases[index]).await {
                Ok(document) => {
                    self.good = index;
                    return Ok(self.with_versions(&document).await);
                }
                Err(error) => errors.push(error),
            }
        }
        Err(if errors.len() == 1 { errors.remove(0) } else { ClientError::All(errors) })
    }

    async fn documents(&self, base: &Base) -> Result<Document, ClientError> {
        let apps = self.http.get(base.at(APPS), &self.bases).await?;
        let apps = parse(&found(apps)?, Document::read_apps)?;
        let pods = self.http.get(base.at(PODS), &self.bases).await?;
        // Generations before 1.4 have no pods and no such path.
        let pods = match pods.status {
            404 | 405 | 501 => Document::no_pods(),
            _ => parse(&found(pods)?, Document::read_pods)?,
        };
        Ok(apps.and(pods))
    }

    async fn with_versions(&mut self, document: &Document) -> Snapshot {
        let mut snapshot = document.snapshot(&self.records);
        let mut missing = snapshot.missing_versions();
        missing.retain(|key| !self.records.contains(key));
        if !missing.is_empty() {
            let findings = self.read_versions(missing).await;
            snapshot = document.snapshot(&self.records);
            snapshot.findings.extend(findings);
        }
        self.records.retain_used(&snapshot);
        snapshot
    }

    /// Reads records, until one fails for a reason that isn't its own: the others can wait for
    /// the next snapshot.
    async fn read_versions(&mut self, missing: Vec<VersionKey>) -> Vec<Finding> {
        let (http, bases, good) = (&self.http, &self.bases, self.good);
        let read = |key: VersionKey| async move {
            let answer = match version_path(&key) {
                Some(path) => http.get(bases[good].at(&path), bases).await.map(Some),
                None => Ok(None),
            };
            (key, answer)
        };
        let mut answers =
            futures_util::stream::iter(missing).map(read).buffer_unordered(CONCURRENT_VERSIONS);
        let mut findings = Vec::new();
        while let Some((key, answer)) = answers.next().await {
            let name = format!("version {:.3} of {} {}", key.version, key.kind, key.id);
            let read = match answer {
                Ok(Some(answer)) if answer.status != 404 => found(answer)
                    .and_then(|answer| parse(&answer, |body| self.records.insert(key, body))),
                Ok(_) => {
                    self.records.insert_gone(key);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                let reason = format!("{name} could not be read: {error}");
                findings.push(Finding { path: "$".to_owned(), reason });
                if !matches!(error, ClientError::Document { .. }) {
                    break;
                }
            }
        }
        findings
    }
}

/// The answer, if it is one that has what was asked for.
fn found(answer: Answer) -> Result<Answer, ClientError> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let message = message_in(&answer.body);
    Err(ClientError::Status { url: answer.url.into(), status: answer.status, message })
}

fn parse<T>(
    answer: &Answer,
    read: impl FnOnce(&[u8]) -> Result<T, DocumentError>,
) -> Result<T, ClientError> {
    read(&answer.body)
        .map_err(|reason| ClientError::Document { url: answer.url.to_string(), reason })
}
