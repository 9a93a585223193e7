//! A Marathon that lists far less than before: what stays in the kernel's table, for how long, and
//! what goes all the same.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use marathon_sim::{Agent as SimAgent, Config, Fate, Fault};
use serde_json::{Value, json};
use vip::Observed;
use vip::plan::Losses;
use vipd::admin::client::AgentClient;
use vipd::agent::status::Request;
use vipd::agent::status::health::Readiness;

use crate::site::{self, Site};
use crate::world::{World, app, eventually, pass, run, weights};

/// The VIP of each app, and its tasks.
const APPS: [(&str, &str, usize); 4] = [
    ("/web", "3.3.0.1:80", 2),
    ("/db", "3.3.0.2:80", 1),
    ("/api", "3.3.0.3:80", 1),
    ("/ops", "3.3.0.4:80", 1),
];

const VIPS: [&str; 4] = ["3.3.0.1:80", "3.3.0.2:80", "3.3.0.3:80", "3.3.0.4:80"];

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

type Table = BTreeMap<&'static str, BTreeMap<SocketAddr, u32>>;

fn table(state: &Observed) -> Table {
    VIPS.iter().filter_map(|at| Some((*at, weights(state, at)?))).collect()
}

/// An app without a VIP that has this port of its agent. `name` tells it from others.
fn batch(name: &str, port: u16) -> Value {
    let id = format!("/batch{}", name.replace([':', '.'], "-"));
    let mut app = app(&id, "3.3.0.8:80", 1);
    app["container"] = Value::Null;
    app["cmd"] = json!("sleep 1000");
    app["networks"] = json!([{"mode": "host"}]);
    app["requirePorts"] = json!(true);
    app["portDefinitions"] = json!([{"port": port}]);
    app
}

impl World {
    fn table(&self) -> Table {
        table(&self.kernel.current_state())
    }

    /// The VIPs that take new connections. What is gone drains first.
    fn vips_in_use(&self) -> Vec<&'static str> {
        let used = self
            .table()
            .into_iter()
            .filter(|(_, servers)| servers.values().any(|weight| *weight > 0));
        used.map(|(at, _)| at).collect()
    }

    async fn run_apps(&self) {
        for (id, at, instances) in APPS {
            self.run_app(&app(id, at, instances)).await;
        }
    }

    async fn until_all_served(&self) {
        for (_, at, instances) in APPS {
            self.until_served(at, instances).await;
        }
        pass(SECOND).await;
        let _ = self.kernel.take_history();
    }

    /// One that serves all apps.
    async fn full() -> Self {
        let mut world = Self::new().await;
        world.run_apps().await;
        world.start().await;
        world.until_all_served().await;
        world
    }

    /// From now on Marathon has an empty ZooKeeper and a new leader.
    async fn wipe(&self, sim: usize) {
        self.sims[sim].inject_fault(Fault::Wiped.always());
        self.sims[sim].set_leader(Some(0));
        let source = format!("m{sim}");
        eventually(async || self.is_doubted(&source)).await;
    }

    fn is_doubted(&self, source: &str) -> bool {
        self.agent().view.borrow().sources[source].doubt.is_some()
    }

    fn notices(&self, what: &str) -> usize {
        let entries = self.agent().journal.entries_after(0);
        entries.iter().filter(|entry| entry.what == what).count()
    }

    /// No change of the kernel since this was asked last has taken a server out of use.
    fn assert_nothing_lost(&self, before: &Table) {
        for (_, state) in self.kernel.take_history() {
            assert_eq!(table(&state), *before);
        }
        assert_eq!(self.table(), *before);
    }

    async fn accept(&self) -> Vec<String> {
        let (answer, accepted) = tokio::sync::oneshot::channel();
        self.agent().requests.send(Request::Accept(None, answer)).await.unwrap();
        accepted.await.unwrap().iter().map(ToString::to_string).collect()
    }

    async fn until_empty(&self) {
        eventually(async || self.kernel.current_state().our_services().next().is_none()).await;
    }
}

