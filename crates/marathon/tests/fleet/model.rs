//! Many watches and one Marathon that answers them, in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use marathon::events::Event;
use marathon::watch::{Action, Config, DEFAULT_DOUBT, Input, ReadOutcome, State, StreamId};
use marathon::{Coverage, InstanceSpec, Snapshot, Timestamp, WorkloadKey};

use crate::cluster::{Cluster, Tell};

/// How long Marathon takes for an answer.
const LATENCY: Duration = Duration::from_millis(50);
/// How long an answer with everything is, in bytes: as measured of 1,000 apps with 10 tasks each.
pub(crate) const EVERYTHING: usize = 7_385_000;
/// Heartbeats come every 10 s; for the watch every third is as good.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// What Marathon is asked for. A read of everything is two requests, apps and pods, and opening a
/// stream is two, since the version is asked for before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Stream,
    Everything,
    One,
    /// The definition of an earlier version.
    Record,
}

impl Asked {
    fn requests(self) -> u32 {
        match self {
            Self::Stream | Self::Everything => 2,
            Self::One | Self::Record => 1,
        }
    }
}

/// What was asked for in some time.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// By second: streams, reads of everything, of one, of records.
    seconds: BTreeMap<u64, [u32; 4]>,
    /// By second: events that were sent, one for each agent that listens.
    sent: BTreeMap<u64, u32>,
}

impl Tally {
    fn count(&mut self, asked: Asked, now: Duration) {
        self.seconds.entry(now.as_secs()).or_default()[asked as usize] += 1;
    }

    /// What each second has, from the first to the last: what was asked for, and events sent.
    pub(crate) fn each_second(&self) -> impl Iterator<Item = (u64, [u32; 4], u32)> {
        let keys = || self.seconds.keys().chain(self.sent.keys());
        let (first, last) = (keys().min().copied(), keys().max().copied());
        (first.unwrap_or(1)..=last.unwrap_or(0)).map(|second| {
            let asked = self.seconds.get(&second).copied().unwrap_or_default();
            (second, asked, self.sent.get(&second).copied().unwrap_or_default())
        })
    }

    pub(crate) fn of(&self, asked: Asked) -> u32 {
        self.seconds.values().map(|second| second[asked as usize]).sum()
    }

    /// The most of what is counted so in one second.
    pub(crate) fn peak(&self, weight: impl Fn(Asked) -> u32) -> u32 {
        self.seconds.values().map(|second| weighed(second, &weight)).max().unwrap_or(0)
    }

    pub(crate) fn sum(&self, weight: impl Fn(Asked) -> u32) -> u32 {
        self.seconds.values().map(|second| weighed(second, &weight)).sum()
    }

    /// The most in `length` seconds, for each second.
    pub(crate) fn busiest(&self, length: u64, weight: impl Fn(Asked) -> u32) -> f64 {
        let within = |from: u64| {
            let range = self.seconds.range(from..from + length);
            range.map(|(_, second)| weighed(second, &weight)).sum::<u32>()
        };
        let most = self.seconds.keys().map(|from| within(*from)).max().unwrap_or(0);
        f64::from(most) / length as f64
    }
}

fn weighed(second: &[u32; 4], weight: &impl Fn(Asked) -> u32) -> u32 {
    let all = [Asked::Stream, Asked::Everything, Asked::One, Asked::Record];
    all.into_iter().map(|asked| second[asked as usize] * weight(asked)).sum()
}

pub(crate) fn reads(asked: Asked) -> u32 {
    u32::from(asked != Asked::Stream)
}

pub(crate) fn requests(asked: Asked) -> u32 {
    asked.requests()
}

struct Agent {
    state: State,
    wake_at: Duration,
    stream: Option<StreamId>,
    /// The versions it knows the definitions of.
    records: BTreeSet<(String, Option<Timestamp>)>,
    /// Streams, reads of everything, of one, of records.
    asked: [u32; 4],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Wake(usize),
    Opened(usize, StreamId),
    Heartbeat(usize, StreamId),
    Everything(usize),
    One(usize, WorkloadKey),
    Tell(Tell),
    Leader(Option<u32>),
}

