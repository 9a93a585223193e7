//! Measures on a kernel with IPVS, in new network namespaces: vipd's own code, compared with
//! `ipvsadm` and with a C program that only sends and reads the same messages.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use node::{Kernel, LinuxKernel, Settings};
use testkit::netns::{self, run_tool, run_tool_with_input};
use vip::controller::{Change, Config, Effect, Input, ReadFailure};
use vip::{Controller, Link, LocalRoute, Observed, Op, Plan, TableSettings};

use crate::cluster::Cluster;
use crate::figure::{measure_time, page_faults, print_figure, print_time};
use crate::uplink::make_uplink;
use crate::wanted;

const LINK: &str = "vipd0";

/// The C program and the size of the table.
struct Node<'a> {
    floor: &'a Path,
    vips: usize,
    servers: usize,
}

/// Measures at one table size, `times` times; the slow `ipvsadm` only `of_peer` times.
///
/// Each measurement has a network namespace of its own, for two reasons: for two minutes the kernel
/// remembers deleted real servers and searches all of them for each new one; and binding addresses
/// is faster where as many were bound before. The kernel frees a namespace in the background.
pub(crate) fn measure_tables(
    floor: &Path,
    vips: usize,
    servers: usize,
    times: usize,
    of_peer: usize,
) {
    let node = Node { floor, vips, servers };
    let cluster = Cluster::new(vips, servers);
    let snapshot = wanted::parse_snapshot(&cluster);
    let desired = wanted::desired_of(&snapshot, &Observed::default());
    // Have the kernel load its modules before anything is measured.
    on_fresh_node(|kernel| {
        wanted::apply_snapshot(&wanted::parse_snapshot(&Cluster::new(1, 1)), kernel)
    });
    for time in 0..times {
        let by_c = on_fresh_node(|_| node.fill_table_by_c());
        let by_vipd = on_fresh_node(|kernel| node.fill_table(kernel, &desired));
        assert!(by_c == by_vipd, "the C program fills another table");
        if time < of_peer {
            on_fresh_node(|_| node.fill_table_by_ipvsadm());
        }
        for (name, source) in [("addresses", None), ("routes", Some(wanted::NODE))] {
            on_fresh_node(|kernel| node.bind_addresses_by_c(kernel, name, source));
            on_fresh_node(|kernel| node.bind_addresses(kernel, &desired, name, source));
        }
        on_fresh_node(|kernel| {
            let before = page_faults();
            let (time, applied) = measure_time(|| wanted::apply_snapshot(&snapshot, kernel));
            node.print_faults("apply/faults", before);
            let ops = applied.outcome.results().len();
            assert!(ops > vips * servers, "{ops} operations");
            node.print_time("apply/vipd", time);
            applied
                .parts
                .iter()
                .for_each(|(part, time)| node.print_time(&format!("apply/{part}"), *time));
            drop(applied);
            node.compare_table(kernel, &cluster);
            node.clean_up(kernel);
        });
    }
}

/// Pause in which the kernel frees a namespace before the next measurement: on QEMU, 20,000 real
/// servers take it more than a second.
const REST: Duration = Duration::from_secs(3);

/// Runs `work` in a new network namespace with an address and a default route.
fn on_fresh_node<T: Send>(work: impl FnOnce(&mut LinuxKernel) -> T + Send) -> T {
    thread::scope(|scope| {
        let on_a_node = || {
            netns::enter_netns();
            make_uplink();
            let done = work(&mut open_kernel());
            clear_node();
            done
        };
        let done = scope.spawn(on_a_node).join().expect("it was measured");
        thread::sleep(REST);
        done
    })
}

fn open_kernel() -> LinuxKernel {
    LinuxKernel::open(Settings { interface: LINK.to_owned(), ..Settings::default() }).unwrap()
}

/// Clears the IPVS table and deletes the interface.
fn clear_node() {
    run_tool("ipvsadm", "-C");
    let _ = Command::new("ip").args(["link", "del", LINK]).stderr(Stdio::null()).status();
}

fn make_link(kernel: &mut LinuxKernel) {
    clear_node();
    assert!(kernel.perform(&[&Op::CreateLink]).iter().all(Result::is_ok));
}

fn apply_plan(kernel: &mut LinuxKernel, plan: Plan) -> Duration {
    let before = page_faults();
    let (time, outcome) = measure_time(|| kernel.apply_plan(plan));
    print_figure("faults/apply", page_faults() - before, "");
    assert!(outcome.is_success(), "{:?}", outcome.failures().next());
    time
}

/// Returns the lines of `ipvsadm -Sn`, sorted, since the kernel lists the newest first.
fn saved_table() -> BTreeSet<String> {
    run_tool("ipvsadm", "-Sn").lines().map(str::to_owned).collect()
}

