//! `vipd check`.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use anstyle::AnsiColor;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use vip::{LabelReport, Observed};

use super::args::Global;
use super::end::End;
use super::locate::Lines;
use super::output::{self, Format};
use crate::config::Config;
use crate::sources::hosts::Hosts;
use crate::sources::marathon::translate::translate_snapshot;
use crate::sources::once::{DefinitionSource, Definitions};

/// Check the VIP labels in app definitions before you post them
///
/// Prints every VIP and every refused label, with file, line, JSON path and reason. Needs neither
/// root nor a kernel with IPVS.
///
/// Exit status: 0 clean, 1 findings, 2 a file can't be read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd check mysql.json
  vipd check --output json *.json
  vipd check - < mysql.json")]
pub(super) struct Check {
    /// Definitions, or saved answers of Marathon; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// A label or finding, as JSON.
#[derive(Debug, Serialize)]
struct Entry {
    file: String,
    line: Option<usize>,
    path: String,
    app: Arc<str>,
    port: Option<usize>,
    key: String,
    value: String,
    vip: Option<String>,
    protocol: Option<vip::Protocol>,
    ok: bool,
    verdict: &'static str,
    reason: Option<String>,
}

impl Check {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.resolve_config()?;
        let mut entries = Vec::new();
        let mut unread = 0;
        for file in &self.files {
            match DefinitionSource::File(file.clone()).read_definitions() {
                Ok(reading) => entries.extend(check_definitions(&reading, &config)),
                Err(error) => {
                    output::print_error(&error);
                    unread += 1;
                }
            }
        }
        match self.output {
            Format::Text => print_entries(&entries, unread)?,
            Format::Json => output::print_json(&entries)?,
        }
        Ok(match entries.iter().any(|entry| entry.reason.is_some()) {
            _ if unread > 0 => End::Trouble,
            true => End::Found,
            false => End::Fine,
        })
    }
}

fn check_definitions(reading: &Definitions, config: &Config) -> Vec<Entry> {
    let translation =
        translate_snapshot(&reading.snapshot, &Hosts::new(), marathon::Timestamp::now());
    // A definition may be checked anywhere: ignore the addresses of this machine.
    let nobody = (Observed::default(), vip::ClusterFacts::default());
    let desired = vip::decide(translation.claims, &nobody.0, &config.policy, &nobody.1);
    let text = reading.text.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let lines = Lines::parse(text.unwrap_or_default());
    let reports = translation.reports.into_iter().chain(desired.reports);
    let labels = reports.map(|report| label_entry(report, &reading.name, &lines));
    let findings = reading.snapshot.findings.iter().map(|finding| Entry {
        file: reading.name.clone(),
        line: None,
        path: finding.path.clone(),
        app: Arc::default(),
        port: None,
        key: String::new(),
        value: String::new(),
        vip: None,
        protocol: None,
        ok: false,
        verdict: "unreadable",
        reason: Some(finding.reason.clone()),
    });
    let mut entries: Vec<_> = labels.chain(findings).collect();
    entries.sort_by_key(|entry| entry.line);
    entries
}

fn label_entry(report: LabelReport, file: &str, lines: &Lines<'_>) -> Entry {
    let LabelReport { place, vip, verdict } = report;
    Entry {
        file: file.to_owned(),
        line: lines.find_label(&place),
        path: place.path,
        app: place.app,
        port: place.port,
        key: place.key,
        value: place.value,
        vip: vip.map(|vip| vip.socket_addr().to_string()),
        protocol: vip.map(|vip| vip.protocol),
        ok: verdict.is_ok(),
        verdict: verdict.word(),
        reason: verdict.reason().map(Cow::into_owned),
    }
}

fn print_entries(entries: &[Entry], unread: usize) -> Result<()> {
    let mut out = anstream::stdout().lock();
    for entry in entries {
        let color = match entry.verdict {
            "ok" => AnsiColor::Green,
            "note" => AnsiColor::Yellow,
            _ => AnsiColor::Red,
        };
        let style = color.on_default();
        let line = entry.line.map(|line| format!(":{line}")).unwrap_or_default();
        let vip = match (&entry.vip, entry.protocol) {
            (Some(vip), Some(protocol)) => format!("{vip}/{protocol}"),
            _ => entry.value.clone(),
        };
        let place = [&*entry.app, entry.key.as_str(), vip.as_str()];
        let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
        let verdict = entry.verdict;
        writeln!(out, "{}{line}: {style}{verdict}{style:#}: {}", entry.file, place.join(" "))?;
        if let Some(reason) = &entry.reason {
            writeln!(out, "    {reason}")?;
            writeln!(out, "    at {}", entry.path)?;
        }
    }
    let vips = entries.iter().filter(|entry| entry.ok).count();
    let findings = entries.iter().filter(|entry| entry.reason.is_some()).count();
    write!(out, "{}, {}", count_noun(vips, "VIP"), count_noun(findings, "finding"))?;
    if unread > 0 {
        write!(out, ", {} not read", count_noun(unread, "file"))?;
    }
    writeln!(out)?;
    Ok(())
}

fn count_noun(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
