//! `vipd names import`.

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use vip::naming::NameFacts;

use crate::cli::agent::{find_agent, if_any};
use crate::cli::args::Marathons;
use crate::cli::end::End;
use crate::cli::global::Global;
use crate::cli::output::{self, Format};
use crate::cli::unquoted::Unquoted;
use crate::config::{Config, ConfigProblem, Secrets};
use crate::import::{Comparison, ImportSource};
use crate::sources::once::DefinitionSource;
use crate::sources::survey::GatheredClaims;

/// Compare the addresses of names with those that they have in DC/OS
///
/// Shows each name that an app claims with its address here and there. For each that differs it prints
/// the label `IPVS_ADDRESS` with which the name keeps its address from there. Nothing is changed: the
/// label goes into the definition of the app, so that Marathon tells it to every node.
///
/// The addresses here are those of the agent that runs on this node. Without an agent, or with
/// --marathon, Marathon is read once, and they are those of a node without memory.
///
/// Exit status: 0 no name differs; 1 names differ, or got no answer; 2 error, also in what the
/// configuration says of names.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd names import --from http://127.0.0.1:62080/v1/records
  vipd names import --from records.json --marathon http://marathon.example:8080
  vipd names import --from dns://198.51.100.1 --output json")]
pub(super) struct Import {
    /// What to compare with: the list of DNS records of a DC/OS node as a URL or a file (`-` is standard
    /// input), or `dns://ADDRESS[:PORT]`, a DNS server that is asked for each name
    #[arg(long, value_name = "SOURCE", value_parser = Unquoted(ImportSource::from_str))]
    from: ImportSource,
    #[command(flatten)]
    marathons: Marathons,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Import {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let (config, problems) = global.resolve_leniently(Secrets::Read)?;
        for warning in global.describe_ignored(&problems) {
            output::print_warning(&warning);
        }
        let Some(settings) = &config.names.vips else {
            bail!("names are not served on this node: [names] enabled = false");
        };
        let here = self.read_own_names(&config, &problems)?;
        let claimed = here.iter().filter(|facts| !facts.apps.is_empty());
        let elsewhere = self.from.read_names(claimed.map(|facts| &facts.name), settings)?;
        if let Some(example) = &elsewhere.example {
            output::print_note(&format!("no label can give a name such as {example:?} there"));
        }
        let comparison = Comparison::new(&here, &elsewhere, settings, &config.policy.allow);
        match self.output {
            Format::Text => {
                output::print_with(|out| {
                    let lines = comparison.to_lines();
                    lines.iter().try_for_each(|line| output::print_line(out, line))?;
                    writeln!(out, "{}", comparison.summary_line())
                })?;
                comparison.hint.iter().for_each(|hint| output::print_warning(hint));
            }
            Format::Json => output::print_json(&comparison)?,
        }
        Ok(match comparison.is_clean() {
            _ if problems.iter().any(ConfigProblem::may_concern_labels) => End::Trouble,
            true => End::Fine,
            false => End::Found,
        })
    }

    /// Returns the names of the agent; without one, those that Marathon's apps have on a node without
    /// memory.
    fn read_own_names(
        &self,
        config: &Config,
        problems: &[ConfigProblem],
    ) -> Result<Vec<NameFacts>> {
        let agent = match self.marathons.is_named() {
            true => None,
            false => if_any(find_agent(config))?,
        };
        if let Some(agent) = agent {
            let facts = agent.fetch_local_facts()?;
            return Ok(facts.context("the agent is of a version without names")?.names);
        }
        let at_fault = problems.iter().find(|problem| problem.may_concern_marathons());
        if let Some(problem) = at_fault.filter(|_| !self.marathons.is_named()) {
            bail!(
                "no agent answers, and Marathon can't be asked: {problem}; mend that, or name a \
                 Marathon with --marathon"
            );
        }
        let marathons = self.marathons.resolve_marathons(config, Secrets::Read)?.into_iter();
        let sources: Vec<_> =
            marathons.map(|each| DefinitionSource::Marathon(Box::new(each))).collect();
        let gathered = GatheredClaims::read_sources(&sources, false, config)?;
        let (names, findings) = gathered.place_names(config);
        findings.iter().for_each(|finding| output::print_warning(finding));
        Ok(names)
    }
}
