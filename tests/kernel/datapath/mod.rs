//! The data path: every client reaches every server, and nothing else answers. Tests send real
//! packets through three nodes with vipd and one without.

mod agent;
mod capture;
mod cells;
mod count;
mod docker;
mod drain;
mod firewall;
mod marathon;
mod matrix;
mod modes;
mod port;
mod promise;
mod refuse;
mod reset;
mod restart;
mod seat;
mod serve;
mod short;
mod topology;
mod udp;
mod upgrade;
mod world;

use std::io::{Write, stderr};

/// Prints even if the test passes; libtest captures `eprintln!`.
fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}
