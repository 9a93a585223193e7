//! `vipd version`.

use anyhow::Result;
use clap::Args;

use super::end::End;
use super::output::{self, Format};
use crate::version::{BUILD, describe_build};

/// Show the version, the commit and the platform of this program
///
/// The running agent's own are at `/version` of its HTTP server.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd version
  vipd version --output json")]
pub(super) struct Version {
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Version {
    pub(super) fn run(&self) -> Result<End> {
        match self.output {
            Format::Text => output::print_with(|out| writeln!(out, "vipd {}", describe_build()))?,
            Format::Json => output::print_json(&BUILD)?,
        }
        Ok(End::Fine)
    }
}
