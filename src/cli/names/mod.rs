//! `vipd names`.

mod import;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use vip::Printable;
use vip::naming::{NameSettings, VipName};

use super::agent::AgentAddress;
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::admin::client::AgentClient;
use crate::report::names::NamesReport;
use crate::report::near::UnknownName;

/// Show the names of VIPs, their addresses on this node, and who claims them
///
/// Asks the agent that runs on this node. First come the names with a problem: those that are
/// refused, and those for which another node may have another address, since their hash gives the
/// address of another name or this node remembers them otherwise. Each has its cure. The address of a
/// name without an app is kept for it for 24 hours.
///
/// Exit status: 0 no problems, or reassigned; 1 problems found; 2 error, no agent runs, or nothing
/// matches the text.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  vipd names
  vipd names mysql
  vipd names 11.91.210.154
  vipd names --output json
  vipd names --reassign mysql.marathon
  vipd names import --from dns://198.51.100.1")]
pub(super) struct Names {
    #[command(subcommand)]
    command: Option<NamesCommand>,
    /// Part of a name or of an app's id, or an address; without it all names
    what: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Forget the address of this name, and choose again as a node without memory would
    ///
    /// Clients that still use the old address are refused from then on.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["what", "url"])]
    reassign: Option<String>,
    #[command(flatten)]
    agent: AgentAddress,
}

#[derive(Debug, Subcommand)]
enum NamesCommand {
    Import(import::Import),
}

impl Names {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        if let Some(NamesCommand::Import(import)) = &self.command {
            return import.run(global);
        }
        let config = global.resolve_node_config()?;
        let settings = config.names.vips.clone().unwrap_or_default();
        if let Some(name) = &self.reassign {
            let agent = AgentClient::connect(&config.agent.socket)?;
            return self.reassign_name(&agent, &parse_name(name, &settings)?);
        }
        let agent = self.agent.find(&config)?;
        let facts =
            agent.fetch_local_facts()?.context("the agent is of a version without names")?;
        let labels = agent.fetch_labels()?;
        let report = NamesReport::new(&facts.names, &labels, &settings, self.what.as_deref());
        if let Some(what) = &self.what
            && report.names.is_empty()
        {
            let all = NamesReport::new(&facts.names, &labels, &settings, None);
            bail!(UnknownName::of(what, all.known_names()));
        }
        match self.output {
            Format::Text => output::print_with(|out| {
                report.to_lines().iter().try_for_each(|line| output::print_line(out, line))?;
                writeln!(out, "{}", Printable(&report.summary_line()))
            })?,
            Format::Json => output::print_json(&report)?,
        }
        Ok(if report.has_trouble() { End::Found } else { End::Fine })
    }

    fn reassign_name(&self, agent: &AgentClient, name: &VipName) -> Result<End> {
        let known = || format!("the agent knows no name {name}: see `vipd names`");
        let addresses = agent.request_reassign(name)?.with_context(known)?;
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        match self.output {
            Format::Text => output::print_note(&match addresses.is_empty() {
                true => format!("forgotten: {name} has no app, and no address from now on"),
                false => format!("reassigned: {name} has {}", addresses.join(" and ")),
            }),
            Format::Json => output::print_json(
                &json!({ "reassigned": { "name": name.as_str(), "addresses": addresses } }),
            )?,
        }
        Ok(End::Fine)
    }
}

/// Parses a name with or without a zone.
fn parse_name(text: &str, settings: &NameSettings) -> Result<VipName> {
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    let strip = |zone: &String| lower.strip_suffix(zone.as_str())?.strip_suffix('.');
    let name = settings.zones().iter().find_map(strip).unwrap_or(&lower);
    Ok(name.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_its_zone() {
        for text in ["mysql.marathon", "MySQL.Marathon.l4lb.thisdcos.directory."] {
            let name = parse_name(text, &NameSettings::default()).unwrap();
            assert_eq!(name.as_str(), "mysql.marathon");
        }
        assert!(parse_name("mysql", &NameSettings::default()).is_err());
    }
}
