//! `vipd generate`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use clap_complete::Shell;

use super::end::End;
use super::{man, output};

/// Generate man pages or shell completions
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd generate completions bash > /etc/bash_completion.d/vipd
  vipd generate man /usr/share/man/man1")]
pub(super) struct Generate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print completions for a shell
    Completions {
        /// Shell
        shell: Shell,
    },
    /// Write one man page per command, and that of the configuration, to a directory
    Man {
        /// Directory
        directory: PathBuf,
    },
}

impl Generate {
    pub(super) fn run(&self, mut command: clap::Command) -> Result<End> {
        match &self.what {
            What::Completions { shell } => {
                let mut completions = Vec::new();
                clap_complete::generate(*shell, &mut command, "vipd", &mut completions);
                output::print_with(|out| out.write_all(&completions))?;
            }
            What::Man { directory } => {
                man::write_pages(command, directory).with_context(|| {
                    format!("cannot write man pages to {}", directory.display())
                })?;
            }
        }
        Ok(End::Fine)
    }
}
