//! Probes the hosts of real servers, in a thread of its own: nothing that it does delays an event.
//!
//! [`Liveness`] decides; the thread sends what it orders, and tells it what came back.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use node::{FailedSyn, ProbeAnswer, ProbeSockets, error_chain};
use tokio::sync::mpsc;
use vip::liveness::{Liveness, Order, ProbeReport, ProbeStatus, Refusal, WatchList};

/// The longest time between two looks at the list: while hosts are probed, and while only lost SYNs are
/// waited for.
const LOOK: Duration = Duration::from_millis(250);
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// The pause before sockets that could not be opened are opened again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// The pause between two reports that only count probes.
const COUNT_PAUSE: Duration = Duration::from_secs(15);

/// The pause between two reports of refusals.
const REFUSALS_PAUSE: Duration = Duration::from_secs(1);

/// Starts a prober, given where its reports go and the time that its clock starts at.
pub type StartProber = Box<dyn FnOnce(ReportSender, Instant) -> io::Result<Prober> + Send>;

/// The facts that an agent needs to know of its prober.
pub struct ProberSetup {
    /// Whether real servers on silent hosts are taken out of use.
    pub acts: bool,
    /// The time between two rounds of echoes.
    pub interval: Duration,
    /// Starts it.
    pub start: StartProber,
}

/// A handle to the prober. Its thread ends soon after this.
#[derive(Debug)]
pub struct Prober(Arc<LatestList>);

/// Holds the latest list for the thread.
#[derive(Debug, Default)]
pub struct LatestList {
    content: Mutex<Content>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    list: Option<WatchList>,
    is_closed: bool,
}

/// The sending end of reports. Those that wait become one.
#[derive(Debug, Clone)]
pub struct ReportSender {
    waiting: Arc<Mutex<Option<ProbeReport>>>,
    signal: mpsc::Sender<()>,
}

/// The receiving end of a [`ReportSender`].
#[derive(Debug)]
pub(super) struct Reports {
    waiting: Arc<Mutex<Option<ProbeReport>>>,
    signal: mpsc::Receiver<()>,
}

/// The sockets of a prober, or what stands for them in a test.
trait Probes {
    /// Sends probes. Returns the hosts whose echo could not be sent.
    fn send(&mut self, orders: &[Order]) -> Vec<IpAddr>;
    /// Takes in which hosts are watched.
    fn set_list(&mut self, list: &WatchList);
    /// Waits until something came back, at most for `timeout`.
    fn wait(&mut self, timeout: Duration);
    /// Takes what came back.
    fn receive(&mut self) -> Vec<ProbeAnswer>;
    /// Tells whether this node's uplink has a carrier.
    fn has_uplink(&self) -> bool;
    /// Returns the reason why clients' lost SYNs can't be heard of.
    fn log_obstacle(&self) -> Option<String>;
}

impl Probes for ProbeSockets {
    fn send(&mut self, orders: &[Order]) -> Vec<IpAddr> {
        Self::send(self, orders)
    }

    fn set_list(&mut self, list: &WatchList) {
        Self::set_list(self, list);
    }

    fn wait(&mut self, timeout: Duration) {
        Self::wait(self, timeout);
    }

    fn receive(&mut self) -> Vec<ProbeAnswer> {
        Self::receive(self)
    }

    fn has_uplink(&self) -> bool {
        node::has_uplink()
    }

    fn log_obstacle(&self) -> Option<String> {
        Self::log_obstacle(self)
    }
}

impl Prober {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(interval: Duration, reports: ReportSender, started: Instant) -> io::Result<Self> {
        let lists = Arc::new(LatestList::default());
        let taken = lists.clone();
        let probe = move || probe_hosts(ProbeSockets::open, interval, &taken, reports, started);
        thread::Builder::new().name("prober".into()).spawn(probe)?;
        Ok(Self(lists))
    }

    /// Makes a prober that does nothing with its lists.
    #[must_use]
    pub fn without_thread(lists: Arc<LatestList>) -> Self {
        Self(lists)
    }

