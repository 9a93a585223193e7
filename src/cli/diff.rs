//! `vipd diff`.

use anyhow::Result;
use clap::Args;
use vip::plan::ipvsadm_args;

use super::args::{Sources, ask_agent, open_kernel};
use super::end::End;
use super::global::Global;
use super::output;
use crate::report::plan::plan_json;

/// Show what `apply` would change, without changing anything
///
/// Exit status: 0 nothing to do, 1 there are changes, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd diff --marathon http://marathon.example:8080
  vipd diff --marathon http://m1:8080,http://m2:8080 --output json
  vipd diff --from mysql.json
  curl -s 'http://m1:8080/v2/apps?embed=apps.tasks' | vipd diff --from -
  vipd diff --from apps.json --output ipvsadm | ipvsadm -R")]
pub(super) struct Diff {
    #[command(flatten)]
    sources: Sources,
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
