//! Version, leader and dependencies of a server, from `/v2/info`.

use std::collections::BTreeSet;

use reqwest::Url;
use serde_json::Value;

use super::error::ClientError;
use super::http::Http;
use super::request::{Base, INFO};
use crate::DocumentError;
use crate::document::text_of;

/// The answer of one server to `/v2/info`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerInfo {
    /// The version, as `1.8.222-86475ddac`.
    pub version: Option<String>,
    /// Host and port of the leader; None during an election.
    pub leader: Option<String>,
    /// The id under which it is registered with Mesos.
    pub framework: Option<String>,
    /// The name under which it is registered with Mesos, `marathon` unless it was set.
    pub framework_name: Option<String>,
    /// The hosts that it depends on, ZooKeeper servers and Mesos masters, by name or address as
    /// they are configured.
    pub servers: BTreeSet<String>,
    /// The URL of the Mesos master's pages.
    pub mesos: Option<String>,
}

/// JSON pointers to the servers it depends on (`InfoResource.scala`). The URL of the Mesos UI beside
/// them is none of these, since that may well be at a VIP.
const SERVERS: [&str; 2] = ["/zookeeper_config/zk", "/marathon_config/master"];

/// Limit of the answer; more than any Marathon says of itself.
const MAX_INFO: usize = 64 << 10;

/// Limit of hosts that are kept; more than any Marathon has.
const MAX_SERVERS: usize = 32;

impl ServerInfo {
    fn from_json(info: &Value) -> Self {
        let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str);
        let servers = SERVERS.into_iter().filter_map(text).flat_map(split_hosts);
        Self {
            version: text("/version").map(str::to_owned),
            leader: text("/leader").map(str::to_owned),
            framework: text("/frameworkId").filter(|id| !id.is_empty()).map(str::to_owned),
            framework_name: text("/marathon_config/framework_name")
                .filter(|name| !name.is_empty())
                .map(|name| caps::cut_text(name, caps::TEXT).into_owned()),
            servers: servers.take(MAX_SERVERS).collect(),
            mesos: text("/marathon_config/mesos_leader_ui_url")
                .filter(|url| !url.is_empty() && url.len() <= caps::TEXT)
                .map(str::to_owned),
        }
    }
}

/// Reads `/v2/info` of one server.
pub(super) async fn read_info(
    http: &Http,
    base: &Base,
    bases: &[Base],
) -> Result<ServerInfo, ClientError> {
    let answer = http.get_at_most(MAX_INFO, base.url_of(INFO), bases).await?.check_status()?;
    let info: Value = answer.parse_body(|body| {
        text_of(body).and_then(|text| serde_json::from_str(&text).map_err(DocumentError::from))
    })?;
    Ok(ServerInfo::from_json(&info))
}

/// Extracts the hosts of `zk://user:password@10.0.0.1:2181,10.0.0.2:2181/marathon` and of
/// `10.0.0.3:5050`.
fn split_hosts(text: &str) -> impl Iterator<Item = String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    // User and password come before the @, and are no host.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let servers = rest.split('/').next().unwrap_or_default().split(',');
    servers.filter_map(|server| {
        let url = Url::parse(&format!("http://{}", server.trim())).ok()?;
        url.host_str().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> Vec<String> {
        split_hosts(text).collect()
    }

    #[test]
    fn hosts_are_found_in_whatever_form_and_secrets_are_none() {
        assert_eq!(of("zk://10.0.0.1:2181,zk2:2181/marathon"), ["10.0.0.1", "zk2"]);
        assert_eq!(of("zk://user:p@ss/word@zk1:2181/mesos"), ["zk1"]);
        assert_eq!(of("zk://[fd00::1]:2181, zk2/x"), ["[fd00::1]", "zk2"]);
        assert_eq!(of("10.0.0.3:5050"), ["10.0.0.3"]);
        assert_eq!(of("http://master.example:5050/"), ["master.example"]);
        for odd in ["", "zk://", "zk:///marathon", ",,", "zk://a b:x/"] {
            assert_eq!(of(odd), [""; 0], "{odd}");
        }
    }

    #[test]
    fn an_answer_is_read_as_far_as_it_is_one() {
        let said = json!({
            "version": "1.9.109", "leader": "marathon1:8080", "frameworkId": "f-1",
            "marathon_config": {"framework_name": "marathon-user", "master": "m1:5050", "mesos_leader_ui_url": "http://ui:5050/"},
            "zookeeper_config": {"zk": "zk://zk1:2181,zk2:2181/marathon", "zk_timeout": 10000},
        });
        let info = ServerInfo::from_json(&said);
        assert_eq!(info.version.as_deref(), Some("1.9.109"));
        assert_eq!(info.leader.as_deref(), Some("marathon1:8080"));
        assert_eq!(info.framework.as_deref(), Some("f-1"));
        assert_eq!(info.framework_name.as_deref(), Some("marathon-user"));
        assert_eq!(info.servers, ["m1", "zk1", "zk2"].map(str::to_owned).into());
        assert_eq!(info.mesos.as_deref(), Some("http://ui:5050/"));
        for odd in [json!([]), json!(null), json!({"version": 7, "zookeeper_config": "zk"})] {
            assert_eq!(ServerInfo::from_json(&odd), ServerInfo::default());
        }
        let many: Vec<_> = (0..1000).map(|n| format!("zk{n}:2181")).collect();
        let many = json!({"zookeeper_config": {"zk": format!("zk://{}/m", many.join(","))}});
        assert_eq!(ServerInfo::from_json(&many).servers.len(), MAX_SERVERS);
    }
}
