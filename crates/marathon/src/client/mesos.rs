//! The agents of the Mesos cluster, from its master's `/slaves`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use reqwest::Url;
use serde_json::Value;

use super::error::ClientError;
use super::http::Http;
use super::request::Base;
use crate::DocumentError;
use crate::document::text_of;

/// Limit of agents; more than any cluster has.
const MAX_AGENTS: usize = 50_000;

/// Reads the addresses of all agents that the master at `ui` knows, those without tasks included.
///
/// Credentials of Marathon aren't sent.
pub(super) async fn read_agents(
    http: &Http,
    ui: &str,
    bases: &[Base],
) -> Result<BTreeSet<IpAddr>, ClientError> {
    let url = Url::parse(ui).and_then(|ui| ui.join("/slaves")).map_err(|_| ClientError::NoMesos)?;
    let answer = http.get(url, bases).await?.check_status()?;
    let slaves: Value = answer.parse_body(|body| {
        text_of(body).and_then(|text| serde_json::from_str(&text).map_err(DocumentError::from))
    })?;
    Ok(agents_in(&slaves))
}

/// Extracts the addresses of `{"slaves": [{"pid": "slave(1)@10.0.0.5:5051"}]}`.
fn agents_in(slaves: &Value) -> BTreeSet<IpAddr> {
    let slaves = slaves.get("slaves").and_then(Value::as_array);
    let pids = slaves.into_iter().flatten().take(MAX_AGENTS).filter_map(|slave| {
        let (_, at) = slave.get("pid")?.as_str()?.rsplit_once('@')?;
        let (address, _) = at.rsplit_once(':')?;
        address.trim_matches(['[', ']']).parse().ok()
    });
    pids.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn agents_are_found_by_the_addresses_that_they_listen_at() {
        let slaves = json!({"slaves": [
            {"pid": "slave(1)@10.0.0.5:5051", "hostname": "node5", "active": true},
            {"pid": "slave(1)@[fd00::6]:5051"},
            {"pid": "slave(1)@node7:5051"}, {"pid": 7}, {}, null,
        ]});
        let found: Vec<_> = agents_in(&slaves).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.5", "fd00::6"]);
        for odd in [json!([]), json!(null), json!({"slaves": {}})] {
            assert!(agents_in(&odd).is_empty(), "{odd}");
        }
    }
}
