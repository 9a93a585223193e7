//! Where the addresses of names are asked for.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dns::{DomainName, LookUpError, look_up};
use marathon::client::HostNames;
use reqwest::Url;
use reqwest::redirect::Policy;
use vip::naming::{DEFAULT_ZONE, NameSettings, VipName};

use super::elsewhere::{Elsewhere, There};
use super::records::parse_records;
use crate::config::{ServerUrlError, parse_server_url};
use crate::http_answer::read_bounded;

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// The list of all records on a DC/OS node.
const RECORDS: &str = "/v1/records";

/// The time for the list.
const LIST_WITHIN: Duration = Duration::from_secs(60);

/// The time for the addresses of one name.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The number of names in a row that may get no answer before a server counts as dead.
const MAX_SILENT: usize = 3;

/// The place where the addresses of names are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportSource {
    /// A list of DNS records, over HTTP.
    List(Url),
    /// The same, saved; `-` is standard input.
    File(String),
    /// A DNS server, asked for each name.
    Dns(SocketAddr),
}

/// The error for a text that is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing that can be asked.
    #[error(
        "names nothing that can be asked: write http://ADDRESS:62080/v1/records, a file with what that \
         answers, or dns://ADDRESS[:PORT] with an IP address"
    )]
    NoSource,
    /// A URL that isn't that of a server.
    #[error(transparent)]
    Url(#[from] ServerUrlError),
}

impl FromStr for ImportSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() {
                Err(SourceError::NoSource)
            } else {
                Ok(Self::File(text.to_owned()))
            };
        };
        match scheme {
            "dns" => {
                let at = rest.trim_end_matches('/');
                let bare = at.strip_prefix('[').and_then(|at| at.strip_suffix(']')).unwrap_or(at);
                let address = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
                address.or_else(|_| at.parse()).map(Self::Dns).map_err(|_| SourceError::NoSource)
            }
            "http" | "https" => {
                let mut url = match parse_server_url(text) {
                    // The URL is asked as it is, with its query.
                    Err(ServerUrlError::HasQuery) => {
                        text.parse().map_err(|_| SourceError::NoSource)?
                    }
                    parsed => parsed?,
                };
                if url.path() == "/" {
                    url.set_path(RECORDS);
                }
                Ok(Self::List(url))
            }
            _ => Err(SourceError::NoSource),
        }
    }
}

impl ImportSource {
    /// Asks for the addresses of names. A list may have others too.
    ///
    /// # Errors
    /// When the list can't be read completely, or the server doesn't answer.
    pub fn read_names<'a>(
        &self,
        names: impl Iterator<Item = &'a VipName>,
        settings: &NameSettings,
    ) -> Result<Elsewhere> {
        match self {
            Self::List(url) => {
                let json = fetch_list(url).with_context(|| format!("cannot read {url}"))?;
                parse_records(&json, settings).with_context(|| url.to_string())
            }
            Self::File(path) => {
                let json = read_file(path).with_context(|| format!("cannot read {path}"))?;
                parse_records(&json, settings).with_context(|| path.clone())
            }
            Self::Dns(server) => ask_names(*server, names, settings),
        }
    }
}

fn read_file(path: &str) -> Result<Vec<u8>> {
    let reader: Box<dyn Read> = match path {
        "-" => Box::new(std::io::stdin().lock()),
        _ => Box::new(std::fs::File::open(path)?),
    };
    let mut json = Vec::new();
    reader.take(caps::ANSWER as u64 + 1).read_to_end(&mut json)?;
    ensure!(json.len() <= caps::ANSWER, too_long());
    Ok(json)
}

fn fetch_list(url: &Url) -> Result<Vec<u8>> {
    let read = async {
        let builder = reqwest::Client::builder().redirect(Policy::none()).timeout(LIST_WITHIN);
        let builder = builder.no_proxy().dns_resolver(Arc::new(HostNames));
        let answer = builder.build()?.get(url.clone()).send().await?;
        ensure!(answer.status().is_success(), "it answers with status {}", answer.status());
        read_bounded(answer).await?.with_context(too_long)
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(read)
}

fn too_long() -> String {
    format!("longer than {} MiB", caps::ANSWER >> 20)
}

/// Asks a server for each name.
fn ask_names<'a>(
    server: SocketAddr,
    names: impl Iterator<Item = &'a VipName>,
    settings: &NameSettings,
) -> Result<Elsewhere> {
    let zones = settings.zones();
    // DC/OS knows no other.
    let zone = zones.iter().find(|zone| *zone == DEFAULT_ZONE).or(zones.first());
    let zone = zone.map_or(DEFAULT_ZONE, String::as_str);
    let mut found = Elsewhere::default();
    let mut silent = 0;
    for name in names {
        let there = match DomainName::parse(&name.in_zone(zone)) {
            Err(error) => There::Untold(error.to_string()),
            Ok(dns) => match look_up(&dns, server, ANSWER_WITHIN) {
                Ok(addresses) => There::Addresses(addresses),
                Err(LookUpError::Missing) => There::Addresses(Default::default()),
                Err(error) => {
                    let is_silent = matches!(error, LookUpError::Silent | LookUpError::Io(_));
                    silent = if is_silent { silent + 1 } else { 0 };
                    if silent == MAX_SILENT {
                        bail!("{server} is no working name server: {error}");
                    }
                    found.names.insert(name.clone(), There::Untold(error.to_string()));
                    continue;
                }
            },
        };
        silent = 0;
        found.names.insert(name.clone(), there);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_url_a_file_or_a_server() {
        let parse = |text: &str| text.parse::<ImportSource>();
        let dns = |text: &str| Ok(ImportSource::Dns(text.parse().unwrap()));
        assert_eq!(parse("dns://198.51.100.1"), dns("198.51.100.1:53"));
        assert_eq!(parse("dns://198.51.100.1:5353/"), dns("198.51.100.1:5353"));
        assert_eq!(parse("dns://[fd01:d::1]"), dns("[fd01:d::1]:53"));
        assert_eq!(parse("dns://[fd01:d::1]:5353"), dns("[fd01:d::1]:5353"));
        let list = |text: &str| Ok(ImportSource::List(text.parse().unwrap()));
        assert_eq!(parse("http://n1:62080"), list("http://n1:62080/v1/records"));
        assert_eq!(parse("https://n1/x?y"), list("https://n1/x?y"));
        assert_eq!(parse("records.json"), Ok(ImportSource::File("records.json".into())));
        for text in ["", "dns://", "dns://n1", "dns://1.2.3.4:0x", "ftp://n1"] {
            assert_eq!(parse(text), Err(SourceError::NoSource), "{text}");
        }
        for (text, error) in [
            ("http://", ServerUrlError::Malformed),
            ("http://u:p@n1", ServerUrlError::HasSecret),
            ("http://u:p@n1/x?y", ServerUrlError::HasSecret),
        ] {
            assert_eq!(parse(text), Err(SourceError::Url(error)), "{text}");
        }
    }
}
