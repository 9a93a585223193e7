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
  vipd generate man ./man")]
pub(super) struct Generate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print completions for a shell
    #[command(after_help = "Examples:
  vipd generate completions bash > /etc/bash_completion.d/vipd
  vipd generate completions zsh > /usr/local/share/zsh/site-functions/_vipd")]
    Completions {
        /// Shell
        shell: Shell,
    },
    /// Write one man page per command, and that of the configuration, to a directory
    #[command(after_help = "Examples:
  vipd generate man ./man")]
    Man {
        /// Directory
        directory: PathBuf,
    },
}

impl Generate {
    pub(super) fn run(&self, command: clap::Command) -> Result<End> {
        match &self.what {
            What::Completions { shell } => {
                let completions = generate_completions(*shell, &command)?;
                output::print_with(|out| out.write_all(completions.as_bytes()))?;
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

/// Generates completions, which in the shells that most people use ask `vipd complete-values` for the words
/// that the agent knows.
fn generate_completions(shell: Shell, command: &clap::Command) -> Result<String> {
    // clap would offer hidden commands as well.
    let shown = command.get_subcommands().filter(|each| !each.is_hide_set()).cloned();
    let mut command = clap::Command::new("vipd")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(command.get_arguments().cloned())
        .subcommands(shown);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "vipd", &mut script);
    let script = String::from_utf8(script).context("the completions are not text")?;
    let wrapper = match shell {
        Shell::Bash => include_str!("completions/values.bash"),
        Shell::Zsh => include_str!("completions/values.zsh"),
        Shell::Fish => return Ok(script + include_str!("completions/values.fish")),
        _ => return Ok(script),
    };
    // The shell calls the wrapper, which calls what clap has generated.
    let (head, rest) =
        script.split_once("_vipd() {\n").context("clap generates other completions")?;
    Ok(format!("{head}{wrapper}\n_vipd_options() {{\n{rest}"))
}
