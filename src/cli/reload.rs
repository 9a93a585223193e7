//! What a configuration must meet to take the place of the one in force, beside valid keys.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use marathon::client::{Client, ClientConfig, plain_client};
use socket2::{Domain, Socket, Type};
use vip::naming::VipName;
use vip::{AddressRefusal, ClusterFacts, NodeFacts, Past, Policy, Reservation, SourcePath};

use crate::admin::HoldFiles;
use crate::admin::client::AgentClient;
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

/// Checks that an agent with the configuration `next` can listen when it takes over from this one.
pub(super) fn check_listen(now: &AgentSettings, next: &AgentSettings) -> Result<()> {
    if next.listen == now.listen {
        return Ok(());
    }
    // This agent itself may have the port, on another address.
    let is_ours = |error: &io::Error| {
        error.kind() == ErrorKind::AddrInUse && next.listen.port() == now.listen.port()
    };
    try_listen(next.listen, is_ours)
}

/// Checks that an agent that starts could listen, where no agent is known to run. One may, with another
/// socket. A file for another node may name an address that this machine lacks.
pub(super) fn check_listen_anew(next: &AgentSettings, may_be_for_another: bool) -> Result<()> {
    let is_expected = |error: &io::Error| match error.kind() {
        ErrorKind::AddrInUse => {
            AgentClient::connect_tcp(next.listen).is_ok_and(|agent| agent.fetch_status().is_ok())
        }
        ErrorKind::AddrNotAvailable => may_be_for_another,
        _ => false,
    };
    try_listen(next.listen, is_expected)
}

/// Tries to listen at an address, unless the error is `expected`.
fn try_listen(at: SocketAddr, is_expected: impl Fn(&io::Error) -> bool) -> Result<()> {
    let refused =
        || KeyError::new("agent", "listen", format!("[agent] listen: cannot listen on {at}"));
    match bind(at) {
        Err(error) if !is_expected(&error) => Err(error).with_context(refused),
        _ => Ok(()),
    }
}

/// Binds an address, without listening: two checks at once, and a start meanwhile, don't meet.
fn bind(at: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())
}

/// Checks that an agent with the configuration `next` finds the hold of this one, if it is held.
pub(super) fn check_hold(now: &AgentSettings, next: &AgentSettings) -> Result<()> {
    if next.socket.parent() != now.socket.parent() && HoldFiles::new(now).read()?.is_some() {
        let (from, to) = (now.socket.display(), next.socket.display());
        let why = format!(
            "[agent] socket can't change from {from} to {to} while the node is held, which a restart would \
             end: `vipd release` first"
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
         change: if it is meant, restart the agent, then run `vipd accept`",
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
    use std::net::TcpListener;

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
        let other = AgentSettings { listen, ..now.clone() };
        for error in
            [check_listen(&now, &other).unwrap_err(), check_listen_anew(&other, false).unwrap_err()]
        {
            assert!(
                error.to_string().starts_with("[agent] listen: cannot listen on 127"),
                "{error}"
            );
        }

        // From the loopback interface to all, at the port that it has itself.
        let everywhere =
            AgentSettings { listen: ([0, 0, 0, 0], listen.port()).into(), ..now.clone() };
        check_listen(&other, &everywhere).unwrap();
        assert!(check_listen(&now, &everywhere).is_err());
        drop(taken);
        check_listen(&now, &other).unwrap();
        check_listen_anew(&other, false).unwrap();
        let elsewhere = AgentSettings { listen: "192.0.2.1:9".parse().unwrap(), ..now.clone() };
        assert!(check_listen_anew(&elsewhere, false).is_err(), "the node lacks it");
        check_listen_anew(&elsewhere, true).unwrap();

        let socket = folder.path().join("elsewhere/agent.sock");
        let elsewhere = AgentSettings { socket, ..now.clone() };
        check_hold(&now, &elsewhere).unwrap();
        let hold = r#"{"reason":"why","since":"when"}"#;
        std::fs::write(folder.path().join("hold"), hold).unwrap();
        let error = check_hold(&now, &elsewhere).unwrap_err().to_string();
        assert!(error.contains("`vipd release` first"), "{error}");
        check_hold(&now, &now).unwrap();
    }
}
