//! Explanations why each task of an app, a group or a VIP is, or is not, a real server. Pure.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use vip::label::VipRef;
use vip::naming::{Names, VipName};
use vip::{Desired, DesiredService, Line, Sign, Vip};

use super::near::UnknownName;
use super::vips::{TaskReport, VipFacts, VipReport, VipSummary};

/// The VIPs of an app, or those on an address, and the labels that make no VIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    vips: Vec<ExplainedVip>,
    /// Labels that make no VIP, with the reason.
    refused: Vec<String>,
}

/// A VIP with its real servers and other tasks in one list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExplainedVip {
    /// Address, port and protocol.
    vip: String,
    /// Real servers first, then every other task, including ended ones.
    tasks: Vec<TaskReport>,
    #[serde(flatten)]
    summary: VipSummary,
}

impl From<VipReport> for ExplainedVip {
    fn from(report: VipReport) -> Self {
        let vip = report.full_name();
        let tasks = report.backend.into_iter().chain(report.left_out).collect();
        Self { vip, tasks, summary: report.summary }
    }
}

impl Explanation {
    /// Explains an app or pod by its id, a group by its path, a VIP as `ADDRESS[:PORT[/PROTOCOL]]` or
    /// `NAME[:PORT]`, a real server as `ADDRESS[:PORT]`, or a task by its id.
    ///
    /// # Errors
    /// When there is nothing by this name.
    pub fn find(name: &str, facts: &VipFacts<'_>) -> Result<Self, UnknownName> {
        let Some(desired) = facts.desired else { return Err(UnknownName::of(name, [])) };
        let query = Query::new(name, &desired.names);
        let vips = desired.services.iter().filter_map(|(vip, service)| {
            let mut report = facts.report_all_tasks(vip);
            if !query.is_of(vip, service) {
                report.backend.retain(|task| query.is_task(task));
                report.left_out.retain(|task| query.is_task(task));
                if report.backend.is_empty() && report.left_out.is_empty() {
                    return None;
                }
            }
            Some(report.into())
        });
        let reports = desired.reports.iter().filter(|report| {
            let is_named = report.vip.is_some_and(|vip| query.is_vip(&vip))
                || report.name.as_ref().is_some_and(|named| query.is_name(named));
            (query.is_app(&report.place.app) || is_named) && !report.verdict.is_ok()
        });
        let refused = reports.map(ToString::to_string).collect();
        let explanation = Self { vips: vips.collect(), refused };
        match explanation.vips.is_empty() && explanation.refused.is_empty() {
            true => Err(UnknownName::of(name, known_names(desired))),
            false => Ok(explanation),
        }
    }

    /// Writes it for people. `pending` says when the kernel gets what it lacks, as in "until the
    /// next apply".
    #[must_use]
    pub fn to_lines(&self, pending: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = |depth, sign, text| lines.push(Line { depth, sign, text });
        for vip in &self.vips {
            let dns = vip.summary.dns.iter().map(|dns| format!("{dns} ")).collect::<String>();
            line(0, Sign::Plain, format!("{dns}{}  {}", vip.vip, vip.summary.apps.join(", ")));
            if let Some(conflict) = &vip.summary.conflict {
                line(1, Sign::Warn, conflict.clone());
            }
            for task in &vip.tasks {
                line(1, Sign::Plain, explain_task(task, pending));
            }
            if let Some(suspension) = vip.summary.describe_suspension() {
                line(1, Sign::Plain, suspension.into());
            } else if vip.tasks.is_empty() {
                line(1, Sign::Plain, "no tasks: clients are refused".into());
            }
        }
        for refused in &self.refused {
            line(0, Sign::Warn, refused.clone());
        }
        lines
    }
}

/// Everything that an explanation can be asked for by, except addresses of real servers and tasks.
fn known_names(desired: &Desired) -> impl Iterator<Item = String> {
    let vips = desired.services.iter().flat_map(|(vip, service)| {
        let dns = desired.names.dns_name_at(vip.address);
        let apps = service.apps.iter().map(ToString::to_string);
        apps.chain([vip.socket_addr().to_string()]).chain(dns).collect::<Vec<_>>()
    });
    vips.chain(desired.reports.iter().map(|report| report.place.app.to_string()))
}

/// The text that an explanation is asked for by.
struct Query<'a> {
    text: &'a str,
    names: &'a Names,
    ip: Option<IpAddr>,
    server: Option<SocketAddr>,
}

impl<'a> Query<'a> {
    fn new(text: &'a str, names: &'a Names) -> Self {
        Self { text, names, ip: text.parse().ok(), server: text.parse().ok() }
    }

    /// Returns whether the VIP, one of its apps, or a group with one of them is meant.
    fn is_of(&self, vip: &Vip, service: &DesiredService) -> bool {
        self.is_vip(vip) || service.apps.iter().any(|app| self.is_app(app))
    }

    /// Returns whether an app is meant, or a group that it is in.
    fn is_app(&self, app: &str) -> bool {
        if self.text == "/" {
            return true;
        }
        let (app, text) = (app.trim_matches('/'), self.text.trim_matches('/'));
        let below = app.strip_prefix(text).filter(|_| !text.is_empty());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns whether a task is meant, or the address of its real server.
    fn is_task(&self, task: &TaskReport) -> bool {
        let is_id = task.task.as_deref().is_some_and(|id| !id.is_empty() && id == self.text);
        is_id
            || self.server.is_some() && task.server == self.server
            || self.ip.is_some() && task.ip == self.ip
    }

    fn is_name(&self, name: &VipName) -> bool {
        self.text == name.as_str() || self.text == self.names.dns_name(name)
    }

    fn is_vip(&self, vip: &Vip) -> bool {
        if self.names.is_name_of(self.text, vip) {
            return true;
        }
        let place = self.text.strip_suffix(&format!("/{}", vip.protocol)).unwrap_or(self.text);
        match place.parse() {
            Ok(VipRef::Address(address, port)) if address == vip.address && port == vip.port => {
                true
            }
            _ => self.text.parse() == Ok(vip.address),
        }
    }
}

/// Says of a task whether it is a real server, and why.
fn explain_task(report: &TaskReport, pending: &str) -> String {
    let why = report.why.as_deref().unwrap_or_default();
    let app = report.app_text();
    let who = match (report.task.as_deref().unwrap_or_default(), &report.version) {
        ("", _) => "a task that isn't known".to_owned(),
        (task, Some(version)) => format!("{task} of {app} (version {version})"),
        (task, None) => format!("{task} of {app}"),
    };
    let (Some(server), Some(weight)) = (report.server, report.weight) else {
        return format!("{who} is no real server: {why}");
    };
    let drain = match report.drains_for {
        Some(seconds) => format!("; it goes in {seconds} s at the latest"),
        None => String::new(),
    };
    let kernel = match report.kernel_weight {
        Some(held) if held == weight => String::new(),
        Some(held) => format!(" (the kernel has weight {held} {pending})"),
        None => format!(" (not in the kernel {pending})"),
    };
    format!("{who} is the real server {server} with weight {weight}: {why}{drain}{kernel}")
}
