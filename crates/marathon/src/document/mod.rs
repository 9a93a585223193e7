//! Documents: saved files and answers of Marathon, recognised by their shape.

mod entries;
mod error;
mod foreign;
mod path_id;
mod shape;
mod top_keys;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use error::DocumentError;
pub use foreign::Foreign;

use crate::lenient::Log;
use crate::normalize::{Assembly, Records};
use crate::{Coverage, Finding, Kind, Snapshot, Spec, Workload};
use entries::{Entries, Entry};
use shape::Content;

/// A parsed document. [`Document::to_snapshot`] converts it, and again when more version records
/// are known.
#[derive(Debug)]
pub struct Document {
    entries: Vec<Entry>,
    nameless: Vec<Entry>,
    coverage: Coverage,
    findings: Vec<Finding>,
    bytes: usize,
}

impl Document {
    /// Parses a saved file or an answer: one app, a list of apps, an answer of /v2/apps,
    /// /v2/apps/{id} or /v2/groups, one pod definition or pod status, a list of them.
    ///
    /// # Errors
    /// When it is none of these. Parts that can't be read become findings, and a document with
    /// findings covers nothing.
    pub fn parse(body: &[u8]) -> Result<Self, DocumentError> {
        let mut document = Self::parse_with(body, Entries::add_content)?;
        if !document.findings.is_empty() {
            document.coverage = Coverage::default();
        }
        Ok(document)
    }

    /// Parses an answer of `/v2/apps?embed=apps.tasks`, and nothing else.
    ///
    /// # Errors
    /// As [`Document::parse`], and when the tasks of an app are missing.
    pub fn parse_apps(body: &[u8]) -> Result<Self, DocumentError> {
        let document = Self::parse_with(body, |entries, content, log| match content {
            Content::Answer(answer) if answer.apps.is_some() => {
                entries.add_content(Content::Answer(answer), log)
            }
            _ => Err(DocumentError::unrecognised("not an answer of /v2/apps")),
        })?;
        let lacks = |entry: &&Entry| !entry.has_instances() && !entry.is_outgrown();
        let without = document.entries.iter().find(lacks);
        match without {
            Some(entry) => Err(DocumentError::MissingTasks { app: entry.id.clone() }),
            None => Ok(document),
        }
    }

