//! Fuzz targets. Each feeds bytes to a parser of what others write, and panics where the parser
//! breaks a promise: it never panics itself, and its result doesn't depend on what doesn't matter.
//!
//! `fuzz/` runs them under cargo-fuzz; the program of this crate and its test `minute` run them in a
//! plain loop.

mod kernel;
mod marathon_api;
mod mutate;
mod names;
mod node_files;
mod plain_loop;
mod relay_stream;
mod sse;

pub use plain_loop::run_for;

/// A fuzz target, with the directory of its corpus under `fuzz/corpus/`.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name, in `fuzz/` too.
    pub name: &'static str,
    /// Feeds an input to the parser.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 13] = [
    Target { name: "sse", run: sse::decode_stream },
    Target { name: "document", run: marathon_api::read_document },
    Target { name: "label", run: marathon_api::read_labels },
    Target { name: "id", run: marathon_api::read_ids },
    Target { name: "ipvs", run: kernel::read_ipvs_message },
    Target { name: "proc_net_ip_vs", run: kernel::read_proc_net_ip_vs },
    Target { name: "nft", run: kernel::read_nft_dump },
    Target { name: "lost_syns", run: kernel::read_lost_syns },
    Target { name: "state_file", run: node_files::read_state_file },
    Target { name: "config", run: node_files::read_config },
    Target { name: "dns_message", run: names::answer_message },
    Target { name: "zone_file", run: names::read_zone_file },
    Target { name: "relay_stream", run: relay_stream::follow_stream },
];

/// Runs the target of this name.
///
/// # Panics
/// When there is none, and when the input breaks the parser.
pub fn run_target(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target is called {name}")).run)(input);
}
