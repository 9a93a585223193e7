//! The agent's hands: connections, the kernel, the disk, the clock.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use node::{Kernel, KernelError, error_chain};
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::core::{AgentCore, Config, Effect, Input};
use super::journal::Journal;
use super::journal::log::Log;
use super::kernel_thread::{Ask, KernelThread, start_monitor};
use super::metrics::recorder::Recorder;
use super::state_file::StateFiles;
use super::status::counts::VipCounts;
use super::status::health::Beat;
use super::status::{Hold, Request, View};
use crate::clock::{Moment, Timestamp};
use crate::sources::hosts::LookupError;
use crate::sources::resolve::look_up_host;
use crate::sources::{SourceClient, SourceConnection, SourceId};

/// The loop shows that it lives at least this often.
const BEAT: Duration = Duration::from_secs(2);
/// Between two turns that nothing but time asks for.
const BREATH: Duration = Duration::from_millis(1);
/// Names that are looked up at the same time.
const LOOK_UPS: usize = 16;

/// What an [`Agent`] is made of.
pub struct Setup<K> {
    /// What it has to know.
    pub config: Config,
    /// The client for each source in [`Config::sources`].
    pub clients: BTreeMap<SourceId, SourceClient>,
    /// Opens the kernel. Called on a thread of its own, and again when the kernel can't be read.
    pub open_kernel: Box<dyn FnMut() -> Result<K, KernelError> + Send>,
    /// The interface whose changes the kernel announces. None: announcements aren't listened to.
    pub monitor: Option<String>,
    /// Where what is known is kept.
    pub store: Option<StateFiles>,
    /// Begin without changing anything, because of this.
    pub hold: Option<Hold>,
    /// The wall clock. Tests bring their own.
    pub clock: fn() -> Timestamp,
}

/// The running agent.
#[derive(Debug)]
pub struct Agent {
    core: AgentCore,
    started: Instant,
    clock: fn() -> Timestamp,
    kernel: KernelThread,
    connections: BTreeMap<SourceId, SourceConnection>,
    inputs: mpsc::UnboundedReceiver<Input>,
    /// For those who bring inputs.
    bring: mpsc::UnboundedSender<Input>,
    requests: mpsc::Receiver<Request>,
    view: watch::Sender<Arc<View>>,
    heart: Arc<AtomicU64>,
    store: Option<Arc<StateFiles>>,
    log: Log,
    look_ups: Arc<Semaphore>,
    recorder: Recorder,
}

/// How others see an agent and speak to it.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The agent as it is.
    pub view: watch::Receiver<Arc<View>>,
    /// What it is asked.
    pub requests: mpsc::Sender<Request>,
    /// When its loop went round last, in milliseconds since its start.
    pub heart: Arc<AtomicU64>,
    /// When it was started.
    pub started: std::time::Instant,
    /// What it has changed.
    pub journal: Journal,
    /// The metrics that the loop updates.
    pub metrics: Arc<Registry>,
}

impl Handle {
    /// When the loop went round last, and what the time is.
    #[must_use]
    pub fn last_beat(&self) -> Beat {
        let last = Duration::from_millis(self.heart.load(Ordering::Relaxed));
        Beat { now: self.started.elapsed(), last }
    }
}

