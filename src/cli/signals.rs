//! The signals of the agent and of the name server.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::oneshot;

/// A request by signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// SIGTERM or SIGINT: stop.
    Stop,
    /// SIGHUP: reload the configuration.
    Reload,
}

/// Signals that wait in the kernel until they are asked for.
///
/// They are blocked from the first line of the program on, in each of its threads, and they stay so in
/// the program that the agent executes at a reload. One that isn't read yet waits for that program, so
/// none is lost, and none ends the process.
#[derive(Debug)]
pub(super) struct Signals {
    set: SigSet,
    fd: Arc<SignalFd>,
}

impl Signals {
    /// Blocks the signals. Must be called before there is a second thread.
    pub(super) fn block() -> Result<Self> {
        let set: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        set.thread_block().context("cannot block signals")?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let fd = SignalFd::with_flags(&set, flags).context("cannot receive signals")?;
        Ok(Self { set, fd: Arc::new(fd) })
    }

    /// Lets the signals end the process, those too that came meanwhile.
    pub(super) fn unblock(self) -> Result<()> {
        self.set.thread_unblock().context("cannot unblock signals")
    }

    /// Takes the signals that wait. To stop outranks to reload, whichever came first.
    pub(super) fn take_waiting(&self) -> Result<Option<Told>> {
        let mut told = None;
        while let Some(signal) = self.fd.read_signal().context("cannot read signals")? {
            if signal.ssi_signo != Signal::SIGHUP as u32 {
                told = Some(Told::Stop);
            }
            told = told.or(Some(Told::Reload));
        }
        Ok(told)
    }

    /// Waits for the next signal. A thread of its own waits, and takes nothing: of Tokio, to wait for a
    /// file descriptor needs unsafe code.
    pub(super) async fn next(&self) -> Result<Told> {
        loop {
            if let Some(told) = self.take_waiting()? {
                return Ok(told);
            }
            let (come, comes) = oneshot::channel();
            let fd = self.fd.clone();
            let wait = move || {
                let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], None);
                let _ = come.send(());
            };
            let thread = thread::Builder::new().name("signals".into()).spawn(wait);
            thread.context("cannot start the thread that waits for signals")?;
            let _ = comes.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::raise;

    use super::*;

    /// The mask is the thread's own: `raise` sends to this thread, so other tests see nothing of it.
    #[tokio::test]
    async fn signals_wait_until_they_are_asked_for_and_a_stop_outranks_a_reload() {
        let signals = Signals::block().unwrap();
        assert_eq!(signals.take_waiting().unwrap(), None);
        for (sent, told) in [
            (&[Signal::SIGHUP, Signal::SIGHUP][..], Told::Reload),
            (&[Signal::SIGHUP, Signal::SIGTERM], Told::Stop),
            (&[Signal::SIGINT, Signal::SIGHUP], Told::Stop),
        ] {
            sent.iter().for_each(|signal| raise(*signal).unwrap());
            assert_eq!(signals.next().await.unwrap(), told, "{sent:?}");
            let nothing = tokio::time::timeout(Duration::from_millis(20), signals.next()).await;
            assert!(nothing.is_err(), "{sent:?}");
        }
    }
}
