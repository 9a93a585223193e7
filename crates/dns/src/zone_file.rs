//! The zone file, by which the agent tells the name server what to answer.
//!
//! It is text with one record per line, sorted by name, so that a change is a small difference:
//!
//! ```text
//! vipd-zone 1
//! zone l4lb.thisdcos.directory
//! zone dclb.thisdcos.directory
//! hostzone agentip.dcos.thisdcos.directory
//! partial
//! name mysql.marathon 11.91.210.154 fd01:c::7bbe:1700:724f:13a5
//! name web.marathon pending
//! host app.marathon.agentip.dcos.thisdcos.directory 10.0.0.1 10.0.0.2
//! end 3
//! ```
//!
//! `partial` stands there while other names may exist. The number after `end` counts the lines `name`
//! and `host`. A file without it was cut off. Lines
//! that begin with another word are of a later version and are skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::domain_name::{DomainName, DomainNameError};

/// The first line: the format and its version.
const HEADER: &str = "vipd-zone 1";

/// Stands in place of addresses for a name that has none yet.
const PENDING: &str = "pending";

/// Says that other names may exist.
const PARTIAL: &str = "partial";

/// The contents of a zone file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoneFile {
    /// The zones of VIP names. All have the same names; the first is the canonical one.
    pub zones: Vec<String>,
    /// The VIP names, relative to the zones.
    pub names: BTreeMap<String, Addresses>,
    /// Whether other names may exist: one that isn't there is unknown, not denied.
    pub partial: bool,
    /// The zones of `hosts`.
    pub host_zones: Vec<String>,
    /// The names of tasks, absolute, with the addresses of their hosts or containers, as far as they
    /// are known.
    pub hosts: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// The addresses of a VIP name. Without any it is pending: known, but there is nothing to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

/// The reason why a zone file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneFileError {
    /// The first line is not that of a zone file of this version.
    #[error("the first line is not `{HEADER}`: no zone file, or one of another version")]
    Header,
    /// The last line is missing, or counts other lines than there are.
    #[error("the file was cut off: its last line doesn't count the lines before it")]
    Truncated,
    /// The file is larger than [`caps::ZONE_FILE`].
    #[error("the file is larger than {} MiB", caps::ZONE_FILE >> 20)]
    TooLarge,
    /// A line that can't be read.
    #[error("line {number}: {reason}")]
    Line {
        /// The number of the line, from 1.
        number: usize,
        /// The reason.
        #[source]
        reason: LineError,
    },
}

/// The reason why a line of a zone file can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The name is missing or is none.
    #[error("not a domain name: {0}")]
    Name(#[from] DomainNameError),
    /// The name stands in an earlier line too.
    #[error("the name is there twice")]
    Twice,
    /// A word where an address should be, or one address too many.
    #[error("not the addresses of a name")]
    Addresses,
    /// A line after the last one.
    #[error("a line after the end")]
    AfterEnd,
}

