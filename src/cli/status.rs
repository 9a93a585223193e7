use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use node::Kernel;
use serde::Serialize;
use vip::{DesiredService, Line, Link, Observed, ObservedServer, ObservedService, Plan, Sign, Vip};

use super::args::{Global, Sources, open_kernel};
use super::end::End;
use super::output::{self, Format};
use super::watch::{Sort, watch};
use crate::admin::client::Agent;
use crate::report::agent::AgentReport;
use crate::report::plan::{labels_json, timeouts_json};
use crate::sources::survey::Survey;

/// Show each VIP of ours in the kernel, its real servers and their load, and what is wrong
///
/// Where an agent runs it begins with how that one fares. With a source of definitions it also
/// names the app and task behind each real server, and tells what differs from what they want.
///
/// Exit status: 0 nothing is wrong, 1 something is, 2 trouble.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd status
  vipd status --marathon http://marathon.example:8080
  vipd status --watch --sort rate
  vipd status --output json")]
pub(super) struct Status {
    #[command(flatten)]
    sources: Sources,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Go on showing what the running agent knows, until interrupted
    ///
    /// On a terminal keys choose what comes first, t trouble, v address, r rate, a active
    /// connections, n app, and q ends it. In a pipe each look is a block of lines.
    #[arg(long, conflicts_with_all = ["from", "output"])]
    watch: bool,
    /// What comes first with --watch
    #[arg(long, value_name = "BY", default_value = "trouble", requires = "watch")]
    sort: Sort,
    /// Seconds between two looks of --watch
    #[arg(long, value_name = "SECONDS", default_value = "2", requires = "watch",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// All of it, as JSON.
#[derive(Debug, Serialize)]
struct Report {
    /// Of the agent that runs on this node, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentReport>,
    interface: &'static str,
    /// After how many seconds connections are forgotten.
    timeouts: serde_json::Value,
    /// What of nftables is in force: `whole` or `reduced`, and why.
    data_path: String,
    vips: Vec<VipStatus>,
    problems: Vec<String>,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    labels: serde_json::Value,
}

#[derive(Debug, Serialize)]
struct VipStatus {
    vip: Vip,
    apps: Vec<Arc<str>>,
    scheduler: Option<String>,
    persistence: Option<u32>,
    connections: u64,
    connections_per_second: u64,
    bytes_in_per_second: u64,
    bytes_out_per_second: u64,
    servers: Vec<ServerStatus>,
    left_out: Vec<String>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServerStatus {
    server: SocketAddr,
    weight: u32,
    forwarding: String,
    active: u32,
    inactive: u32,
    connections: u64,
    connections_per_second: u64,
    app: Option<Arc<str>>,
    task: Option<Arc<str>>,
    why: Option<String>,
}

impl Status {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.config()?;
        if self.watch {
            let agent = Agent::get(&config.agent.socket)?;
            return watch(&agent, self.sort, std::time::Duration::from_secs(self.interval));
        }
        let agent = Agent::find(&config.agent.socket);
        let agent = agent.map(|agent| agent.status()).transpose()?;
        // What the agent is there for it does itself: only who asks is told of differences.
        let alone = agent.is_some() && !self.sources.is_named();
        let mut report = if alone || self.sources.is_empty(&config) {
            Report::of(&open_kernel(&config)?.observe()?, None)
        } else {
            let wishes = self.sources.read(&config)?;
            let survey = wishes.survey(&config, &mut open_kernel(&config)?)?;
            let plan = survey.plan(&config);
            Report::of(&survey.observed, Some((&survey, &plan)))
        };
        report.agent = agent;
        match self.output {
            Format::Text => report.print()?,
            Format::Json => output::json(&report)?,
        }
        let wrong = report.agent.as_ref().is_some_and(AgentReport::has_trouble)
            || !report.problems.is_empty()
            || report.vips.iter().any(|v| !v.problems.is_empty());
        Ok(if wrong { End::Found } else { End::Fine })
    }
}

impl Report {
    fn of(observed: &Observed, wanted: Option<(&Survey, &Plan)>) -> Self {
        let desired = wanted.map(|(survey, _)| &survey.desired);
        let vips = observed.ours().map(|(vip, service)| {
            let wanted = desired.and_then(|desired| desired.services.get(&vip));
            VipStatus::of(vip, service, wanted, observed)
        });
        let mut report = Self {
            agent: None,
            timeouts: timeouts_json(&observed.timeouts),
            interface: match observed.link {
                Link::Up => "up",
                Link::Down => "down",
                Link::Missing => "missing",
            },
            data_path: observed.nft.to_string(),
            vips: vips.collect(),
            problems: Vec::new(),
            labels: serde_json::Value::Null,
        };
        if observed.link != Link::Up && !report.vips.is_empty() {
            report.problems.push(format!("the interface is {}", report.interface));
        }
        if let Some((survey, plan)) = wanted {
            report.labels = labels_json(&survey.desired.reports);
            report.problems.extend(plan.conflicts.iter().map(ToString::to_string));
            let refused = survey.desired.reports.iter().filter(|report| !report.verdict.is_ok());
            report.problems.extend(refused.map(ToString::to_string));
            report.problems.extend(survey.findings.iter().cloned());
            if !plan.is_empty() {
                let summary = plan.summary();
                report.problems.push(format!("the kernel differs: {summary} (see `vipd diff`)"));
            }
        }
        report
    }

