//! Adds a TCP service with real servers, in one send. Needs root.
//!
//! `add 10.96.0.1:80 10.0.0.1:8080 10.0.0.2:8080`
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::net::SocketAddr;

use nl_ipvs::{Command, DestinationSettings, Ipvs, Scheduler, ServiceKey, ServiceSettings};

fn main() -> Result<(), Box<dyn Error>> {
    let mut addresses = std::env::args().skip(1).map(|arg| arg.parse::<SocketAddr>());
    let key = ServiceKey::tcp(addresses.next().ok_or("usage: add VIP:PORT SERVER:PORT...")??);
    let settings = ServiceSettings::new(key.family(), Scheduler::new("wlc")?);
    let mut commands = vec![Command::AddService { key, settings }];
    for address in addresses {
        commands.push(Command::AddDestination {
            service: key,
            address: address?,
            settings: DestinationSettings::masquerade(1),
        });
    }
    let outcomes = Ipvs::open()?.batch(&commands)?;
    for (command, outcome) in commands.iter().zip(outcomes) {
        match outcome {
            Ok(()) => println!("done: {command:?}"),
            Err(refusal) => {
                println!("{refusal}: {command:?} {}", command.hint(&refusal).unwrap_or_default());
            }
        }
    }
    Ok(())
}
