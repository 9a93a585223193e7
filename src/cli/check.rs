//! `vipd check`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;

use anstyle::AnsiColor;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use vip::controller::{self, AppClaims, Change, Decision};
use vip::naming::Names;
use vip::{
    AppId, AppKind, Controller, Desired, LabelPlace, LabelReport, Observed, Printable, SourceId,
    Ways,
};

use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::config::{Config, ConfigProblem, Secrets};
use crate::sources::hosts::Hosts;
use crate::sources::marathon::translate::{
    Translation, run_time_at, translate_snapshot, translate_workload,
};
use crate::sources::once::{DefinitionSource, Definitions};
use crate::sources::scan::{FoundLabel, Scan};
use crate::sources::unread::UnreadLabel;

/// Check the VIP labels in app definitions before you post them
///
/// Prints every VIP, every refused label and every label that nobody reads, with file, line, JSON
/// path and reason. Needs neither root nor a kernel with IPVS.
///
/// The VIP of a name is shown with its DNS name and its address. The address is a promise only where
/// no other name collides with it; clients should use the DNS name.
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
    name: Option<String>,
    dns: Option<String>,
    protocol: Option<vip::Protocol>,
    ok: bool,
    verdict: &'static str,
    reason: Option<String>,
}

impl Check {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let (config, problems) = global.resolve_leniently(Secrets::Skip)?;
        for warning in global.describe_ignored(&problems) {
            output::print_warning(&format!(
                "{warning}; the labels are checked without what it says"
            ));
        }
        let mut entries = Vec::new();
        let mut unread = 0;
        for file in &self.files {
            match DefinitionSource::File(file.clone()).read_definitions() {
                Ok(reading) => entries.extend(check_definitions(&reading, &config)),
                Err(error) => {
                    output::print_error(&error);
                    unread += 1;
                    // People have just been told; a machine reads only what is printed.
                    if self.output == Format::Json {
                        let reason = Some(format!("{error:#}"));
                        entries.push(Entry { reason, ..Entry::unreadable(file) });
                    }
                }
            }
        }
        match self.output {
            Format::Text => {
                output::print_with(|out| print_entries(out, &entries, unread))?;
                if entries.iter().any(|entry| entry.ok && entry.dns.is_some()) {
                    output::print_note(
                        "the address of a name is a promise only where no other name collides with \
                         it: let clients use the DNS name",
                    );
                }
            }
            Format::Json => output::print_json(&entries)?,
        }
        Ok(match entries.iter().any(|entry| entry.reason.is_some()) {
            _ if unread > 0 || problems.iter().any(ConfigProblem::may_concern_labels) => {
                End::Trouble
            }
            true => End::Found,
            false => End::Fine,
        })
    }
}

fn check_definitions(reading: &Definitions, config: &Config) -> Vec<Entry> {
    let now = marathon::Timestamp::now();
    let hosts = Hosts::new();
    let naming = reading.naming(config);
    let mut translation = translate_snapshot(&reading.snapshot, &hosts, now, naming);
    for workload in &reading.nameless {
        translation.append(translate_workload(workload, &hosts, &run_time_at(now), naming));
    }
    let Translation { claims, named, reports, .. } = translation;
    let desired = decide_anywhere(AppClaims { claims, named, ..AppClaims::default() }, config);
    let lines = LabelLines::new(&reading.scan);
    let names = &desired.names;
    let reports = reports.into_iter().chain(desired.reports);
    let labels = reports.map(|report| label_entry(report, &reading.name, &lines, names));
    let unread = reading.unread.iter().map(|label| unread_entry(label, &reading.name));
    let findings = reading.snapshot.findings.iter().map(|finding| Entry {
        line: reading.scan.line_of(&finding.path),
        path: finding.path.clone(),
        reason: Some(finding.reason.clone()),
        ..Entry::unreadable(&reading.name)
    });
    let mut entries: Vec<_> = labels.chain(unread).chain(findings).collect();
    entries.sort_by_key(|entry| entry.line);
    entries
}

