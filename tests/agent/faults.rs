//! One row for each fault of Marathon or the network: the kernel's table before it, while it lasts
//! and after it. On the way no server goes that stays, and none comes back that went.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use marathon::client::{Account, Auth, Url};
use marathon_sim::{Config, Fate, Fault, Rule};
use serde_json::{Value, json};
use vip::{Link, Observed};

use vipd::agent::status::health::Liveness;

use crate::world::{SYNC, World, app, eventually, pass, run, vip};

const SERVICES: [(&str, &str); 2] = [("web", "3.3.0.6:80"), ("db", "3.3.0.7:3306")];

/// How long a table has to stay as it is before it is what the row says, in milliseconds.
const STAYS: u64 = 5000;
/// How often it is looked at meanwhile. Each change on the way is looked at afterwards.
const LOOK: u64 = 100;

/// Two tasks of `/web` are `a` and `b`, one of `/db` is `c`. As soon as the fault has begun, `a`
/// comes to its end; what takes its place is `d`.
struct Row {
    fault: Begin,
    /// How `a` ends.
    end: End,
    before: &'static str,
    during: &'static str,
    after: &'static str,
    /// What the agent says of Marathon while it lasts.
    shows: Shows,
}

enum Begin {
    Rule(Rule),
    /// And everything is asked for anew, the stream too.
    Anew(Rule),
    /// This member leads from now on, in the end the first one. None knows who is healthy.
    Leads(Option<usize>),
    Tokens,
}

enum End {
    /// Marathon kills it. It serves on for a while.
    Killed,
    /// It dies by itself.
    Dies,
}

#[derive(PartialEq)]
enum Shows {
    Nothing,
    /// It can't be read.
    Unread,
    /// No events come.
    Unheard,
}

/// The row in which nothing is noticed: `a` goes and `d` comes.
const ROW: Row = Row {
    fault: Begin::Leads(Some(0)),
    end: End::Killed,
    before: "web: a=1 b=1, db: c=1",
    during: "web: b=1 d=1, db: c=1",
    after: "web: b=1 d=1, db: c=1",
    shows: Shows::Nothing,
};

/// The world, and names for servers.
struct Scene {
    world: World,
    /// The tasks in the order they came in, with where they serve.
    tasks: Vec<(String, SocketAddr)>,
}

impl Scene {
    async fn begin(fault: &Begin) -> Self {
        let tokens = matches!(fault, Begin::Tokens);
        let config = |config: &mut Config| {
            config.standbys = 1;
            config.token_lifetime = tokens.then_some(Duration::from_secs(36_000));
        };
        let mut world = World::with(&[&config]).await;
        if tokens {
            let login_endpoint = format!("{}/acs/api/v1/auth/login", world.sim().url());
            world.log_in(&login_endpoint).await;
            world.auth = Some(Auth::Account(Account {
                uid: "vipd".into(),
                private_key: include_str!("../support/account.pem").into(),
                login_endpoint: Url::parse(&login_endpoint).unwrap(),
            }));
        }
        for ((name, at), instances) in SERVICES.iter().zip([2, 1]) {
            let mut app = app(&format!("/{name}"), at, instances);
            if let Begin::Leads(Some(_)) = fault {
                // Every task is checked once: what is forgotten is not found out again.
                app["healthChecks"][0]["intervalSeconds"] = json!(1_000_000);
            }
            world.run_app(&app).await;
        }
        world.start().await;
        let mut scene = Self { world, tasks: Vec::new() };
        scene.meet();
        scene.becomes(ROW.before).await;
        scene
    }

    /// Gives new tasks their names.
    fn meet(&mut self) {
        for task in self.world.sim().running_tasks() {
            if self.tasks.iter().all(|(known, _)| *known != task.task) {
                let at = SocketAddr::new(IpAddr::from(task.host), task.ports[0]);
                assert!(self.tasks.iter().all(|(_, known)| *known != at), "{at} is used again");
                self.tasks.push((task.task, at));
            }
        }
    }

    fn name(&self, server: &SocketAddr) -> char {
        let index = self.tasks.iter().position(|(_, at)| at == server);
        index.map_or('?', |index| char::from(b'a' + u8::try_from(index).unwrap()))
    }

    /// A kernel's table as rows have it.
    fn table(&self, state: &Observed) -> String {
        let services = SERVICES.iter().filter_map(|(name, at)| {
            let service = state.service(&vip(at))?;
            let mut servers: Vec<_> = service
                .servers
                .iter()
                .map(|(at, held)| format!("{}={}", self.name(at), held.settings.weight))
                .collect();
            servers.sort();
            let is_bound = state.addresses.contains_key(&vip(at).address);
            let bound = if is_bound && state.link == Link::Up { "" } else { " unbound" };
            Some(format!("{name}{bound}: {}", servers.join(" ")))
        });
        let services: Vec<_> = services.collect();
        assert_eq!(state.our_services().count(), services.len(), "{state:?}");
        assert_eq!(state.services.len(), services.len(), "{state:?}");
        services.join(", ")
    }

