//! Sends clients to a standby while the primary doesn't accept connections. Needs root.
//!
//! `fail-over 10.96.0.1:80/tcp 10.0.0.1:8080 10.0.0.2:8080`
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use nl_ipvs::{DestinationSettings, Ipvs, ServiceKey, ServiceSettings};

const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(500);

/// The weights of the primary and of the standby. Weight 0 gets no new connections and keeps those
/// it has.
fn weights(primary_is_up: bool) -> [u32; 2] {
    if primary_is_up { [1, 0] } else { [0, 1] }
}

/// Adds the service and both real servers, or corrects those that are there. The one that is used comes
/// first, so that at no moment the service has none.
fn publish(
    ipvs: &mut Ipvs,
    key: ServiceKey,
    servers: [SocketAddr; 2],
    weights: [u32; 2],
) -> Result<(), nl_ipvs::Error> {
    let settings = ServiceSettings::new("wlc".parse().expect("a name"));
    match ipvs.service(&key)? {
        None => ipvs.add_service(key, settings)?,
        Some(service) if service.settings != settings => ipvs.set_service(key, settings)?,
        Some(_) => {}
    }
    let mut wanted: Vec<_> = servers.into_iter().zip(weights).collect();
    wanted.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    for (server, weight) in wanted {
        let settings = DestinationSettings::masquerade(weight);
        match ipvs.set_destination(key, server, settings) {
            Err(error) if error.is_not_found() => ipvs.add_destination(key, server, settings)?,
            outcome => outcome?,
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: fail-over SERVICE PRIMARY STANDBY";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [service, primary, standby] = arguments.as_slice() else { return Err(usage.into()) };
    let (key, servers) = (service.parse()?, [primary.parse()?, standby.parse()?]);
    let mut ipvs = Ipvs::open()?;
    let mut published = None;
    loop {
        let primary_is_up = TcpStream::connect_timeout(&servers[0], PATIENCE).is_ok();
        if published != Some(primary_is_up) {
            publish(&mut ipvs, key, servers, weights(primary_is_up))?;
            println!("{key} goes to {}", servers[usize::from(!primary_is_up)]);
            published = Some(primary_is_up);
        }
        sleep(PAUSE);
    }
}

// The fake kernel is a feature of the crate.
#[cfg(all(test, feature = "fake"))]
mod tests {
    use nl_ipvs::fake::FakeKernel;

    use super::*;

    #[test]
    fn a_standby_takes_over_and_gives_back() {
        let kernel = FakeKernel::new();
        let mut ipvs = kernel.client();
        let key = "10.96.0.1:80/tcp".parse().unwrap();
        let servers = ["10.0.0.1:8080", "10.0.0.2:8080"].map(|server| server.parse().unwrap());
        for up in [true, false, false, true] {
            publish(&mut ipvs, key, servers, weights(up)).unwrap();
            let held = ipvs.destinations(&key).unwrap().unwrap().complete().unwrap();
            let used = held.iter().find(|server| server.settings.weight > 0).unwrap();
            assert_eq!(used.address, servers[usize::from(!up)]);
            assert_eq!(held.len(), 2);
        }
    }
}
