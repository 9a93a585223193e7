//! Three nodes behind two relays, with a client on each node that connects to a VIP all the time.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::{API, Clients, Cluster, checked_web, eventually, place, tell};
use crate::world::Running;

const WEB: &str = "3.3.0.6:80";
const NODES: usize = 3;
const PORTS: [u16; 2] = [9615, 9616];
/// Names by which the waits of agents without relays are among the shortest: less than 2 s above 30 s.
const IMPATIENT: [&str; NODES] = ["node26", "node42", "node175"];
/// Connections that are made before the next thing happens.
const ENOUGH: usize = 300;
/// The longest time after which an agent without a relay has read Marathon itself: it waits 30 to
/// 150 s, and the next read may be a minute later.
const OWN_READ: Duration = Duration::from_secs(300);

/// The cluster, its relays and its agents.
pub(crate) struct World {
    // Ended before the cluster, whose namespaces they are in.
    pub(crate) agents: Vec<Running>,
    pub(crate) relays: [Option<Running>; 2],
    pub(crate) cluster: Cluster,
    folder: tempfile::TempDir,
}

impl World {
    /// Makes nodes and an app with four tasks, without relays and agents.
    pub(crate) fn new(nodes: usize) -> Self {
        let mut cluster = Cluster::with_nodes(nodes);
        cluster.node_names = IMPATIENT.map(str::to_owned).to_vec();
        cluster.send("POST", "/v2/apps", &checked_web(WEB, 4));
        let folder = tempfile::tempdir_in("/run").unwrap();
        let world = Self { agents: Vec::new(), relays: [None, None], cluster, folder };
        world.write("token", "the-token\n");
        let token = world.path("token");
        world.write("relay.toml", &format!("[relay]\ntoken-file = \"{token}\"\n"));
        let direct = format!("[[marathon]]\nurls = [\"http://{API}\"]\n");
        let relays = PORTS.map(|port| format!("\"http://10.77.0.1:{port}\"")).join(", ");
        let relayed = format!("{direct}relay-token-file = \"{token}\"\nrelay = [{relays}]\n");
        world.write("direct.toml", &direct);
        world.write("relayed.toml", &relayed);
        world
    }

    /// Has agents behind relays serve the app.
    fn serving() -> Self {
        let mut world = Self::new(NODES);
        world.start_relays();
        (0..NODES).for_each(|node| world.start_agent(node, "relayed"));
        world.until_served(4, "all are served");
        world.until_streaming("events come");
        world
    }

    /// Starts the agent of a node, `relayed` or `direct`.
    pub(crate) fn start_agent(&mut self, node: usize, way: &str) {
        let (file, state) = (self.path(&format!("{way}.toml")), self.path(&format!("state{node}")));
        let mut agent = self.cluster.vipd(node, &["run", "--config", &file, "--state", &state]);
        self.agents.push(Running(agent.stdin(Stdio::null()).spawn().unwrap()));
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Starts the relays that don't run, and waits until they are ready.
    pub(crate) fn start_relays(&mut self) {
        let config = self.path("relay.toml");
        for (relay, port) in self.relays.iter_mut().zip(PORTS) {
            let (url, listen) = (format!("http://{API}"), format!("10.77.0.1:{port}"));
            let args = ["relay", "--config", &config, "--marathon", &url, "--listen", &listen];
            relay.get_or_insert_with(|| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_vipd"));
                Running(command.args(args).stdin(Stdio::null()).spawn().unwrap())
            });
        }
        for port in PORTS {
            eventually("the relay is ready", || {
                let url = format!("http://10.77.0.1:{port}/readyz");
                netns::try_run_tool("curl", &format!("-sSf {url}")).is_ok()
            });
        }
    }

    /// The number of agents that follow each relay.
    fn followers(&self) -> [u64; 2] {
        let authorization = "Authorization: Bearer the-token";
        PORTS.map(|port| {
            let url = format!("http://10.77.0.1:{port}/v1/status");
            let curl = Command::new("curl").args(["-sS", "-H", authorization, &url]).output();
            let status: Value = serde_json::from_slice(&curl.unwrap().stdout).unwrap_or_default();
            status["clients"].as_u64().unwrap_or_default()
        })
    }

    /// Places of the real servers in use on a node.
    pub(crate) fn places(&self, node: usize) -> Vec<String> {
        let servers = self.cluster.servers(node, WEB).into_iter();
        servers.filter(|(_, weight)| *weight > 0).map(|(server, _)| server).collect()
    }

    fn until_served(&self, instances: usize, what: &str) {
        for node in 0..NODES {
            eventually(what, || self.places(node).len() == instances);
        }
    }

    fn until_streaming(&self, what: &str) {
        for node in 0..NODES {
            eventually(what, || self.is_streaming(node));
        }
    }