    /// Has these hosts watched, in place of those of an earlier list.
    pub(super) fn send_list(&self, list: WatchList) {
        self.0.lock_content().list = Some(list);
        self.0.changed.notify_one();
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.lock_content().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl LatestList {
    /// Takes the list, if there is a new one.
    pub fn take_list(&self) -> Option<WatchList> {
        self.lock_content().list.take()
    }

    /// Waits for a new list, or the end.
    fn wait_for_list(&self) {
        let is_waiting = |content: &mut Content| content.list.is_none() && !content.is_closed;
        drop(self.changed.wait_while(self.lock_content(), is_waiting));
    }

    /// Waits for the end, at most for `timeout`. Returns whether it has come.
    fn wait_for_end(&self, timeout: Duration) -> bool {
        let is_waiting = |content: &mut Content| !content.is_closed;
        let waited = self.changed.wait_timeout_while(self.lock_content(), timeout, is_waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    fn lock_content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReportSender {
    /// Returns a sender with its receiving end.
    pub(super) fn new_pair() -> (Self, Reports) {
        let (sender, receiver) = mpsc::channel(1);
        let waiting = Arc::default();
        (
            Self { waiting: Arc::clone(&waiting), signal: sender },
            Reports { waiting, signal: receiver },
        )
    }

    /// Sends a report.
    pub fn send_report(&self, report: ProbeReport) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waiting {
            Some(before) => before.merge(report),
            None => *waiting = Some(report),
        }
        drop(waiting);
        // One signal stands for all.
        let _ = self.signal.try_send(());
    }
}

impl Reports {
    /// Waits for a report. Cancel safe.
    pub(super) async fn next_report(&mut self) -> Option<ProbeReport> {
        loop {
            self.signal.recv().await?;
            let report = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            if report.is_some() {
                return report;
            }
        }
    }
}

/// Opens sockets and probes until the end; tries again where it may not.
fn probe_hosts<P: Probes>(
    mut open: impl FnMut() -> io::Result<P>,
    interval: Duration,
    lists: &LatestList,
    reports: ReportSender,
    started: Instant,
) {
    let mut told = None;
    loop {
        match open() {
            Ok(sockets) => {
                let mut thread = Thread::new(sockets, interval, reports, started);
                thread.told.obstacle = told;
                thread.run(lists);
                return;
            }
            Err(error) => {
                let obstacle = describe_obstacle(&error);
                if told.as_ref() != Some(&obstacle) {
                    let status =
                        ProbeStatus { obstacle: Some(obstacle.clone()), ..Default::default() };
                    reports.send_report(ProbeReport { status, ..ProbeReport::default() });
                    told = Some(obstacle);
                }
            }
        }
        if lists.wait_for_end(RETRY_PAUSE) {
            return;
        }
    }
}

/// Says why hosts can't be probed.
fn describe_obstacle(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "vipd has neither CAP_NET_RAW nor a group of net.ipv4.ping_group_range".to_owned()
        }
        _ => error_chain(error),
    }
}

/// The state of the thread.
struct Thread<P> {
    sockets: P,
    liveness: Liveness,
    reports: ReportSender,
    started: Instant,
    /// The status that was reported last, and when.
    told: ProbeStatus,
    told_at: Duration,
    /// The refusals that were not reported yet, the number of all, and when some were reported last.
    refusals: Vec<Refusal>,
    refusals_heard: u64,
    refusals_told_at: Duration,
}

impl<P: Probes> Thread<P> {
    fn new(sockets: P, interval: Duration, reports: ReportSender, started: Instant) -> Self {
        let liveness = Liveness::new(interval, RandomState::new().hash_one(0));
        let (told, told_at) = (ProbeStatus::default(), Duration::ZERO);
        let (refusals, refusals_heard, refusals_told_at) = (Vec::new(), 0, Duration::ZERO);
        Self {
            sockets,
            liveness,
            reports,
            started,
            told,
            told_at,
            refusals,
            refusals_heard,
            refusals_told_at,
        }
    }

    fn run(mut self, lists: &LatestList) {
        self.report(self.started.elapsed());
        loop {
            let due = self.liveness.wake_at();
            let now = self.started.elapsed();
            match due {
                Duration::MAX if !self.liveness.has_hosts() => lists.wait_for_list(),
                Duration::MAX => self.sockets.wait(IDLE_LOOK),
                _ => self.sockets.wait(due.saturating_sub(now).min(LOOK)),
            }
            if lists.lock_content().is_closed {
                return;
            }
            self.take_turn(lists.take_list());
        }
    }

    /// Takes in what came back and what is to be watched, sends what is due, and tells the news.
    fn take_turn(&mut self, list: Option<WatchList>) {
        let answers = self.sockets.receive();
        let now = self.started.elapsed();
        for answer in answers {
            self.take_answer(answer, now);
        }
        if let Some(list) = list {
            self.sockets.set_list(&list);
            self.liveness.set_list(&list, now);
        }
        if self.liveness.wake_at() <= now {
            let has_uplink = !self.liveness.is_in_doubt() || self.sockets.has_uplink();
            self.liveness.set_uplink(has_uplink);
            let orders = self.liveness.advance(now);
            if !orders.is_empty() {
                for host in self.sockets.send(&orders) {
                    self.liveness.on_unsent(host);
                }
            }
        }
        self.report(now);
    }

    fn take_answer(&mut self, answer: ProbeAnswer, now: Duration) {
        match answer {
            ProbeAnswer::Echo { host, sequence, age } => {
                self.liveness.on_echo(host, sequence, now.saturating_sub(age));
            }
            ProbeAnswer::Connect { server, result } => {
                self.liveness.on_connect(server, result, now);
            }
            ProbeAnswer::FailedSyn(FailedSyn::Lost { server, .. }) => {
                self.liveness.on_lost_syn(server, now);
            }
            ProbeAnswer::FailedSyn(FailedSyn::Refused(refusal)) => {
                self.refusals.push(refusal);
                self.refusals_heard += 1;
            }
        }
    }

    /// Reports verdicts at once, refusals once a second, and the state when it changes; probes are counted
    /// now and then.
    fn report(&mut self, now: Duration) {
        let (verdicts, unheard) = (self.liveness.take_verdicts(), self.liveness.take_unheard());
        let log_obstacle = self.sockets.log_obstacle();
        let refusals = self.refusals_heard;
        let status = ProbeStatus { log_obstacle, refusals, ..self.liveness.status() };
        let ProbeStatus { probes_sent, lost_syns, refusals, .. } = self.told;
        let counted = ProbeStatus { probes_sent, lost_syns, refusals, ..status.clone() };
        let is_due = now.saturating_sub(self.told_at) >= COUNT_PAUSE && status != self.told;
        let (refusals, heard) = (self.take_refusals(now), self.liveness.take_heard());
        let has_news = !verdicts.is_empty() || !refusals.is_empty() || !heard.is_empty();
        if !has_news && counted == self.told && !is_due {
            return;
        }
        (self.told, self.told_at) = (status.clone(), now);
        self.reports.send_report(ProbeReport { verdicts, unheard, heard, refusals, status });
    }

    fn take_refusals(&mut self, now: Duration) -> Vec<Refusal> {
        let is_due = now.saturating_sub(self.refusals_told_at) >= REFUSALS_PAUSE;
        if self.refusals.is_empty() || !is_due {
            return Vec::new();
        }
        self.refusals_told_at = now;
        std::mem::take(&mut self.refusals)
    }
}

#[cfg(test)]
mod tests;
