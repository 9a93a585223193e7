//! Reads of the kernel for answers, on a thread and a netlink socket of their own, so that they
//! never hold up the agent.
//!
//! There is one read at a time. Whoever asks meanwhile, or soon after, gets the same result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use node::{Kernel, KernelError};
use tokio::sync::{Mutex, oneshot};
use vip::{Observed, Stats, Vip};

use super::answer::Unavailable;

/// The time for which a result is used for further requests.
const FRESH: Duration = Duration::from_millis(900);
/// The longest time to wait for a read.
const PATIENCE: Duration = Duration::from_secs(5);

/// A function that opens the kernel; called on the reader's thread.
pub type Open = Box<dyn FnMut() -> Result<Box<dyn Kernel>, KernelError> + Send>;

/// The counters of vipd's virtual services.
pub(super) type Traffic = BTreeMap<Vip, Stats>;

type Answer<T> = oneshot::Sender<Result<T, Unavailable>>;

#[derive(Debug)]
enum ReadRequest {
    Traffic(Answer<Traffic>),
    Everything(Answer<Observed>),
}

/// The thread, with the results of its last reads. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    requests: SyncSender<ReadRequest>,
    traffic: Recent<Traffic>,
    everything: Recent<Observed>,
}

impl Reader {
    /// Starts the thread. It opens the kernel on the first request.
    pub(super) fn start(open: Open) -> std::io::Result<Self> {
        // While the thread is busy, one more request may wait.
        let (requests, received) = sync_channel(1);
        std::thread::Builder::new()
            .name("reader".into())
            .spawn(move || serve_requests(open, &received))?;
        Ok(Self { requests, traffic: Recent::default(), everything: Recent::default() })
    }

    /// Reads the counters of vipd's virtual services: one netlink dump.
    pub(super) async fn read_traffic(&self) -> Result<Arc<Traffic>, Unavailable> {
        self.traffic.get_or_read(self.ask_thread(ReadRequest::Traffic)).await
    }

    /// Reads everything: a netlink dump for each virtual service that changed.
    pub(super) async fn read_everything(&self) -> Result<Arc<Observed>, Unavailable> {
        self.everything.get_or_read(self.ask_thread(ReadRequest::Everything)).await
    }

    async fn ask_thread<T>(
        &self,
        request: impl FnOnce(Answer<T>) -> ReadRequest,
    ) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|_| Unavailable::BusyKernel)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Unavailable::EndedReader),
            Err(_) => Err(Unavailable::Timeout),
        }
    }
}

fn serve_requests(mut open: Open, requests: &Receiver<ReadRequest>) {
    let (mut kernel, mut known) = (None, None);
    while let Ok(request) = requests.recv() {
        // The client may be gone when it is answered.
        match request {
            ReadRequest::Traffic(answer) => {
                let traffic = read_with(&mut kernel, &mut open, |kernel| kernel.read_traffic());
                drop(answer.send(traffic));
            }
            ReadRequest::Everything(answer) => {
                let observed = read_with(&mut kernel, &mut open, |kernel| match &known {
                    Some(known) => kernel.observe_again(known),
                    None => kernel.observe(),
                });
                known = observed.as_ref().ok().cloned();
                drop(answer.send(observed));
            }
        }
    }
}

/// Reads from the kernel, which is opened first if it isn't open. After a failure it is closed, since
/// its socket may be broken.
fn read_with<T>(
    kernel: &mut Option<Box<dyn Kernel>>,
    open: &mut Open,
    read: impl FnOnce(&mut dyn Kernel) -> Result<T, KernelError>,
) -> Result<T, Unavailable> {
    let opened = match kernel.take() {
        Some(kernel) => Ok(kernel),
        None => open(),
    };
    let result = opened.and_then(|mut opened| {
        let value = read(opened.as_mut())?;
        *kernel = Some(opened);
        Ok(value)
    });
    result.map_err(|error| Arc::new(error).into())
}

/// The last result of a read, for requests that soon follow.
#[derive(Debug)]
pub(super) struct Recent<T>(Mutex<Option<(Instant, SharedResult<T>)>>);

/// A result for several callers.
type SharedResult<T> = Result<Arc<T>, Unavailable>;

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Recent<T> {
    /// Returns the last result, or that of `read` if it is too old. Only one caller reads at a time;
    /// the others wait for its result, even if it is an error.
    pub(super) async fn get_or_read(
        &self,
        get: impl Future<Output = Result<T, Unavailable>>,
    ) -> SharedResult<T> {
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