    pub(crate) fn is_streaming(&self, node: usize) -> bool {
        let sources = self.cluster.report(node)["sources"].clone();
        sources.as_object().is_some_and(|all| all.values().all(|one| one["streaming"] == true))
    }

    /// What each kernel has of the VIP, and what each agent says that it changed.
    fn tables(&self) -> Vec<[String; 3]> {
        let table = |node| {
            let addresses = self.cluster.on(node, "ip -br addr show dev vipd0");
            let events = self.cluster.vipd(node, &["events"]).output().unwrap();
            let events = String::from_utf8(events.stdout).unwrap();
            let changes = events.lines().filter(|line| line.contains("3.3.0.6"));
            let changes = changes.collect::<Vec<_>>().join("\n");
            [self.cluster.on(node, "ipvsadm -Sn"), addresses, changes]
        };
        (0..NODES).map(table).collect()
    }

    /// Has something happen that must cost no connection and change no table.
    #[track_caller]
    fn untouched(&mut self, what: &str, clients: &Clients, happens: impl FnOnce(&mut Self)) {
        let (before, done, failed) = (self.tables(), clients.done(), clients.failures());
        happens(self);
        let then = clients.done();
        eventually("there is more traffic", || clients.done() > then + ENOUGH);
        assert_eq!(self.tables(), before, "{what}");
        assert_eq!(clients.failures(), failed, "{what}");
        tell(&format!("{what}: {} connections, 0 failed", clients.done() - done));
    }
}

#[test]
fn relays_and_marathon_go_and_come_back_under_traffic() {
    let mut world = World::serving();
    assert_eq!(world.followers().iter().sum::<u64>(), NODES as u64);
    let clients = Clients::start_on(&world.cluster.nodes, WEB, 20);
    eventually("there is traffic", || clients.done() > ENOUGH);

    let followers = world.followers();
    let busier = usize::from(followers[1] > followers[0]);
    world.untouched("a relay is killed", &clients, |world| {
        world.relays[busier] = None;
        eventually("all follow the other one", || world.followers()[1 - busier] == NODES as u64);
        world.until_streaming("events come from the other one");
    });

    server_dies(&world, &clients);

    world.untouched("Marathon is away", &clients, |world| {
        world.cluster.pause_marathon();
        for node in 0..NODES {
            eventually("the agent knows", || !world.is_streaming(node));
        }
    });
    world.untouched("Marathon is back", &clients, |world| {
        world.cluster.resume_marathon();
        world.until_streaming("events come again");
    });

    world.untouched("all relays are killed", &clients, |world| {
        world.relays = [None, None];
        for node in 0..NODES {
            eventually("the agent knows", || !world.is_streaming(node));
        }
    });
    let failed = clients.failures();
    world.cluster.send("PUT", "/v2/apps/web", &checked_web(WEB, 5));
    world.cluster.settled("/web", 5);
    until_all_read_marathon(&world);
    assert_eq!(clients.failures(), failed, "agents read Marathon themselves");

    world.untouched("relays are back", &clients, |world| {
        world.start_relays();
        eventually("all follow one", || world.followers().iter().sum::<u64>() == NODES as u64);
        world.until_streaming("events come from relays");
    });
    world.cluster.send("PUT", "/v2/apps/web", &checked_web(WEB, 6));
    world.until_served(6, "a change comes through the relays");
    let (done, all) = clients.stop();
    assert_eq!(all, failed, "of {done}");
}

/// Kills a server hard, which Marathon tells of. Connections fail until the agents know, not later.
fn server_dies(world: &World, clients: &Clients) {
    let task = world.cluster.settled("/web", 4)[0].clone();
    let node = (0..NODES).find(|node| task["host"] == json!(crate::cluster::address(*node)));
    let node = node.unwrap();
    let listening = world.cluster.on(node, &format!("ss -Hltnp sport = :{}", task["ports"][0]));
    let pid = listening.split("pid=").nth(1).unwrap().split(',').next().unwrap();
    world.cluster.on(node, &format!("kill -9 {pid}"));
    for node in 0..NODES {
        eventually("it is gone", || !world.places(node).contains(&place(&task)));
    }
    let (then, failed) = (clients.done(), clients.failures());
    world.cluster.settled("/web", 4);
    world.until_served(4, "another one takes its place");
    eventually("there is more traffic", || clients.done() > then + ENOUGH);
    assert_eq!(clients.failures(), failed, "connections failed after it was known");
    tell(&format!("a server is killed hard: {} failed until it was known", failed.len()));
}

fn until_all_read_marathon(world: &World) {
    let end = std::time::Instant::now() + OWN_READ;
    while !(0..NODES).all(|node| world.places(node).len() == 5) {
        assert!(std::time::Instant::now() < end, "no agent reads Marathon itself");
        sleep(Duration::from_millis(200));
    }
}