#[test]
fn a_wiped_zookeeper_is_doubted_for_15_minutes() {
    run(async {
        let world = World::full().await;
        let before = world.table();
        world.wipe(0).await;
        pass(14 * MINUTE).await;
        world.assert_nothing_lost(&before);
        assert_eq!((world.notices("source-doubted"), world.notices("source-believed")), (1, 0));
        let view = world.agent().view.borrow().clone();
        let losses = Losses { services: 4, of_services: 4, servers: 5, of_servers: 5 };
        assert_eq!(view.sources["m0"].doubt.as_ref().unwrap().losses, losses);
        let ready = Readiness::from_view(&view, marathon_sim::now());
        assert!(ready.is_ok() && ready.notes[0].contains("vipd accept"), "{ready:?}");
        pass(2 * MINUTE).await;
        world.until_empty().await;
        assert_eq!((world.notices("source-doubted"), world.notices("source-believed")), (1, 1));
        world.end().await;
    });
}

#[test]
fn what_is_accepted_goes_at_once() {
    run(async {
        let world = World::full().await;
        assert_eq!(world.accept().await, [""; 0]);
        world.wipe(0).await;
        assert_eq!(world.table().len(), 4);
        assert_eq!(world.accept().await, ["m0"]);
        pass(SECOND).await;
        assert_eq!(world.vips_in_use(), [""; 0]);
        assert!(!world.is_doubted("m0"));
        // It was a mistake: what comes back is found soon.
        world.sim().clear_faults();
        pass(15 * SECOND).await;
        assert_eq!(world.vips_in_use(), VIPS);
        world.end().await;
    });
}

#[test]
fn a_leader_that_lists_nothing_for_9_seconds_costs_nothing() {
    run(async {
        let world = World::full().await;
        let before = world.table();
        world.wipe(0).await;
        pass(9 * SECOND).await;
        world.sim().clear_faults();
        pass(5 * SECOND).await;
        assert!(!world.is_doubted("m0"));
        pass(MINUTE).await;
        world.assert_nothing_lost(&before);
        world.end().await;
    });
}

#[test]
fn in_doubt_events_go_on_working() {
    run(async {
        let world = World::full().await;
        let tasks = world.sim().running_tasks();
        world.wipe(0).await;
        let web = tasks.iter().find(|task| task.app == "/web").unwrap();
        world.sim().set_fate(&web.task, Fate::Over);
        let at = SocketAddr::new(IpAddr::from(web.host), web.ports[0]);
        let is_gone = async || !world.table()["3.3.0.1:80"].contains_key(&at);
        eventually(is_gone).await;
        pass(5 * MINUTE).await;
        assert!(is_gone().await && world.table()["3.3.0.1:80"].len() == 1, "{:?}", world.table());
        // A removal that is announced is one.
        world.send("DELETE", "/v2/apps/db", &Value::Null).await;
        eventually(async || !world.table().contains_key("3.3.0.2:80")).await;
        assert_eq!(world.table().len(), 3);
        world.end().await;
    });
}

#[test]
fn a_removal_that_is_announced_is_believed_at_once() {
    run(async {
        let world = World::full().await;
        for id in ["/web", "/db", "/api"] {
            world.send("DELETE", &format!("/v2/apps{id}"), &Value::Null).await;
        }
        pass(20 * SECOND).await;
        assert_eq!(world.vips_in_use(), ["3.3.0.4:80"]);
        assert_eq!(world.notices("source-doubted"), 0);
        world.end().await;
    });
}

#[test]
fn a_removal_that_no_event_announced_is_believed_after_two_minutes() {
    run(async {
        let world = World::full().await;
        let before = world.table();
        world.sim().inject_fault(Fault::Lost.always());
        for id in ["/web", "/db", "/api"] {
            world.send("DELETE", &format!("/v2/apps{id}"), &Value::Null).await;
        }
        pass(5 * SECOND).await;
        world.sim().set_leader(Some(0));
        eventually(async || world.is_doubted("m0")).await;
        pass(115 * SECOND).await;
        world.assert_nothing_lost(&before);
        pass(10 * SECOND).await;
        assert_eq!(world.vips_in_use(), ["3.3.0.4:80"]);
        world.end().await;
    });
}

