//! A watch, a clock to be set, and a Marathon to answer by hand.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use marathon::events::Event;
use marathon::events::sse::Frame;
use marathon::watch::{Action, Config, DEFAULT_DOUBT, Input, ReadOutcome, State, StreamId};
use marathon::{Document, Health, Kind, Records, Snapshot, TaskState, WorkloadKey};

/// The clock of Marathon at the start of the test; [`at`] counts from it.
pub(crate) fn at(seconds: u64) -> String {
    format!("2020-01-01T00:{:02}:{:02}.000Z", seconds / 60, seconds % 60)
}

/// A running task with a check that last succeeded then.
pub(crate) fn up(id: &str, success: u64) -> String {
    task(id, "RUNNING", &format!(r#"{{"alive":true,"lastSuccess":"{}"}}"#, at(success)))
}

pub(crate) fn task(id: &str, state: &str, result: &str) -> String {
    format!(
        r#"{{"id":"{id}","state":"TASK_{state}","host":"h-{id}","ports":[1],"version":"{v}",
            "startedAt":"{v}","healthCheckResults":[{result}]}}"#,
        v = at(0)
    )
}

/// An app with one VIP and one health check.
pub(crate) fn app(id: &str, tasks: &[String]) -> String {
    format!(
        r#"{{"id":"{id}","version":"{}","portDefinitions":[{{"labels":{{"VIP_0":"3.3.0.6:80"}}}}],
            "healthChecks":[{{}}],"tasks":[{}]}}"#,
        at(0),
        tasks.join(",")
    )
}

