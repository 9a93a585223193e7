//! Sources that a command reads once: files, standard input, Marathons.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use marathon::client::Client;
use marathon::{Snapshot, Workload};
use vip::naming::NameSettings;

use super::marathon::translate::Naming;
use super::scan::Scan;
use super::unread::{UnreadLabel, find_unread};
use crate::config::{Config, Marathon};

/// A source of definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefinitionSource {
    /// A file; `-` is standard input.
    File(String),
    /// A Marathon.
    Marathon(Box<Marathon>),
}

/// The definitions of one source.
#[derive(Debug)]
pub struct Definitions {
    /// The source's name for people: the file, or the URL.
    pub name: String,
    /// The apps and pods in them.
    pub snapshot: Snapshot,
    /// Definitions without an id, which are never served.
    pub nameless: Vec<Workload>,
    /// VIP labels of a file that nobody reads.
    pub unread: Vec<UnreadLabel>,
    /// The places of labels and findings in a file.
    pub(crate) scan: Scan,
    /// The name of the framework: of a file, the one that most Marathons have.
    pub framework: Option<Arc<str>>,
    /// Whether they are of a file.
    pub is_file: bool,
    /// The names of the servers that a Marathon depends on: ZooKeeper's, and Mesos masters.
    pub servers: BTreeSet<String>,
}

impl Definitions {
    /// What the names of VIPs depend on.
    #[must_use]
    pub fn naming<'a>(&'a self, config: &'a Config) -> Naming<'a> {
        let zone_len = config.names.vips.as_ref().map_or(0, NameSettings::zone_len);
        let mut set = config.marathons.iter().map(|marathon| marathon.framework.as_deref());
        // Of a file it isn't told which Marathon it is for.
        let configured = set.next().flatten().filter(|first| set.all(|other| other == Some(first)));
        let framework = configured.filter(|_| self.is_file).or(self.framework.as_deref());
        Naming { framework, zone_len, task_zone: None }
    }

    /// Tells whether something in them was left out: then they are not the whole truth.
    #[must_use]
    pub fn has_unread_part(&self) -> bool {
        !self.snapshot.findings.is_empty() || !self.unread.is_empty()
    }
}

/// The name of a Marathon's framework unless it was set (`--framework_name`).
const DEFAULT_FRAMEWORK: &str = "marathon";

/// The largest file that is read. No answer of Marathon comes near it.
const MAX_FILE: u64 = 256 << 20;

impl DefinitionSource {
    /// Reads the source.
    ///
    /// # Errors
    /// When it can't be read completely: a partial answer is never used.
    pub fn read_definitions(&self) -> Result<Definitions> {
        match self {
            Self::File(path) => read_file(path),
            Self::Marathon(marathon) => read_marathon(marathon),
        }
    }

    /// The names of the servers that the source is read from.
    #[must_use]
    pub fn server_names(&self) -> BTreeSet<String> {
        match self {
            Self::File(_) => BTreeSet::new(),
            Self::Marathon(marathon) => marathon.server_names(),
        }
    }
}

fn read_file(path: &str) -> Result<Definitions> {
    let name = if path == "-" { "standard input" } else { path }.to_owned();
    let reader: Box<dyn Read> = match path {
        "-" => Box::new(std::io::stdin().lock()),
        _ => Box::new(std::fs::File::open(path).with_context(|| format!("cannot open {path}"))?),
    };
    let mut text = Vec::new();
    reader
        .take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    if text.len() as u64 > MAX_FILE {
        bail!("{name} is larger than {} MiB: no answer of Marathon is", MAX_FILE >> 20);
    }
    let document = marathon::Document::parse(&text).with_context(|| {
        format!("{name} is neither an answer of Marathon nor a definition for it")
    })?;
    let snapshot = document.to_snapshot(&marathon::Records::default());
    let nameless = document.nameless_workloads();
    let wanted = snapshot.findings.iter().map(|finding| finding.path.as_str()).collect();
    let scan = Scan::of_text(&text, &wanted);
    let workloads = snapshot.workloads.iter().map(Arc::as_ref).chain(&nameless);
    let unread = find_unread(&scan, workloads, &snapshot.findings);
    let (framework, servers) = (Some(DEFAULT_FRAMEWORK.into()), BTreeSet::new());
    let is_file = true;
    Ok(Definitions { name, snapshot, nameless, unread, scan, framework, is_file, servers })
}

fn read_marathon(marathon: &Marathon) -> Result<Definitions> {
    let client = Client::new(&marathon.client_config())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = marathon.name.clone();
    let read = async {
        let snapshot = client.read_snapshot().await?;
        // Without an answer no servers are known.
        let info = client.read_any_info().await.result.unwrap_or_default();
        anyhow::Ok((snapshot, info))
    };
    let (snapshot, info) = runtime.block_on(async {
        tokio::select! {
            answers = read => answers,
            never = tell_of_waiting(&name) => match never {},
        }
    })?;
    let (nameless, unread, scan) = Default::default();
    let told = info.framework_name.map(Arc::from);
    let (framework, servers) = (marathon.framework.clone().or(told), info.servers);
    let is_file = false;
    Ok(Definitions { name, snapshot, nameless, unread, scan, framework, is_file, servers })
}

/// Prints on a terminal what is being waited for, once that takes over a second.
async fn tell_of_waiting(name: &str) -> Infallible {
    tokio::time::sleep(Duration::from_secs(1)).await;
    if std::io::stderr().is_terminal() {
        // Fails if standard error is closed: then nobody reads it.
        let _ = writeln!(std::io::stderr(), "reading {name} ...");
    }
    std::future::pending().await
}
