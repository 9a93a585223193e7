//! Whatever happens in whatever order, nothing breaks, nothing storms, and in the end the picture
//! is Marathon's own.

use std::time::Duration;

use marathon::watch::ReadOutcome;
use proptest::prelude::*;

use crate::common::{Watch, app, at, task};

const APPS: [&str; 4] = ["/db", "/web", "/g/a", "/g/b"];

/// What can happen. Numbers choose apps and tasks.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Wait(u64),
    Opened,
    Heartbeat,
    Ended,
    Leader(u8),
    /// In Marathon, and then an event of it, or none.
    Start(usize, bool),
    Kill(usize, usize, bool),
    Sick(usize, usize, bool),
    Well(usize, usize, bool),
    Remove(usize, bool),
    Unreadable,
    /// An event of anything, true or not.
    Rumour(usize, usize, u8),
    /// A task fails and is started again under its id; there is an event of it or none.
    Again(usize, usize, bool),
    /// An answer to what is asked for: right, as it was before, failed, or empty.
    ReadOutcome(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    use Happens::*;
    let app = 0..APPS.len();
    prop_oneof![
        4 => (1u64..4000).prop_map(Wait),
        1 => (10_000u64..400_000).prop_map(Wait),
        3 => Just(Opened),
        3 => Just(Heartbeat),
        1 => Just(Ended),
        1 => (0u8..3).prop_map(Leader),
        4 => (app.clone(), any::<bool>()).prop_map(|(a, e)| Start(a, e)),
        3 => (app.clone(), 0..9usize, any::<bool>()).prop_map(|(a, t, e)| Kill(a, t, e)),
        3 => (app.clone(), 0..9usize, any::<bool>()).prop_map(|(a, t, e)| Sick(a, t, e)),
        3 => (app.clone(), 0..9usize, any::<bool>()).prop_map(|(a, t, e)| Well(a, t, e)),
        1 => (app.clone(), any::<bool>()).prop_map(|(a, e)| Remove(a, e)),
        1 => Just(Unreadable),
        4 => (app.clone(), 0..9usize, 0u8..9).prop_map(|(a, t, what)| Rumour(a, t, what)),
        2 => (app, 0..9usize, any::<bool>()).prop_map(|(a, t, e)| Again(a, t, e)),
        8 => (0u8..8).prop_map(ReadOutcome),
    ]
}

/// A task, its health, and when it was started.
type Task = (String, bool, u64);

/// Marathon as it is: tasks by app. None: there is no such app.
type Truth = [Option<Vec<Task>>; 4];

struct World {
    watch: Watch,
    truth: Truth,
    /// As it was some time ago: an API that lags behind.
    past: Truth,
    asked: Vec<String>,
    moment: u64,
    started: usize,
    events: usize,
    /// When events told bad news of a task.
    endings: Vec<Duration>,
    /// Marathon's clock was set back.
    stepped: bool,
    reads_of_one: usize,
    reads_of_everything: usize,
}

