//! The event loop: feeds the core with inputs and carries out its effects, with the connections, the
//! kernel thread, the disk and the clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use node::{Kernel, KernelError, error_chain};
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::core::{AgentCore, Config, Effect, Input};
use super::inbox::Inbox;
use super::journal::Journal;
use super::journal::log::Log;
use super::kernel_thread::{KernelRequest, KernelThread, start_monitor};
use super::metrics::recorder::{News, Recorder};
use super::name_files::NameFiles;
use super::prober::{Prober, ProberSetup};
use super::resolver::{Resolver, ResolverConfig};
use super::state_file::StateFiles;
use super::status::health::Beat;
use super::status::{Hold, Request, View};
use super::stopping::{PATIENCE, join_until};
use crate::clock::{Moment, Timestamp};
use crate::sources::hosts::LookupError;
use crate::sources::resolve::look_up_host;
use crate::sources::{SourceClient, SourceConnection, SourceId};

/// Maximum time between two heartbeats of the loop.
const BEAT: Duration = Duration::from_secs(2);
/// Minimum pause before a turn that only time asks for.
const PAUSE: Duration = Duration::from_millis(1);
/// Maximum time between two publications of the view while events come in a flood.
const PUBLISH_LATEST: Duration = Duration::from_millis(50);
/// Maximum number of look-ups at the same time.
const MAX_LOOK_UPS: usize = 16;

/// The parts that an [`Agent`] is made of.
pub struct Setup<K> {
    /// The configuration of its core.
    pub config: Config,
    /// The client for each source in [`Config::sources`].
    pub clients: BTreeMap<SourceId, SourceClient>,
    /// Opens the kernel. Called on the kernel thread, and again after a failed read.
    pub open_kernel: Box<dyn FnMut() -> Result<K, KernelError> + Send>,
    /// Tells whether this process may still write the kernel's table. Asked before each plan, on the
    /// kernel thread.
    pub may_write: Box<dyn Fn() -> bool + Send>,
    /// The interface whose changes to listen for. `None`: listen for none.
    pub monitor: Option<String>,
    /// The state files.
    pub state_files: Option<StateFiles>,
    /// The zone file for the name server.
    pub zone_file: Option<PathBuf>,
    /// What systemd-resolved is told, if anything.
    pub resolver: Option<ResolverConfig>,
    /// The prober, if hosts are probed.
    pub prober: Option<ProberSetup>,
    /// A hold that is in force from the start.
    pub hold: Option<Hold>,
    /// The wall clock. Tests bring their own.
    pub clock: fn() -> Timestamp,
}

/// The running agent.
#[derive(Debug)]
pub struct Agent {
    pub(super) core: AgentCore,
    started: Instant,
    clock: fn() -> Timestamp,
    kernel: KernelThread,
    connections: BTreeMap<SourceId, SourceConnection>,
    inbox: Inbox,
    requests: mpsc::Receiver<Request>,
    pub(super) view: watch::Sender<Arc<View>>,
    heartbeat: Arc<AtomicU64>,
    state_files: Option<Arc<StateFiles>>,
    name_files: NameFiles,
    resolver: Option<Resolver>,
    prober: Option<Prober>,
    log: Log,
    look_ups: Arc<Semaphore>,
    recorder: Recorder,
    /// The time of the last publication of the view.
    published: Instant,
}

/// A handle to a running agent, to look at it and to send it requests.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The agent's state.
    pub view: watch::Receiver<Arc<View>>,
    /// Requests to its loop.
    pub requests: mpsc::Sender<Request>,
    /// The time of the loop's last heartbeat, in milliseconds since its start.
    pub heartbeat: Arc<AtomicU64>,
    /// The time of its start.
    pub started: std::time::Instant,
    /// The last changes and notices.
    pub journal: Journal,
    /// The metrics that the loop updates.
    pub metrics: Arc<Registry>,
}

impl Handle {
    /// Returns the time of the loop's last heartbeat, with the time now.
    #[must_use]
    pub fn last_beat(&self) -> Beat {
        let last = Duration::from_millis(self.heartbeat.load(Ordering::Relaxed));
        Beat { now: self.started.elapsed(), last }
    }
}

