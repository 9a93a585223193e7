//! Prints the counters of the table in the text format of Prometheus, for the textfile collector of
//! its node exporter. Needs root.
//!
//! A redirection to the file that is collected would empty it before a failure, and a half-written file
//! would be read. So write another file and rename it after success:
//!
//! `cd /var/lib/node_exporter && exporter >ipvs.prom.new && mv ipvs.prom.new ipvs.prom`
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::fmt::Write as _;

use nl_ipvs::{Destination, Ipvs, Service, Stats};

type Counter = (&'static str, fn(&Stats) -> u64);
type Gauge = (&'static str, fn(&Destination) -> u32);

const COUNTERS: [Counter; 5] = [
    ("connections_total", |stats| stats.connections),
    ("incoming_packets_total", |stats| stats.in_packets),
    ("outgoing_packets_total", |stats| stats.out_packets),
    ("incoming_bytes_total", |stats| stats.in_bytes),
    ("outgoing_bytes_total", |stats| stats.out_bytes),
];

const GAUGES: [Gauge; 3] = [
    ("weight", |server| server.settings.weight),
    ("active_connections", |server| server.active_connections),
    ("inactive_connections", |server| server.inactive_connections),
];

/// The labels of a service: its address and protocol, or its mark.
fn labels(service: &Service) -> String {
    match (service.key.address(), service.key.protocol(), service.key.mark()) {
        (Some(address), Some(protocol), _) => {
            format!("address=\"{address}\",protocol=\"{protocol}\"")
        }
        (.., Some(mark)) => format!("mark=\"{mark}\",family=\"{}\"", service.key.family()),
        _ => String::new(),
    }
}

/// Reads the table. Fails rather than report a part of it: a counter that is missing for a while
/// looks like a service that has gone.
fn read_table(ipvs: &mut Ipvs) -> Result<Vec<(Service, Vec<Destination>)>, nl_ipvs::Error> {
    let mut table = Vec::new();
    for service in ipvs.services()?.complete()? {
        // A service that was deleted meanwhile has no real servers.
        let Some(servers) = ipvs.destinations(&service.key)? else { continue };
        table.push((service, servers.complete()?));
    }
    Ok(table)
}

fn metrics(table: &[(Service, Vec<Destination>)]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (name, value) in COUNTERS {
        writeln!(text, "# TYPE ipvs_{name} counter")?;
        for (service, _) in table {
            writeln!(text, "ipvs_{name}{{{}}} {}", labels(service), value(&service.stats))?;
        }
    }
    for (name, value) in GAUGES {
        writeln!(text, "# TYPE ipvs_server_{name} gauge")?;
        for (service, server) in table.iter().flat_map(|(s, all)| all.iter().map(move |d| (s, d))) {
            let labels = labels(service);
            let address = server.address;
            writeln!(
                text,
                "ipvs_server_{name}{{{labels},server=\"{address}\"}} {}",
                value(server)
            )?;
        }
    }
    Ok(text)
}

fn main() -> Result<(), Box<dyn Error>> {
    let table = read_table(&mut Ipvs::open()?)?;
    print!("{}", metrics(&table)?);
    Ok(())
}

// The fake kernel is a feature of the crate.
#[cfg(all(test, feature = "fake"))]
mod tests {
    use nl_ipvs::fake::FakeKernel;
    use nl_ipvs::{DestinationSettings, ServiceKey, ServiceSettings};

    use super::*;

    #[test]
    fn counters_and_connections_are_exported() {
        let kernel = FakeKernel::new();
        let mut ipvs = kernel.client();
        let (rr, server) = (ServiceSettings::new("rr".parse().unwrap()), "10.0.0.1:80");
        let keys: [ServiceKey; 2] =
            ["10.96.0.1:80/tcp", "fwmark 7"].map(|key| key.parse().unwrap());
        for key in keys {
            ipvs.add_service(key, rr.clone()).unwrap();
        }
        let server = server.parse().unwrap();
        ipvs.add_destination(keys[0], server, DestinationSettings::masquerade(3)).unwrap();
        kernel.update_service(&keys[0], |service| service.stats.connections = 7);
        let text = metrics(&read_table(&mut ipvs).unwrap()).unwrap();
        for line in [
            "ipvs_connections_total{address=\"10.96.0.1:80\",protocol=\"tcp\"} 7",
            "ipvs_connections_total{mark=\"7\",family=\"IPv4\"} 0",
            "ipvs_server_weight{address=\"10.96.0.1:80\",protocol=\"tcp\",server=\"10.0.0.1:80\"} 3",
        ] {
            assert!(text.lines().any(|got| got == line), "{line} in\n{text}");
        }
    }
}
