use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;
use vip::{LabelReport, Line, Sign, Verdict};

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Prints a line with its sign in colour.
pub(super) fn line(out: &mut impl Write, line: &Line) -> Result<()> {
    let style = style(line.sign);
    writeln!(out, "{style}{line}{style:#}")?;
    Ok(())
}

fn style(sign: Sign) -> Style {
    let color = match sign {
        Sign::Add => AnsiColor::Green,
        Sign::Remove => AnsiColor::Red,
        Sign::Change => AnsiColor::Yellow,
        Sign::Warn => AnsiColor::Magenta,
        Sign::Plain => return Style::new(),
    };
    color.on_default()
}

/// Prints JSON with an end of line.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Warns on standard error.
pub(super) fn warn(text: &str) {
    let style = AnsiColor::Magenta.on_default();
    // Nothing is left to tell anybody when standard error is gone.
    let _ = writeln!(anstream::stderr(), "{style}warning:{style:#} {text}");
}

/// Tells on standard error what else was done.
pub(super) fn note(text: &str) {
    let style = AnsiColor::Yellow.on_default();
    let _ = writeln!(anstream::stderr(), "{style}note:{style:#} {text}");
}

/// Tells why a command failed.
pub(super) fn complain(error: &anyhow::Error) {
    let style = AnsiColor::Red.on_default();
    let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {error:#}");
}

/// Warns about every label that isn't obeyed as it stands, and everything that couldn't be read.
pub(super) fn warn_of(reports: &[LabelReport], findings: &[String]) {
    for finding in findings {
        warn(finding);
    }
    for report in reports.iter().filter(|report| report.verdict != Verdict::Obeyed) {
        warn(&report.to_string());
    }
}
