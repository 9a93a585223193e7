//! Measures vipd's speed; `cargo xtask bench` runs it and makes the table.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails is no measurement"
)]

mod agent;
mod cluster;
mod figure;
mod instructions;
mod machine;
mod marathon_lb;
mod memory;
mod names;
mod parse;
mod path;
mod probe;
mod process;
mod rack;
mod react;
mod relay;
mod server;
mod uplink;
mod wanted;

use anyhow::{Result, bail};

use figure::RUNS;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["react"] => react::measure_weights(&[20, 2_000], RUNS * 200),
        ["reread"] => react::measure_rereads(&[10, 2_000], 9),
        ["agent"] => agent::measure_in_memory(&[20, 2_000], RUNS * 100),
        ["agent-kernel"] => agent::measure_on_kernel(&[20, 2_000], RUNS * 100),
        ["steady", vipd, vips, servers] => {
            agent::measure_steady_agent(vipd.as_ref(), vips.parse()?, servers.parse()?);
        }
        ["instructions", work, rounds] => instructions::run_work(work, rounds.parse()?)?,
        ["held"] => react::measure_held_memory(2_000, 10),
        ["names"] => names::measure_zone(10_000, 21),
        ["name-servers", vipd] => names::measure_servers(vipd.as_ref(), 1_000, RUNS),
        ["path", vipd, vips] => path::measure_paths(vipd.as_ref(), vips.parse()?),
        ["rack"] => rack::measure_rack(200, 9),
        ["relay", vipd, clients] => relay::measure_relay(vipd.as_ref(), clients.parse()?, RUNS),
        ["relay-delay", vipd] => relay::measure_delay(vipd.as_ref(), 2_000, 100, 3),
        ["relay-loss", vipd, agents] => relay::measure_loss(vipd.as_ref(), agents.parse()?),
        ["relay-agents", vipd] => relay::measure_followers(vipd.as_ref(), RUNS),
        ["follow", marathon, servers, node, relays @ ..] => {
            relay::run_agent(marathon, servers.parse()?, node, relays);
        }
        ["fan-out", clients] => relay::run_fan_out(clients.parse()?),
        ["probe"] => probe::measure_probes(200, 5),
        ["parse"] => parse::measure_parsing(1_000, 20, 7),
        ["machine", floor, vips, servers, times, of_peer] => {
            machine::measure_tables(
                floor.as_ref(),
                vips.parse()?,
                servers.parse()?,
                times.parse()?,
                of_peer.parse()?,
            );
        }
        ["marathon-lb", vipd, checkout] => {
            marathon_lb::measure_beside_marathon_lb(vipd.as_ref(), checkout.as_ref(), RUNS);
        }
        ["unbind", floor, vips] => machine::measure_unbinding(floor.as_ref(), vips.parse()?),
        _ => bail!("unknown measurement: run `cargo xtask bench`"),
    }
    Ok(())
}