/// All agents, their Marathon, and what happens next.
pub(crate) struct Fleet {
    pub(crate) now: Duration,
    cluster: Cluster,
    /// Which leader leads.
    leader: Option<u32>,
    agents: Vec<Agent>,
    queue: BinaryHeap<Reverse<(Duration, u64, What)>>,
    order: u64,
    tally: Tally,
    told: u32,
}

impl Fleet {
    /// So many agents that were all started within a minute.
    pub(crate) fn new(agents: u32, cluster: Cluster) -> Self {
        let mut fleet = Self {
            now: Duration::ZERO,
            cluster,
            leader: Some(0),
            agents: Vec::new(),
            queue: BinaryHeap::new(),
            order: 0,
            tally: Tally::default(),
            told: 0,
        };
        for index in 0..agents {
            let start = Duration::from_secs(60) * index / agents;
            let seed = u64::from(index) * 0x9E37_79B9;
            let config = Config {
                urls: NonZeroUsize::MIN,
                agents: Some(agents),
                seed,
                doubt: DEFAULT_DOUBT,
            };
            fleet.agents.push(Agent {
                state: State::new(&config, start),
                wake_at: start,
                stream: None,
                records: BTreeSet::new(),
                asked: [0; 4],
            });
            fleet.push(start, What::Wake(index as usize));
        }
        fleet
    }

