//! Fixed work whose instructions are counted.

use nl_ipvs::wire::IpvsMessage;
use nl_ipvs::{Command, Destination, DestinationSettings, Family, Payload, ServiceKey};
use std::hint::black_box;
use vip::Observed;

use crate::cluster::Cluster;
use crate::react::World;
use crate::wanted;

/// Does the named work this many times.
pub(crate) fn run_work(work: &str, rounds: usize) -> anyhow::Result<()> {
    let cluster = Cluster::new(200, 10);
    match work {
        "plan" => {
            let desired =
                wanted::desired_of(&wanted::parse_snapshot(&cluster), &Observed::default());
            let bound = wanted::with_addresses_bound(&desired);
            let held = wanted::plan_for(&bound, &desired).applied_to(&bound);
            for _ in 0..rounds {
                // A plan for an empty table, and one with nothing to do.
                black_box(wanted::plan_for(&bound, &desired));
                black_box(wanted::plan_for(&held, &desired));
            }
        }
        "decide" => {
            let snapshot = wanted::parse_snapshot(&cluster);
            for _ in 0..rounds {
                black_box(wanted::desired_of(&snapshot, &Observed::default()));
            }
        }
        "encode" => {
            let commands = add_commands(&cluster);
            for _ in 0..rounds {
                commands.iter().for_each(|command| drop(black_box(encode_command(command))));
            }
        }
        "decode" => {
            let entries: Vec<_> = all_destinations(&cluster).iter().map(encode_entry).collect();
            for _ in 0..rounds {
                for entry in &entries {
                    black_box(Destination::from_entry(entry, Family::Inet).unwrap());
                }
            }
        }
        "parse" => {
            for _ in 0..rounds {
                black_box(wanted::parse_snapshot(&cluster));
            }
        }
        "event" | "event-large" => {
            let apps = if work == "event" { 20 } else { 2_000 };
            let mut world = World::settled(Cluster::new(apps, 10));
            for round in 0..rounds * 8 {
                // Never the same task twice: an event that is no news changes nothing.
                let (app, task) = (round % 20, (round + round / 20) % 10);
                world.hear_bytes(Cluster::health_event(app, task, false, round).as_bytes());
            }
        }
        other => anyhow::bail!("unknown work {other}"),
    }
    Ok(())
}

fn add_commands(cluster: &Cluster) -> Vec<Command> {
    let servers = (0..cluster.app_count()).flat_map(|app| {
        let at = (Cluster::vip_address(app), 80).into();
        (0..cluster.task_count(app)).map(move |task| Command::AddDestination {
            service: ServiceKey::tcp(at),
            address: cluster.task_socket(app, task),
            settings: DestinationSettings::masquerade(1),
        })
    });
    servers.collect()
}

fn all_destinations(cluster: &Cluster) -> Vec<Destination> {
    let places = (0..cluster.app_count()).flat_map(|app| {
        (0..cluster.task_count(app)).map(move |task| cluster.task_socket(app, task))
    });
    let destination = |address| Destination::new(address, DestinationSettings::masquerade(1));
    places.map(destination).collect()
}

/// Encodes a command as it is sent, without its netlink header.
fn encode_command(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.write_payload(&mut Payload::new(&mut bytes));
    bytes
}

/// Encodes an entry of a dump, without its netlink header.
fn encode_entry(destination: &Destination) -> Vec<u8> {
    IpvsMessage::from(destination).to_bytes()
}