#[test]
fn a_restart_in_doubt_goes_on_doubting_with_a_state_file_and_without() {
    for keeps_state in [true, false] {
        run(async {
            let mut world = World::full().await;
            let before = world.table();
            world.wipe(0).await;
            world.stop().await;
            if !keeps_state {
                std::fs::remove_dir_all(world.folder.path().join("state")).unwrap();
            }
            world.start().await;
            eventually(async || world.is_doubted("m0")).await;
            pass(14 * MINUTE).await;
            world.assert_nothing_lost(&before);
            let ready = world.agent().view.borrow().ready;
            assert!(ready, "{keeps_state}");
            assert_eq!(world.accept().await, ["m0"]);
            pass(SECOND).await;
            assert_eq!(world.vips_in_use(), [""; 0], "{keeps_state}");
            world.end().await;
        });
    }
}

/// An agent that never lives long doesn't doubt for ever.
#[test]
fn restarts_do_not_begin_a_doubt_anew() {
    run(async {
        let mut world = World::full().await;
        let before = world.table();
        world.wipe(0).await;
        for _ in 0..4 {
            pass(3 * MINUTE).await;
            world.kill();
            world.start().await;
            eventually(async || world.is_doubted("m0")).await;
        }
        pass(2 * MINUTE).await;
        world.assert_nothing_lost(&before);
        let doubt = world.agent().view.borrow().sources["m0"].doubt.clone().unwrap();
        let lasted = marathon_sim::now().duration_since(doubt.since);
        assert!(lasted.as_secs() > 13 * 60, "{lasted:?}");
        pass(2 * MINUTE).await;
        world.until_empty().await;
        // Once it has ended, the next one is a new one.
        world.sim().clear_faults();
        world.until_all_served().await;
        world.wipe(0).await;
        pass(2 * MINUTE).await;
        assert_eq!(world.vips_in_use(), VIPS);
        world.end().await;
    });
}

/// The agent was down while most apps were removed: the framework is the same.
#[test]
fn a_first_answer_with_the_framework_of_before_is_believed_after_two_minutes() {
    run(async {
        let mut world = World::full().await;
        world.stop().await;
        for id in ["/web", "/db", "/api"] {
            world.send("DELETE", &format!("/v2/apps{id}"), &Value::Null).await;
        }
        pass(10 * SECOND).await;
        world.start().await;
        eventually(async || world.is_doubted("m0")).await;
        pass(110 * SECOND).await;
        assert_eq!(world.vips_in_use(), VIPS);
        pass(20 * SECOND).await;
        assert_eq!(world.vips_in_use(), ["3.3.0.4:80"]);
        world.end().await;
    });
}

/// One that serves all apps of a Marathon that is gone, and has started anew without a state file:
/// what it asks lists nothing of them. `change` makes the second Marathon.
async fn bereft(change: &dyn Fn(&mut Config), first: &dyn Fn(&mut Config)) -> (World, Table) {
    let mut world = World::with(&[first, change]).await;
    world.run_apps().await;
    let second = world.sims.pop().unwrap();
    world.start().await;
    world.until_all_served().await;
    world.stop().await;
    std::fs::remove_dir_all(world.folder.path().join("state")).unwrap();
    world.sims.pop().unwrap().shutdown().await;
    world.sims.push(second);
    world.run_app(&app("/new", "3.3.0.9:80", 1)).await;
    world.start().await;
    world.until_served("3.3.0.9:80", 1).await;
    let table = world.table();
    assert_eq!(table.len(), 4);
    (world, table)
}