impl Agent {
    /// Puts it together, with what an earlier run knew, and starts its threads. To be called within
    /// a runtime.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn new<K: Kernel + 'static>(setup: Setup<K>) -> Result<(Self, Handle)> {
        let (bring, inputs) = mpsc::unbounded_channel();
        let (ask, requests) = mpsc::channel(16);
        let kernel = KernelThread::start(setup.open_kernel, bring.clone())
            .context("cannot start the thread that speaks with the kernel")?;
        if let Some(interface) = setup.monitor {
            start_monitor(interface, bring.clone())
                .context("cannot start the thread that listens to the kernel")?;
        }
        let started = Instant::now();
        let now = Moment { since_start: Duration::ZERO, wall: (setup.clock)() };
        let core = AgentCore::new(setup.config, now);
        let sources: Vec<_> = core.source_ids().cloned().collect();
        let (view, seen) = watch::channel(Arc::new(core.to_view()));
        let heart = Arc::new(AtomicU64::new(0));
        let mut registry = Registry::default();
        let mut agent = Self {
            core,
            started,
            clock: setup.clock,
            kernel,
            connections: BTreeMap::new(),
            inputs,
            bring,
            requests,
            view,
            heart: heart.clone(),
            store: setup.store.map(Arc::new),
            log: Log::default(),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS)),
            recorder: Recorder::new(&sources, &mut registry),
        };
        for (source, client) in setup.clients {
            agent.open_connection(source, client);
        }
        if let Some(hold) = setup.hold {
            agent.run_turn(Input::Hold(hold));
        }
        for source in sources {
            agent.restore_source(&source);
        }
        let (journal, metrics) = (agent.log.journal.clone(), Arc::new(registry));
        let started = started.into_std();
        let handle = Handle { view: seen, requests: ask, heart, started, journal, metrics };
        Ok((agent, handle))
    }

    /// Runs until `stop` is done. The kernel is left as it is.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turned = Instant::now();
        loop {
            let wake = (self.started + self.core.wake_at()).max(turned + BREATH);
            let input = tokio::select! {
                () = &mut stop => break,
                Some(input) = self.inputs.recv() => input,
                Some(request) = self.requests.recv() => {
                    self.answer_request(request);
                    continue;
                }
                () = sleep_until(wake) => Input::Tick,
                _ = beat.tick() => {
                    self.record_beat();
                    let view = self.view.borrow().clone();
                    self.log.log_stale_sources(&view, Timestamp::now());
                    continue;
                }
            };
            turned = Instant::now();
            self.run_turn(input);
        }
        self.connections.clear();
        self.kernel.finish();
        for source in self.core.source_ids() {
            if let Some(save) = self.prepare_save(source) {
                save();
            }
        }
    }

    /// Removes everything that is ours from the kernel. Nothing else may be asked of it any more.
    ///
    /// # Errors
    /// When the kernel can't be read, or refuses.
    pub fn clean_up<K: Kernel>(kernel: &mut K) -> Result<()> {
        let plan = vip::Plan::cleanup(&kernel.observe()?);
        let outcome = kernel.apply_plan(plan);
        match outcome.failures().next() {
            None => Ok(()),
            Some((op, error)) => Err(anyhow!("{op}: {error}")),
        }
    }

    fn now(&self) -> Moment {
        Moment { since_start: self.started.elapsed(), wall: (self.clock)() }
    }

    fn record_beat(&self) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heart.store(since, Ordering::Relaxed);
    }

    /// One turn of the loop: an input into the core, what follows into the world.
    fn run_turn(&mut self, input: Input) {
        let now = self.now();
        let news = self.recorder.record_input(&input, &self.core, now);
        let effects = self.core.handle_input(input, now);
        self.recorder.record_effects(news, &effects, &self.core, now);
        self.carry_out(effects, now);
        self.record_beat();
        self.log.log_labels(&self.core.take_news());
        let controller = self.core.controller();
        if self.log.is_withholding(controller.status().mode) {
            self.log.log_withheld(controller);
        }
        let view = self.core.to_view();
        let log = &mut self.log;
        self.view.send_if_modified(|shown| {
            let changed = **shown != view;
            if changed {
                log.log_view_changes(shown, &view);
                *shown = Arc::new(view);
            }
            changed
        });
    }

    fn carry_out(&mut self, effects: Vec<Effect>, now: Moment) {
        for effect in effects {
            match effect {
                Effect::Source { source, request } => {
                    if let Some(connection) = self.connections.get_mut(&source) {
                        connection.send_request(request);
                    }
                }
                Effect::Resolve(name) => self.start_lookup(name),
                Effect::Observe { known, mend } => {
                    self.kernel.send_request(Ask::Observe { known, mend });
                }
                Effect::FindWays(servers) => self.kernel.send_request(Ask::FindWays(servers)),
                Effect::Apply(plan) => self.kernel.send_request(Ask::Apply(plan)),
                Effect::Log(entries) => self.log.log_outcome(entries, now.since_start),
                Effect::Save(source) => {
                    if let Some(save) = self.prepare_save(&source) {
                        tokio::task::spawn_blocking(save);
                    }
                }
            }
        }
    }

    fn start_lookup(&self, name: String) {
        let (bring, look_ups) = (self.bring.clone(), self.look_ups.clone());
        tokio::spawn(async move {
            let _permit = look_ups.acquire().await;
            let asked = name.clone();
            let answer = tokio::task::spawn_blocking(move || look_up_host(&asked)).await;
            let answer =
                answer.unwrap_or_else(|panic| Err(LookupError::Resolver(panic.to_string())));
            let _ = bring.send(Input::Resolved { name, answer });
        });
    }

    fn open_connection(&mut self, source: SourceId, client: SourceClient) {
        let (id, inputs) = (source.clone(), self.bring.clone());
        let connection = SourceConnection::new(client, move |message| {
            // The loop is gone when the agent stops: then nobody wants to know.
            let _ = inputs.send(Input::Source { source: id.clone(), message });
        });
        self.connections.insert(source, connection);
    }

    fn restore_source(&mut self, source: &SourceId) {
        let Some(files) = self.store.clone() else { return };
        let now = self.now();
        match files.load_state(source, |json| self.core.restore_source(source, json, now)) {
            Ok(Some(effects)) => self.carry_out(effects, now),
            Ok(None) => {}
            Err(error) => {
                let (source, error) = (source.as_str(), error_chain(&error));
                tracing::warn!(source, "begins without what was kept: {error}");
            }
        }
    }

    /// Prepares to write the state file of a source, if there is something to write.
    fn prepare_save(&self, source: &SourceId) -> Option<impl FnOnce() + Send + 'static> {
        let files = self.store.clone()?;
        let kept = self.core.state_to_save(source, self.now())?;
        let source = source.clone();
        Some(move || {
            if let Err(error) = files.save_state(&source, &kept) {
                let (source, error) = (source.as_str(), error_chain(&error));
                tracing::warn!(source, "what is known can't be kept on disk: {error}");
            }
        })
    }

    fn answer_request(&mut self, request: Request) {
        // Whoever asked may be gone.
        match request {
            Request::Hold(hold, done) => {
                self.run_turn(Input::Hold(hold));
                let _ = done.send(());
            }
            Request::Release(done) => {
                self.run_turn(Input::Release);
                let _ = done.send(());
            }
            Request::LocalFacts(facts) => {
                let now = self.now().since_start;
                let _ = facts.send(self.core.controller().local_facts(now));
            }
            Request::VipCounts(census) => {
                let controller = self.core.controller();
                let _ = census
                    .send(VipCounts::count_all(controller.services(), self.core.label_reports()));
            }
            Request::Table(table) => {
                let _ = table.send(Box::new(self.core.to_table(self.now())));
            }
        }
    }
}
