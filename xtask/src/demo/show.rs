//! Shows commands with their true output, and holds them to what they must do.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// In the network that joins the nodes.
    Lan,
    /// In the named network namespace.
    Host(&'static str),
}

/// Numbers the steps and prints their headings.
#[derive(Debug, Default)]
pub(crate) struct Show {
    steps: u32,
}

impl Show {
    /// Starts a step.
    pub(crate) fn step(&mut self, heading: &str) {
        self.steps += 1;
        println!("\n--- Step {}: {heading}", self.steps);
    }

    /// Runs one line of shell where it says, and shows both the line and what it printed.
    pub(crate) fn run(&self, at: At, line: &str) -> Result<Shown> {
        match at {
            At::Lan => println!("$ {line}"),
            At::Host(name) => println!("{name}$ {line}"),
        }
        let output = shell(at, line).output().with_context(|| format!("cannot start `{line}`"))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        print!("{text}");
        Ok(Shown { line: line.to_owned(), code: output.status.code(), text })
    }
}

fn shell(at: At, line: &str) -> Command {
    match at {
        At::Lan => {
            let mut command = Command::new("sh");
            command.args(["-c", line]);
            command
        }
        At::Host(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name, "sh", "-c", line]);
            command
        }
    }
}

/// What a command printed, standard output before standard error, and how it ended.
#[derive(Debug)]
pub(crate) struct Shown {
    line: String,
    /// `None` when a signal ended it.
    code: Option<i32>,
    text: String,
}

impl Shown {
    /// It must have ended with this exit status.
    pub(crate) fn exits(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "`{}` ended with {:?}, not {code}", self.line, self.code);
        Ok(self)
    }

    /// It must have printed this.
    pub(crate) fn says(self, part: &str) -> Result<Self> {
        ensure!(self.text.contains(part), "`{}` did not print '{part}'", self.line);
        Ok(self)
    }

    /// It must not have printed this.
    pub(crate) fn lacks(self, part: &str) -> Result<Self> {
        ensure!(!self.text.contains(part), "`{}` printed '{part}'", self.line);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_is_not_as_it_must_be_is_an_error_that_names_the_command() {
        let show = Show::default();
        let run = || show.run(At::Lan, "echo out; echo err >&2; exit 3").unwrap();
        assert!(
            run().exits(3).unwrap().says("out").unwrap().says("err").unwrap().lacks("in").is_ok()
        );
        for wrong in [run().exits(0), run().says("in"), run().lacks("out")] {
            assert!(wrong.unwrap_err().to_string().contains("echo out"));
        }
    }
}