#[test]
fn while_the_table_is_doubted_what_is_deleted_goes_at_once() {
    run(async {
        let (world, before) = bereft(&|_| {}, &|_| {}).await;
        world.send("DELETE", "/v2/apps/new", &Value::Null).await;
        eventually(async || world.served("3.3.0.9:80").is_none()).await;
        assert!(world.is_doubted("m0"));
        pass(MINUTE).await;
        assert_eq!(world.table(), before);
        world.end().await;
    });
}

/// What vipd adds makes what is missing no smaller.
#[test]
fn new_vips_end_no_doubt_about_the_table() {
    run(async {
        let (world, before) = bereft(&|_| {}, &|_| {}).await;
        for n in 1..=6 {
            let at = format!("3.3.1.{n}:80");
            world.run_app(&app(&format!("/more-{n}"), &at, 2)).await;
            world.until_served(&at, 2).await;
        }
        pass(5 * MINUTE).await;
        assert!(world.is_doubted("m0"));
        assert_eq!(world.table(), before);
        world.end().await;
    });
}

/// An app without a VIP gets the port of a task that was there before.
#[test]
fn while_the_table_is_doubted_a_server_whose_place_is_taken_goes_at_once() {
    run(async {
        let shared = |config: &mut Config| {
            config.agents = vec![SimAgent::new([10, 1, 0, 11].into())];
        };
        let (world, _) = bereft(&shared, &shared).await;
        let holds = |at: &SocketAddr| world.table().values().any(|all| all.contains_key(at));
        // Whoever had the place of the new app's task is gone a moment later.
        let new = world.sim().running_tasks().remove(0);
        let new = SocketAddr::new(IpAddr::from(new.host), new.ports[0]);
        eventually(async || !holds(&new)).await;
        let mut left = world.table();
        for vip in ["3.3.0.1:80", "3.3.0.2:80", "3.3.0.3:80"] {
            let Some((at, _)) = left.get_mut(vip).and_then(BTreeMap::pop_first) else { continue };
            world.run_app(&batch(vip, at.port())).await;
            eventually(async || !holds(&at)).await;
        }
        pass(5 * MINUTE).await;
        // A service of which nothing is left is gone.
        left.retain(|_, servers| !servers.is_empty());
        assert_eq!(world.table(), left);
        assert!(world.is_doubted("m0"));
        world.end().await;
    });
}

/// Another `--zk`: another framework, other apps, and one of the same name with other tasks.
#[test]
fn another_marathon_in_the_place_of_the_first_adds_and_replaces_and_removes_nothing() {
    run(async {
        let other = |config: &mut Config| config.framework = "another".into();
        let mut world = World::with(&[&|_| {}, &other]).await;
        world.run_apps().await;
        let second = world.sims.pop().unwrap();
        world.start().await;
        world.until_all_served().await;
        world.stop().await;
        world.sims.insert(0, second);
        world.run_app_on(0, &app("/web", "3.3.0.1:80", 1)).await;
        world.run_app_on(0, &app("/new", "3.3.0.9:80", 1)).await;
        let web = world.sim().running_tasks().into_iter().find(|task| task.app == "/web").unwrap();
        let first = world.sims.pop().unwrap();
        world.start().await;
        world.until_served("3.3.0.9:80", 1).await;
        let at = SocketAddr::new(IpAddr::from(web.host), web.ports[0]);
        eventually(async || world.served("3.3.0.1:80") == Some(vec![at])).await;
        pass(10 * MINUTE).await;
        assert_eq!(world.table().len(), 4);
        assert_eq!(world.served("3.3.0.1:80"), Some(vec![at]));
        pass(6 * MINUTE).await;
        assert_eq!(world.vips_in_use(), ["3.3.0.1:80"]);
        first.shutdown().await;
        world.end().await;
    });
}

