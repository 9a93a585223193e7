//! What a configuration must meet to take the place of the one in force, beside valid keys.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use marathon::client::{Client, ClientConfig, plain_client};
use vip::naming::VipName;
use vip::{AddressRefusal, ClusterFacts, NodeFacts, Past, Policy, Reservation, SourcePath};

use crate::admin::HoldFiles;
use crate::config::{AgentSettings, Config, KeyError, Marathon, Relays};
use crate::report::vips::VipReport;
use crate::sources::{RelayClient, SourceClient, SourceId};

/// Creates a client for each Marathon.
pub(super) fn create_clients(
    config: &Config,
    marathons: &[Marathon],
) -> Result<BTreeMap<SourceId, SourceClient>> {
    let clients = marathons.iter().map(|marathon| {
        let cannot = || format!("cannot create an HTTP client for {}", marathon.name);
        let client = Arc::new(Client::new(&marathon.client_config()).with_context(cannot)?);
        let client = match marathon.relays.urls.is_empty() {
            true => SourceClient::Marathon(client),
            false => {
                let relay = create_relay_client(config, &marathon.relays, client);
                SourceClient::Relay(Arc::new(relay.with_context(cannot)?))
            }
        };
        Ok((marathon.name.as_str().into(), client))
    });
    clients.collect()
}

fn create_relay_client(
    config: &Config,
    relays: &Relays,
    direct: Arc<Client>,
) -> Result<RelayClient> {
    Ok(RelayClient {
        http: create_relay_http(relays)?,
        urls: relays.urls.clone(),
        token: relays.token.clone(),
        wants_all: config.names.task_zone.is_some(),
        node: config.node_name.clone(),
        agents: config.agent.agents,
        direct,
    })
}

/// Creates the HTTP client that relays let in.
pub(super) fn create_relay_http(relays: &Relays) -> Result<reqwest::Client> {
    let (ca, identity) = (relays.ca.clone(), relays.identity.clone());
    let http = ClientConfig { ca, identity, ..ClientConfig::new(relays.urls.clone()) };
    plain_client(&http).context("the relays")
}

/// Checks that an agent with the configuration `next` can take over from this one.
pub(super) fn check_successor(now: &AgentSettings, next: &AgentSettings) -> Result<()> {
    if next.listen != now.listen {
        let at = next.listen;
        let listener = TcpListener::bind(at);
        // This agent itself may have the port, on another address.
        let is_ours = |error: &std::io::Error| {
            error.kind() == ErrorKind::AddrInUse && at.port() == now.listen.port()
        };
        if !listener.as_ref().is_err_and(is_ours) {
            let refused = || format!("[agent] listen: cannot listen on {at}");
            listener.with_context(|| KeyError::new("agent", "listen", refused()))?;
        }
    }
    // The hold is a file next to the socket: the next agent would not find it elsewhere.
    if next.socket.parent() != now.socket.parent() && HoldFiles::new(now).read()?.is_some() {
        let (from, to) = (now.socket.display(), next.socket.display());
        let why = format!(
            "[agent] socket can't change from {from} to {to} while the node is held: `vipd release` \
             first"
        );
        bail!(KeyError::new("agent", "socket", why));
    }
    Ok(())
}

/// Checks that every owner of VIPs in the policy is an app of a Marathon that is read.
pub(super) fn check_owners(policy: &Policy, marathons: &[Marathon]) -> Result<()> {
    let is_read = |source: &str| marathons.iter().any(|each| each.name == source);
    for (reserved, owner) in &policy.owner {
        let Reservation::OneSource(SourcePath { source, .. }) = owner else { continue };
        if !is_read(source) {
            let names: Vec<_> = marathons.iter().map(|each| each.name.as_str()).collect();
            let why = format!(
                "vip.owner {reserved}: no Marathon has the name {source:?}, so no app may claim it: \
                 write one of {}",
                names.join(", ")
            );
            bail!(KeyError::new("vip", "owner", why));
        }
    }
    Ok(())
}

