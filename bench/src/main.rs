//! What vipd's speed is measured with; `cargo xtask bench` runs it and makes the table.

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
mod memory;
mod parse;
mod react;
mod server;
mod wanted;

use anyhow::{Result, bail};

use figure::RUNS;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["react"] => react::weights(&[20, 2_000], RUNS * 200),
        ["reread"] => react::rereads(&[10, 2_000], 9),
        ["agent"] => agent::in_memory(&[20, 2_000], RUNS * 100),
        ["agent-kernel"] => agent::on_kernel(&[20, 2_000], RUNS * 100),
        ["steady", vipd, vips, servers] => {
            agent::steady(vipd.as_ref(), vips.parse()?, servers.parse()?);
        }
        ["instructions", work, rounds] => instructions::run(work, rounds.parse()?)?,
        ["held"] => react::held(2_000, 10),
        ["parse"] => parse::measure(1_000, 20, 7),
        ["machine", floor, vips, servers, times, of_peer] => {
            machine::measure(
                floor.as_ref(),
                vips.parse()?,
                servers.parse()?,
                times.parse()?,
                of_peer.parse()?,
            );
        }
        ["unbind", floor, vips] => machine::unbind(floor.as_ref(), vips.parse()?),
        _ => bail!("what to measure? `cargo xtask bench` knows"),
    }
    Ok(())
}