/// Two Marathons of one Mesos cluster. The second one gets the port of a task of the first.
#[test]
fn one_of_two_marathons_is_wiped_and_the_other_works_on_and_gets_its_ports() {
    run(async {
        let shared = |config: &mut Config| {
            config.agents = vec![SimAgent::new([10, 1, 0, 11].into())];
        };
        let mut world = World::with(&[&shared, &shared]).await;
        world.run_apps().await;
        world.start().await;
        world.until_all_served().await;
        let before = world.table();
        world.wipe(0).await;
        pass(5 * SECOND).await;
        world.assert_nothing_lost(&before);
        let tasks = world.sim().running_tasks();
        let web = tasks.iter().find(|task| task.app == "/web").unwrap();
        world.run_app_on(1, &batch("", web.ports[0])).await;
        let at = SocketAddr::new(IpAddr::from(web.host), web.ports[0]);
        eventually(async || !world.table()["3.3.0.1:80"].contains_key(&at)).await;
        pass(5 * MINUTE).await;
        let mut left = before.clone();
        left.get_mut("3.3.0.1:80").unwrap().remove(&at);
        assert_eq!(world.table(), left);
        world.run_app_on(1, &app("/more", "3.3.0.8:80", 1)).await;
        world.until_served("3.3.0.8:80", 1).await;
        assert!(world.is_doubted("m0") && !world.is_doubted("m1"));
        assert_eq!(Duration::from_secs(900), world.doubt);
        world.end().await;
    });
}

#[test]
fn a_doubt_shows_everywhere_and_is_accepted_over_the_socket() {
    site::run(async {
        let site = Site::new(World::serving(2).await).await;
        site.world.wipe(0).await;
        let status = site.json("/v1/status").await;
        let doubt = &status["sources"]["m0"]["doubt"];
        assert_eq!((&doubt["lost_vips"], &doubt["lost_servers"]), (&json!(1), &json!(2)));
        assert!(status["notes"][0].as_str().unwrap().starts_with("m0 no longer lists 1 of 1 VIPs"));
        let (_, metrics) = site.get("/metrics").await;
        assert!(metrics.contains("\nvipd_source_doubted{source=\"m0\"} 1"), "{metrics}");
        let facts = site.json("/v1/local-facts").await;
        assert_eq!(facts["kept"].as_array().unwrap().len(), 2, "{facts}");
        let vips = site.json("/v1/vips").await;
        let why = vips[0]["backend"][0]["why"].as_str().unwrap();
        assert_eq!(why, "no longer listed, and kept while that is doubted");
        let socket = site.world.folder.path().join("agent.sock");
        let accept = async |source: Option<&'static str>| {
            let socket = socket.clone();
            let accept = move || AgentClient::connect(&socket)?.request_accept(source);
            tokio::task::spawn_blocking(accept).await.unwrap()
        };
        let error = accept(Some("m7")).await.unwrap_err().to_string();
        assert!(error.contains("there is no Marathon m7, only m0"), "{error}");
        assert_eq!(accept(Some("m0")).await.unwrap(), ["m0"]);
        assert_eq!(accept(None).await.unwrap(), [""; 0]);
        eventually(async || site.world.served("3.3.0.6:80").is_none_or(|all| all.is_empty())).await;
        site.end().await;
    });
}

/// One that is configured under two URLs, of which one is a proxy's.
#[test]
fn one_marathon_that_is_configured_twice_is_told() {
    run(async {
        let same = |config: &mut Config| config.framework = "the-same".into();
        for (second, told) in [(&same as &dyn Fn(&mut Config), true), (&|_| {}, false)] {
            let mut world = World::with(&[&same, second]).await;
            world.run_app(&app("/web", "3.3.0.6:80", 1)).await;
            world.start().await;
            world.until_served("3.3.0.6:80", 1).await;
            pass(5 * SECOND).await;
            let view = world.agent().view.borrow().clone();
            let notes = Readiness::from_view(&view, marathon_sim::now()).notes;
            let is_told = |note: &String| note.starts_with("m0 and m1 are one Marathon");
            assert_eq!(notes.iter().any(is_told), told, "{notes:?}");
            let logged = world.agent().journal.entries_after(0);
            assert_eq!(logged.iter().any(|entry| is_told(&entry.line)), told);
            world.end().await;
        }
    });
}
