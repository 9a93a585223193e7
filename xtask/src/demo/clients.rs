//! Clients that connect to a VIP repeatedly and count failures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::show::{At, shell_command};

/// Time from one connection to the next.
const PACE: Duration = Duration::from_millis(50);
/// Time limit for a connection, and for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client's connections that have ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Count {
    /// The time that each connection took, including failed ones.
    pub(super) took: Vec<Duration>,
    /// Failed connections: the time at which each began, and the reason.
    pub(super) failed: Vec<(SystemTime, String)>,
}

/// A client in a process of its own.
#[derive(Debug)]
pub(super) struct Client {
    /// Network namespace that it runs in.
    pub(super) at: &'static str,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// Starts a client in a network namespace.
    pub(super) fn start(at: &'static str, vip: &str) -> Result<Self> {
        let program = std::env::current_exe().context("cannot tell where xtask is")?;
        let line = format!("exec {} demo-client {vip}", program.display());
        let mut child = shell_command(At::Host(at), &line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a client")?;
        let answers = BufReader::new(child.stdout.take().context("a client has no output")?);
        Ok(Self { at, child, answers })
    }

    /// Asks the client for its connections so far.
    pub(super) fn read_count(&mut self) -> Result<Count> {
        self.child.stdin.as_mut().context("a client has no input")?.write_all(b"\n")?;
        self.read_answer()
    }

    /// Lets the open connections end, and returns all of the client's.
    pub(super) fn finish(mut self) -> Result<Count> {
        drop(self.child.stdin.take());
        self.read_answer()
    }

    fn read_answer(&mut self) -> Result<Count> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the client at {} is gone", self.at))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `demo-client`: connects until its input ends, and answers each line of input, and the end,
/// with its count. No connection waits for the one before.
pub(crate) fn run_client(vip: &str) -> Result<bool> {
    let vip: SocketAddr = vip.parse().with_context(|| format!("{vip} is no VIP"))?;
    let (count, has_ended) = (Mutex::new(Count::default()), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                scope.spawn(|| connect_and_count(vip, &count));
                thread::sleep(PACE);
            }
        });
        let answered = std::io::stdin().lines().try_for_each(|line| {
            line?;
            print_count(&count)
        });
        has_ended.store(true, Ordering::Relaxed);
        answered
    })?;
    print_count(&count)?;
    Ok(true)
}

fn print_count(count: &Mutex<Count>) -> Result<()> {
    let count = count.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{}", serde_json::to_string(&*count)?);
    Ok(())
}

fn connect_and_count(vip: SocketAddr, count: &Mutex<Count>) {
    let (begun, at) = (SystemTime::now(), Instant::now());
    let answer = connect_once(vip);
    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
    count.took.push(at.elapsed());
    count.failed.extend(answer.err().map(|error| (begun, error.to_string())));
}

/// Connects, sends a request and reads the beginning of the answer.
fn connect_once(vip: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&vip, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer)?;
    // On a busy machine the request may be late: then a task sends its greeting instead of an
    // answer.
    match &answer[..length] {
        answer if answer.starts_with(b"HTTP/1.1 200") => Ok(()),
        answer if answer.starts_with(b"/shop ") || answer.starts_with(b"/cart ") => Ok(()),
        answer => Err(std::io::Error::other(format!(
            "a broken answer: {:?}",
            String::from_utf8_lossy(answer)
        ))),
    }
}
