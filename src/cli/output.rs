//! Output of the commands, in colour on a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use serde::Serialize;
use vip::{LabelReport, Line, Printable, Sign, Verdict, escape_json};

/// The output format of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For machines.
    Json,
}

/// Prints to standard output. Where its reader has gone away, as in `vipd diff | head`, the rest is
/// dropped: that is no error, and the command ends as it would have.
pub(super) fn print_with(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = anstream::stdout().lock();
    match print(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot write to standard output"),
    }
}

/// Returns the columns of the terminal. None: standard output is no terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Prints a line in the colour of its sign.
pub(super) fn print_line(out: &mut dyn Write, line: &Line) -> io::Result<()> {
    let style = sign_style(line.sign);
    writeln!(out, "{style}{line}{style:#}")
}

/// Prints lines, each in the colour of its sign.
pub(super) fn print_lines(lines: &[Line]) -> Result<()> {
    print_with(|out| lines.iter().try_for_each(|line| print_line(out, line)))
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
    let json = escape_json(&serde_json::to_string_pretty(value)?);
    print_with(|out| writeln!(out, "{json}"))
}

/// Prints a warning on standard error.
pub(super) fn print_warning(text: &str) {
    let style = AnsiColor::Magenta.on_default();
    // If standard error is closed, there is no other way to report it.
    let _ = writeln!(anstream::stderr(), "{style}warning:{style:#} {}", Printable(text));
}

/// Prints a note on standard error.
pub(super) fn print_note(text: &str) {
    let style = AnsiColor::Yellow.on_default();
    let _ = writeln!(anstream::stderr(), "{style}note:{style:#} {}", Printable(text));
}

/// Prints an error with its causes on standard error.
pub(super) fn print_error(error: &anyhow::Error) {
    let style = AnsiColor::Red.on_default();
    let text = format!("{error:#}");
    // An error of the configuration shows its lines.
    let lines: Vec<_> = text.trim_end().lines().map(|line| Printable(line).to_string()).collect();
    let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {}", lines.join("\n"));
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
