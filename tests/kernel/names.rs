//! Named VIPs on real kernels: the system's own resolver, the name server and real traffic.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::{Cluster, eventually, tell};

const NAME: &str = "web.marathon.l4lb.thisdcos.directory";
/// Where the hash of `web.marathon` leads.
const ADDRESS: &str = "11.225.36.193";
const SERVER: &str = "198.51.100.1";

fn web(instances: usize) -> Value {
    json!({
        "id": "/web", "instances": instances, "cpus": 0.1, "mem": 16,
        "container": {
            "type": "DOCKER",
            "docker": {"image": "web"},
            "portMappings": [{"containerPort": 80, "hostPort": 0, "labels": {"VIP_0": "/web:80"}}],
        },
        "networks": [{"mode": "container/bridge"}],
        "healthChecks": [{
            "protocol": "TCP", "portIndex": 0, "gracePeriodSeconds": 60, "intervalSeconds": 5,
        }],
    })
}

/// A name server on a node, and the resolver of the node that asks it.
struct NameServer(Child);

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl NameServer {
    fn start(cluster: &Cluster, node: usize) -> Self {
        let name = &cluster.nodes[node];
        // `ip netns exec` has a process see this file as /etc/resolv.conf.
        let folder = format!("/etc/netns/{name}");
        std::fs::create_dir_all(&folder).unwrap();
        let lines = format!("nameserver {SERVER}\noptions timeout:1 attempts:1\n");
        std::fs::write(format!("{folder}/resolv.conf"), lines).unwrap();
        let mut server = Command::new("ip");
        server.args(["netns", "exec", name, env!("CARGO_BIN_EXE_vipd"), "dns"]);
        server.args(["--listen", SERVER, "--zone-file", &format!("/run/{name}/zone")]);
        server.args(["--log", "info"]).env("VIPD_CONFIG", "/dev/null");
        server.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = server.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| tell(&line)));
        Self(child)
    }
}

fn resolve(cluster: &Cluster, node: usize, database: &str) -> Result<String, String> {
    cluster.try_on(node, &format!("getent {database} {NAME}"))
}

#[test]
fn a_name_resolves_and_connects_with_the_agent_and_without_it() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(2));
    cluster.settled("/web", 2);
    cluster.start_all();
    let _servers = [0, 1].map(|node| NameServer::start(&cluster, node));
    for node in 0..2 {
        eventually("the name resolves", || resolve(&cluster, node, "ahosts").is_ok());
        let found = resolve(&cluster, node, "ahosts").unwrap();
        assert!(found.lines().all(|line| line.starts_with(ADDRESS)), "{found}");
        // There is no IPv6 address, which doesn't deny the name: libc maps the other one.
        let mapped = resolve(&cluster, node, "ahostsv6").unwrap();
        assert!(mapped.lines().all(|line| line.starts_with("::ffff:")), "{mapped}");
        let ask = || cluster.try_on(node, &format!("curl -sS --max-time 5 http://{NAME}/"));
        eventually("it connects", || ask().is_ok());
        cluster.try_on(node, "getent ahosts other.marathon.l4lb.thisdcos.directory").unwrap_err();
    }
    let status = cluster.vipd(0, &["status"]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains(&format!("web.marathon {ADDRESS}:80/tcp")), "{status}");
    let diff = cluster.vipd(0, &["diff", "--marathon", "http://10.77.0.1:8080"]).output().unwrap();
    assert_eq!(diff.status.code(), Some(0), "{diff:?}");

    let doctor = cluster.vipd(0, &["doctor"]).output().unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    for finding in ["the name server answers at 198.51.100.1", "this node resolves names in l4lb"] {
        assert!(doctor.contains(finding), "{doctor}");
    }

    // Only its own port answers at the name server's address.
    if cluster.try_on(0, "nft list table ip vipd").is_ok() {
        let node = cluster.nodes[0].clone();
        let refused = std::thread::spawn(move || {
            netns::join_netns(&node);
            let _everywhere = TcpListener::bind("0.0.0.0:8888").unwrap();
            let at = format!("{SERVER}:8888").parse().unwrap();
            TcpStream::connect_timeout(&at, Duration::from_secs(5)).is_err()
        });
        assert!(refused.join().unwrap());
    }

    // Names answer without the agent, as long as their address is bound.
    cluster.stop(0, "KILL");
    assert!(resolve(&cluster, 0, "ahosts").is_ok());
    cluster.on(0, &format!("ip addr del {ADDRESS}/32 dev vipd0"));
    eventually("it resolves no longer", || resolve(&cluster, 0, "ahosts").is_err());
    cluster.start(0, &[]);
    eventually("it resolves again", || resolve(&cluster, 0, "ahosts").is_ok());
}
