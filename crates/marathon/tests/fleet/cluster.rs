//! What the modelled Marathon runs, and what it says when that changes.

use std::sync::Arc;

use marathon::events::{Change, Event, Subject, Touched};
use marathon::{
    Endpoint, Health, Instance, InstanceSpec, Kind, NetworkMode, Port, Protocol, Scope, Spec,
    TaskState, Timestamp, Workload,
};

/// What happens to an app, by its number, and to a task of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tell {
    /// An upgrade begins: there is a new version, and all tasks are of the old one.
    Begin(usize),
    /// So many upgrades begin with one change of their group.
    BeginAll(usize),
    Start(usize, usize),
    Healthy(usize, usize),
    Killing(usize, usize),
    Killed(usize, usize),
    Done(usize),
}

/// All apps, in the order of their ids.
pub(crate) struct Cluster {
    apps: Vec<Workload>,
}

fn version(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(1_500_000_000 + second).ok()
}

fn spec(number: i64) -> Arc<Spec> {
    let label = ("VIP_0".to_owned(), "3.3.0.6:80".to_owned());
    Arc::new(Spec {
        version: version(number),
        labels: Default::default(),
        labels_path: "labels".to_owned(),
        network: NetworkMode::Host,
        ports: vec![Port {
            index: 0,
            name: None,
            container: None,
            path: "portDefinitions[0]".to_owned(),
            protocols: vec![Protocol::Tcp],
            other_protocols: Vec::new(),
            container_port: None,
            scope: Scope::Host,
            required: None,
            checked: true,
            labels: [label].into_iter().collect(),
        }],
        unused_ports: Vec::new(),
        health_checks: 1,
        settling: None,
        task_kill_grace: None,
    })
}

fn instance(app: usize, generation: i64, task: usize) -> Instance {
    Instance {
        id: format!("app{app:05}.{generation}.{task:03}").into(),
        host: Some(format!("host-{task}").into()),
        state: TaskState::Running,
        health: Health::Up,
        port_health: Box::default(),
        ready: true,
        last_success: None,
        started: version(generation).map(Into::into),
        version: version(generation),
        spec: InstanceSpec::Current,
        endpoints: [Ok(Endpoint::Host { port: 31_000, behind: None })].into(),
    }
}

impl Cluster {
    /// Apps with so many tasks each, in the group `/g`.
    pub(crate) fn new(tasks: &[usize]) -> Self {
        let app = |(number, tasks): (usize, &usize)| Workload {
            id: format!("/g/app{number:05}").into(),
            kind: Kind::App,
            path: "$".to_owned(),
            spec: spec(0),
            instances: (0..*tasks).map(|task| instance(number, 0, task)).collect(),
            tasks_known: true,
            deploying: false,
            suspended: false,
            damaged: false,
        };
        Self { apps: tasks.iter().enumerate().map(app).collect() }
    }

    pub(crate) fn workloads(&self) -> &[Workload] {
        &self.apps
    }

    /// Does it, and says which events tell of it. Each state of a task is told twice, as from 1.4
    /// on: of the task and of its instance.
    pub(crate) fn happen(&mut self, tell: Tell) -> Vec<Event> {
        let group = || Change::Group("/g".to_owned());
        let changes = match tell {
            Tell::Begin(app) => {
                self.begin(app);
                vec![group(), Change::Posted(self.touched(app))]
            }
            Tell::BeginAll(apps) => {
                (0..apps).for_each(|app| self.begin(app));
                vec![group()]
            }
            Tell::Start(app, task) => {
                let started = Instance { health: Health::Unknown, ..instance(app, 1, task) };
                self.apps[app].instances.push(started);
                self.twice(app, 1, task, |of| Change::State { of, state: TaskState::Running })
            }
            Tell::Healthy(app, task) => {
                self.edit(app, 1, task, |instance| instance.health = Health::Up);
                self.twice(app, 1, task, |of| Change::Health { of, healthy: Some(true) })
            }
            Tell::Killing(app, task) => {
                self.edit(app, 0, task, |instance| instance.state = TaskState::Killing);
                self.twice(app, 0, task, |of| Change::State { of, state: TaskState::Killing })
            }
            Tell::Killed(app, task) => {
                let id = instance(app, 0, task).id;
                self.apps[app].instances.retain(|instance| instance.id != id);
                let state = || TaskState::Terminal("TASK_KILLED".to_owned());
                self.twice(app, 0, task, |of| Change::State { of, state: state() })
            }
            Tell::Done(app) => {
                self.apps[app].deploying = false;
                vec![Change::Touched(vec![self.touched(app)])]
            }
        };
        changes.into_iter().map(|change| Event { at: None, change }).collect()
    }

    fn begin(&mut self, app: usize) {
        let app = &mut self.apps[app];
        let old = std::mem::replace(&mut app.spec, spec(1));
        app.deploying = true;
        for instance in &mut app.instances {
            instance.spec = InstanceSpec::Older(Arc::clone(&old));
        }
    }

    fn touched(&self, app: usize) -> Touched {
        Touched { kind: Some(Kind::App), id: self.apps[app].id.to_string() }
    }

    fn edit(&mut self, app: usize, of: i64, task: usize, change: impl Fn(&mut Instance)) {
        let id = instance(app, of, task).id;
        let mut all = self.apps[app].instances.iter_mut();
        all.find(|instance| instance.id == id).into_iter().for_each(change);
    }

    fn twice(
        &self,
        app: usize,
        of: i64,
        task: usize,
        change: impl Fn(Subject) -> Change,
    ) -> Vec<Change> {
        let id = instance(app, of, task).id;
        let subject = || Subject {
            workload: self.apps[app].id.to_string(),
            id: id.to_string(),
            version: version(of),
        };
        vec![change(subject()), change(subject())]
    }
}
