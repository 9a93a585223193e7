//! Measures from the last byte of an event to the kernel's change, without connections: the bytes
//! go through the decoder, the watch, the translation, the controller and a plan to a kernel in
//! memory.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use marathon::events::Event;
use marathon::events::sse::Decoder;
use marathon::watch::{self, Action, StreamId};
use marathon::{Document, Kind, Records, Timestamp};
use node::Kernel;
use testkit::FakeKernel;
use vip::liveness::ProbeReport;
use vipd::agent::core::{AgentCore, Config, Effect, Input, KernelReading};
use vipd::clock::Moment;
use vipd::sources::marathon::messages::Message;
use vipd::sources::{SourceConfig, SourceKind, SourceMessage, SourceRequest};

use crate::cluster::Cluster;
use crate::figure::{print_figure, print_spread, print_time};
use crate::memory;

/// An agent's core with a simulated clock.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) kernel: FakeKernel,
    core: AgentCore,
    now: Duration,
    wall: Timestamp,
    inputs: VecDeque<Input>,
    decoder: Decoder,
    stream: Option<StreamId>,
    /// Time of the kernel's last change.
    changed: Option<Instant>,
}

impl World {
    /// Makes a core whose kernel holds the whole cluster.
    pub(crate) fn settled(cluster: Cluster) -> Self {
        let wall = "2026-01-01T01:00:00Z".parse().unwrap();
        let watch = watch::Config {
            urls: NonZeroUsize::MIN,
            agents: Some(1),
            seed: 7,
            doubt: marathon::watch::DEFAULT_DOUBT,
        };
        let kind = SourceKind::Marathon(watch);
        let source = SourceConfig {
            id: "m".into(),
            servers: [].into(),
            names: vipd::sources::NameConfig::default(),
            kind,
        };
        let controller = vip::controller::Config { node: "node1".into(), ..Default::default() };
        let config = Config { controller, sources: vec![source], task_zone: None };
        let mut world = Self {
            cluster,
            kernel: FakeKernel::default(),
            core: AgentCore::new(config, Moment { since_start: Duration::ZERO, wall }),
            now: Duration::ZERO,
            wall,
            inputs: VecDeque::new(),
            decoder: Decoder::default(),
            stream: None,
            changed: None,
        };
        world.pass_time(Duration::from_secs(20));
        let wanted: usize =
            (0..world.cluster.app_count()).map(|app| world.cluster.task_count(app)).sum();
        assert_eq!(world.server_count(), wanted, "real servers in the kernel");
        world
    }

    fn server_count(&self) -> usize {
        self.kernel.state.services.values().map(|service| service.servers.len()).sum()
    }

    /// Counts the real servers in the kernel that get no new connections.
    pub(crate) fn weightless(&self) -> usize {
        let servers =
            self.kernel.state.services.values().flat_map(|service| service.servers.values());
        servers.filter(|server| server.settings.weight == 0).count()
    }

