//! A controller at work on a fake kernel, with a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use node::Kernel;
use testkit::FakeKernel;
use vip::controller::{AppClaims, Change, Config, Effect, Input, LogEntry, ReadFailure, Status};
use vip::label::{Options, VipRef};
use vip::{
    AppId, Candidate, Claim, Condition, Controller, LabelPlace, Observed, Outcome, Plan, Protocol,
    Reach, Vip,
};

pub(crate) type Task<'a> = (&'a str, &'a str, Condition);

pub(crate) struct World {
    pub(crate) kernel: FakeKernel,
    pub(crate) controller: Controller,
    pub(crate) config: Config,
    pub(crate) now: Duration,
    /// What each source would say now.
    pub(crate) truth: BTreeMap<String, BTreeMap<AppId, AppClaims>>,
    pub(crate) job: Option<Job>,
    pub(crate) wake: Option<Duration>,
    pub(crate) status: Status,
    pub(crate) plans: Vec<Plan>,
    /// What was done, since the test last took it.
    pub(crate) log: Vec<LogEntry>,
    /// What each plan started from, and whether every source was heard by then.
    pub(crate) baselines: Vec<(Observed, bool)>,
    pub(crate) readings: usize,
    /// How often the kernel was asked for ways.
    pub(crate) questions: usize,
    /// Why the kernel can't be read.
    pub(crate) unreadable: Option<String>,
    /// Why the kernel doesn't tell the way to real servers.
    pub(crate) no_ways: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Job {
    Observe,
    FindWays(BTreeSet<IpAddr>),
    Apply(Plan),
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `3.3.0.6:3306/tcp`; without protocol TCP.
pub(crate) fn vip(text: &str) -> Vip {
    let (place, protocol) = match text.rsplit_once('/') {
        Some((place, "udp")) => (place, Protocol::Udp),
        Some((place, _)) => (place, Protocol::Tcp),
        None => (text, Protocol::Tcp),
    };
    match place.parse() {
        Ok(VipRef::Address(address, port)) => Vip { address, port, protocol },
        other => panic!("{text}: {other:?}"),
    }
}

pub(crate) fn claim(vip: Vip, app: &str, tasks: &[(String, SocketAddr, Condition)]) -> Claim {
    let label = LabelPlace {
        app: app.into(),
        port: Some(0),
        path: "$.container.portMappings[0].labels".into(),
        key: "VIP_0".into(),
        occurrence: 0,
        value: vip.socket_addr().to_string(),
    };
    let candidates = tasks.iter().map(|(task, at, condition)| Candidate {
        task: task.as_str().into(),
        condition: *condition,
        remembered: false,
        unlisted: false,
        reach: Ok(Reach { place: (*at).into(), behind: None }),
    });
    let candidates = candidates.collect();
    Claim {
        name: None,
        vip,
        label,
        source: Default::default(),
        superseded: false,
        suspended: false,
        incomplete: false,
        note: None,
        options: Options::default(),
        candidates,
    }
}

/// What an app says that claims these VIPs for its tasks.
pub(crate) fn app(name: &str, vips: &[&str], tasks: &[Task<'_>]) -> AppClaims {
    let tasks: Vec<_> = tasks
        .iter()
        .map(|(task, at, condition)| ((*task).to_owned(), at.parse().unwrap(), *condition))
        .collect();
    AppClaims::new(vips.iter().map(|at| claim(vip(at), name, &tasks)).collect())
}

impl World {
    /// One source, `m`, that was not heard yet.
    pub(crate) fn new() -> Self {
        Self::with(Config { sources: ["m".into()].into(), ..Config::default() })
    }

    /// Two sources, `m` and `n`.
    pub(crate) fn of_two_sources() -> Self {
        let sources = ["m".into(), "n".into()].into();
        Self::with(Config { sources, ..Config::default() })
    }

    pub(crate) fn with(config: Config) -> Self {
        let config = Config { node: "node1".into(), ..config };
        Self {
            kernel: FakeKernel::default(),
            controller: Controller::new(config.clone()),
            truth: config
                .sources
                .iter()
                .map(|source| (source.to_string(), BTreeMap::new()))
                .collect(),
            config,
            now: seconds(1000),
            job: None,
            wake: None,
            status: Status::default(),
            plans: Vec::new(),
            log: Vec::new(),
            baselines: Vec::new(),
            readings: 0,
            questions: 0,
            unreadable: None,
            no_ways: None,
        }
    }

    /// The same, with these claims heard and in the kernel.
    pub(crate) fn settled(apps: &[(&str, AppClaims)]) -> Self {
        let mut world = Self::new();
        let apps = apps.iter().map(|(name, claims)| ((*name).into(), claims.clone()));
        world.truth.insert("m".into(), apps.collect());
        world.hear_all("m");
        world
    }

    /// Says something and leaves the kernel's answer open.
    pub(crate) fn say(&mut self, input: Input) {
        for effect in self.controller.handle_input(input, self.now) {
            match effect {
                Effect::Observe => self.begin(Job::Observe),
                Effect::FindWays(servers) => self.begin(Job::FindWays(servers)),
                Effect::Apply(plan) => {
                    let known = self.controller.observed().map(|known| Observed::clone(known));
                    let known = known.unwrap_or_default();
                    let heard = self.controller.status().awaited.is_empty();
                    self.baselines.push((known, heard));
                    self.plans.push(plan.clone());
                    self.begin(Job::Apply(plan));
                }
                Effect::WakeAt(at) => self.wake = Some(at),
                Effect::Report(status) => self.status = *status,
                Effect::Log(entries) => {
                    self.log.extend(entries.into_iter().map(|(entry, _)| entry));
                }
            }
        }
    }

    fn begin(&mut self, job: Job) {
        assert!(self.job.is_none(), "{job:?} while {:?}", self.job);
        self.job = Some(job);
    }

    /// Answers for the kernel, once.
    pub(crate) fn answer(&mut self) {
        match self.job.take() {
            None => {}
            Some(Job::Observe) => {
                self.readings += 1;
                let reading = match &self.unreadable {
                    Some(why) => Err(ReadFailure(why.clone())),
                    None => Ok(self.kernel.observe().unwrap()),
                };
                self.say(Input::Observed(reading));
            }
            Some(Job::FindWays(servers)) => {
                self.questions += 1;
                let ways = match &self.no_ways {
                    Some(why) => Err(ReadFailure(why.clone())),
                    None => Ok(self.kernel.find_ways(&servers).unwrap()),
                };
                self.say(Input::Ways(ways));
            }
            Some(Job::Apply(plan)) => {
                let outcome: Outcome = self.kernel.apply_plan(plan);
                self.say(Input::Applied(outcome));
            }
        }
    }

    /// Answers for the kernel until nothing more is asked.
    pub(crate) fn work(&mut self) {
        for _ in 0..100 {
            if self.job.is_none() {
                return;
            }
            self.answer();
        }
        panic!("asks the kernel for ever: {:?}", self.job);
    }

    /// Says something and works it off.
    pub(crate) fn hear(&mut self, input: Input) {
        self.say(input);
        self.work();
    }

    pub(crate) fn hear_all(&mut self, source: &str) {
        self.say_all(source);
        self.work();
    }

    /// Everything that is so of a source, and that it is everything.
    pub(crate) fn say_all(&mut self, source: &str) {
        let apps = self.truth[source].clone();
        let only = apps.keys().cloned().collect();
        let apps = apps.into_iter().map(|(name, claims)| (name, Some(claims))).collect();
        for change in [Change::Apps(apps), Change::Only(only)] {
            self.say(Input::Claims { source: source.into(), change });
        }
    }

    /// An app of `m` changes. `None`: it is deleted.
    pub(crate) fn app(&mut self, name: &str, claims: Option<AppClaims>) {
        let input = self.app_input("m", name, claims);
        self.hear(input);
    }

    pub(crate) fn app_input(
        &mut self,
        source: &str,
        name: &str,
        claims: Option<AppClaims>,
    ) -> Input {
        let apps = self.truth.entry(source.into()).or_default();
        match claims.clone() {
            Some(claims) => apps.insert(name.into(), claims),
            None => apps.remove(&AppId::from(name)),
        };
        let change = Change::Apps([(name.into(), claims)].into());
        Input::Claims { source: source.into(), change }
    }

    /// Lets time go by, waking the controller when it asked for it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let Some(wake) = self.wake.filter(|wake| *wake <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(wake);
            self.wake = None;
            self.hear(Input::Tick);
        }
        panic!("wakes for ever");
    }

    /// The agent dies and starts anew; it has heard nothing yet.
    pub(crate) fn restart(&mut self) {
        self.controller = Controller::new(self.config.clone());
        (self.job, self.wake) = (None, None);
        self.hear(Input::Tick);
    }

    pub(crate) fn state(&mut self) -> &mut Observed {
        &mut self.kernel.state
    }

    /// The real servers of a service with their weights; `None` if it isn't there.
    pub(crate) fn weights(&self, at: &str) -> Option<Vec<(String, u32)>> {
        let servers = &self.kernel.state.service(&vip(at))?.servers;
        Some(servers.iter().map(|(at, server)| (at.to_string(), server.settings.weight)).collect())
    }

    pub(crate) fn weight(&self, at: &str, server: &str) -> Option<u32> {
        let service = self.kernel.state.service(&vip(at))?;
        service.servers.get(&server.parse().unwrap()).map(|server| server.settings.weight)
    }

    pub(crate) fn bound(&self, address: &str) -> bool {
        self.kernel.state.addresses.contains_key(&address.parse().unwrap())
    }

    /// Says how many connections of a real server are active.
    pub(crate) fn set_active(&mut self, at: &str, server: &str, active: u32) {
        let service = self.kernel.state.services.get_mut(&vip(at).into()).unwrap();
        service.servers.get_mut(&server.parse().unwrap()).unwrap().active = active;
    }
}