    /// Parses an answer of `/v2/pods/::status`, where an empty list means that there are no pods.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn parse_pods(body: &[u8]) -> Result<Self, DocumentError> {
        Self::parse_with(body, |entries, content, log| match content {
            Content::List(list) if list.is_empty() => {
                entries.claim_no_pods();
                Ok(())
            }
            Content::List(list) => entries.add_content(Content::List(list), log),
            _ => Err(DocumentError::unrecognised("not a list of pods")),
        })
    }

    fn parse_with(
        body: &[u8],
        place: impl FnOnce(&mut Entries, Content, &mut Log) -> Result<(), DocumentError>,
    ) -> Result<Self, DocumentError> {
        let text = text_of(body)?;
        let mut log = Log::new(text.len());
        if matches!(text, Cow::Owned(_)) {
            log.add_finding("some bytes are not UTF-8 and were replaced");
        }
        let mut entries = Entries::default();
        let content =
            shape::read_content(&text, &mut log).map_err(|error| error.recognise_foreign(&text))?;
        if log.is_outgrown() {
            return Err(DocumentError::Outgrown);
        }
        place(&mut entries, content, &mut log)?;
        if entries.list.len() + entries.nameless.len() > caps::WORKLOADS {
            return Err(DocumentError::TooMany { limit: caps::WORKLOADS });
        }
        let coverage = entries.coverage();
        let findings = log.into_findings();
        let Entries { list: entries, nameless, .. } = entries;
        Ok(Self { entries, nameless, coverage, findings, bytes: text.len() })
    }

    /// Stands for the pods of a Marathon that knows no pods.
    #[cfg(feature = "client")]
    pub(crate) fn no_pods() -> Self {
        let coverage = Coverage { apps: false, pods: true };
        Self { entries: Vec::new(), nameless: Vec::new(), coverage, findings: Vec::new(), bytes: 0 }
    }

    /// Appends the contents of another document.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self.nameless.extend(other.nameless);
        self.findings.extend(other.findings);
        self.bytes += other.bytes;
        self.coverage.apps |= other.coverage.apps;
        self.coverage.pods |= other.coverage.pods;
        self
    }

    /// Converts the document to a snapshot. Of two definitions with one id the last counts, as if
    /// both were posted.
    #[must_use]
    pub fn to_snapshot(&self, records: &Records) -> Snapshot {
        let mut findings = self.findings.clone();
        let keys = self.entries.iter().map(|entry| (entry.kind(), entry.id.as_str()));
        let last: BTreeMap<_, _> = keys.zip(0..).collect();
        let mut workloads = Vec::with_capacity(last.len());
        let mut assembly = Assembly::new(records);
        for (place, entry) in self.entries.iter().enumerate() {
            let mut note = |reason: &str| {
                findings.push(Finding { path: entry.path.clone(), reason: reason.to_owned() });
            };
            if last[&(entry.kind(), entry.id.as_str())] != place {
                note("the same id is defined again later, and the later definition counts");
                continue;
            }
            let workload = entry.to_workload(&mut assembly);
            if entry.has_instances() && !workload.tasks_known {
                let (kind, id) = (entry.kind(), &entry.id);
                note(&format!("{kind} {id} has too many endpoints: its instances are left out"));
            }
            workloads.push(workload.into());
        }
        let (coverage, bytes) = (self.coverage, self.bytes);
        Snapshot { workloads, coverage, findings, bytes, framework: None, framework_name: None }
    }

    /// Converts the definitions without an id, so that their labels can be checked. Nothing serves
    /// them: they are not in a snapshot.
    #[must_use]
    pub fn nameless_workloads(&self) -> Vec<Workload> {
        let records = Records::default();
        let mut assembly = Assembly::new(&records);
        self.nameless.iter().map(|entry| entry.to_workload(&mut assembly)).collect()
    }

    /// Parses a version record: an answer of `/v2/apps/{id}/versions/{version}` or
    /// `/v2/pods/{id}::versions/{version}`.
    ///
    /// # Errors
    /// As [`Document::parse`], and when the answer isn't one definition of that kind.
    pub fn parse_version(kind: Kind, body: &[u8]) -> Result<Spec, DocumentError> {
        match Self::parse(body)?.entries.as_slice() {
            [entry] if entry.is_outgrown() => Err(DocumentError::Outgrown),
            [entry] if entry.is_damaged() => {
                Err(DocumentError::unrecognised("a definition that can't be read as a whole"))
            }
            [entry] if entry.kind() == kind => Ok(entry.to_spec()),
            entries => {
                let found = format!("{} definitions, not one {kind}", entries.len());
                Err(DocumentError::unrecognised(found))
            }
        }
    }
}

/// Extracts the message of an error answer: Marathon's message, or the title of a web page.
#[cfg(feature = "client")]
pub(crate) fn message_in(body: &[u8]) -> Option<String> {
    match text_of(body) {
        Ok(text) => shape::message_in(&text),
        Err(DocumentError::Html { title }) => title,
        Err(_) => None,
    }
}

/// Converts a body to text, without byte order mark and with U+FFFD for what isn't UTF-8.
pub(crate) fn text_of(body: &[u8]) -> Result<Cow<'_, str>, DocumentError> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if let Some(what) = Foreign::in_bytes(body) {
        return Err(DocumentError::Foreign { what, line: 1, column: 1 });
    }
    match body.trim_ascii_start().first() {
        None => Err(DocumentError::Empty),
        Some(b'<') => Err(DocumentError::Html { title: title_of(body) }),
        // Several times as fast as the lossy conversion.
        Some(_) => match str::from_utf8(body) {
            Ok(text) => Ok(text.into()),
            Err(_) if lossy_len(body) > body.len().max(caps::ANSWER) => {
                Err(DocumentError::Outgrown)
            }
            Err(_) => Ok(String::from_utf8_lossy(body)),
        },
    }
}

/// Returns the length of a body as text: what isn't UTF-8 may become three times as long.
fn lossy_len(body: &[u8]) -> usize {
    let replaced = |invalid: &[u8]| if invalid.is_empty() { 0 } else { '\u{fffd}'.len_utf8() };
    body.utf8_chunks().map(|chunk| chunk.valid().len() + replaced(chunk.invalid())).sum()
}

/// Extracts the title of a web page, if it is near the start and not overlong.
fn title_of(page: &[u8]) -> Option<String> {
    let start = String::from_utf8_lossy(&page[..page.len().min(4096)]);
    let lower = start.to_ascii_lowercase();
    let from = lower.find("<title>")? + "<title>".len();
    let to = from + lower[from..].find("</title>")?;
    let title: String = start[from..to].trim().chars().take(120).collect();
    (!title.is_empty()).then_some(title)
}