/// Decides about claims alone. A definition may be checked anywhere, so the addresses of this machine
/// don't count.
fn decide_anywhere(claims: AppClaims, config: &Config) -> Desired {
    let table = config.table_settings();
    let mut controller =
        Controller::new(controller::Config { table, ..controller::Config::default() });
    let anybody = AppId { id: "".into(), kind: AppKind::App };
    let all = Change::Only([anybody.clone()].into());
    for change in [Change::Apps([(anybody, Some(claims))].into()), all] {
        controller.learn_input(controller::Input::Claims { source: SourceId::default(), change });
    }
    let ways = |_: &_| Ok::<_, Infallible>(Ways::default());
    let Ok(Decision { desired, .. }) = controller.decide_once(Observed::default(), ways);
    desired
}

/// The lines of labels, by path, key and occurrence.
struct LabelLines<'a>(HashMap<(&'a str, &'a str, usize), usize>);

impl<'a> LabelLines<'a> {
    fn new(scan: &'a Scan) -> Self {
        let valid = scan.labels.iter().filter(|label| label.superseded_by.is_none());
        let key = |label: &'a FoundLabel| (&*label.path, label.key.as_str(), label.occurrence);
        Self(valid.map(|label| (key(label), label.line)).collect())
    }

    fn find_label(&self, place: &LabelPlace) -> Option<usize> {
        self.0.get(&(place.path.as_str(), place.key.as_str(), place.occurrence)).copied()
    }
}

impl Entry {
    /// Builds the entry of something that nobody reads, without its place.
    fn unreadable(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            path: String::new(),
            app: Arc::default(),
            port: None,
            key: String::new(),
            value: String::new(),
            vip: None,
            name: None,
            dns: None,
            protocol: None,
            ok: false,
            verdict: "unreadable",
            reason: None,
        }
    }
}

fn unread_entry(label: &UnreadLabel, file: &str) -> Entry {
    Entry {
        line: Some(label.line),
        path: label.path.as_ref().to_owned(),
        app: Arc::clone(&label.app),
        key: label.key.clone(),
        value: label.value.clone(),
        verdict: "unread",
        reason: Some(label.reason.clone()),
        ..Entry::unreadable(file)
    }
}

fn label_entry(report: LabelReport, file: &str, lines: &LabelLines<'_>, names: &Names) -> Entry {
    let LabelReport { source: _, place, vip, name, verdict } = report;
    Entry {
        file: file.to_owned(),
        line: lines.find_label(&place),
        path: place.path,
        app: place.app.id,
        port: place.port,
        key: place.key,
        value: place.value,
        vip: vip.map(|vip| vip.socket_addr().to_string()),
        dns: name.as_ref().map(|name| names.dns_name(name)),
        name: name.map(String::from),
        protocol: vip.map(|vip| vip.protocol),
        ok: verdict.is_ok(),
        verdict: verdict.word(),
        reason: verdict.reason().map(Cow::into_owned),
    }
}

fn print_entries(out: &mut dyn Write, entries: &[Entry], unread: usize) -> io::Result<()> {
    for entry in entries {
        let color = match entry.verdict {
            "ok" => AnsiColor::Green,
            "note" => AnsiColor::Yellow,
            _ => AnsiColor::Red,
        };
        let style = color.on_default();
        let line = entry.line.map(|line| format!(":{line}")).unwrap_or_default();
        let vip = match (&entry.vip, entry.protocol) {
            (Some(vip), Some(protocol)) => {
                let dns = entry.dns.as_ref().map(|dns| format!("{dns} "));
                format!("{}{vip}/{protocol}", dns.unwrap_or_default())
            }
            _ => entry.value.clone(),
        };
        let place = [&*entry.app, entry.key.as_str(), vip.as_str()];
        let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
        let (file, verdict) = (Printable(&entry.file), entry.verdict);
        let place = place.join(" ");
        writeln!(out, "{file}{line}: {style}{verdict}{style:#}: {}", Printable(&place))?;
        if let Some(reason) = &entry.reason {
            writeln!(out, "    {}", Printable(reason))?;
            writeln!(out, "    at {}", Printable(&entry.path))?;
        }
    }
    let vips = entries.iter().filter(|entry| entry.ok).count();
    let findings = entries.iter().filter(|entry| entry.reason.is_some()).count();
    write!(out, "{}, {}", count_noun(vips, "VIP"), count_noun(findings, "finding"))?;
    if unread > 0 {
        write!(out, ", {} not read", count_noun(unread, "file"))?;
    }
    writeln!(out)
}

fn count_noun(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
