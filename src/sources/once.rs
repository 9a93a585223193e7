//! Sources that a command reads once: files, standard input, Marathons.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{IsTerminal, Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use marathon::Snapshot;
use marathon::client::{Client, Url};

use crate::config::Marathon;

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
    /// The bytes of a file, in which to look up positions. `None` for a Marathon.
    pub text: Option<Vec<u8>>,
    /// The apps and pods in them.
    pub snapshot: Snapshot,
    /// The names of the servers that a Marathon depends on: ZooKeeper's, and Mesos masters.
    pub servers: BTreeSet<String>,
}

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
    pub fn server_names(&self) -> BTreeSet<&str> {
        match self {
            Self::File(_) => BTreeSet::new(),
            Self::Marathon(marathon) => marathon.urls.iter().filter_map(Url::host_str).collect(),
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
    let snapshot = marathon::Document::parse(&text)
        .with_context(|| {
            format!("{name} is neither an answer of Marathon nor a definition for it")
        })?
        .to_snapshot(&marathon::Records::default());
    Ok(Definitions { name, text: Some(text), snapshot, servers: BTreeSet::new() })
}

fn read_marathon(marathon: &Marathon) -> Result<Definitions> {
    let client = Client::new(&marathon.client_config())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = marathon.name.clone();
    let read = async {
        let snapshot = client.read_snapshot().await?;
        // Without an answer no servers are known.
        let info = client.read_any_info().await.result.unwrap_or_default();
        anyhow::Ok((snapshot, info.servers))
    };
    let (snapshot, servers) = runtime.block_on(async {
        tokio::select! {
            answers = read => answers,
            never = tell_of_waiting(&name) => match never {},
        }
    })?;
    Ok(Definitions { name, text: None, snapshot, servers })
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
