//! `vipd diff`.

use anyhow::{Context, Result};
use clap::Args;
use vip::Printable;
use vip::plan::ipvsadm_args;

use super::agent::{AgentAddress, if_any, is_denied};
use super::args::{Sources, ask_agent, open_kernel};
use super::end::End;
use super::global::Global;
use super::output;
use crate::admin::client::AgentClient;
use crate::report::plan::plan_json;

/// Show what `apply` would change, without changing anything
///
/// Reads the sources and the kernel, for which it needs root's rights. Without them, or with --url, it
/// shows what the running agent would change.
///
/// Exit status: 0 nothing to do, 1 there are changes, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd diff --marathon http://marathon.example:8080
  vipd diff --marathon http://m1:8080,http://m2:8080 --output json
  vipd diff --from mysql.json
  vipd diff --url http://node7:9614
  curl -s 'http://m1:8080/v2/apps?embed=apps.tasks' | vipd diff --from -
  vipd diff --from apps.json --output ipvsadm | ipvsadm -R")]
pub(super) struct Diff {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    agent: AgentAddress,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Changes by VIP, with the app and task behind each real server
    Text,
    /// One JSON object with the operations in order
    Json,
    /// Commands for `ipvsadm -R`; address changes are printed to standard error
    Ipvsadm,
}

impl Diff {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        if let Some(agent) = self.find_other_view(global)? {
            return self.show_agents_view(&agent);
        }
        match self.compare_here(global) {
            Err(error) if is_denied(&error) && !self.sources.is_named() => {
                output::print_note(&format!("{error:#}; the agent is asked instead"));
                self.show_agents_view(&self.agent.find(&global.resolve_node_config()?)?)
            }
            compared => compared,
        }
    }

    /// Returns the agent that is named, or that this process may only ask over HTTP: then it may not
    /// read the kernel either.
    fn find_other_view(&self, global: &Global) -> Result<Option<AgentClient>> {
        if self.sources.is_named() && !self.agent.is_named() {
            return Ok(None);
        }
        let agent = if_any(self.agent.find(&global.resolve_node_config()?))?;
        Ok(agent.filter(|agent| !agent.is_on_socket()))
    }

    /// Shows what an agent would change.
    fn show_agents_view(&self, agent: &AgentClient) -> Result<End> {
        let diff = agent.fetch_diff()?;
        let texts = |key: &str| -> Vec<String> {
            let values = diff[key].as_array().into_iter().flatten();
            values.filter_map(|value| Some(value.as_str()?.to_owned())).collect()
        };
        let operations =
            diff["operations"].as_array().context("the agent is of another version")?;
        match self.output {
            Format::Json => output::print_json(&diff)?,
            Format::Text => output::print_with(|out| {
                let summary = diff["summary"].as_str().unwrap_or_default().to_owned();
                let lines = texts("lines").into_iter().chain([summary]);
                lines
                    .map(|line| Printable(&line).to_string())
                    .try_for_each(|line| writeln!(out, "{line}"))
            })?,
            Format::Ipvsadm => output::print_with(|out| {
                let mut commands = operations.iter().filter_map(|op| op["ipvsadm"].as_str());
                commands.try_for_each(|command| writeln!(out, "{command}"))
            })?,
        }
        Ok(if operations.is_empty() { End::Fine } else { End::Found })
    }

    fn compare_here(&self, global: &Global) -> Result<End> {
        let config = global.resolve_config()?;
        let wishes = self.sources.read_all(&config)?;
        let mut kernel = open_kernel(&config)?;
        let survey = wishes.survey_kernel(&config, &mut kernel, ask_agent(&config)?)?;
        let plan = &survey.plan;
        if self.output != Format::Json {
            output::warn_about_labels(&survey.desired.reports, &survey.findings);
            survey.missing.iter().for_each(|missing| output::print_note(missing));
        }
        match self.output {
            Format::Text => output::print_with(|out| {
                for line in plan.describe(&survey.desired) {
                    output::print_line(out, &line)?;
                }
                writeln!(out, "{}", plan.summary())
            })?,
            Format::Json => {
                let mut json = plan_json(plan, &survey.desired, &survey.findings);
                json["missing"] = serde_json::json!(survey.missing);
                output::print_json(&json)?;
            }
            Format::Ipvsadm => {
                output::print_with(|out| {
                    let mut commands = plan.ops.iter().filter_map(ipvsadm_args);
                    commands.try_for_each(|command| writeln!(out, "{command}"))
                })?;
                for address in plan.changed_addresses() {
                    output::print_warning(&format!(
                        "ipvsadm can't change addresses: bind or unbind {address} on {} yourself",
                        config.interface
                    ));
                }
            }
        }
        Ok(if plan.is_empty() { End::Fine } else { End::Found })
    }
}