    fn print(&self) -> Result<()> {
        let mut out = anstream::stdout().lock();
        let mut line = |depth, sign, text| output::line(&mut out, &Line { depth, sign, text });
        for (sign, text) in self.agent.iter().flat_map(agent_lines) {
            line(0, sign, text)?;
        }
        line(0, Sign::Plain, format!("data path: {}", self.data_path))?;
        for vip in &self.vips {
            line(0, Sign::Plain, vip.heading())?;
            for server in &vip.servers {
                line(1, Sign::Plain, server.text())?;
            }
            for left_out in &vip.left_out {
                line(1, Sign::Plain, format!("left out: {left_out}"))?;
            }
            for problem in &vip.problems {
                line(1, Sign::Warn, problem.clone())?;
            }
        }
        for problem in &self.problems {
            line(0, Sign::Warn, problem.clone())?;
        }
        let servers: usize = self.vips.iter().map(|vip| vip.servers.len()).sum();
        let interface = self.interface;
        let vips = self.vips.len();
        let [tcp, fin, udp] = ["tcp", "tcp-fin", "udp"].map(|name| &self.timeouts[name]);
        writeln!(
            out,
            "VIPs: {vips}; real servers: {servers}; interface: {interface}; connections are \
             forgotten after: tcp {tcp} s, after a FIN {fin} s, udp {udp} s"
        )?;
        Ok(())
    }
}

/// How the agent fares, a line for each thing to know.
fn agent_lines(agent: &AgentReport) -> Vec<(Sign, String)> {
    let mut lines = vec![(
        Sign::Plain,
        format!("agent: {}, {} draining, since {:.0}", agent.mode, agent.draining, agent.started),
    )];
    for (name, source) in &agent.sources {
        let how = if source.streaming { "events are coming" } else { "no events, polled" };
        let age = source.age_seconds.map_or_else(
            || "never read".to_owned(),
            |age| format!("{} apps and pods, read whole {age} s ago", source.workloads),
        );
        lines.push((Sign::Plain, format!("marathon {name}: {how}; {age}")));
    }
    let wrong = agent.unhealthy.iter().chain(&agent.not_ready).chain(&agent.notes);
    lines.extend(wrong.map(|text| (Sign::Warn, text.clone())));
    lines
}

impl VipStatus {
    fn of(
        vip: Vip,
        service: &ObservedService,
        wanted: Option<&DesiredService>,
        observed: &Observed,
    ) -> Self {
        let settings = &service.settings;
        let mut problems = Vec::new();
        if service.servers.is_empty() {
            problems.push("no real server: clients are refused".into());
        } else if service.servers.values().all(|server| server.settings.weight == 0) {
            problems.push("every real server has weight 0: new clients are refused".into());
        }
        if !observed.addresses.contains_key(&vip.address) {
            problems.push("its address is not bound on this node".into());
        }
        let server = |(address, server): (&SocketAddr, &ObservedServer)| {
            let member = wanted.and_then(|wanted| wanted.selection.members.get(address));
            let stats = server.counted();
            ServerStatus {
                server: *address,
                weight: server.settings.weight,
                forwarding: server.settings.forward.to_string(),
                active: server.active,
                inactive: server.inactive,
                connections: stats.connections,
                connections_per_second: stats.connections_per_second,
                app: member.map(|member| member.app.clone()),
                task: member.map(|member| member.task.clone()),
                why: member.map(vip::Member::reason),
            }
        };
        let left_out = wanted.map(|wanted| wanted.selection.waiting());
        Self {
            vip,
            apps: wanted.map(|wanted| wanted.apps.clone()).unwrap_or_default(),
            scheduler: settings.scheduler.as_ref().map(ToString::to_string),
            persistence: (settings.timeout > 0).then_some(settings.timeout),
            connections: service.stats.connections,
            connections_per_second: service.stats.connections_per_second,
            bytes_in_per_second: service.stats.in_bytes_per_second,
            bytes_out_per_second: service.stats.out_bytes_per_second,
            servers: service.servers.iter().map(server).collect(),
            left_out: left_out.into_iter().flatten().map(ToString::to_string).collect(),
            problems,
        }
    }

    fn heading(&self) -> String {
        let scheduler = self.scheduler.as_deref().unwrap_or("no scheduler");
        let persistence =
            self.persistence.map(|s| format!(" persistent {s} s")).unwrap_or_default();
        format!(
            "{}  {scheduler}{persistence}  {} connection{}, {}/s, {} B/s in, {} B/s out  {}",
            self.vip,
            self.connections,
            if self.connections == 1 { "" } else { "s" },
            self.connections_per_second,
            self.bytes_in_per_second,
            self.bytes_out_per_second,
            self.apps.join(", ")
        )
        .trim_end()
        .to_owned()
    }
}

impl ServerStatus {
    fn text(&self) -> String {
        let behind = match (&self.app, &self.task, &self.why) {
            (Some(app), Some(task), Some(why)) => format!("  {app} {task} ({why})"),
            _ => String::new(),
        };
        format!(
            "{}  {} weight {}  {} active, {} inactive, {}/s{behind}",
            self.server,
            self.forwarding,
            self.weight,
            self.active,
            self.inactive,
            self.connections_per_second
        )
    }
}