/// Returns the source of all apps of an agent that reads one Marathon alone, by the names of those that it
/// reads.
pub(super) fn only_source<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<SourceId> {
    names.next().filter(|_| names.next().is_none()).map(SourceId::from)
}

/// Checks that a configuration doesn't refuse most of the VIPs that apps have now. A wrong prefix would
/// take them all away at once. `vips` are those of the running agent; `only` is its Marathon, if it has one
/// alone.
pub(super) fn check_policy(
    next: &Policy,
    only: Option<&SourceId>,
    vips: &[VipReport],
) -> Result<()> {
    let claimed = vips.iter().filter(|vip| !vip.summary.apps.is_empty());
    let refused = claimed.clone().filter_map(|vip| Some((vip, refusal_of(next, only, vip)?)));
    let refused: Vec<_> = refused.collect();
    let count = claimed.count();
    let Some((vip, why)) = refused.first().filter(|_| refused.len() * 2 > count) else {
        return Ok(());
    };
    let (table, key) = match why {
        AddressRefusal::OtherNode(_) => ("cluster", "addresses"),
        AddressRefusal::NameServer(_) => ("names", "listen"),
        AddressRefusal::Reserved(..) | AddressRefusal::ReservedName(..) => ("vip", "owner"),
        _ => ("vip", "allow"),
    };
    let text = format!(
        "{} of {count} VIPs of apps would be refused, {} of {} because {why}; a reload takes no such \
         change: if it is meant, restart the agent",
        refused.len(),
        vip.vip,
        vip.summary.apps[0],
    );
    bail!(KeyError::new(table, key, text))
}

/// Returns why the configuration alone refuses a VIP to all of its apps.
fn refusal_of(next: &Policy, only: Option<&SourceId>, vip: &VipReport) -> Option<AddressRefusal> {
    let address = vip.vip.parse::<SocketAddr>().ok()?.ip();
    let name: Option<VipName> = vip.summary.name.as_ref().and_then(|name| name.parse().ok());
    let mut refusal = None;
    for app in &vip.summary.apps {
        let tasks = vip.backend.iter().chain(&vip.left_out);
        let mut tasks = tasks.filter(|task| task.app.as_ref() == Some(app));
        let source = tasks.find_map(|task| task.source.as_deref().map(SourceId::from));
        let source = source.as_ref().or(only);
        let unknown = SourceId::from("");
        let app = (source.unwrap_or(&unknown), &**app);
        let (node, cluster) = (NodeFacts::default(), ClusterFacts::default());
        let why = next.admit(app, (address, name.as_ref()), Past::Served, &node, &cluster).err()?;
        // Where the app's Marathon isn't known, it may be the one that owns the VIP.
        let may_be_owner = source.is_none() && names_source(&why);
        refusal = Some(why).filter(|_| !may_be_owner);
        refusal.as_ref()?;
    }
    refusal
}