/// A line of a zone file, other than the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Zone(&'a str),
    HostZone(&'a str),
    Name(&'a str, Addresses),
    Host(&'a str, BTreeSet<IpAddr>),
    /// Other names may exist.
    Partial,
    End(usize),
    /// A line of a later version.
    Unknown,
}

impl ZoneFile {
    /// Returns whether a file is a zone file, of whatever version, or empty.
    #[must_use]
    pub fn has_header(bytes: &[u8]) -> bool {
        bytes.is_empty() || bytes.starts_with(b"vipd-zone ")
    }

    /// Formats the file.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(64 * (self.names.len() + 8));
        text += HEADER;
        text.push('\n');
        for zone in &self.zones {
            let _ = writeln!(text, "zone {zone}");
        }
        for zone in &self.host_zones {
            let _ = writeln!(text, "hostzone {zone}");
        }
        if self.partial {
            let _ = writeln!(text, "{PARTIAL}");
        }
        for (name, Addresses { v4, v6 }) in &self.names {
            let _ = write!(text, "name {name}");
            let _ = v4.iter().try_for_each(|v4| write!(text, " {v4}"));
            let _ = v6.iter().try_for_each(|v6| write!(text, " {v6}"));
            if v4.is_none() && v6.is_none() {
                let _ = write!(text, " {PENDING}");
            }
            text.push('\n');
        }
        for (name, addresses) in &self.hosts {
            let _ = write!(text, "host {name}");
            let _ = addresses.iter().try_for_each(|address| write!(text, " {address}"));
            if addresses.is_empty() {
                let _ = write!(text, " {PENDING}");
            }
            text.push('\n');
        }
        let _ = writeln!(text, "end {}", self.names.len() + self.hosts.len());
        text
    }

    /// Parses a file.
    ///
    /// # Errors
    /// When it isn't whole, or a line of it can't be read. What it says is then worth nothing.
    pub fn parse(text: &str) -> Result<Self, ZoneFileError> {
        let mut file = Self::default();
        read_lines(text, |line| {
            let is_new = match line {
                Line::Zone(zone) => {
                    file.zones.push(zone.to_owned());
                    true
                }
                Line::HostZone(zone) => {
                    file.host_zones.push(zone.to_owned());
                    true
                }
                Line::Name(name, addresses) => {
                    file.names.insert(name.to_owned(), addresses).is_none()
                }
                Line::Host(name, addresses) => {
                    file.hosts.insert(name.to_owned(), addresses).is_none()
                }
                Line::Partial => {
                    file.partial = true;
                    true
                }
                Line::End(_) | Line::Unknown => true,
            };
            if is_new { Ok(()) } else { Err(LineError::Twice) }
        })?;
        Ok(file)
    }
}

/// Reads all lines after the first, and checks that the file is whole.
pub(crate) fn read_lines<'a>(
    text: &'a str,
    mut take: impl FnMut(Line<'a>) -> Result<(), LineError>,
) -> Result<(), ZoneFileError> {
    if text.len() > caps::ZONE_FILE {
        return Err(ZoneFileError::TooLarge);
    }
    let body = text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n'));
    let body = body.ok_or(ZoneFileError::Header)?;
    // A last line without its end may be the beginning of a longer one.
    if !body.ends_with('\n') {
        return Err(ZoneFileError::Truncated);
    }
    let (mut records, mut end) = (0, None);
    for (index, text) in body.lines().enumerate() {
        let at_line = |reason| ZoneFileError::Line { number: index + 2, reason };
        if end.is_some() {
            return Err(at_line(LineError::AfterEnd));
        }
        let line = Line::parse(text).map_err(at_line)?;
        match line {
            Line::Name(..) | Line::Host(..) => records += 1,
            Line::End(count) => end = Some(count),
            _ => {}
        }
        take(line).map_err(at_line)?;
    }
    if end == Some(records) { Ok(()) } else { Err(ZoneFileError::Truncated) }
}

/// Splits a file into the lines after the first and the count in the last. `None` if there is more
/// to be said about it than that.
pub(crate) fn split_file(text: &str) -> Option<(&str, usize)> {
    let body = text.strip_prefix(HEADER)?.strip_prefix('\n')?.strip_suffix('\n')?;
    let start = body.rfind('\n').map_or(0, |end| end + 1);
    match (text.len() <= caps::ZONE_FILE).then(|| Line::parse(&body[start..])) {
        Some(Ok(Line::End(count))) => Some((&body[..start], count)),
        _ => None,
    }
}

impl<'a> Line<'a> {
    /// Parses a line other than the first.
    pub(crate) fn parse(line: &'a str) -> Result<Self, LineError> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ');
        let first = words.next().unwrap_or_default();
        match word {
            "zone" => check_name(rest).map(Self::Zone),
            "hostzone" => check_name(rest).map(Self::HostZone),
            "name" => Ok(Self::Name(check_name(first)?, parse_addresses(words)?)),
            "host" => {
                let addresses = match words.clone().eq([PENDING]) {
                    true => BTreeSet::new(),
                    false => parse_host_addresses(words)?,
                };
                Ok(Self::Host(check_name(first)?, addresses))
            }
            PARTIAL => Ok(Self::Partial),
            // A count that can't be read is no count of the lines before it.
            "end" => Ok(Self::End(rest.parse().unwrap_or(usize::MAX))),
            _ => Ok(Self::Unknown),
        }
    }
}

fn check_name(name: &str) -> Result<&str, LineError> {
    DomainName::parse(name)?;
    Ok(name)
}

fn parse_host_addresses<'a>(
    words: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<IpAddr>, LineError> {
    let addresses = words.map(|word| word.parse().map_err(|_| LineError::Addresses));
    let addresses = addresses.collect::<Result<BTreeSet<_>, _>>()?;
    if addresses.is_empty() { Err(LineError::Addresses) } else { Ok(addresses) }
}

fn parse_addresses<'a>(words: impl Iterator<Item = &'a str>) -> Result<Addresses, LineError> {
    let mut addresses = Addresses::default();
    let mut is_pending = false;
    for word in words {
        let is_first = addresses == Addresses::default() && !is_pending;
        let is_free = match word.parse() {
            Ok(IpAddr::V4(v4)) => !is_pending && addresses.v4.replace(v4).is_none(),
            Ok(IpAddr::V6(v6)) => !is_pending && addresses.v6.replace(v6).is_none(),
            Err(_) => {
                is_pending = word == PENDING;
                is_pending && is_first
            }
        };
        if !is_free {
            return Err(LineError::Addresses);
        }
    }
    match is_pending || addresses != Addresses::default() {
        true => Ok(addresses),
        false => Err(LineError::Addresses),
    }
}