    /// Advances the clock.
    pub(crate) fn pass_time(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.work_off_inputs();
            let wake = self.core.wake_at();
            if wake > end {
                break;
            }
            self.now = self.now.max(wake) + Duration::from_millis(1);
            self.inputs.push_back(Input::Tick);
        }
        self.now = end;
    }

    fn work_off_inputs(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            let wall = self.wall + self.now;
            let effects = self.core.handle_input(input, Moment { since_start: self.now, wall });
            // The agent makes a view each turn, for its HTTP server.
            std::hint::black_box(self.core.to_view());
            effects.into_iter().for_each(|effect| self.carry_out(effect));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let input = match effect {
            Effect::Source { request: SourceRequest::Marathon(request), .. } => {
                return self.answer(request);
            }
            Effect::Observe { .. } => Input::Observed(Ok(KernelReading {
                observed: self.kernel.observe().unwrap(),
                sysctls: Vec::new(),
            })),
            Effect::FindWays(servers) => Input::Ways(Ok(self.kernel.find_ways(&servers).unwrap())),
            Effect::Apply(plan) => {
                self.kernel.log.clear();
                let outcome = self.kernel.apply_plan(plan);
                self.changed = Some(Instant::now());
                Input::Applied(outcome)
            }
            Effect::Resolve(_)
            | Effect::Log(_)
            | Effect::Save(_)
            | Effect::UpdateNames(_)
            | Effect::Watch(_) => {
                return;
            }
        };
        self.inputs.push_back(input);
    }

    fn answer(&mut self, request: Action) {
        let message = match request {
            Action::Open { stream, .. } => {
                self.stream = Some(stream);
                Message::Opened { stream, leader: None, relay: None }
            }
            Action::ReadEverything => {
                let apps = Document::parse_apps(self.cluster.apps_body().as_bytes()).unwrap();
                let pods = Document::parse_pods(b"[]").unwrap();
                let answer = Ok(apps.merge(pods).to_snapshot(&Records::default()));
                Message::ReadEverything { answer, leader: None }
            }
            Action::Read(key) => {
                assert_eq!(key.kind, Kind::App);
                let app = (0..self.cluster.app_count())
                    .find(|app| *key.id == *Cluster::app_id(*app))
                    .unwrap();
                let body = self.cluster.app_body(app);
                return self.read_one(key, &body);
            }
            Action::Close => return,
        };
        self.inputs.push_back(said(message));
    }

    fn read_one(&mut self, key: marathon::WorkloadKey, body: &str) {
        let snapshot = Document::parse(body.as_bytes()).unwrap().to_snapshot(&Records::default());
        let answer = Ok(snapshot.workloads.into_iter().next());
        self.inputs.push_back(said(Message::Read { key, answer, leader: None }));
    }

    fn take_events(&mut self, bytes: &[u8]) {
        let stream = self.stream.unwrap();
        for frame in self.decoder.push_bytes(bytes) {
            let event = Event::parse(&frame);
            self.inputs.push_back(said(Message::Event { stream, event }));
        }
    }

    /// Takes in bytes of the event stream, and returns the time until the kernel was changed.
    pub(crate) fn hear_bytes(&mut self, bytes: &[u8]) -> Duration {
        self.changed = None;
        let start = Instant::now();
        self.take_events(bytes);
        self.work_off_inputs();
        let changed = self.changed.unwrap_or_else(|| {
            panic!("the kernel was not changed by {}", String::from_utf8_lossy(bytes))
        });
        changed - start
    }

    /// Has it act on silent hosts.
    pub(crate) fn act_on_silence(&mut self) {
        self.core.watch_hosts(true, vip::liveness::INTERVAL);
    }

    /// Takes in what the prober tells, and returns the time until the kernel's last change.
    pub(crate) fn hear_probes(&mut self, report: ProbeReport) -> Duration {
        self.changed = None;
        let start = Instant::now();
        self.inputs.push_back(Input::Probed(report));
        self.work_off_inputs();
        self.changed.expect("the kernel was not changed") - start
    }

    /// Measures a change of one real server's weight from the event to the kernel, and changes it
    /// back.
    fn time_weight(&mut self, app: usize, task: usize, second: usize) -> Duration {
        self.cluster.set_healthy(app, task, false);
        let time = self.hear_bytes(Cluster::health_event(app, task, false, second).as_bytes());
        self.pass_time(Duration::from_secs(2));
        self.cluster.set_healthy(app, task, true);
        self.take_events(Cluster::health_event(app, task, true, second + 2).as_bytes());
        self.pass_time(Duration::from_secs(10));
        time
    }

    /// Measures reading an app again, from the answer to the kernel's change.
    fn time_reread(&mut self, app: usize) -> Duration {
        self.changed = None;
        // The event makes the watch ask for the app; only the answer is measured.
        let body = self.cluster.app_body(app);
        let stream = self.stream.unwrap();
        let change = marathon::events::Change::Posted(marathon::events::Touched {
            kind: Some(Kind::App),
            id: Cluster::app_id(app),
        });
        let event = Event { at: None, change };
        self.inputs.push_back(said(Message::Event { stream, event }));
        self.work_off_inputs();
        // Answer the read that follows.
        loop {
            self.now = self.now.max(self.core.wake_at()) + Duration::from_millis(1);
            let wall = self.wall + self.now;
            let moment = Moment { since_start: self.now, wall };
            for effect in self.core.handle_input(Input::Tick, moment) {
                match effect {
                    Effect::Source {
                        request: SourceRequest::Marathon(Action::Read(key)), ..
                    } if *key.id == *Cluster::app_id(app) => {
                        assert!(self.inputs.is_empty());
                        let start = Instant::now();
                        self.read_one(key, &body);
                        self.work_off_inputs();
                        return self.changed.expect("the kernel was not changed") - start;
                    }
                    other => self.carry_out(other),
                }
            }
            self.work_off_inputs();
        }
    }
}

/// Wraps a message of the only source.
fn said(message: Message) -> Input {
    Input::Source { source: "m".into(), message: SourceMessage::Marathon(message) }
}

/// Measures the change of a real server's weight at these table sizes: with warm caches
/// (`react/memory`), and after other programs used the processor's caches (`react/cold`), as on a
/// node.
pub(crate) fn measure_weights(vips: &[usize], events: usize) {
    let mut others = vec![0_u8; MORE_THAN_CACHES];
    for &vips in vips {
        let mut world = World::settled(Cluster::new(vips, 10));
        for (before, (name, cold)) in [("memory", false), ("cold", true)].into_iter().enumerate() {
            let mut times = Vec::new();
            for number in before * events..(before + 1) * events {
                if cold {
                    others.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
                    std::hint::black_box(&others);
                }
                times.push(world.time_weight(number * 7 % vips, number % 10, number * 30));
            }
            print_spread(&format!("react/{name}/{vips}"), &times);
        }
    }
}

/// Size in bytes, above the 32 MiB of the caches that the usual machines share.
const MORE_THAN_CACHES: usize = 64 << 20;

/// Measures the memory of the core for a cluster that is in the kernel, which is most of the
/// agent's.
pub(crate) fn measure_held_memory(vips: usize, servers: usize) {
    let world = World::settled(Cluster::new(vips, servers));
    let World { cluster, kernel, core, inputs, .. } = world;
    drop((cluster, kernel, inputs));
    let before = memory::bytes_held();
    drop(core);
    let held = before - memory::bytes_held();
    print_figure(&format!("held/{vips}"), held as f64, "bytes");
    print_figure("held/task", (held / (vips * servers)) as f64, "bytes");
}

/// Measures reading one app of a hundred tasks again, among this many others.
pub(crate) fn measure_rereads(apps: &[usize], times: usize) {
    for &apps in apps {
        let mut tasks = vec![10; apps];
        tasks[apps / 2] = 100;
        let mut world = World::settled(Cluster::with_task_counts(tasks));
        let app = apps / 2;
        for number in 0..times {
            // Half of the tasks change at once, back and forth.
            for other in 0..50 {
                world.cluster.set_healthy(app, 2 * other, number % 2 == 1);
            }
            let time = world.time_reread(app);
            print_time(&format!("reread/{apps}"), time);
            world.pass_time(Duration::from_secs(30));
        }
    }
}
