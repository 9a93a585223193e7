//! Output of the commands, in colour on a terminal.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;
use vip::{LabelReport, Line, Sign, Verdict};

/// The output format of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For machines.
    Json,
}

/// Prints a line in the colour of its sign.
pub(super) fn print_line(out: &mut impl Write, line: &Line) -> Result<()> {
    let style = sign_style(line.sign);
    writeln!(out, "{style}{line}{style:#}")?;
    Ok(())
}

fn sign_style(sign: Sign) -> Style {
    let color = match sign {
        Sign::Add => AnsiColor::Green,
        Sign::Remove => AnsiColor::Red,
        Sign::Change => AnsiColor::Yellow,
        Sign::Warn => AnsiColor::Magenta,
        Sign::Plain => return Style::new(),
    };
    color.on_default()
}

/// Prints indented JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Prints a warning on standard error.
pub(super) fn print_warning(text: &str) {
    let style = AnsiColor::Magenta.on_default();
    // If standard error is closed, there is no other way to report it.
    let _ = writeln!(anstream::stderr(), "{style}warning:{style:#} {text}");
}

/// Prints a note on standard error.
pub(super) fn print_note(text: &str) {
    let style = AnsiColor::Yellow.on_default();
    let _ = writeln!(anstream::stderr(), "{style}note:{style:#} {text}");
}

/// Prints an error with its causes on standard error.
pub(super) fn print_error(error: &anyhow::Error) {
    let style = AnsiColor::Red.on_default();
    let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {error:#}");
}

/// Warns about every finding, and every label that is not obeyed exactly.
pub(super) fn warn_about_labels(reports: &[LabelReport], findings: &[String]) {
    for finding in findings {
        print_warning(finding);
    }
    for report in reports.iter().filter(|report| report.verdict != Verdict::Obeyed) {
        print_warning(&report.to_string());
    }
}