fn definition(truth: &Truth, index: usize, moment: u64) -> Option<String> {
    let tasks = truth[index].as_ref()?;
    let tasks: Vec<_> = tasks
        .iter()
        .map(|(id, healthy, started)| {
            let when = if *healthy { "lastSuccess" } else { "lastFailure" };
            let result = format!(r#"{{"alive":{healthy},"{when}":"{}"}}"#, at(moment));
            let started_at = |second| format!(r#""startedAt":"{}""#, at(second));
            task(id, "RUNNING", &result).replace(&started_at(0), &started_at(*started))
        })
        .collect();
    Some(app(APPS[index], &tasks))
}

fn everything(truth: &Truth, moment: u64) -> Vec<String> {
    (0..APPS.len()).filter_map(|index| definition(truth, index, moment)).collect()
}

impl World {
    /// A Marathon that is well, after a story of which each part is told.
    fn of_told_story(seed: u64, story: Vec<Happens>) -> Self {
        let mut world = Self::new(seed);
        // One without any VIP is read twice.
        world.truth[0] = Some(Vec::new());
        world.watch.opened();
        world.settle(3, 500);
        for what in story {
            world.happen(what);
            world.happen(Happens::Heartbeat);
        }
        world
    }

    fn new(seed: u64) -> Self {
        Self {
            watch: Watch::new(2, Some(1), seed),
            truth: Default::default(),
            past: Default::default(),
            asked: Vec::new(),
            moment: 1,
            started: 0,
            events: 0,
            endings: Vec::new(),
            stepped: false,
            reads_of_one: 0,
            reads_of_everything: 0,
        }
    }

    fn event(&mut self, event: &str, data: &str) {
        if self.watch.stream.is_some() {
            self.events += 1;
            self.watch.event(event, data);
        }
    }

    fn status(&mut self, app: usize, id: &str, status: &str) {
        let data = format!(
            r#"{{"appId":"{}","taskId":"{id}","taskStatus":"TASK_{status}","timestamp":"{}"}}"#,
            APPS[app],
            at(self.moment)
        );
        self.event("status_update_event", &data);
    }

    /// Tells the end of a task, true or not. It acts at once unless it is one of the last.
    fn end(&mut self, app: usize, id: &str, status: &str) {
        let others = self.watch.tasks(APPS[app]);
        let others = others.split(", ").filter(|task| task.ends_with(" up"));
        let others = others.filter(|task| *task != format!("{id} up")).count();
        let served = self.serves(app, id);
        let since = self.watch.now.saturating_sub(Duration::from_secs(10));
        self.endings.retain(|at| *at > since);
        let taken = self.endings.len();
        self.status(app, id, status);
        let serves = self.serves(app, id);
        assert!(!served || serves || others > 0, "the last one waits for a read");
        let may_wait = self.stepped || others <= taken;
        assert!(!served || !serves || may_wait, "bad news acts at once");
        if self.watch.stream.is_some() {
            self.endings.push(self.watch.now);
        }
    }

    fn health(&mut self, app: usize, id: &str, alive: bool) {
        if !alive && self.watch.stream.is_some() {
            self.endings.push(self.watch.now);
        }
        let moment = at(self.moment);
        let data = format!(
            r#"{{"appId":"{}","taskId":"{id}","alive":{alive},"timestamp":"{moment}"}}"#,
            APPS[app]
        );
        self.event("health_status_changed_event", &data);
    }

    fn pick(&self, app: usize, index: usize) -> Option<usize> {
        let tasks = self.truth[app].as_ref()?;
        (!tasks.is_empty()).then(|| index % tasks.len())
    }

    fn set_health(&mut self, app: usize, index: usize, healthy: bool, told: bool) {
        let Some(index) = self.pick(app, index) else { return };
        let task = &mut self.truth[app].as_mut().unwrap()[index];
        task.1 = healthy;
        let id = task.0.clone();
        if told {
            self.health(app, &id, healthy);
        }
    }

    fn answer(&mut self, how: u8) {
        self.asked.extend(self.watch.asked());
        for asked in std::mem::take(&mut self.asked) {
            match asked.strip_prefix("pod ") {
                Some(id) => self.watch.no_pod(id),
                None if asked == "all" || asked.starts_with("app ") => self.asked.push(asked),
                None => {}
            }
        }
        if self.asked.is_empty() {
            return;
        }
        let asked = self.asked.remove(0);
        let truth = if how == 5 { &self.past } else { &self.truth };
        let moment = self.moment;
        match (asked.strip_prefix("app "), how) {
            (None, 6) => self.watch.fail_everything(),
            (None, 7) => self.watch.read_everything(&[]),
            (None, _) => {
                self.reads_of_everything += 1;
                let apps = everything(truth, moment);
                self.watch.read_everything(&apps);
            }
            (Some(id), 6) => self.watch.answer(id, ReadOutcome::Failed),
            (Some(id), _) => {
                self.reads_of_one += 1;
                let index = APPS.iter().position(|app| *app == id).unwrap();
                match definition(truth, index, moment) {
                    Some(app) => self.watch.read(&app),
                    None => self.watch.answer(id, ReadOutcome::Missing),
                }
            }
        }
    }

    fn happen(&mut self, what: Happens) {
        self.moment += 1;
        match what {
            Happens::Wait(millis) => self.watch.after(millis),
            Happens::Opened if self.watch.stream.is_some() => self.watch.opened(),
            Happens::Heartbeat if self.watch.stream.is_some() => {
                let stream = self.watch.stream.unwrap();
                self.watch.on(marathon::watch::Input::Bytes { stream });
            }
            Happens::Ended if self.watch.stream.is_some() => self.watch.ended(),
            Happens::Opened | Happens::Heartbeat | Happens::Ended => {}
            Happens::Leader(leader) => self.watch.leader = Some(leader.to_string()),
            Happens::Start(app, told) => {
                self.past = self.truth.clone();
                self.started += 1;
                let id = format!("t{}", self.started);
                let moment = self.moment;
                self.truth[app].get_or_insert_default().push((id.clone(), true, moment));
                if told {
                    self.status(app, &id, "RUNNING");
                }
            }
            Happens::Kill(app, index, told) => {
                let Some(index) = self.pick(app, index) else { return };
                self.past = self.truth.clone();
                let (id, ..) = self.truth[app].as_mut().unwrap().remove(index);
                if told {
                    self.end(app, &id, "KILLED");
                }
            }
            Happens::Again(app, index, told) => {
                let Some(index) = self.pick(app, index) else { return };
                self.past = self.truth.clone();
                let id = self.truth[app].as_ref().unwrap()[index].0.clone();
                if told {
                    self.end(app, &id, "FAILED");
                }
                self.moment += 1;
                self.truth[app].as_mut().unwrap()[index] = (id.clone(), true, self.moment);
                if told {
                    self.status(app, &id, "RUNNING");
                }
            }
            Happens::Sick(app, index, told) => self.set_health(app, index, false, told),
            Happens::Well(app, index, told) => self.set_health(app, index, true, told),
            Happens::Remove(app, told) => {
                self.past = self.truth.clone();
                self.truth[app] = None;
                if told {
                    let data = format!(r#"{{"appId":"{}"}}"#, APPS[app]);
                    self.event("app_terminated_event", &data);
                }
            }
            Happens::Unreadable => self.event("instance_changed_event", "{"),
            Happens::Rumour(app, task, what) => {
                let id = format!("t{task}");
                match what {
                    0 => self.status(app, &id, "RUNNING"),
                    1 => self.health(app, &id, true),
                    2 => self.health(app, &id, false),
                    3 => self.status(app, &id, "LOST"),
                    4 => self.end(app, &id, "FAILED"),
                    5 => self.end(app, &id, "KILLING"),
                    6 => {
                        let data = format!(r#"{{"appId":"{}"}}"#, APPS[app]);
                        self.event("app_terminated_event", &data);
                    }
                    7 => {
                        // From the clock of another leader.
                        self.moment = self.moment.saturating_sub(60).max(1);
                        self.stepped = true;
                    }
                    _ => self.event("group_change_success", r#"{"groupId":"/g"}"#),
                }
            }
            Happens::ReadOutcome(how) => self.answer(how),
        }
    }

    fn serves(&self, app: usize, id: &str) -> bool {
        self.watch.stream.is_some()
            && self.watch.state.is_streaming()
            && self.watch.tasks(APPS[app]).contains(&format!("{id} up"))
    }

    /// Marathon is well and answers, for so many seconds.
    fn settle(&mut self, seconds: u64, step: u64) {
        let end = self.watch.now + Duration::from_secs(seconds);
        self.moment += 1;
        while self.watch.now < end {
            self.watch.after(step);
            self.answer(0);
        }
    }

    /// The tasks of an app as they should be known.
    fn expected(&self, app: usize) -> String {
        self.truth[app].as_ref().map_or("gone".to_owned(), |tasks| {
            let word = |healthy| if healthy { "up" } else { "down" };
            let mut tasks: Vec<_> =
                tasks.iter().map(|(id, healthy, _)| format!("{id} {}", word(*healthy))).collect();
            tasks.sort();
            tasks.join(", ")
        })
    }
}

/// What happens to a Marathon that is well, all of it told; and lies.
fn told_with_lies() -> impl Strategy<Value = Happens> {
    use Happens::*;
    let app = 0..APPS.len();
    let lie = (app.clone(), 0..9usize, 4u8..7).prop_map(|(a, t, what)| Rumour(a, t, what));
    let again = (app, 0..9usize).prop_map(|(a, t)| Again(a, t, true));
    prop_oneof![8 => told(), 2 => lie, 1 => again]
}

/// What happens to a Marathon that is well, all of it told.
fn told() -> impl Strategy<Value = Happens> {
    use Happens::*;
    let app = 0..APPS.len();
    prop_oneof![
        4 => (1u64..1000).prop_map(Wait),
        4 => app.clone().prop_map(|a| Start(a, true)),
        3 => (app.clone(), 0..9usize).prop_map(|(a, t)| Kill(a, t, true)),
        3 => (app.clone(), 0..9usize).prop_map(|(a, t)| Sick(a, t, true)),
        3 => (app.clone(), 0..9usize).prop_map(|(a, t)| Well(a, t, true)),
        1 => app.prop_map(|a| Remove(a, true)),
        6 => Just(ReadOutcome(0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn the_picture_ends_up_as_marathon_is(
        seed in any::<u64>(),
        story in proptest::collection::vec(happens(), 1..120),
    ) {
        let mut world = World::new(seed);
        for what in story {
            let before: Vec<_> = world.watch.ids().into_iter().map(str::to_owned).collect();
            let is_answer = matches!(what, Happens::ReadOutcome(0..=5 | 7));
            world.happen(what);
            if !is_answer {
                prop_assert_eq!(&world.watch.ids(), &before, "only an answer adds or removes apps");
            }
        }
        prop_assert!(
            world.reads_of_one <= 3 * world.events,
            "{} reads of one app for {} events", world.reads_of_one, world.events
        );
        world.settle(1000, 4000);
        for (index, id) in APPS.iter().enumerate() {
            prop_assert_eq!(world.watch.tasks(id), world.expected(index), "{}", id);
        }
    }

    #[test]
    fn what_events_tell_is_known_after_few_seconds(
        seed in any::<u64>(),
        story in proptest::collection::vec(told(), 1..60),
    ) {
        let mut world = World::of_told_story(seed, story);
        world.settle(8, 250);
        for (index, id) in APPS.iter().enumerate() {
            prop_assert_eq!(world.watch.tasks(id), world.expected(index), "{}", id);
        }
        prop_assert!(world.reads_of_everything <= 1, "{} reads", world.reads_of_everything);
        prop_assert!(world.reads_of_one <= 2 * world.events);
    }

    #[test]
    fn lies_are_forgotten_after_a_few_seconds_more(
        seed in any::<u64>(),
        story in proptest::collection::vec(told_with_lies(), 1..60),
    ) {
        let mut world = World::of_told_story(seed, story);
        world.settle(12, 250);
        for (index, id) in APPS.iter().enumerate() {
            prop_assert_eq!(world.watch.tasks(id), world.expected(index), "{}", id);
        }
        prop_assert!(world.reads_of_one <= 3 * world.events);
    }
}
