//! Measures how long agents have no stream when their relay is killed, or hangs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Relay;
use super::agents::{start_agent, until_served};
use crate::cluster::Cluster;
use crate::figure::print_time;
use crate::process::Running;
use crate::server::Server;

/// The longest wait for all agents.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures the time from the end of one of two relays until all agents follow the other one.
pub(crate) fn measure_loss(vipd: &Path, agents: usize) {
    for (name, signal) in [("killed", "KILL"), ("hangs", "STOP")] {
        let (_server, url) = Server::start(Cluster::new(100, 10));
        let relays = [Relay::start(vipd, &url, false), Relay::start(vipd, &url, false)];
        let urls = relays.each_ref().map(|relay| format!("http://{}", relay.address));
        let start = |number| start_agent(&url, 1_000, &format!("node{number}"), &urls);
        let mut running: Vec<Running> = (0..agents).map(start).collect();
        running.iter_mut().for_each(until_served);
        let [lost, left] = relays.each_ref().map(|relay| count_streams(relay.address));
        assert!(lost > 0 && lost + left == agents as u64, "{lost} and {left}");
        let pid = relays[0].process.0.id().to_string();
        let start = Instant::now();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        while count_streams(relays[1].address) < agents as u64 {
            assert!(start.elapsed() < PATIENCE, "{}", count_streams(relays[1].address));
            sleep(Duration::from_millis(20));
        }
        print_time(&format!("relay/loss/{name}"), start.elapsed());
        crate::figure::print_figure(&format!("relay/loss/{name}/agents"), lost as f64, "agents");
    }
}

/// Returns the number of streams of a relay.
fn count_streams(address: SocketAddr) -> u64 {
    let mut socket = TcpStream::connect(address).unwrap();
    let request = "GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let status: serde_json::Value = serde_json::from_str(body).unwrap();
    status["clients"].as_u64().unwrap()
}
