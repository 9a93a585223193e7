//! The kernel as it is when somebody asks, read on a thread and a socket of their own, so that the
//! agent's way to the kernel is never in use for it.
//!
//! One reading at a time; who asks meanwhile, or soon after, gets the same one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use node::{Kernel, KernelError, error_chain};
use tokio::sync::{Mutex, oneshot};
use vip::{Observed, Stats, Vip};

/// A reading serves everybody who asks within this time.
const FRESH: Duration = Duration::from_millis(900);
/// Nobody waits longer for one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the kernel; called on the reader's thread.
pub type Open = Box<dyn FnMut() -> Result<Box<dyn Kernel>, KernelError> + Send>;

/// The counters of our virtual services.
pub(super) type Traffic = BTreeMap<Vip, Stats>;

type Answer<T> = oneshot::Sender<Result<T, String>>;

#[derive(Debug)]
enum Ask {
    Traffic(Answer<Traffic>),
    Everything(Answer<Observed>),
}

/// The thread, and what it read last. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    asks: SyncSender<Ask>,
    traffic: Recent<Traffic>,
    everything: Recent<Observed>,
}

impl Reader {
    /// Starts the thread. It opens the kernel when it is first asked for something.
    pub(super) fn start(open: Open) -> std::io::Result<Self> {
        // While it is busy with one reading, one more may wait.
        let (asks, asked) = sync_channel(1);
        std::thread::Builder::new().name("reader".into()).spawn(move || serve(open, &asked))?;
        Ok(Self { asks, traffic: Recent::default(), everything: Recent::default() })
    }

    /// The counters of our virtual services: one dump.
    pub(super) async fn traffic(&self) -> Result<Arc<Traffic>, String> {
        self.traffic.get(self.ask(Ask::Traffic)).await
    }

    /// Everything: a dump for each virtual service that isn't as it was.
    pub(super) async fn everything(&self) -> Result<Arc<Observed>, String> {
        self.everything.get(self.ask(Ask::Everything)).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        let busy = "the kernel hasn't answered an earlier question yet";
        self.asks.try_send(ask(answer)).map_err(|_| busy.to_owned())?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the thread that reads the kernel has ended".to_owned()),
            Err(_) => Err("the kernel doesn't answer".to_owned()),
        }
    }
}

fn serve(mut open: Open, asked: &Receiver<Ask>) {
    let (mut kernel, mut known) = (None, None);
    while let Ok(ask) = asked.recv() {
        let mut opened = match kernel.take() {
            Some(kernel) => Ok(kernel),
            None => open(),
        };
        let mut read = Reading { opened: &mut opened, failed: false };
        // Whoever asked may be gone.
        match ask {
            Ask::Traffic(answer) => drop(answer.send(read.with(|kernel| kernel.read_traffic()))),
            Ask::Everything(answer) => {
                let observed = read.with(|kernel| match &known {
                    Some(known) => kernel.observe_again(known),
                    None => kernel.observe(),
                });
                known = observed.as_ref().ok().cloned();
                drop(answer.send(observed));
            }
        }
        // One that can't be read is opened anew: its socket may be what is broken.
        if !read.failed {
            kernel = opened.ok();
        }
    }
}

struct Reading<'a> {
    opened: &'a mut Result<Box<dyn Kernel>, KernelError>,
    failed: bool,
}

impl Reading<'_> {
    fn with<T>(
        &mut self,
        read: impl FnOnce(&mut dyn Kernel) -> Result<T, KernelError>,
    ) -> Result<T, String> {
        let result = match self.opened {
            Ok(kernel) => read(kernel.as_mut()).map_err(|error| error_chain(&error)),
            Err(error) => Err(error_chain(error)),
        };
        self.failed = result.is_err();
        result
    }
}

/// What somebody got last, for those who ask soon after.
#[derive(Debug)]
pub(super) struct Recent<T>(Mutex<Option<(Instant, Shared<T>)>>);

type Shared<T> = Result<Arc<T>, String>;

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Recent<T> {
    /// It, or what `get` gives if that is too old. One at a time gets it; the others wait for
    /// that one, and are told its failure too.
    pub(super) async fn get(&self, get: impl Future<Output = Result<T, String>>) -> Shared<T> {
        let mut last = self.0.lock().await;
        if let Some((at, what)) = &*last
            && at.elapsed() < FRESH
        {
            return what.clone();
        }
        let what = get.await.map(Arc::new);
        *last = Some((Instant::now(), what.clone()));
        what
    }
}
