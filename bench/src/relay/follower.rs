//! Measures an agent behind a relay beside one that reads Marathon itself.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::agents::{settled_bytes, start_agent, until_served};
use super::{CLUSTER, Relay};
use crate::cluster::Cluster;
use crate::figure::print_figure;
use crate::server::Server;

/// Measures memory and processor time from the start until the table is filled, and a while later.
pub(crate) fn measure_followers(vipd: &Path, rounds: usize) {
    let (apps, tasks) = CLUSTER;
    let (_server, url) = Server::start(Cluster::new(apps, tasks));
    let relay = Relay::start(vipd, &url, false);
    sleep(Duration::from_secs(3));
    let relays = [format!("http://{}", relay.address)];
    for _ in 0..rounds {
        for (name, relays) in [("direct", &relays[..0]), ("behind", &relays[..])] {
            let mut agent = start_agent(&url, apps * tasks, "node1", relays);
            until_served(&mut agent);
            let held = settled_bytes(&mut agent);
            let figure = |what: &str, value, unit| {
                print_figure(&format!("relay/agent/{name}/{what}"), value, unit);
            };
            figure("cpu", agent.cpu_seconds() * 1e3, "ms");
            figure("held", held / f64::from(1 << 20), "MiB");
            figure("memory", agent.mebibytes("VmRSS"), "MiB");
            figure("peak", agent.mebibytes("VmHWM"), "MiB");
        }
    }
}
