//! The kernel thread: carries out one request to the kernel at a time, in order. A second thread
//! listens to the kernel's announcements.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use node::{Kernel, KernelError, Monitor, error_chain};
use tokio::sync::mpsc::{Sender, UnboundedSender};
use vip::{Observed, Outcome, Plan};

use super::core::{Input, KernelReading};
use super::status::WrongSysctl;

/// A request to the kernel.
#[derive(Debug)]
pub(super) enum KernelRequest {
    Observe { known: Option<Arc<Observed>>, mend: bool },
    FindWays(BTreeSet<IpAddr>),
    Apply(Plan),
}

/// A handle to the kernel thread. Once it is dropped the thread ends after its last request.
#[derive(Debug)]
pub(super) struct KernelThread {
    requests: Option<mpsc::Sender<KernelRequest>>,
    thread: Option<JoinHandle<()>>,
}

impl KernelThread {
    /// Starts the thread. `open` is called on it, and again after a failed read; `may_write` before
    /// each plan.
    pub(super) fn start<K: Kernel>(
        open: impl FnMut() -> Result<K, KernelError> + Send + 'static,
        may_write: impl Fn() -> bool + Send + 'static,
        inputs: UnboundedSender<Input>,
    ) -> std::io::Result<Self> {
        let (requests, received) = mpsc::channel();
        let serve = move || serve_requests(open, may_write, &received, &inputs);
        let thread = thread::Builder::new().name("kernel".into()).spawn(serve)?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Sends a request. The answer comes as an input.
    pub(super) fn send_request(&self, request: KernelRequest) {
        // The thread doesn't end before this handle is dropped.
        let _ = self.requests.as_ref().map(|requests| requests.send(request));
    }

    /// Waits until the last request is done.
    pub(super) fn finish(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve_requests<K: Kernel>(
    mut open: impl FnMut() -> Result<K, KernelError>,
    may_write: impl Fn() -> bool,
    requests: &mpsc::Receiver<KernelRequest>,
    inputs: &UnboundedSender<Input>,
) {
    let mut kernel = None;
    while let Ok(request) = requests.recv() {
        let opened = match kernel.take() {
            Some(kernel) => Ok(kernel),
            None => open(),
        };
        let input = match (request, opened) {
            (KernelRequest::Observe { known, mend }, opened) => {
                let reading = opened.and_then(|mut opened| {
                    let reading = read_kernel(&mut opened, known.as_deref(), mend);
                    // After a failure it is opened anew, since its socket may be broken.
                    kernel = reading.is_ok().then_some(opened);
                    reading
                });
                // Dropped before the answer is sent, so that the core can change it without a copy.
                drop(known);
                Input::Observed(reading)
            }
            (KernelRequest::FindWays(servers), opened) => {
                let ways = opened.and_then(|mut opened| {
                    let ways = opened.find_ways(&servers);
                    kernel = ways.is_ok().then_some(opened);
                    ways
                });
                Input::Ways(ways)
            }
            (KernelRequest::Apply(plan), Ok(mut opened)) if may_write() => {
                let outcome = opened.apply_plan(plan);
                kernel = Some(opened);
                Input::Applied(outcome)
            }
            // An outcome without results says that nothing is known of the plan.
            (KernelRequest::Apply(_), _) => Input::Applied(Outcome::default()),
        };
        if inputs.send(input).is_err() {
            return;
        }
    }
}

fn read_kernel(
    kernel: &mut impl Kernel,
    known: Option<&Observed>,
    mend: bool,
) -> Result<KernelReading, KernelError> {
    // The sysctls of ip_vs exist only once its netlink socket is open.
    let sysctls = kernel.tune_sysctls(mend);
    let wrong = sysctls.iter().filter(|report| !report.state.is_ok());
    Ok(KernelReading {
        observed: match known {
            Some(known) => kernel.observe_again(known)?,
            None => kernel.observe()?,
        },
        sysctls: wrong
            .map(|report| WrongSysctl {
                what: report.to_string(),
                is_vital: report.sysctl.is_vital(),
            })
            .collect(),
    })
}

/// Starts the thread that listens to the kernel's announcements. It ends within a second after
/// `changes` is closed.
pub(super) fn start_monitor(
    interface: String,
    changes: Sender<()>,
) -> std::io::Result<JoinHandle<()>> {
    const TIMEOUT: Duration = Duration::from_secs(1);
    thread::Builder::new().name("monitor".into()).spawn(move || {
        let mut monitor = None;
        while !changes.is_closed() {
            let heard = match &mut monitor {
                None => Monitor::open(&interface).map(|opened| {
                    monitor = Some(opened);
                    // Changes before the subscription were missed: report one.
                    true
                }),
                Some(monitor) => monitor.wait_for_change(TIMEOUT),
            };
            match heard {
                Ok(false) => {}
                // One that waits stands for this one too.
                Ok(true) => drop(changes.try_send(())),
                Err(error) => {
                    tracing::warn!(
                        "cannot listen to the kernel's announcements: {}",
                        error_chain(&error)
                    );
                    monitor = None;
                    thread::sleep(TIMEOUT);
                }
            }
        }
    })
}
