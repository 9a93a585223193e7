//! Marathon's answers about the servers of the matrix.

use serde_json::{Value, json};

use super::cells::{Network, Server};
use super::serve::Protocol;
use super::topology::{Family, address};

const VERSION: &str = "2026-01-01T00:00:00.000Z";

/// An app with one healthy task, at the server's own VIP.
pub(super) fn app(server: Server, protocol: Protocol, family: Family) -> Value {
    app_at(&server.vip(family), server, protocol, family)
}

/// The same app at another VIP.
pub(super) fn app_at(vip: &str, server: Server, protocol: Protocol, family: Family) -> Value {
    let at = vip.rsplit(':').next().unwrap_or_default();
    let Server { namespace, network, .. } = server;
    let id = format!("/{namespace}-{network:?}-{}-{family:?}-{at}", protocol.word()).to_lowercase();
    let labels = json!({"VIP_0": vip});
    let (host, port) = server.real(family);
    let task = json!({
        "id": format!("{}.1", id.trim_start_matches('/')), "appId": id, "state": "TASK_RUNNING",
        "version": VERSION, "stagedAt": VERSION, "startedAt": VERSION,
        "healthCheckResults": [{
            "alive": true, "consecutiveFailures": 0, "lastSuccess": "2026-01-01T00:01:00.000Z",
        }],
        "host": address(server.node(), family),
        "ports": if server.network == Network::Container { json!([]) } else { json!([port]) },
        "ipAddresses": if server.network == Network::Container {
            json!([{"ipAddress": host, "protocol": if family == Family::V4 { "IPv4" } else { "IPv6" }}])
        } else {
            json!([{"ipAddress": address(server.namespace, family)}])
        },
    });
    let mut app = json!({
        "id": id, "version": VERSION, "tasks": [task],
        "healthChecks": [{"protocol": "TCP", "gracePeriodSeconds": 300, "intervalSeconds": 60}],
    });
    let mapping = |host_port: Value| {
        json!({"portMappings": [{
            "containerPort": 80, "hostPort": host_port, "protocol": protocol.word(), "labels": labels,
        }]})
    };
    match server.network {
        Network::Host => {
            app["networks"] = json!([{"mode": "host"}]);
            app["portDefinitions"] =
                json!([{"port": 0, "protocol": protocol.word(), "labels": labels}]);
        }
        Network::Proxy | Network::Dnat => {
            app["networks"] = json!([{"mode": "container/bridge"}]);
            app["container"] = mapping(json!(0));
        }
        Network::Container => {
            app["networks"] = json!([{"mode": "container", "name": "routed"}]);
            app["container"] = mapping(Value::Null);
        }
    }
    app
}
