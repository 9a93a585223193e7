use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use clap_complete::Shell;

use super::end::End;

/// Write man pages or shell completions
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
    /// Completions for a shell, to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
    /// One man page per command, into a folder
    Man {
        /// The folder
        folder: PathBuf,
    },
}

impl Generate {
    pub(super) fn run(&self, mut command: clap::Command) -> Result<End> {
        match &self.what {
            What::Completions { shell } => {
                clap_complete::generate(*shell, &mut command, "vipd", &mut std::io::stdout());
            }
            What::Man { folder } => {
                std::fs::create_dir_all(folder)
                    .and_then(|()| clap_mangen::generate_to(command, folder))
                    .with_context(|| format!("cannot write man pages to {}", folder.display()))?;
            }
        }
        Ok(End::Fine)
    }
}