    fn now(&mut self) -> String {
        self.meet();
        self.table(&self.world.kernel.current_state())
    }

    /// Waits until the table is this and stays so.
    async fn becomes(&mut self, table: &str) {
        let (mut since, mut waited) = (0, 0);
        while since < STAYS {
            pass(LOOK).await;
            let is_so = self.now() == table;
            since = if is_so { since + LOOK } else { 0 };
            waited += LOOK;
            assert!(waited < 600_000, "it is still {} instead of {table}", self.now());
        }
    }

    /// What the agent says of Marathon.
    fn shows(&self, shows: &Shows) -> bool {
        let source = self.world.agent().view.borrow().sources["m0"].clone();
        match shows {
            Shows::Nothing => source.streaming && source.error.is_none(),
            Shows::Unread => source.error.is_some(),
            Shows::Unheard => !source.streaming,
        }
    }
}

/// The servers that are in use in a table.
fn used(table: &str) -> BTreeSet<char> {
    let servers = table.split_whitespace().filter_map(|word| word.split_once('='));
    let used = servers.filter(|(_, weight)| weight.trim_end_matches(',') != "0");
    used.map(|(name, _)| name.chars().next().unwrap()).collect()
}

impl Row {
    fn holds(self) {
        run(async {
            let mut scene = Scene::begin(&self.fault).await;
            let _ = (scene.world.kernel.take_history(), scene.world.sim().take_requests());
            assert_eq!(scene.now(), self.before, "before");
            match &self.fault {
                Begin::Rule(rule) => scene.world.sim().inject_fault(rule.clone()),
                Begin::Anew(rule) => {
                    scene.world.sim().inject_fault(rule.clone());
                    scene.world.sim().set_leader(Some(0));
                }
                Begin::Leads(leader) => scene.world.sim().set_leader(*leader),
                Begin::Tokens => scene.world.sim().expire_tokens(),
            }
            let a = scene.tasks[0].0.clone();
            match self.end {
                End::Killed => {
                    let ids = json!({"ids": [a]});
                    scene.world.send("POST", "/v2/tasks/delete", &ids).await;
                }
                End::Dies => scene.world.sim().set_fate(&a, Fate::Over),
            }
            scene.becomes(self.during).await;
            eventually(async || scene.shows(&self.shows)).await;
            assert_eq!(scene.now(), self.during, "during");
            let running = scene.world.sim().running_tasks();
            assert!(running.iter().all(|task| task.task != a), "it wasn't long enough");
            let faults = scene.world.send("GET", "/_sim/faults", &Value::Null).await;
            let spent = |fault: &Value| fault["times"] == Value::Null;
            assert!(faults.as_array().unwrap().iter().all(spent), "it didn't happen: {faults}");
            scene.world.sim().clear_faults();
            if let Begin::Leads(Some(1) | None) = self.fault {
                scene.world.sim().set_leader(Some(0));
            }
            scene.becomes(self.after).await;
            eventually(async || scene.shows(&Shows::Nothing)).await;
            assert_eq!(scene.now(), self.after, "after");
            self.on_the_way(&scene);
            if let Begin::Tokens = self.fault {
                let asked = scene.world.sim().take_requests();
                let logins = asked.iter().filter(|request| request.contains("/auth/login"));
                assert_eq!(logins.count(), 1, "{asked:?}");
            }
            scene.world.end().await;
        });
    }

    /// From each change of the kernel to the next: who is in use afterwards isn't taken out of it,
    /// and who isn't doesn't come back.
    fn on_the_way(&self, scene: &Scene) {
        let after = used(self.after);
        let mut was = used(self.before);
        for (_, state) in scene.world.kernel.take_history() {
            let table = scene.table(&state);
            assert!(!table.contains("unbound"), "{table}");
            let is = used(&table);
            assert!(was.difference(&is).all(|gone| !after.contains(gone)), "{was:?}, then {table}");
            assert!(is.difference(&was).all(|new| after.contains(new)), "{was:?}, then {table}");
            was = is;
        }
    }
}

/// While answers are of no use `a` goes by its events, and `d` comes when there is an answer.
fn answers_fail(fault: Fault) {
    let fault = Begin::Rule(fault.always().limited_to("/v2/apps"));
    Row { fault, during: "web: b=1, db: c=1", shows: Shows::Unread, ..ROW }.holds();
}

fn events_come(rule: Rule) {
    Row { fault: Begin::Rule(rule), ..ROW }.holds();
}

#[test]
fn an_empty_answer() {
    answers_fail(Fault::Empty);
}

#[test]
fn a_500_because_health_was_not_told_in_time() {
    answers_fail(Fault::HealthAsk);
}