pub(crate) fn snapshot(apps: &[String]) -> Snapshot {
    let body = format!(r#"{{"apps":[{}]}}"#, apps.join(","));
    let pods = Document::parse_pods(b"[]").unwrap();
    Document::parse_apps(body.as_bytes()).unwrap().merge(pods).to_snapshot(&Records::default())
}

pub(crate) fn key(id: &str) -> WorkloadKey {
    WorkloadKey { kind: Kind::App, id: id.into() }
}

pub(crate) struct Watch {
    pub(crate) state: State,
    pub(crate) now: Duration,
    wake_at: Duration,
    pub(crate) stream: Option<StreamId>,
    pub(crate) leader: Option<String>,
    /// Asked for since the last [`Watch::asked`].
    actions: Vec<Action>,
    pub(crate) changed: BTreeSet<WorkloadKey>,
    /// How often an answer that says everything was believed.
    pub(crate) whole: usize,
}

impl Watch {
    pub(crate) fn new(urls: usize, agents: Option<u32>, seed: u64) -> Self {
        let config =
            Config { urls: NonZeroUsize::new(urls).unwrap(), agents, seed, doubt: DEFAULT_DOUBT };
        let mut watch = Self {
            state: State::new(&config, Duration::ZERO),
            now: Duration::ZERO,
            wake_at: Duration::ZERO,
            stream: None,
            leader: None,
            actions: Vec::new(),
            changed: BTreeSet::new(),
            whole: 0,
        };
        watch.on(Input::Tick);
        watch
    }

    /// One whose stream is open and that has read these apps.
    pub(crate) fn started(apps: &[String]) -> Self {
        let mut watch = Self::new(1, Some(1), 7);
        watch.opened();
        watch.after(1000);
        watch.read_everything(apps);
        if !watch.state.coverage().apps {
            // A first answer without VIPs is asked for twice.
            watch.after(2000);
            watch.read_everything(apps);
        }
        watch.asked();
        watch
    }

    pub(crate) fn on(&mut self, input: Input) {
        let step = self.state.handle_input(input, self.now);
        assert!(step.wake_at > self.now, "it would wake up at once, and so for ever");
        self.wake_at = step.wake_at;
        for action in &step.actions {
            match action {
                Action::Open { stream, .. } => self.stream = Some(*stream),
                Action::Close => self.stream = None,
                Action::ReadEverything | Action::Read(_) => {}
            }
        }
        self.actions.extend(step.actions);
        self.changed.extend(step.changed);
        self.whole += usize::from(step.whole);
    }

    /// Lets so many milliseconds pass.
    pub(crate) fn after(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.wake_at <= end {
            self.now = self.wake_at;
            self.on(Input::Tick);
        }
        self.now = end;
        self.on(Input::Tick);
    }

    /// Lets so many seconds pass with heartbeats in them.
    pub(crate) fn live(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.after(1000);
            self.on(Input::Bytes { stream: self.stream.unwrap() });
        }
    }

    pub(crate) fn opened(&mut self) {
        let (stream, leader) = (self.stream.unwrap(), self.leader.clone());
        self.on(Input::Opened { stream, leader });
    }

    pub(crate) fn ended(&mut self) {
        self.on(Input::Ended { stream: self.stream.unwrap() });
    }

    pub(crate) fn event(&mut self, event: &str, data: &str) {
        let frame = Frame { event: Some(event.to_owned()), data: data.to_owned() };
        let event = Event::parse(&frame);
        self.on(Input::Event { stream: self.stream.unwrap(), event });
    }

    /// `TASK_KILLED` and so on of a task of /db.
    pub(crate) fn status(&mut self, task: &str, status: &str) {
        let data = format!(r#"{{"appId":"/db","taskId":"{task}","taskStatus":"TASK_{status}"}}"#);
        self.event("status_update_event", &data);
    }

    /// The verdict on a task of /db, given then.
    pub(crate) fn health(&mut self, task: &str, alive: bool, moment: u64) {
        let data = format!(
            r#"{{"appId":"/db","taskId":"{task}","alive":{alive},"timestamp":"{}"}}"#,
            at(moment)
        );
        self.event("health_status_changed_event", &data);
    }

    pub(crate) fn read_everything(&mut self, apps: &[String]) {
        let (answer, leader) = (Some(snapshot(apps)), self.leader.clone());
        self.on(Input::ReadEverything { answer, leader });
    }

    pub(crate) fn fail_everything(&mut self) {
        self.on(Input::ReadEverything { answer: None, leader: None });
    }

    pub(crate) fn read(&mut self, app: &str) {
        let workload = snapshot(&[app.to_owned()]).workloads.remove(0);
        let (key, leader) = (workload.key(), self.leader.clone());
        self.on(Input::Read { key, answer: ReadOutcome::Found(workload), leader });
    }

    pub(crate) fn answer(&mut self, id: &str, answer: ReadOutcome) {
        self.on(Input::Read { key: key(id), answer, leader: None });
    }

    /// Answers that there is no such pod.
    pub(crate) fn no_pod(&mut self, id: &str) {
        let key = WorkloadKey { kind: Kind::Pod, id: id.into() };
        self.on(Input::Read { key, answer: ReadOutcome::Missing, leader: None });
    }

    /// What it asked for since the last time: `all`, `open 0`, `close`, `app /db`.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        let text = |action| match action {
            Action::Open { url, .. } => format!("open {url}"),
            Action::Close => "close".to_owned(),
            Action::ReadEverything => "all".to_owned(),
            Action::Read(key) => key.to_string(),
        };
        self.actions.drain(..).map(text).collect()
    }

    /// The tasks of an app in short: `a up, b down, c killing`.
    pub(crate) fn tasks(&self, id: &str) -> String {
        let Some(workload) = self.state.get(&key(id)) else { return "gone".to_owned() };
        let short = |instance: &marathon::Instance| {
            let word = match (&instance.state, instance.health) {
                (TaskState::Running, Health::Up | Health::NoChecks) => "up",
                (TaskState::Running, Health::Down) => "down",
                (TaskState::Running, Health::Unknown) => "unknown",
                (TaskState::Killing, _) => "killing",
                (TaskState::Terminal(_), _) => "over",
                _ => "else",
            };
            format!("{} {word}", instance.id)
        };
        workload.instances.iter().map(short).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn ids(&self) -> Vec<&str> {
        self.state.workloads().map(|workload| &*workload.id).collect()
    }
}
