//! The programs and rules that serve the VIPs of a node, and their installation.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use testkit::netns::{run_tool, run_tool_with_input};

use super::kube_proxy;
use super::network::{PORT, SERVER, VIP_PORT, on_node, vip};

/// The programs and rules of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    Bare,
    Docker,
    Vipd,
    DockerAndVipd,
    /// VIPs without vipd's nftables rules, which shows what IPVS itself costs other traffic.
    DockerAndIpvs,
    /// The rules of kube-proxy's mode `ipvs`, around the same IPVS table.
    KubeProxyIpvs,
    /// The rules of kube-proxy's mode `nftables`, without IPVS.
    KubeProxyNftables,
    /// A proxy on the node that listens on the VIPs.
    Haproxy,
}

impl Setup {
    /// Lists what is measured with this many VIPs. How many there are can only matter where there are
    /// some, so a node without Docker is measured once. The guest needs minutes to make the chains of
    /// kube-proxy's nftables mode for ten thousand.
    pub(super) fn all(vips: usize) -> &'static [Self] {
        use Setup::*;
        match vips {
            0..=20 => &[
                Bare,
                Vipd,
                Docker,
                DockerAndVipd,
                DockerAndIpvs,
                KubeProxyIpvs,
                KubeProxyNftables,
                Haproxy,
            ],
            21..=2000 => {
                &[Docker, DockerAndVipd, DockerAndIpvs, KubeProxyIpvs, KubeProxyNftables, Haproxy]
            }
            _ => &[Docker, DockerAndVipd, DockerAndIpvs, KubeProxyIpvs, Haproxy],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Docker => "docker",
            Self::Vipd => "vipd",
            Self::DockerAndVipd => "docker+vipd",
            Self::DockerAndIpvs => "docker+ipvs",
            Self::KubeProxyIpvs => "docker+kube-proxy-ipvs",
            Self::KubeProxyNftables => "docker+kube-proxy-nftables",
            Self::Haproxy => "docker+haproxy",
        }
    }

    pub(super) fn has_docker(self) -> bool {
        !matches!(self, Self::Bare | Self::Vipd)
    }

    /// Returns true if clients get answers from VIPs.
    pub(super) fn answers_vips(self) -> bool {
        !matches!(self, Self::Bare | Self::Docker | Self::DockerAndIpvs)
    }
}

/// Installs what serves the VIPs.
pub(super) fn serve_vips(setup: Setup, vipd: &Path, vips: usize) {
    match setup {
        Setup::Bare | Setup::Docker => {}
        Setup::Vipd | Setup::DockerAndVipd => apply_vipd(vipd, vips),
        Setup::DockerAndIpvs | Setup::KubeProxyIpvs => {
            apply_vipd(vipd, vips);
            on_node("nft delete table ip vipd");
            if setup == Setup::KubeProxyIpvs {
                kube_proxy::install_ipvs_rules(vips);
            }
        }
        Setup::KubeProxyNftables => kube_proxy::install_nftables_rules(vips),
        Setup::Haproxy => start_haproxy(vips),
    }
}

fn apply_vipd(vipd: &Path, vips: usize) {
    let apps: Vec<Value> = (1..=vips).map(app).collect();
    let line = format!(
        "netns exec node {} apply --force --no-pods --from - --lock /run/path.lock --node-name node",
        vipd.display()
    );
    run_tool_with_input("ip", &line, &json!({"apps": apps}).to_string());
}

/// An app with one task on the server, at VIP `number` by TCP and UDP.
fn app(number: usize) -> Value {
    const VERSION: &str = "2026-01-01T00:00:00.000Z";
    let (id, vip) = (format!("/app{number}"), vip(number));
    json!({
        "id": id, "version": VERSION,
        "networks": [{"mode": "host"}],
        "portDefinitions": [{
            "port": 0, "protocol": "udp,tcp", "labels": {"VIP_0": format!("{vip}:{VIP_PORT}")},
        }],
        "tasks": [{
            "id": format!("app{number}.1"), "appId": id, "state": "TASK_RUNNING",
            "version": VERSION, "stagedAt": VERSION, "startedAt": VERSION,
            "host": SERVER, "ports": [PORT], "ipAddresses": [{"ipAddress": SERVER}],
        }],
    })
}

/// Starts a haproxy that listens on every VIP, with one thread.
fn start_haproxy(vips: usize) {
    let mut config = "global\n nbthread 1\n maxconn 1000\n\
        defaults\n mode tcp\n timeout connect 10s\n timeout client 1h\n timeout server 1h\n"
        .to_owned();
    let mut addresses = String::new();
    for number in 1..=vips {
        let vip = vip(number);
        let _ = writeln!(config, "listen v{number}\n bind {vip}:{VIP_PORT}");
        let _ = writeln!(config, " server s1 {SERVER}:{PORT}");
        let _ = writeln!(addresses, "address add {vip}/32 dev lo");
    }
    run_tool_with_input("ip", "-n node -batch -", &addresses);
    std::fs::write("/run/haproxy.cfg", config).unwrap();
    on_node("haproxy -D -p /run/haproxy.pid -f /run/haproxy.cfg");
}

/// Stops what runs on the node.
pub(super) fn stop_programs(setup: Setup) {
    if setup == Setup::Haproxy {
        let pid = std::fs::read_to_string("/run/haproxy.pid").unwrap();
        run_tool("kill", pid.trim());
    }
}
