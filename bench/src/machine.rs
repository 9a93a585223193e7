//! What is measured on a kernel with IPVS, in a network namespace of its own: vipd's own code beside
//! a C program that sends and reads the same messages and does nothing else, and beside `ipvsadm`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use node::{Kernel, LinuxKernel, Settings};
use testkit::netns::{self, run_tool, run_tool_with_input};
use vip::controller::{Change, Config, Effect, Input};
use vip::{Controller, Link, Observed, Op, Plan, TableSettings};

use crate::cluster::Cluster;
use crate::figure::{faults, tell, tell_time, timed};
use crate::wanted;

const LINK: &str = "vipd0";

/// This node, and the C program.
struct Node<'a> {
    floor: &'a Path,
    vips: usize,
    servers: usize,
}

/// Measures at one size of the table, so many times; `ipvsadm`, which takes long, not as often.
///
/// Each measure has a network namespace of its own: for two minutes the kernel remembers the real
/// servers that were deleted, and looks through all of them for each new one; and addresses are bound
/// faster where as many were bound before. What goes with a node is freed in the background.
pub(crate) fn measure(floor: &Path, vips: usize, servers: usize, times: usize, of_peer: usize) {
    let node = Node { floor, vips, servers };
    let cluster = Cluster::new(vips, servers);
    let snapshot = wanted::snapshot(&cluster);
    let desired = wanted::desired(&snapshot, &Observed::default());
    // What the kernel has as modules it loads now.
    alone(|kernel| wanted::apply(&wanted::snapshot(&Cluster::new(1, 1)), kernel));
    for time in 0..times {
        let by_c = alone(|_| node.fill_by_c());
        let by_vipd = alone(|kernel| node.fill(kernel, &desired));
        assert!(by_c == by_vipd, "the C program fills another table");
        if time < of_peer {
            alone(|_| node.fill_by_ipvsadm());
        }
        for (name, source) in [("addresses", None), ("routes", Some(wanted::NODE))] {
            alone(|kernel| node.addresses_by_c(kernel, name, source));
            alone(|kernel| node.addresses(kernel, &desired, name, source));
        }
        alone(|kernel| {
            let before = faults();
            let (time, applied) = timed(|| wanted::apply(&snapshot, kernel));
            node.tell_faults("apply/faults", before);
            let ops = applied.outcome.results().len();
            assert!(ops > vips * servers, "{ops} operations");
            node.tell("apply/vipd", time);
            applied
                .parts
                .iter()
                .for_each(|(part, time)| node.tell(&format!("apply/{part}"), *time));
            drop(applied);
            node.compare(kernel, &cluster);
            node.cleanup(kernel);
        });
    }
}

/// How long the kernel has for what is left of one node before the next one is measured: on QEMU it is
/// at 20,000 real servers for more than a second.
const REST: Duration = Duration::from_secs(3);

/// Does it on a node of its own.
fn alone<T: Send>(work: impl FnOnce(&mut LinuxKernel) -> T + Send) -> T {
    thread::scope(|scope| {
        let on_a_node = || {
            netns::enter_netns();
            for args in [
                "link add eth9 type dummy",
                "addr add 10.9.0.1/24 dev eth9",
                "link set eth9 up",
                "route add default via 10.9.0.254",
            ] {
                run_tool("ip", args);
            }
            let done = work(&mut open());
            clear();
            done
        };
        let done = scope.spawn(on_a_node).join().expect("it was measured");
        thread::sleep(REST);
        done
    })
}

fn open() -> LinuxKernel {
    LinuxKernel::open(Settings { interface: LINK.to_owned(), ..Settings::default() }).unwrap()
}

/// An empty table, and the interface with nothing on it.
fn clear() {
    run_tool("ipvsadm", "-C");
    let _ = Command::new("ip").args(["link", "del", LINK]).stderr(Stdio::null()).status();
}

fn new_link(kernel: &mut LinuxKernel) {
    clear();
    assert!(kernel.perform(&[&Op::CreateLink]).iter().all(Result::is_ok));
}

fn apply(kernel: &mut LinuxKernel, plan: Plan) -> Duration {
    let before = faults();
    let (time, outcome) = timed(|| kernel.apply_plan(plan));
    tell("faults/apply", faults() - before, "");
    assert!(outcome.is_success(), "{:?}", outcome.failures().next());
    time
}

/// The kernel's table in ipvsadm's words, sorted: the kernel lists the newest first.
fn table() -> BTreeSet<String> {
    run_tool("ipvsadm", "-Sn").lines().map(str::to_owned).collect()
}

