//! The thread that speaks with the kernel: one request at a time, in order.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use node::{Kernel, KernelError, Monitor, error_chain};
use tokio::sync::mpsc::UnboundedSender;
use vip::{Observed, Outcome, Plan};

use super::core::{Input, KernelReading};

/// What the kernel is asked.
#[derive(Debug)]
pub(super) enum Ask {
    Observe { known: Option<Arc<Observed>>, mend: bool },
    FindWays(BTreeSet<IpAddr>),
    Apply(Plan),
}

/// The thread. It ends when this is dropped and what it does is done.
#[derive(Debug)]
pub(super) struct KernelThread {
    asks: Option<mpsc::Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

impl KernelThread {
    /// Starts it. `open` is called on the thread, and again after the kernel couldn't be read.
    pub(super) fn start<K: Kernel>(
        open: impl FnMut() -> Result<K, KernelError> + Send + 'static,
        inputs: UnboundedSender<Input>,
    ) -> std::io::Result<Self> {
        let (asks, asked) = mpsc::channel();
        let serve = move || serve_requests(open, &asked, &inputs);
        let thread = thread::Builder::new().name("kernel".into()).spawn(serve)?;
        Ok(Self { asks: Some(asks), thread: Some(thread) })
    }

    /// Asks. The answer comes as an input.
    pub(super) fn send_request(&self, ask: Ask) {
        // It ends with this handle only.
        let _ = self.asks.as_ref().map(|asks| asks.send(ask));
    }

    /// Waits until what is being done is done.
    pub(super) fn finish(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve_requests<K: Kernel>(
    mut open: impl FnMut() -> Result<K, KernelError>,
    asked: &mpsc::Receiver<Ask>,
    inputs: &UnboundedSender<Input>,
) {
    let mut kernel = None;
    while let Ok(ask) = asked.recv() {
        let opened = match kernel.take() {
            Some(kernel) => Ok(kernel),
            None => open(),
        };
        let input = match (ask, opened) {
            (Ask::Observe { known, mend }, opened) => {
                let reading = opened.and_then(|mut opened| {
                    let reading = read_kernel(&mut opened, known.as_deref(), mend);
                    // One that can't be read is opened anew: its socket may be what is broken.
                    kernel = reading.is_ok().then_some(opened);
                    reading
                });
                // Whoever knows may change it again without a copy.
                drop(known);
                Input::Observed(reading)
            }
            (Ask::FindWays(servers), opened) => {
                let ways = opened.and_then(|mut opened| {
                    let ways = opened.find_ways(&servers);
                    kernel = ways.is_ok().then_some(opened);
                    ways
                });
                Input::Ways(ways)
            }
            (Ask::Apply(plan), Ok(mut opened)) => {
                let outcome = opened.apply_plan(plan);
                kernel = Some(opened);
                Input::Applied(outcome)
            }
            // An outcome without results: nothing is known of the plan.
            (Ask::Apply(_), Err(_)) => Input::Applied(Outcome::default()),
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
    // ip_vs has its sysctls once its socket is open.
    let sysctls = kernel.tune_sysctls(mend);
    let wrong = sysctls.iter().filter(|report| !report.state.is_ok());
    Ok(KernelReading {
        observed: match known {
            Some(known) => kernel.observe_again(known)?,
            None => kernel.observe()?,
        },
        sysctls: wrong.map(ToString::to_string).collect(),
    })
}

/// Starts the thread that waits for the kernel's announcements. It ends soon after `inputs` is
/// closed.
pub(super) fn start_monitor(
    interface: String,
    inputs: UnboundedSender<Input>,
) -> std::io::Result<JoinHandle<()>> {
    const LOOK_UP: Duration = Duration::from_secs(1);
    thread::Builder::new().name("monitor".into()).spawn(move || {
        let mut monitor = None;
        while !inputs.is_closed() {
            let heard = match &mut monitor {
                None => Monitor::open(&interface).map(|opened| {
                    monitor = Some(opened);
                    // What happened before is in nobody's ears.
                    true
                }),
                Some(monitor) => monitor.wait_for_change(LOOK_UP),
            };
            match heard {
                Ok(false) => {}
                Ok(true) => drop(inputs.send(Input::KernelChanged)),
                Err(error) => {
                    tracing::warn!(
                        "the kernel's announcements can't be heard: {}",
                        error_chain(&error)
                    );
                    monitor = None;
                    thread::sleep(LOOK_UP);
                }
            }
        }
    })
}
