//! Reads the parts of a report side by side, each within bounds of time and size.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The longest part; the rest is cut off.
pub(super) const MAX_PART: usize = 4 << 20;

/// The time that a program has.
const PROGRAM_WITHIN: Duration = Duration::from_secs(20);

/// The time that all parts have together.
const ALL_WITHIN: Duration = Duration::from_secs(30);

/// A part of a report: a file in it, and how it is read.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) read: Box<dyn FnOnce() -> Result<Vec<u8>> + Send>,
}

impl Part {
    pub(super) fn new(
        name: impl Into<String>,
        read: impl FnOnce() -> Result<Vec<u8>> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), read: Box::new(read) }
    }
}

/// A part that was read, or why it wasn't.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collected {
    pub(super) name: String,
    pub(super) content: Result<Vec<u8>, String>,
    /// The rest of it is cut off.
    pub(super) is_cut: bool,
}

/// Reads all parts. One that fails, or isn't done in time, costs no other.
pub(super) fn collect_parts(parts: Vec<Part>) -> Vec<Collected> {
    collect_within(parts, ALL_WITHIN)
}

fn collect_within(parts: Vec<Part>, patience: Duration) -> Vec<Collected> {
    let end = Instant::now() + patience;
    let started = parts.into_iter().map(|part| {
        let (done, result) = mpsc::channel();
        let started = thread::Builder::new().spawn(move || done.send((part.read)()));
        (part.name, started.map(|_| result))
    });
    let started: Vec<_> = started.collect();
    let wait = |(name, started): (String, std::io::Result<mpsc::Receiver<Result<Vec<u8>>>>)| {
        let content = match started {
            Err(error) => Err(error.to_string()),
            Ok(result) => {
                let left = end.saturating_duration_since(Instant::now());
                match result.recv_timeout(left) {
                    Ok(read) => read.map_err(|error| format!("{error:#}")),
                    Err(RecvTimeoutError::Timeout) => Err("it took too long".to_owned()),
                    Err(RecvTimeoutError::Disconnected) => Err("it ended early".to_owned()),
                }
            }
        };
        let is_cut = content.as_ref().is_ok_and(|content| content.len() > MAX_PART);
        let name = if is_cut { format!("{name}.cut-off") } else { name };
        Collected { name, content: content.map(cut_off), is_cut }
    };
    started.into_iter().map(wait).collect()
}

/// Cuts off what is beyond the longest part, and says so.
fn cut_off(mut content: Vec<u8>) -> Vec<u8> {
    if content.len() > MAX_PART {
        content.truncate(MAX_PART);
        content.extend_from_slice(format!("\n[cut off after {MAX_PART} bytes]\n").as_bytes());
    }
    content
}

/// Runs a program and returns what it prints, on both outputs. One that doesn't end is killed.
pub(super) fn run_program(program: &str, args: &[String]) -> Result<Vec<u8>> {
    let (mut output, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(writer.try_clone()?).stdout(writer);
    let child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    // It holds the other ends of the pipe.
    drop(command);
    let child = Arc::new(Mutex::new(child));
    let (ended, end) = mpsc::channel::<()>();
    let killer = {
        let child = Arc::clone(&child);
        thread::spawn(move || {
            let timeout = end.recv_timeout(PROGRAM_WITHIN) == Err(RecvTimeoutError::Timeout);
            if timeout {
                let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
            }
            timeout
        })
    };
    let mut content = Vec::new();
    output.by_ref().take(MAX_PART as u64 + 1).read_to_end(&mut content)?;
    drop(output);
    drop(ended);
    let is_killed = killer.join().unwrap_or_default();
    let status = {
        let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
        // One that goes on after the longest part has nobody to read it.
        if content.len() > MAX_PART {
            let _ = child.kill();
        }
        child.wait()?
    };
    if content.is_empty() && !status.success() {
        bail!("{program} said nothing: {status}");
    }
    if is_killed {
        content.extend_from_slice(b"\n[killed: it didn't end]\n");
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_fails_or_hangs_costs_no_other() {
        let parts = vec![
            Part::new("fine", || Ok(b"text".to_vec())),
            Part::new("fails", || bail!("no such thing")),
            Part::new("hangs", || {
                thread::park();
                thread::park();
                Ok(Vec::new())
            }),
            Part::new("long.json", || Ok(vec![b'x'; 2 * MAX_PART])),
        ];
        let collected = collect_within(parts, Duration::from_millis(200));
        let contents: Vec<_> = collected.iter().map(|part| part.content.as_deref()).collect();
        assert_eq!(contents[0], Ok(b"text".as_slice()));
        assert_eq!(contents[1], Err(&"no such thing".to_owned()));
        assert_eq!(contents[2], Err(&"it took too long".to_owned()));
        assert!(contents[3].unwrap().ends_with(b"bytes]\n"));
        assert!(contents[3].unwrap().len() < MAX_PART + 100);
        let cut: Vec<_> = collected.iter().map(|part| (part.name.as_str(), part.is_cut)).collect();
        let whole = [("fine", false), ("fails", false), ("hangs", false)];
        assert_eq!(cut, [&whole[..], &[("long.json.cut-off", true)]].concat());
        assert!(super::super::contents(&collected).contains("bytes (cut off)\n"));
    }

    #[test]
    fn a_program_says_what_it_says_and_one_that_is_missing_is_named() {
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let said = run_program("sh", &words(&["-c", "echo one; echo two >&2; exit 3"])).unwrap();
        assert_eq!(said, b"one\ntwo\n");
        let missing = format!("{:#}", run_program("no-such-program", &[]).unwrap_err());
        assert!(missing.contains("no-such-program"), "{missing}");
        assert!(run_program("false", &[]).is_err());
        let endless = run_program("sh", &words(&["-c", "exec cat /dev/zero"])).unwrap();
        assert_eq!(endless.len(), MAX_PART + 1);
    }
}