impl Agent {
    /// Starts the agent's threads and restores the sources from their state files. Call it within a
    /// runtime.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn new<K: Kernel + 'static>(setup: Setup<K>) -> Result<(Self, Handle)> {
        let inbox = Inbox::default();
        let (ask, requests) = mpsc::channel(16);
        let kernel =
            KernelThread::start(setup.open_kernel, setup.may_write, inbox.answers.sender())
                .context("cannot start the thread that speaks with the kernel")?;
        if let Some(interface) = setup.monitor {
            start_monitor(interface, inbox.answers.change_sender())
                .context("cannot start the thread that listens to the kernel")?;
        }
        let state_files = setup.state_files.map(Arc::new);
        if let Some(Err(error)) = state_files.as_ref().map(|files| files.remove_leftovers()) {
            tracing::warn!("the directory of the state files can't be read: {error}");
        }
        let name_files = NameFiles::start(setup.zone_file, state_files.clone())
            .context("cannot start the thread that writes the names")?;
        let answers = inbox.answers.sender();
        let resolver = setup.resolver.map(|config| {
            // Fails only when the agent has stopped.
            Resolver::start(config, move |trouble| drop(answers.send(Input::Resolver(trouble))))
        });
        let started = Instant::now();
        let now = Moment { since_start: Duration::ZERO, wall: (setup.clock)() };
        let mut core = AgentCore::new(setup.config, now);
        let reports = inbox.answers.report_sender();
        let mut prober = None;
        if let Some(ProberSetup { acts, interval, start }) = setup.prober {
            core.watch_hosts(acts, interval);
            let started = start(reports, started.into_std());
            prober = Some(started.context("cannot start the thread that probes hosts")?);
        }
        let sources: Vec<_> = core.source_ids().cloned().collect();
        let (view, seen) = watch::channel(Arc::new(core.to_view()));
        let heartbeat = Arc::new(AtomicU64::new(0));
        let mut registry = Registry::default();
        let mut agent = Self {
            core,
            started,
            clock: setup.clock,
            kernel,
            connections: BTreeMap::new(),
            inbox,
            requests,
            view,
            heartbeat: heartbeat.clone(),
            state_files,
            name_files,
            resolver,
            prober,
            log: Log::default(),
            look_ups: Arc::new(Semaphore::new(MAX_LOOK_UPS)),
            recorder: Recorder::new(&sources, &mut registry),
            published: started,
        };
        for (source, client) in setup.clients {
            agent.open_connection(source, client);
        }
        if let Some(hold) = setup.hold {
            agent.run_turn(Input::Hold(hold));
        }
        agent.restore_names();
        for source in sources {
            agent.restore_source(&source);
        }
        let (journal, metrics) = (agent.log.journal.clone(), Arc::new(registry));
        let started = started.into_std();
        let handle = Handle { view: seen, requests: ask, heartbeat, started, journal, metrics };
        Ok((agent, handle))
    }

    /// Runs until `stop` is done. Leaves the kernel as it is, and saves the sources.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turned = Instant::now();
        loop {
            let wake = (self.started + self.core.wake_at()).max(turned + PAUSE);
            // In the order of their weight: people and answers don't wait for a flood of events.
            let input = tokio::select! {
                biased;
                () = &mut stop => break,
                _ = beat.tick() => {
                    self.record_beat();
                    let view = self.view.borrow().clone();
                    self.log.log_stale_sources(&view, Timestamp::now());
                    continue;
                }
                Some(request) = self.requests.recv() => {
                    self.answer_request(request);
                    continue;
                }
                answer = self.inbox.answers.next_input() => answer,
                () = sleep_until(wake) => Input::Tick,
                message = self.inbox.streams.next_input() => message,
            };
            turned = Instant::now();
            self.run_turn(input);
        }
        self.connections.clear();
        self.kernel.finish();
        self.save_all();
    }

    /// Saves everything. Waits for the disk, but not for long.
    fn save_all(&mut self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let sources = self.core.source_ids();
        let saves: Vec<_> = sources.filter_map(|source| self.prepare_save(source)).collect();
        self.name_files.send_update(self.core.names_update(true, self.now()));
        let save = move || saves.into_iter().for_each(|save| save());
        match thread::Builder::new().name("saves".into()).spawn(save) {
            Ok(thread) => {
                if !join_until(thread, deadline) {
                    tracing::warn!("the disk is slow: stops before the state is saved");
                }
            }
            Err(error) => tracing::warn!("cannot start the thread that saves the state: {error}"),
        }
        self.name_files.finish(deadline);
    }

    /// Removes everything of vipd's from the kernel. Call it only after the agent has stopped.
    ///
    /// # Errors
    /// When the kernel can't be read, or an operation fails.
    pub fn clean_up<K: Kernel>(kernel: &mut K) -> Result<()> {
        let plan = vip::Plan::cleanup(&kernel.observe()?);
        let outcome = kernel.apply_plan(plan);
        match outcome.failures().next() {
            None => Ok(()),
            Some((op, error)) => Err(anyhow!("{op}: {error}")),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment { since_start: self.started.elapsed(), wall: (self.clock)() }
    }

    fn record_beat(&self) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heartbeat.store(since, Ordering::Relaxed);
    }

    /// Runs one turn of the loop: passes an input to the core, carries out the effects, and
    /// publishes what changed. Events that come in a flood are published together.
    pub(super) fn run_turn(&mut self, input: Input) {
        let now = self.now();
        let news = self.recorder.record_input(&input, &self.core, now);
        let is_event = matches!(news, News::Heard(..));
        let is_kernel = matches!(input, Input::Observed(_) | Input::Applied(_));
        let effects = self.core.handle_input(input, now);
        self.recorder.record_effects(news, &effects, &self.core, now);
        self.carry_out(effects, now);
        if is_kernel && let Some(observed) = self.core.controller().observed() {
            self.resolver.iter().for_each(|resolver| resolver.nudge(observed));
        }
        self.record_beat();
        if !is_event || self.inbox.streams.is_empty() || self.published.elapsed() > PUBLISH_LATEST {
            self.publish();
        }
    }

    /// Logs what changed, and publishes the view.
    fn publish(&mut self) {
        self.published = Instant::now();
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
                    self.kernel.send_request(KernelRequest::Observe { known, mend });
                }
                Effect::FindWays(servers) => {
                    self.kernel.send_request(KernelRequest::FindWays(servers));
                }
                Effect::Apply(plan) => self.kernel.send_request(KernelRequest::Apply(plan)),
                Effect::Log(entries) => self.log.log_outcome(entries, now.since_start),
                Effect::Watch(list) => {
                    self.prober.iter().for_each(|prober| prober.send_list(list.clone()));
                }
                Effect::UpdateNames(update) => self.name_files.send_update(*update),
                Effect::Save(source) => {
                    if let Some(save) = self.prepare_save(&source) {
                        tokio::task::spawn_blocking(save);
                    }
                }
            }
        }
    }

    fn start_lookup(&self, name: String) {
        let (answers, look_ups) = (self.inbox.answers.sender(), self.look_ups.clone());
        tokio::spawn(async move {
            let _permit = look_ups.acquire().await;
            let asked = name.clone();
            let answer = tokio::task::spawn_blocking(move || look_up_host(&asked)).await;
            let answer =
                answer.unwrap_or_else(|panic| Err(LookupError::Resolver(panic.to_string())));
            let _ = answers.send(Input::Resolved { name, answer });
        });
    }

    fn open_connection(&mut self, source: SourceId, client: SourceClient) {
        let (id, answers) = (source.clone(), self.inbox.answers.sender());
        let answer = move |message| {
            // Fails only when the agent has stopped.
            let _ = answers.send(Input::Source { source: id.clone(), message });
        };
        let stream = self.inbox.streams.add_queue(source.clone());
        let connection = SourceConnection::new(client, answer, stream);
        self.connections.insert(source, connection);
    }

    fn restore_source(&mut self, source: &SourceId) {
        let Some(files) = self.state_files.clone() else { return };
        let now = self.now();
        match files.load_state(source, |json| self.core.restore_source(source, json, now)) {
            Ok(Some(effects)) => {
                if let Some(connection) = self.connections.get(source) {
                    connection.restore_hosts(self.core.count_hosts(source));
                }
                self.carry_out(effects, now);
            }
            Ok(None) => {}
            Err(error) => {
                let (source, error) = (source.as_str(), error_chain(&error));
                tracing::warn!(source, "the state file can't be used: {error}");
            }
        }
    }

    fn restore_names(&mut self) {
        let Some(files) = &self.state_files else { return };
        match files.load_served() {
            Ok(served) => self.core.restore_served(served),
            Err(error) => {
                let error = error_chain(&error);
                tracing::warn!("the state file of addresses that serve can't be used: {error}");
            }
        }
        match files.load_names(|json| serde_json::from_slice(json)) {
            Ok(saved) => {
                let now = self.now();
                saved.into_iter().for_each(|saved| self.core.restore_names(saved, now));
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::warn!("the state file of names can't be used: {error}");
            }
        }
    }

    /// Prepares to write the state file of a source, if there is something to write.
    fn prepare_save(&self, source: &SourceId) -> Option<impl FnOnce() + Send + 'static> {
        let files = self.state_files.clone()?;
        let kept = self.core.state_to_save(source, self.now())?;
        let source = source.clone();
        Some(move || {
            if let Err(error) = files.save_state(&source, &kept) {
                let (source, error) = (source.as_str(), error_chain(&error));
                tracing::warn!(source, "the state file can't be written: {error}");
            }
        })
    }
}