    fn push(&mut self, at: Duration, what: What) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, what)));
    }

    /// Lets something happen in so many milliseconds.
    pub(crate) fn tell_in(&mut self, millis: u64, tell: Tell) {
        self.push(self.now + Duration::from_millis(millis), What::Tell(tell));
    }

    /// The leader goes, and another one is there after `outage`.
    pub(crate) fn change_leader(&mut self, outage: Duration) {
        let next = self.leader.map_or(0, |leader| leader + 1);
        self.push(self.now, What::Leader(None));
        self.push(self.now + outage, What::Leader(Some(next)));
    }

    /// Lets so much time pass, and says what was asked for in it.
    pub(crate) fn run(&mut self, time: Duration) -> Tally {
        let end = self.now + time;
        self.tally = Tally::default();
        self.told = 0;
        self.agents.iter_mut().for_each(|agent| agent.asked = [0; 4]);
        while let Some(Reverse((at, _, _))) = self.queue.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, what))) = self.queue.pop() else { break };
            self.now = at;
            self.happen(what);
        }
        self.now = end;
        std::mem::take(&mut self.tally)
    }

    /// The least and the most that an agent asked for since [`Fleet::run`] began.
    pub(crate) fn each(&self, asked: Asked) -> (u32, u32) {
        let each = || self.agents.iter().map(|agent| agent.asked[asked as usize]);
        (each().min().unwrap_or(0), each().max().unwrap_or(0))
    }

    /// How many events there were in this time.
    pub(crate) fn told(&self) -> u32 {
        self.told
    }

    /// How many agents don't see Marathon as it is.
    pub(crate) fn astray(&self) -> usize {
        let truth = self.cluster.workloads();
        let as_it_is = |agent: &&Agent| {
            agent.state.workloads().map(|known| &**known).eq(truth) && agent.state.is_streaming()
        };
        self.agents.len() - self.agents.iter().filter(as_it_is).count()
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Wake(agent) if self.agents[agent].wake_at == self.now => {
                self.on(agent, Input::Tick);
            }
            What::Opened(agent, stream) => match self.leader {
                Some(leader) => {
                    self.agents[agent].stream = Some(stream);
                    self.push(self.now + HEARTBEAT, What::Heartbeat(agent, stream));
                    let leader = Some(leader.to_string());
                    self.on(agent, Input::Opened { stream, leader });
                }
                None => self.on(agent, Input::Ended { stream }),
            },
            What::Heartbeat(agent, stream) if self.agents[agent].stream == Some(stream) => {
                self.push(self.now + HEARTBEAT, What::Heartbeat(agent, stream));
                self.on(agent, Input::Bytes { stream });
            }
            What::Wake(_) | What::Heartbeat(..) => {}
            What::Everything(agent) => {
                let answer = self.leader.map(|_| Snapshot {
                    workloads: self.cluster.workloads().iter().cloned().map(Arc::new).collect(),
                    coverage: Coverage { apps: true, pods: true },
                    findings: Vec::new(),
                    bytes: EVERYTHING,
                    framework: None,
                    framework_name: None,
                });
                let workloads = answer.iter().flat_map(|answer| &answer.workloads);
                self.read_records(
                    agent,
                    workloads.flat_map(|workload| versions(workload)).collect(),
                );
                let leader = self.leader.map(|leader| leader.to_string());
                self.on(agent, Input::ReadEverything { answer, leader });
            }
            What::One(agent, key) => {
                let found = self.cluster.workloads().iter();
                let found =
                    found.filter(|_| self.leader.is_some()).find(|found| found.id == key.id);
                let found = found.cloned();
                self.read_records(agent, found.iter().flat_map(versions).collect());
                let answer = match found {
                    Some(found) => ReadOutcome::Found(found.into()),
                    None => ReadOutcome::Failed,
                };
                let leader = self.leader.map(|leader| leader.to_string());
                self.on(agent, Input::Read { key, answer, leader });
            }
            What::Tell(tell) => {
                for event in self.cluster.happen(tell) {
                    self.told += 1;
                    self.tell(&event);
                }
            }
            What::Leader(leader) => {
                self.leader = leader;
                for agent in 0..self.agents.len() {
                    if let Some(stream) = self.agents[agent].stream.take() {
                        self.on(agent, Input::Ended { stream });
                    }
                }
            }
        }
    }

    fn tell(&mut self, event: &Event) {
        for agent in 0..self.agents.len() {
            if let Some(stream) = self.agents[agent].stream {
                *self.tally.sent.entry(self.now.as_secs()).or_default() += 1;
                self.on(agent, Input::Event { stream, event: event.clone() });
            }
        }
    }

    /// Of a definition that it has seen an agent keeps the record; others it reads once.
    fn read_records(&mut self, agent: usize, used: Vec<Version>) {
        for Version { id, version, is_current } in used {
            if self.agents[agent].records.insert((id, version)) && !is_current {
                self.count(agent, Asked::Record);
            }
        }
    }

    fn count(&mut self, agent: usize, asked: Asked) {
        self.agents[agent].asked[asked as usize] += 1;
        self.tally.count(asked, self.now);
    }

    fn on(&mut self, agent: usize, input: Input) {
        let step = self.agents[agent].state.handle_input(input, self.now);
        for action in step.actions {
            let then = match action {
                Action::Open { stream, .. } => {
                    self.count(agent, Asked::Stream);
                    What::Opened(agent, stream)
                }
                Action::Close => {
                    self.agents[agent].stream = None;
                    continue;
                }
                Action::ReadEverything => {
                    self.count(agent, Asked::Everything);
                    What::Everything(agent)
                }
                Action::Read(key) => {
                    self.count(agent, Asked::One);
                    What::One(agent, key)
                }
            };
            self.push(self.now + LATENCY, then);
        }
        if self.agents[agent].wake_at != step.wake_at {
            self.agents[agent].wake_at = step.wake_at;
            self.push(step.wake_at, What::Wake(agent));
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    id: String,
    version: Option<Timestamp>,
    is_current: bool,
}

/// What the instances of a workload run by.
fn versions(workload: &marathon::Workload) -> BTreeSet<Version> {
    let version = |instance: &marathon::Instance| Version {
        id: workload.id.to_string(),
        version: instance.version,
        is_current: instance.spec == InstanceSpec::Current,
    };
    workload.instances.iter().map(version).collect()
}
