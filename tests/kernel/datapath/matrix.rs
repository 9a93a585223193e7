//! Every client to every server.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::{Cell, Server};
use super::promise::{self, Mode};
use super::say;
use super::serve::ask;
use super::topology::Net;
use super::world::{apply, call_iptables, every_server, mode, network};

/// Connections or datagrams from the client of a cell to one server.
const ASKED: usize = 3;

#[test]
fn every_client_reaches_every_server_that_is_promised() {
    let net = network();
    apply(&net, &every_server());
    let mode = mode(&net);
    let mut counts = VipCounts::default();
    let mut call = None;
    for (number, cell) in Cell::all().into_iter().enumerate() {
        if number % 60 == 0 {
            // Show progress: in QEMU this takes minutes.
            say(&format!("matrix: {number} of {} cells", Cell::all().len()));
        }
        if call != Some(cell.call_iptables) {
            call = Some(cell.call_iptables);
            call_iptables(&net, cell.call_iptables);
        }
        counts.take(&net, &cell, mode);
    }
    counts.tell(mode);
    assert!(counts.failed.is_empty(), "{:#?}", counts.failed);
}

#[derive(Default)]
struct VipCounts {
    passed: usize,
    failed: Vec<String>,
    /// By reason.
    impossible: BTreeMap<&'static str, Cells>,
    not_promised: BTreeMap<&'static str, Cells>,
}

#[derive(Default)]
struct Cells {
    count: usize,
    kinds: BTreeSet<String>,
}

impl Cells {
    fn add(&mut self, kind: String) {
        self.count += 1;
        self.kinds.insert(kind);
    }
}

impl VipCounts {
    fn take(&mut self, net: &Net, cell: &Cell, mode: Mode) {
        let servers = match cell.servers() {
            Ok(servers) => servers,
            Err(why) => return self.impossible.entry(why).or_default().add(cell.kind()),
        };
        let mut result = Ok(0);
        for server in servers {
            match promise::sources(cell, server, mode) {
                Ok(sources) => {
                    let sources: BTreeSet<_> = sources.iter().map(ToString::to_string).collect();
                    result = result
                        .and_then(|asked| try_one(net, cell, server, &sources).map(|()| asked + 1));
                }
                Err(why) => {
                    let kind = format!("{} on {}", cell.kind(), server.node());
                    self.not_promised.entry(why).or_default().add(kind);
                }
            }
        }
        match result {
            Ok(0) => {}
            Ok(_) => self.passed += 1,
            Err(why) => {
                // Print at once, since the whole test takes minutes.
                say(&format!("FAILED {cell}: {why}"));
                self.failed.push(format!("{cell}: {why}"));
            }
        }
    }

    /// Prints which cells were tried, and every kind of cell that was not.
    fn tell(&self, mode: Mode) {
        let failed = self.failed.len();
        say(&format!("matrix in {mode:?} mode: {} cells passed, {failed} failed", self.passed));
        for (why, cells) in &self.impossible {
            say(&format!("  {} cells cannot exist: {why}", cells.count));
            cells.kinds.iter().for_each(|kind| say(&format!("    {kind}")));
        }
        for (why, cells) in &self.not_promised {
            say(&format!("not on this kernel: {} cells of the matrix: {why}", cells.count));
            cells.kinds.iter().for_each(|kind| say(&format!("    {kind}")));
        }
    }
}

fn try_one(
    net: &Net,
    cell: &Cell,
    server: Server,
    sources: &BTreeSet<String>,
) -> Result<(), String> {
    let vip = server.vip(cell.family);
    let (at, protocol) = (vip.parse().unwrap(), cell.protocol);
    let answers = net.seat(cell.client.place()).run(move || {
        let mut answers = Vec::new();
        for _ in 0..ASKED {
            answers.push(ask(at, protocol));
            if answers.last().is_some_and(Result::is_err) {
                break;
            }
        }
        answers
    });
    for answer in answers {
        let answer = answer.map_err(|error| format!("{vip} gives no answer: {error}"))?;
        if answer.who != server.name() {
            return Err(format!("{vip} was answered by {}, not {}", answer.who, server.name()));
        }
        if !sources.contains(&answer.source.to_string()) {
            return Err(format!("{} saw {}, not one of {sources:?}", answer.who, answer.source));
        }
    }
    Ok(())
}
