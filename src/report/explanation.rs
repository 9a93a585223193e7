//! Explanations why each task of an app or VIP is, or is not, a real server. Pure.

use serde::{Deserialize, Serialize};
use vip::label::VipRef;
use vip::naming::{Names, VipName};
use vip::{DesiredService, Line, Sign, Vip};

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
    /// Explains an app or pod by its id, or a VIP as `ADDRESS[:PORT[/PROTOCOL]]` or `NAME[:PORT]`.
    /// None: no app and no VIP has this name.
    #[must_use]
    pub fn find(name: &str, facts: &VipFacts<'_>) -> Option<Self> {
        let desired = facts.desired?;
        let name = Name { text: name, names: &desired.names };
        let named = desired.services.iter().filter(|(vip, service)| name.is_of(vip, service));
        let vips = named.map(|(vip, _)| facts.report_all_tasks(vip).into());
        let reports = desired.reports.iter().filter(|report| {
            let is_named = report.vip.is_some_and(|vip| name.is_vip(&vip))
                || report.name.as_ref().is_some_and(|named| name.is_name(named));
            (name.is_app(&report.place.app) || is_named) && !report.verdict.is_ok()
        });
        let refused = reports.map(ToString::to_string).collect();
        let explanation = Self { vips: vips.collect(), refused };
        let is_empty = explanation.vips.is_empty() && explanation.refused.is_empty();
        (!is_empty).then_some(explanation)
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
            if vip.tasks.is_empty() {
                line(1, Sign::Plain, "no tasks: clients are refused".into());
            }
        }
        for refused in &self.refused {
            line(0, Sign::Warn, refused.clone());
        }
        lines
    }
}

/// The name that an explanation is asked for by.
struct Name<'a> {
    text: &'a str,
    names: &'a Names,
}

impl Name<'_> {
    fn is_of(&self, vip: &Vip, service: &DesiredService) -> bool {
        self.is_vip(vip) || service.apps.iter().any(|app| self.is_app(app))
    }

    fn is_app(&self, app: &str) -> bool {
        app.trim_start_matches('/') == self.text.trim_start_matches('/')
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