/// Tells whether an owner is the reason that is of one Marathon only.
fn names_source(why: &AddressRefusal) -> bool {
    let (AddressRefusal::Reserved(.., owner) | AddressRefusal::ReservedName(.., owner)) = why
    else {
        return false;
    };
    matches!(owner, Reservation::OneSource(_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{AgentSection, MarathonSection, Secrets};

    #[test]
    fn an_owner_is_of_a_marathon_that_is_read() {
        let owner = SourcePath { source: "man".into(), path: "/".into() };
        let reserved = "3.3.0.0/16".parse().unwrap();
        let owner = [(reserved, Reservation::OneSource(owner))].into();
        let policy = Policy { owner, ..Policy::default() };
        let marathon = |name: &str| {
            let urls = vec!["http://127.0.0.1:8080".to_owned()];
            let section = MarathonSection { name: Some(name.into()), urls, ..Default::default() };
            section.resolve(Secrets::Read).unwrap()
        };
        let error = check_owners(&policy, &[marathon("main")]).unwrap_err().to_string();
        assert!(error.contains("no Marathon has the name \"man\"") && error.ends_with("main"));
        check_owners(&policy, &[marathon("main"), marathon("man")]).unwrap();
    }

    #[test]
    fn a_reload_that_refuses_most_vips_is_refused() {
        let vip = |at: &str, name: Option<&str>, app: &str, source: Option<&str>| {
            let task = json!({
                "app": app, "source": source, "state": "serving", "server": "10.0.0.1:1",
            });
            let mut vip = json!({
                "vip": at, "protocol": "tcp", "name": name, "apps": [app], "backend": [task],
                "left_out": [], "problems": [], "state": "serving",
            });
            if app.is_empty() {
                vip["apps"] = json!([]);
            }
            serde_json::from_value::<VipReport>(vip).unwrap()
        };
        let vips = [
            vip("3.3.0.6:80", None, "/shop/web", None),
            vip("[fd03::6]:80", None, "/shop/six", None),
            vip("11.0.0.1:80", Some("db.marathon"), "/db", Some("other")),
            vip("9.9.9.9:80", None, "", None),
        ];
        let check = |policy: &Policy, vips: &[VipReport]| {
            check_policy(policy, Some(&"main".into()), vips).map_err(|error| error.to_string())
        };
        let allow = |prefixes: &[&str]| Policy {
            allow: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            ..Policy::default()
        };
        let whole = allow(&["3.0.0.0/8", "fd03::/16"]);
        assert_eq!(check(&whole, &vips), Ok(()));
        // A name needs no prefix.
        assert_eq!(check(&allow(&["3.0.0.0/8"]), &vips), Ok(()), "one of three");
        let error = check(&allow(&["30.0.0.0/8"]), &vips).unwrap_err();
        assert!(error.starts_with("2 of 3 VIPs"), "{error}");
        assert!(error.contains("3.3.0.6:80 of /shop/web because") && error.contains("restart"));
        assert!(check(&allow(&["30.0.0.0/8"]), &vips[2..]).is_ok());
        assert!(check(&allow(&["30.0.0.0/8"]), &[]).is_ok());

        let cluster = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let of_cluster = Policy { cluster, ..Policy::default() };
        assert!(check(&of_cluster, &vips).unwrap_err().starts_with("3 of 3"));
        let owned = |source: &str| {
            let path = SourcePath { source: source.into(), path: "/".into() };
            let owner = ["3.0.0.0/8", "fd03::/16"]
                .map(|reserved| (reserved.parse().unwrap(), Reservation::OneSource(path.clone())));
            Policy { owner: owner.into(), ..Policy::default() }
        };
        assert_eq!(check(&owned("main"), &vips), Ok(()));
        assert!(check(&owned("other"), &vips).unwrap_err().contains("vip.owner reserves"));
        check_policy(&owned("other"), None, &vips).unwrap();
        assert_eq!(only_source(["a"].into_iter()), Some("a".into()));
        assert_eq!(only_source(["a", "b"].into_iter()), None);
    }

    #[test]
    fn nobody_takes_over_who_could_not_listen_or_would_not_find_the_hold() {
        let folder = tempfile::tempdir().unwrap();
        let now = AgentSettings {
            socket: folder.path().join("agent.sock"),
            ..AgentSection::default().resolve().unwrap()
        };
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap();
        let error = check_successor(&now, &AgentSettings { listen, ..now.clone() }).unwrap_err();
        assert!(error.to_string().starts_with("[agent] listen: cannot listen on 127"), "{error}");

        // From the loopback interface to all, at the port that it has itself.
        let everywhere =
            AgentSettings { listen: ([0, 0, 0, 0], listen.port()).into(), ..now.clone() };
        check_successor(&AgentSettings { listen, ..now.clone() }, &everywhere).unwrap();
        assert!(check_successor(&now, &everywhere).is_err());

        let socket = folder.path().join("elsewhere/agent.sock");
        let elsewhere = AgentSettings { socket, ..now.clone() };
        check_successor(&now, &elsewhere).unwrap();
        let hold = r#"{"reason":"why","since":"when"}"#;
        std::fs::write(folder.path().join("hold"), hold).unwrap();
        let error = check_successor(&now, &elsewhere).unwrap_err().to_string();
        assert!(error.contains("`vipd release` first"), "{error}");
        check_successor(&now, &now).unwrap();
    }
}