impl Node<'_> {
    fn print_time(&self, name: &str, time: Duration) {
        print_time(&format!("{name}/{}", self.vips), time);
    }

    fn print_faults(&self, name: &str, before: f64) {
        print_figure(&format!("{name}/{}", self.vips), page_faults() - before, "");
    }

    /// Runs the C program and returns the duration that it measured.
    fn run_c_program(&self, args: &[&str]) -> Duration {
        let output = Command::new(self.floor).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Duration::from_nanos(text.trim().parse().unwrap())
    }

    fn fill_table_by_c(&self) -> BTreeSet<String> {
        let (vips, servers) = (self.vips.to_string(), self.servers.to_string());
        self.print_time("fill/floor", self.run_c_program(&["fill", &vips, &servers]));
        saved_table()
    }

    fn fill_table(&self, kernel: &mut LinuxKernel, desired: &vip::Desired) -> BTreeSet<String> {
        let mut plan = wanted::plan_for(&wanted::with_addresses_bound(desired), desired);
        // The table of IPVS alone, as the C program fills it.
        plan.ops.retain(|op| matches!(op, Op::AddService { .. } | Op::AddServer { .. }));
        assert_eq!(plan.ops.len(), self.vips * (1 + self.servers));
        self.print_time("fill/vipd", apply_plan(kernel, plan));
        saved_table()
    }

    fn fill_table_by_ipvsadm(&self) {
        let rules = self.ipvsadm_rules();
        let (time, _) = measure_time(|| run_tool_with_input("ipvsadm", "-R", &rules));
        self.print_time("fill/ipvsadm", time);
    }

    fn ipvsadm_rules(&self) -> String {
        let cluster = Cluster::new(self.vips, self.servers);
        let mut rules = String::new();
        for app in 0..self.vips {
            let vip = Cluster::vip_address(app);
            let _ = writeln!(rules, "-A -t {vip}:80 -s wlc");
            for task in 0..self.servers {
                let _ =
                    writeln!(rules, "-a -t {vip}:80 -r {} -m -w 1", cluster.task_socket(app, task));
            }
        }
        rules
    }

    fn bind_addresses_by_c(&self, kernel: &mut LinuxKernel, name: &str, source: Option<&str>) {
        let vips = self.vips.to_string();
        let mut args = vec!["addresses", LINK, &vips];
        args.extend(source);
        make_link(kernel);
        self.print_time(&format!("{name}/floor"), self.run_c_program(&args));
    }

    /// Binds the addresses. With a source each gets a local route, as on kernels without nftables
    /// NAT.
    fn bind_addresses(
        &self,
        kernel: &mut LinuxKernel,
        desired: &vip::Desired,
        name: &str,
        source: Option<&str>,
    ) {
        make_link(kernel);
        let address = |address| Op::Bind {
            address,
            route: LocalRoute { source: source.map(|s| s.parse().unwrap()), mtu: None },
            names: false,
        };
        let ops = desired.services.keys().map(|vip| address(vip.address)).collect();
        let plan = Plan { ops, ..Plan::default() };
        self.print_time(&format!("{name}/vipd"), apply_plan(kernel, plan));
    }

    /// Measures a full comparison with nothing to do, by the agent's controller.
    fn compare_table(&self, kernel: &mut LinuxKernel, cluster: &Cluster) {
        self.print_time("compare/floor", self.run_c_program(&["dumps", &self.vips.to_string()]));
        let sources = ["m".into()].into();
        let source = Some(wanted::NODE.parse().unwrap());
        let table = TableSettings { source, ..TableSettings::default() };
        let config = Config { node: "node1".into(), table, sources, ..Config::default() };
        let mut controller = Controller::new(config);
        let mut now = Duration::from_secs(1);
        controller.handle_input(Input::Tick, now);
        let snapshot = wanted::parse_snapshot(cluster);
        let claims = wanted::claims_by_app(&snapshot, &wanted::resolved_hosts(&snapshot));
        let only = claims.keys().cloned().collect();
        for change in [Change::Apps(claims), Change::Only(only)] {
            controller.handle_input(Input::Claims { source: "m".into(), change }, now);
        }
        // First without a model of the kernel, then against it: by dumps, then by /proc/net/ip_vs.
        for name in ["compare/first", "compare/vipd", "compare/text", "compare/text"] {
            let before = page_faults();
            let (time, effects) = measure_time(|| {
                let known = controller.observed().cloned().filter(|_| name == "compare/text");
                let observed = match &known {
                    Some(known) => kernel.observe_again(known),
                    None => kernel.observe(),
                };
                drop(known);
                let observed = observed.map_err(|error| ReadFailure(error.to_string()));
                controller.handle_input(Input::Observed(observed), now)
            });
            let applies = effects.iter().find(|effect| matches!(effect, Effect::Apply(_)));
            assert_eq!(applies, None, "there is something to do");
            self.print_time(name, time);
            self.print_faults("compare/faults", before);
            now += Duration::from_secs(31);
            controller.handle_input(Input::Tick, now);
        }
        let known = controller.observed().expect("it was read");
        let (time, _) = measure_time(|| kernel.observe_again(known).unwrap());
        self.print_time("compare/observe", time);
    }

    fn clean_up(&self, kernel: &mut LinuxKernel) {
        let plan = Plan::cleanup(&kernel.observe().unwrap());
        self.print_time("cleanup/vipd", apply_plan(kernel, plan));
        let left = kernel.observe().unwrap();
        assert!(left.services.is_empty() && left.link == Link::Missing);
    }
}

/// Measures deleting IPv6 addresses one by one, and deleting the interface with all of them.
pub(crate) fn measure_unbinding(floor: &Path, vips: usize) {
    let mut kernel = open_kernel();
    let node = Node { floor, vips, servers: 0 };
    make_link(&mut kernel);
    node.print_time("unbind6/floor", node.run_c_program(&["unbind6", LINK, &vips.to_string()]));
    let address = |number: usize| {
        let (high, low) = (number / 256, number % 256);
        format!("fd03::{high:x}:{low:x}").parse().unwrap()
    };
    let ops = (0..vips)
        .map(|number| Op::Bind {
            address: address(number),
            route: LocalRoute::default(),
            names: false,
        })
        .collect();
    apply_plan(&mut kernel, Plan { ops, ..Plan::default() });
    let plan = Plan::cleanup(&kernel.observe().unwrap());
    node.print_time("unbind6/link", apply_plan(&mut kernel, plan));
    print_figure("unbind6/addresses", vips as f64, "");
}
