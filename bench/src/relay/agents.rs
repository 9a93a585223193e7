//! Agents in processes of their own, which follow relays or read Marathon.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use marathon::client::{Client, ClientConfig, Url, plain_client};
use vipd::sources::{RelayClient, SourceClient};

use crate::process::{Running, child_command};

/// Runs an agent, of this Marathon and perhaps its relays, until it is killed.
pub(crate) fn run_agent(marathon: &str, servers: usize, node: &str, relays: &[&str]) {
    crate::agent::follow(client_of(marathon, node, relays), servers);
}

/// Returns the client of an agent that reads this Marathon, or follows these relays of it.
pub(super) fn client_of(marathon: &str, node: &str, relays: &[&str]) -> SourceClient {
    let url = |text: &str| Url::parse(text).unwrap();
    let direct = Arc::new(Client::new(&ClientConfig::new(vec![url(marathon)])).unwrap());
    if relays.is_empty() {
        return SourceClient::Marathon(direct);
    }
    let urls: Vec<_> = relays.iter().map(|relay| url(relay)).collect();
    SourceClient::Relay(Arc::new(RelayClient {
        http: plain_client(&ClientConfig::new(urls.clone())).unwrap(),
        urls,
        token: None,
        wants_all: false,
        node: node.to_owned(),
        agents: None,
        direct,
    }))
}

/// Starts an agent, which has this name.
pub(super) fn start_agent(
    marathon: &str,
    servers: usize,
    node: &str,
    relays: &[String],
) -> Running {
    let mut command = child_command(std::env::current_exe().unwrap());
    command.args(["follow", marathon, &servers.to_string(), node]).args(relays);
    // As in the systemd unit and the image.
    command.envs([("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072")]);
    Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
}

/// Waits until an agent has all in its kernel.
pub(super) fn until_served(agent: &mut Running) {
    assert_eq!(read_line(agent), "served");
}

/// Waits until an agent that serves has settled, and returns the bytes that it has allocated.
pub(super) fn settled_bytes(agent: &mut Running) -> f64 {
    read_line(agent).parse().unwrap()
}

fn read_line(agent: &mut Running) -> String {
    let mut line = String::new();
    BufReader::new(agent.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
