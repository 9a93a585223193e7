use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use vip::label::VipRef;
use vip::plan::Sign;
use vip::{DesiredService, Vip};

use super::End;
use super::args::{Global, Sources, open_kernel};
use super::output::{self, Format};
use crate::survey::Survey;

/// Explain for each task of an app or VIP why it is, or isn't, a real server right now
///
/// Exit status: 0 explained, 2 trouble; nothing by that name is trouble.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd explain /mysql --marathon http://marathon.example:8080
  vipd explain 3.3.0.6:3306 --marathon http://marathon.example:8080
  vipd explain 3.3.0.6 --from apps.json --output json")]
pub(super) struct Explain {
    /// An app's or pod's id, or ADDRESS[:PORT[/PROTOCOL]]
    #[arg(value_name = "APP|VIP")]
    what: String,
    #[command(flatten)]
    sources: Sources,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Serialize)]
struct Explanation {
    vips: Vec<Explained>,
    /// Labels of the app that make no VIP, and why.
    refused: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Explained {
    vip: Vip,
    apps: Vec<String>,
    /// A VIP that somebody else's service stands in the way of.
    conflict: Option<String>,
    tasks: Vec<Task>,
}

#[derive(Debug, Serialize)]
struct Task {
    task: String,
    app: String,
    server: Option<String>,
    /// What it should have; none is no real server.
    weight: Option<u32>,
    /// What it has in the kernel now.
    kernel_weight: Option<u32>,
    why: String,
}

impl Explain {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.config()?;
        let wishes = self.sources.read(&config)?;
        let survey = wishes.survey(&config, &mut open_kernel(&config)?)?;
        let conflicts = survey.plan(&config).conflicts;
        let chosen =
            survey.desired.services.iter().filter(|(vip, service)| self.names(vip, service));
        let vips = chosen.map(|(vip, service)| Explained {
            vip: *vip,
            apps: service.apps.clone(),
            conflict: conflicts.iter().find(|each| each.vip == *vip).map(ToString::to_string),
            tasks: tasks(vip, service, &survey),
        });
        let reports = survey.desired.reports.iter().filter(|report| {
            let named = report.vip.is_some_and(|vip| self.is(&vip));
            (self.is_app(&report.place.app) || named) && !report.verdict.is_ok()
        });
        let refused = reports.map(ToString::to_string).collect();
        let explanation = Explanation { vips: vips.collect(), refused };
        if explanation.vips.is_empty() && explanation.refused.is_empty() {
            bail!("no app with VIP labels, and no VIP, is called {:?}", self.what);
        }
        match self.output {
            Format::Text => explanation.print()?,
            Format::Json => output::json(&explanation)?,
        }
        Ok(End::Fine)
    }

    fn names(&self, vip: &Vip, service: &DesiredService) -> bool {
        self.is(vip) || service.apps.iter().any(|app| self.is_app(app))
    }

    fn is_app(&self, app: &str) -> bool {
        app.trim_start_matches('/') == self.what.trim_start_matches('/')
    }

    fn is(&self, vip: &Vip) -> bool {
        let place = self.what.strip_suffix(&format!("/{}", vip.protocol)).unwrap_or(&self.what);
        match place.parse() {
            Ok(VipRef::Address(address, port)) if address == vip.address && port == vip.port => {
                true
            }
            _ => self.what.parse() == Ok(vip.address),
        }
    }
}

fn tasks(vip: &Vip, service: &DesiredService, survey: &Survey) -> Vec<Task> {
    let held = survey.observed.service(vip);
    let members = service.selection.members.iter().map(|(server, member)| Task {
        task: member.task.clone(),
        app: member.app.clone(),
        server: Some(server.to_string()),
        weight: Some(member.weight),
        kernel_weight: held.and_then(|held| Some(held.servers.get(server)?.settings.weight)),
        why: member.why.to_string(),
    });
    let left_out = service.selection.left_out.iter().map(|out| Task {
        task: out.task.clone(),
        app: out.app.clone(),
        server: None,
        weight: None,
        kernel_weight: None,
        why: out.why.to_string(),
    });
    members.chain(left_out).collect()
}

impl Explanation {
    fn print(&self) -> Result<()> {
        let mut out = anstream::stdout().lock();
        let mut line =
            |depth, sign, text| output::line(&mut out, &vip::plan::Line { depth, sign, text });
        for vip in &self.vips {
            line(0, Sign::Plain, format!("{}  {}", vip.vip, vip.apps.join(", ")))?;
            if let Some(conflict) = &vip.conflict {
                line(1, Sign::Warn, conflict.clone())?;
            }
            for task in &vip.tasks {
                line(1, Sign::Plain, task.sentence())?;
            }
            if vip.tasks.is_empty() {
                line(1, Sign::Plain, "no tasks: clients are refused".into())?;
            }
        }
        for refused in &self.refused {
            line(0, Sign::Warn, refused.clone())?;
        }
        out.flush()?;
        Ok(())
    }
}

impl Task {
    fn sentence(&self) -> String {
        let Self { task, app, why, .. } = self;
        let (Some(server), Some(weight)) = (&self.server, self.weight) else {
            return format!("{task} of {app} is no real server: {why}");
        };
        let kernel = match self.kernel_weight {
            Some(held) if held == weight => String::new(),
            Some(held) => format!(" (the kernel has weight {held} until the next apply)"),
            None => " (not in the kernel until the next apply)".into(),
        };
        format!("{task} of {app} is the real server {server} with weight {weight}: {why}{kernel}")
    }
}
