//! What a configuration must meet to take the place of the one in force, beside valid keys.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use marathon::client::{Client, ClientConfig, plain_client};

use crate::admin::HoldFiles;
use crate::config::{AgentSettings, Config, KeyError, Marathon, Relays};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AgentSection;

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