impl Node<'_> {
    fn tell(&self, name: &str, time: Duration) {
        tell_time(&format!("{name}/{}", self.vips), time);
    }

    fn tell_faults(&self, name: &str, before: f64) {
        tell(&format!("{name}/{}", self.vips), faults() - before, "");
    }

    /// Runs the C program; what it took by its own clock.
    fn floor(&self, args: &[&str]) -> Duration {
        let output = Command::new(self.floor).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Duration::from_nanos(text.trim().parse().unwrap())
    }

    fn fill_by_c(&self) -> BTreeSet<String> {
        let (vips, servers) = (self.vips.to_string(), self.servers.to_string());
        self.tell("fill/floor", self.floor(&["fill", &vips, &servers]));
        table()
    }

    fn fill(&self, kernel: &mut LinuxKernel, desired: &vip::Desired) -> BTreeSet<String> {
        let plan = wanted::plan(&wanted::bound(desired), desired);
        assert_eq!(plan.ops.len(), self.vips * (1 + self.servers));
        self.tell("fill/vipd", apply(kernel, plan));
        table()
    }

    fn fill_by_ipvsadm(&self) {
        let rules = self.rules();
        let (time, _) = timed(|| run_tool_with_input("ipvsadm", "-R", &rules));
        self.tell("fill/ipvsadm", time);
    }

    fn rules(&self) -> String {
        let cluster = Cluster::new(self.vips, self.servers);
        let mut rules = String::new();
        for app in 0..self.vips {
            let vip = Cluster::vip(app);
            let _ = writeln!(rules, "-A -t {vip}:80 -s wlc");
            for task in 0..self.servers {
                let _ = writeln!(rules, "-a -t {vip}:80 -r {} -m -w 1", cluster.place(app, task));
            }
        }
        rules
    }

    fn addresses_by_c(&self, kernel: &mut LinuxKernel, name: &str, source: Option<&str>) {
        let vips = self.vips.to_string();
        let mut args = vec!["addresses", LINK, &vips];
        args.extend(source);
        new_link(kernel);
        self.tell(&format!("{name}/floor"), self.floor(&args));
    }

    /// Binding the addresses; with a source, with the local route of each, as where there is no
    /// nftables NAT.
    fn addresses(
        &self,
        kernel: &mut LinuxKernel,
        desired: &vip::Desired,
        name: &str,
        source: Option<&str>,
    ) {
        new_link(kernel);
        let address = |address| Op::Bind { address, source: source.map(|s| s.parse().unwrap()) };
        let ops = desired.services.keys().map(|vip| address(vip.address)).collect();
        let plan = Plan { ops, ..Plan::default() };
        self.tell(&format!("{name}/vipd"), apply(kernel, plan));
    }

    /// A full comparison with nothing to do, by the controller that the agent runs.
    fn compare(&self, kernel: &mut LinuxKernel, cluster: &Cluster) {
        self.tell("compare/floor", self.floor(&["dumps", &self.vips.to_string()]));
        let sources = ["m".into()].into();
        let source = Some(wanted::NODE.parse().unwrap());
        let table = TableSettings { source, ..TableSettings::default() };
        let config = Config { node: "node1".into(), table, sources, ..Config::default() };
        let mut controller = Controller::new(config);
        let mut now = Duration::from_secs(1);
        controller.on(Input::Tick, now);
        let claims = wanted::claims(&wanted::snapshot(cluster));
        let only = claims.keys().cloned().collect();
        for change in [Change::Apps(claims), Change::Only(only)] {
            controller.on(Input::Claims { source: "m".into(), change }, now);
        }
        // Once there is a model of the kernel it is compared with: by dumps, then by the kernel's text.
        for name in ["compare/first", "compare/vipd", "compare/text", "compare/text"] {
            let before = faults();
            let (time, effects) = timed(|| {
                let known = controller.observed().cloned().filter(|_| name == "compare/text");
                let observed = match &known {
                    Some(known) => kernel.observe_again(known),
                    None => kernel.observe(),
                };
                drop(known);
                let observed = observed.map_err(|error| error.to_string());
                controller.on(Input::Observed(observed), now)
            });
            let applies = effects.iter().find(|effect| matches!(effect, Effect::Apply(_)));
            assert_eq!(applies, None, "there is something to do");
            self.tell(name, time);
            self.tell_faults("compare/faults", before);
            now += Duration::from_secs(31);
            controller.on(Input::Tick, now);
        }
        let known = controller.observed().expect("it was read");
        let (time, _) = timed(|| kernel.observe_again(known).unwrap());
        self.tell("compare/observe", time);
    }

    fn cleanup(&self, kernel: &mut LinuxKernel) {
        let plan = Plan::cleanup(&kernel.observe().unwrap());
        self.tell("cleanup/vipd", apply(kernel, plan));
        let left = kernel.observe().unwrap();
        assert!(left.services.is_empty() && left.link == Link::Missing);
    }
}

/// IPv6 addresses deleted one by one, beside the interface that goes with all of them.
pub(crate) fn unbind(floor: &Path, vips: usize) {
    let mut kernel = open();
    let node = Node { floor, vips, servers: 0 };
    new_link(&mut kernel);
    node.tell("unbind6/floor", node.floor(&["unbind6", LINK, &vips.to_string()]));
    let address = |number: usize| {
        let (high, low) = (number / 256, number % 256);
        format!("fd03::{high:x}:{low:x}").parse().unwrap()
    };
    let ops = (0..vips).map(|number| Op::Bind { address: address(number), source: None }).collect();
    apply(&mut kernel, Plan { ops, ..Plan::default() });
    let plan = Plan::cleanup(&kernel.observe().unwrap());
    node.tell("unbind6/link", apply(&mut kernel, plan));
    tell("unbind6/addresses", vips as f64, "");
}
