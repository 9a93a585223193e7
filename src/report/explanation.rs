//! Why each task is, or isn't, a real server. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vip::label::VipRef;
use vip::plan::Conflict;
use vip::{Desired, DesiredService, Line, Observed, Sign, Vip};

/// What is known, from one look or from a running agent.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What is wanted.
    pub desired: &'a Desired,
    /// The kernel, if it could be read.
    pub observed: Option<&'a Observed>,
    /// VIPs that somebody else's services stand in the way of.
    pub conflicts: &'a [Conflict],
    /// Versions of tasks, by task id.
    pub versions: &'a BTreeMap<Arc<str>, String>,
    /// The time that real servers on their way out still have at most.
    pub drains: &'a BTreeMap<(Vip, SocketAddr), Duration>,
}

/// Everything there is to say about an app or a VIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    vips: Vec<Explained>,
    /// Labels of the app that make no VIP, and why.
    refused: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Explained {
    vip: String,
    apps: Vec<Arc<str>>,
    /// A VIP that somebody else's service stands in the way of.
    conflict: Option<String>,
    tasks: Vec<Task>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Task {
    task: Arc<str>,
    app: Arc<str>,
    /// Of the definition that it runs by.
    version: Option<String>,
    server: Option<String>,
    /// What it should have; none is no real server.
    weight: Option<u32>,
    /// What it has in the kernel now.
    kernel_weight: Option<u32>,
    why: String,
    /// How long it may still drain, in seconds.
    drains_for: Option<u64>,
}

impl Explanation {
    /// Explains an app or pod by its id, or a VIP as `ADDRESS[:PORT[/PROTOCOL]]`. `None`: there is
    /// nothing of this name.
    #[must_use]
    pub fn of(what: &str, known: Known<'_>) -> Option<Self> {
        let name = Name(what);
        let services = known.desired.services.iter();
        let chosen = services.filter(|(vip, service)| name.is_of(vip, service));
        let vips = chosen.map(|(vip, service)| {
            let conflict = known.conflicts.iter().find(|each| each.vip == *vip);
            Explained {
                vip: vip.to_string(),
                apps: service.apps.clone(),
                conflict: conflict.map(ToString::to_string),
                tasks: tasks(vip, service, known),
            }
        });
        let reports = known.desired.reports.iter().filter(|report| {
            let named = report.vip.is_some_and(|vip| name.is(&vip));
            (name.is_app(&report.place.app) || named) && !report.verdict.is_ok()
        });
        let refused = reports.map(ToString::to_string).collect();
        let explanation = Self { vips: vips.collect(), refused };
        let is_empty = explanation.vips.is_empty() && explanation.refused.is_empty();
        (!is_empty).then_some(explanation)
    }

    /// For people. `acts` says when the kernel gets what it hasn't: "until the next apply", say.
    #[must_use]
    pub fn lines(&self, acts: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = |depth, sign, text| lines.push(Line { depth, sign, text });
        for vip in &self.vips {
            line(0, Sign::Plain, format!("{}  {}", vip.vip, vip.apps.join(", ")));
            if let Some(conflict) = &vip.conflict {
                line(1, Sign::Warn, conflict.clone());
            }
            for task in &vip.tasks {
                line(1, Sign::Plain, task.sentence(acts));
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

/// What was asked for.
struct Name<'a>(&'a str);

impl Name<'_> {
    fn is_of(&self, vip: &Vip, service: &DesiredService) -> bool {
        self.is(vip) || service.apps.iter().any(|app| self.is_app(app))
    }

    fn is_app(&self, app: &str) -> bool {
        app.trim_start_matches('/') == self.0.trim_start_matches('/')
    }

    fn is(&self, vip: &Vip) -> bool {
        let place = self.0.strip_suffix(&format!("/{}", vip.protocol)).unwrap_or(self.0);
        match place.parse() {
            Ok(VipRef::Address(address, port)) if address == vip.address && port == vip.port => {
                true
            }
            _ => self.0.parse() == Ok(vip.address),
        }
    }
}

fn tasks(vip: &Vip, service: &DesiredService, known: Known<'_>) -> Vec<Task> {
    let held = known.observed.and_then(|observed| observed.service(vip));
    let version = |task: &str| known.versions.get(task).cloned();
    let members = service.selection.members.iter().map(|(server, member)| Task {
        task: member.task.clone(),
        app: member.app.clone(),
        version: version(&member.task),
        server: Some(server.to_string()),
        weight: Some(member.weight),
        kernel_weight: held.and_then(|held| Some(held.servers.get(server)?.settings.weight)),
        why: member.reason(),
        drains_for: known.drains.get(&(*vip, *server)).map(Duration::as_secs),
    });
    let left_out = service.selection.left_out.iter().map(|out| Task {
        task: out.task.clone(),
        app: out.app.clone(),
        version: version(&out.task),
        server: None,
        weight: None,
        kernel_weight: None,
        why: out.why.to_string(),
        drains_for: None,
    });
    members.chain(left_out).collect()
}

impl Task {
    fn sentence(&self, acts: &str) -> String {
        let Self { task, app, why, .. } = self;
        let who = match (&**task, &self.version) {
            ("", _) => "a task that isn't known".to_owned(),
            (task, Some(version)) => format!("{task} of {app} (version {version})"),
            (task, None) => format!("{task} of {app}"),
        };
        let (Some(server), Some(weight)) = (&self.server, self.weight) else {
            return format!("{who} is no real server: {why}");
        };
        let drain = match self.drains_for {
            Some(seconds) => format!("; it goes in {seconds} s at the latest"),
            None => String::new(),
        };
        let kernel = match self.kernel_weight {
            Some(held) if held == weight => String::new(),
            Some(held) => format!(" (the kernel has weight {held} {acts})"),
            None => format!(" (not in the kernel {acts})"),
        };
        format!("{who} is the real server {server} with weight {weight}: {why}{drain}{kernel}")
    }
}
