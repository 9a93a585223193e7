//! Runs commands, shows their output and checks it.

use std::io::Write;
use std::process::Command;

use anstream::adapter::strip_str;
use anstream::{print, println};
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, ensure};

const HEADING: Style = Style::new().bold();
const PROMPT: Style = AnsiColor::Cyan.on_default();
const NOTE: Style = Style::new().dimmed();

/// The network namespace that a command runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The network that joins the nodes.
    Lan,
    /// A node or the container, by name.
    Host(&'static str),
}

/// Prints the heading and the description of a step.
pub(super) fn print_heading(number: usize, of: usize, title: &str, about: &str) {
    println!("\n{HEADING}[{number}/{of}] {title}{HEADING:#}\n{about}");
}

/// Prints a command behind a prompt.
pub(super) fn print_prompt(at: At, line: &str) {
    let host = match at {
        At::Lan => "",
        At::Host(name) => name,
    };
    println!("\n{PROMPT}{host}${PROMPT:#} {HEADING}{line}{HEADING:#}");
}

/// Runs a line of shell, and prints the line and its output.
pub(super) fn run_and_show(at: At, line: &str) -> Result<Shown> {
    print_prompt(at, line);
    std::io::stdout().flush()?;
    let output =
        shell_command(at, line).output().with_context(|| format!("cannot start `{line}`"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    print!("{text}");
    if !text.is_empty() && !text.ends_with('\n') {
        println!();
    }
    let code = output.status.code();
    if code != Some(0) {
        println!("{NOTE}({}){NOTE:#}", output.status);
    }
    Ok(Shown { line: line.to_owned(), code, text: strip_str(&text).to_string() })
}

/// Returns the command that runs a line of shell in a namespace.
pub(super) fn shell_command(at: At, line: &str) -> Command {
    let mut command = match at {
        At::Lan => Command::new("sh"),
        At::Host(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name, "sh"]);
            // Real nodes have file systems of their own; these share one.
            let own = super::topology::node_dir(name);
            for (variable, file) in
                [("VIPD_LOCK", "lock"), ("VIPD_SOCKET", "agent.sock"), ("VIPD_STATE", "state")]
            {
                command.env(variable, format!("{own}/{file}"));
            }
            command.env("VIPD_NODE_NAME", name);
            command
        }
    };
    command.args(["-c", line]);
    command
}

/// The output of a command, standard output before standard error, and its exit status.
#[derive(Debug)]
pub(super) struct Shown {
    line: String,
    /// `None` if a signal ended it.
    code: Option<i32>,
    text: String,
}

impl Shown {
    /// Checks the exit status.
    pub(super) fn exits(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "`{}` ended with {:?}, not {code}", self.line, self.code);
        Ok(self)
    }

    /// Checks that the output contains `part`.
    pub(super) fn says(self, part: &str) -> Result<Self> {
        ensure!(self.text.contains(part), "`{}` did not print '{part}'", self.line);
        Ok(self)
    }

    /// Checks that the output is the same as another one.
    pub(super) fn equals(self, other: &Self) -> Result<Self> {
        ensure!(self.text == other.text, "`{}` did not print the same as before", self.line);
        Ok(self)
    }

    /// Checks that the output does not contain `part`.
    pub(super) fn lacks(self, part: &str) -> Result<Self> {
        ensure!(!self.text.contains(part), "`{}` printed '{part}'", self.line);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_is_not_as_it_must_be_is_an_error_that_names_the_command() {
        let run = || run_and_show(At::Lan, "echo out; echo err >&2; exit 3").unwrap();
        assert!(
            run().exits(3).unwrap().says("out").unwrap().says("err").unwrap().lacks("in").is_ok()
        );
        for wrong in [run().exits(0), run().says("in"), run().lacks("out")] {
            assert!(wrong.unwrap_err().to_string().contains("echo out"));
        }
    }

    #[test]
    fn colour_does_not_hide_a_word() {
        let shown = run_and_show(At::Lan, r"printf 'n\033[32mo\033[0mw'").unwrap();
        assert!(shown.says("now").is_ok());
    }
}