#[test]
fn a_proxys_502_in_html() {
    answers_fail(Fault::BadGateway);
}

#[test]
fn a_503_in_html() {
    answers_fail(Fault::Unavailable);
}

#[test]
fn a_compressed_answer_that_breaks_off() {
    answers_fail(Fault::Truncated);
}

#[test]
fn an_answer_that_takes_ten_seconds() {
    let fault = Begin::Rule(Fault::Stall { ms: 10_000 }.times(1).limited_to("/v2/apps"));
    Row { fault, during: "web: b=1, db: c=1", ..ROW }.holds();
}

#[test]
fn events_that_come_twice() {
    events_come(Fault::Doubled.always());
}

#[test]
fn events_out_of_order() {
    events_come(Fault::Reordered.always());
}

#[test]
fn events_about_tasks_that_are_lost_while_others_come() {
    events_come(Fault::Lost.always().limited_to("status_update_event"));
}

#[test]
fn events_that_come_a_little_late() {
    events_come(Fault::Late { ms: 3000 }.always());
}

#[test]
fn events_that_come_very_late() {
    // Nobody has said that it ended: there is no knowing.
    let fault = Begin::Rule(Fault::Late { ms: 60_000 }.always());
    Row { fault, during: ROW.before, ..ROW }.holds();
}

#[test]
fn events_that_are_all_lost() {
    let fault = Begin::Rule(Fault::Lost.always());
    Row { fault, during: ROW.before, ..ROW }.holds();
}

#[test]
fn an_answer_that_lags_behind_an_event() {
    // What an event ended isn't brought back by what is older.
    let fault = Begin::Rule(Fault::Lag { ms: 60_000 }.always());
    Row { fault, during: "web: b=1, db: c=1", ..ROW }.holds();
}

#[test]
fn a_stream_that_says_nothing_more() {
    let fault = Begin::Rule(Fault::HalfOpen.always());
    Row { fault, shows: Shows::Unheard, ..ROW }.holds();
}

#[test]
fn a_stream_that_is_closed_at_once() {
    let fault = Begin::Anew(Fault::Closed.always());
    Row { fault, shows: Shows::Unheard, ..ROW }.holds();
}

#[test]
fn a_flash_of_no_apps() {
    Row { fault: Begin::Anew(Fault::NoApps.times(1)), ..ROW }.holds();
}

#[test]
fn a_leader_that_forgets_who_is_healthy() {
    Row { fault: Begin::Leads(Some(0)), ..ROW }.holds();
}

#[test]
fn another_leader_that_knows_nobody_as_healthy() {
    Row { fault: Begin::Leads(Some(1)), ..ROW }.holds();
}

#[test]
fn nobody_leads() {
    let fault = Begin::Leads(None);
    Row { fault, end: End::Dies, during: ROW.before, shows: Shows::Unread, ..ROW }.holds();
}

#[test]
fn a_token_that_expires_costs_one_log_in() {
    Row { fault: Begin::Tokens, end: End::Dies, ..ROW }.holds();
}

/// The kernel remembers no weights then, and Marathon no health: only the agent does.
#[test]
fn a_flush_while_a_new_leader_knows_no_health_is_repaired() {
    run(async {
        let mut scene = Scene::begin(&Begin::Leads(Some(0))).await;
        let read_at = |world: &World| world.agent().view.borrow().sources["m0"].read_at;
        let before = read_at(&scene.world);
        scene.world.sim().set_leader(Some(0));
        eventually(async || read_at(&scene.world) > before).await;
        scene.world.kernel.with_kernel(|kernel| kernel.state.services.clear());
        pass(STAYS).await;
        scene.becomes(ROW.before).await;
        scene.world.end().await;
    });
}

/// It fell to every agent of a cluster at once: none was ready, and all were started anew for ever.
#[test]
fn a_vip_that_the_kernel_refuses_costs_neither_the_others_nor_the_agent() {
    run(async {
        let mut world = World::new().await;
        let mut refused = app("/db", SERVICES[1].1, 1);
        refused["labels"] = json!({"IPVS_SCHEDULER": "twos"});
        world.run_app(&refused).await;
        world.run_app(&app("/web", SERVICES[0].1, 2)).await;
        world.start().await;
        world.until_served(SERVICES[0].1, 2).await;
        pass(10 * u64::try_from(SYNC.as_millis()).unwrap()).await;
        let (view, beat) = (world.agent().view.borrow().clone(), world.agent().last_beat());
        assert!(view.status.failing.values().all(|retry| retry.why.contains("add-service")));
        assert!(view.status.failing.values().any(|retry| retry.failures > 2), "{view:?}");
        assert!(view.ready, "{view:?}");
        assert_eq!(Liveness::from_view(&view, beat, SYNC).reasons, [""; 0]);
        world.end().await;
    });
}
