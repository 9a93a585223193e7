//! An agent with its HTTP side.

use serde_json::Value;
use testkit::SharedKernel;
use vipd::admin::Admin;
use vipd::config::{Config, Marathon};

use crate::world::{World, vip};

/// Does it in the time that a clock on the wall has: whoever asks over HTTP is on another thread.
pub(crate) fn run(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work);
    runtime.shutdown_background();
}

/// An agent, and what speaks for it.
pub(crate) struct Site {
    pub(crate) world: World,
    admin: Admin,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Site {
    pub(crate) async fn new(world: World) -> Self {
        let (admin, url) = admin(&world).await;
        Self { world, admin, url, http: reqwest::Client::new() }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Stops answering.
    pub(crate) fn end_admin(self) -> World {
        self.admin.stop();
        self.world
    }

    pub(crate) async fn end(self) {
        self.end_admin().end().await;
    }
}

async fn admin(world: &World) -> (Admin, String) {
    let kernel: SharedKernel = world.kernel.clone();
    let mut agent = vipd::config::AgentSection::default().resolve().unwrap();
    agent.socket = world.folder.path().join("agent.sock");
    agent.listen = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        relay: vipd::config::RelaySection::default(),
        marathons: Vec::new(),
        interface: "vipd0".into(),
        node_address: None,
        modes: vip::nft::Modes::default(),
        node_name: "node1".into(),
        lock: world.folder.path().join("lock"),
        strict_arp: false,
        ipv6_forwarding: None,
        log_level: vipd::config::LogLevel::Info,
        timeouts: vip::Timeouts::default(),
        firewall: vip::firewall::LetIn::Off,
        policy: vip::Policy::default(),
        names: vipd::config::Names::default(),
        probe: vipd::config::ProbeSettings::default(),
        agent,
    };
    let urls = ["http://vipd.example:8080".parse().unwrap()];
    let access = vipd::config::Access {
        auth: Some(marathon::client::Auth::Basic(marathon::client::BasicAuth {
            user: "vipd".into(),
            password: "hunter2".into(),
        })),
        ..vipd::config::Access::default()
    };
    let marathons = [Marathon::new(urls.into(), access)];
    let open: vipd::admin::Open = Box::new(move || Ok(Box::new(kernel.clone())));
    let admin = Admin::start(&config, &marathons, open, world.agent().clone()).await.unwrap();
    let url = format!("http://{}", admin.address());
    (admin, url)
}

/// Somebody connects to a VIP so often.
pub(crate) fn traffic(kernel: &SharedKernel, at: &str, connections: u64) {
    kernel.with_kernel(|kernel| {
        let services = &mut kernel.state.services;
        let service = services.get_mut(&vip(at).into()).unwrap();
        service.stats.connections += connections;
        service.stats.in_packets += 5 * connections;
        service.stats.in_bytes += 700 * connections;
        service.stats.out_packets += 4 * connections;
        service.stats.out_bytes += 9000 * connections;
        service.stats.connections_per_second = connections;
        let servers = service.servers.len() as u64;
        for server in service.servers.values_mut() {
            let stats = server.stats.get_or_insert_default();
            stats.connections += connections / servers;
            stats.connections_per_second = connections / servers;
            server.active = u32::try_from(connections / servers).unwrap();
        }
    });
}
