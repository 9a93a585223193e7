//! Child processes that die with their parent, are killed when they hang, and show their output.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::progress::format_duration;

/// Bytes that are kept of a line; the rest is dropped.
const LINE_MAX: usize = 64 * 1024;

/// Time limits of a child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimits {
    /// Maximum time without a byte of output.
    pub(crate) silence: Duration,
    /// Maximum time in all.
    pub(crate) total: Duration,
}

/// The end of a child.
#[derive(Debug)]
pub(crate) enum ChildEnd {
    Exited(ExitStatus),
    /// Killed for exceeding a limit; the text says which.
    Killed(String),
}

impl ChildEnd {
    /// Returns the reason of a failure, `None` for success.
    pub(crate) fn problem(&self) -> Option<String> {
        match self {
            Self::Exited(status) if status.success() => None,
            Self::Exited(status) => Some(status.to_string()),
            Self::Killed(why) => Some(why.clone()),
        }
    }
}

/// Returns a command that the kernel kills when the thread that started it is gone, for whatever
/// reason: Ctrl-C, a panic, `kill -9`.
pub(crate) fn supervised_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Runs `command` without input, copies its output to `shown` as it arrives and passes each line to
/// `on_line`. A child that exceeds a limit is killed.
pub(crate) fn run_supervised(
    command: &mut Command,
    limits: TimeLimits,
    shown: &mut (impl Write + ?Sized),
    mut on_line: impl FnMut(&str),
) -> Result<ChildEnd> {
    let (mut output, writer) = io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stderr(writer.try_clone()?).stdout(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    // The command still holds the write ends of the pipe; drop them so that the reader sees the
    // end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (sender, chunks) = sync_channel::<Vec<u8>>(16);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });

    let deadline = Instant::now() + limits.total;
    let mut lines = Lines::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match chunks.recv_timeout(left.min(limits.silence)) {
            Ok(chunk) => {
                shown.write_all(&chunk)?;
                shown.flush()?;
                lines.push_bytes(&chunk, &mut on_line);
            }
            Err(RecvTimeoutError::Disconnected) => {
                lines.end_line(&mut on_line);
                return Ok(ChildEnd::Exited(child.wait()?));
            }
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                lines.end_line(&mut on_line);
                return Ok(ChildEnd::Killed(if left <= limits.silence {
                    format!("killed: still running after {}", format_duration(limits.total))
                } else {
                    format!("killed: no output for {}", format_duration(limits.silence))
                }));
            }
        }
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
struct Lines {
    current: Vec<u8>,
}

impl Lines {
    fn push_bytes(&mut self, chunk: &[u8], on_line: &mut impl FnMut(&str)) {
        for &byte in chunk {
            if byte == b'\n' {
                self.end_line(on_line);
            } else if self.current.len() < LINE_MAX {
                self.current.push(byte);
            }
        }
    }

    fn end_line(&mut self, on_line: &mut impl FnMut(&str)) {
        if !self.current.is_empty() {
            on_line(String::from_utf8_lossy(&self.current).trim_end());
            self.current.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limits: TimeLimits) -> (ChildEnd, Vec<String>) {
        let mut lines = Vec::new();
        let mut command = supervised_command("sh");
        command.args(["-c", script]);
        let end = run_supervised(&mut command, limits, &mut io::sink(), |line| {
            lines.push(line.to_owned());
        });
        (end.unwrap(), lines)
    }

    const LONG: TimeLimits =
        TimeLimits { silence: Duration::from_secs(60), total: Duration::from_secs(60) };

    #[test]
    fn both_outputs_arrive_line_by_line_and_the_status_passes_through() {
        let (end, lines) = sh("echo one; echo two >&2; printf three; exit 7", LONG);
        assert_eq!(lines, ["one", "two", "three"]);
        assert!(end.problem().unwrap().contains('7'));
    }

    #[test]
    fn success_is_no_problem() {
        assert_eq!(sh(":", LONG).0.problem(), None);
    }

    #[test]
    fn a_silent_child_is_killed() {
        let limits = TimeLimits { silence: Duration::from_millis(50), ..LONG };
        let problem = sh("exec sleep 60", limits).0.problem().unwrap();
        assert!(problem.contains("no output"), "{problem}");
    }

    #[test]
    fn a_child_that_talks_for_ever_is_killed() {
        let limits = TimeLimits { total: Duration::from_millis(50), ..LONG };
        let problem = sh("while :; do echo; done", limits).0.problem().unwrap();
        assert!(problem.contains("still running"), "{problem}");
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_whole() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        lines.push_bytes(&vec![b'x'; 2 * LINE_MAX], &mut |line: &str| seen.push(line.to_owned()));
        lines.push_bytes(b"\nnext\n", &mut |line: &str| seen.push(line.to_owned()));
        assert_eq!(seen[0].len(), LINE_MAX);
        assert_eq!(seen[1], "next");
    }
}
