//! `vipd doctor`, and an agent with `CAP_NET_ADMIN` only after `vipd doctor --fix`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::{Cluster, eventually, tell};
use crate::support::Ran;
use crate::world::{self, Running, app, apps, healthy, node};

/// Runs `vipd doctor` on this thread's node.
fn doctor(args: &[&str]) -> Ran {
    let args: Vec<_> = ["doctor"].iter().chain(args).copied().collect();
    world::vipd(&args, "")
}

fn fix() -> Ran {
    doctor(&["--fix"])
}

/// Checks of a group, as `level: text`.
fn findings(group: &str) -> Vec<String> {
    let ran = doctor(&["--output", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let groups = report["groups"].as_array().unwrap();
    let found = groups.iter().find(|each| each["name"] == group).unwrap();
    let checks = found["checks"].as_array().unwrap().iter();
    let text = |check: &Value| {
        format!("{}: {}", check["level"].as_str().unwrap(), check["text"].as_str().unwrap())
    };
    checks.map(text).collect()
}

#[test]
fn a_node_is_set_up_once_and_is_fine_then() {
    node();
    let before = findings("settings");
    assert!(before[0].starts_with("warning: net.ipv4.vs.conntrack is 0"), "{before:?}");
    let fixed = fix();
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(fixed.err.contains("net.ipv4.vs.conntrack is 1 now, was 0"), "{}", fixed.err);
    for (name, value) in [
        ("net.ipv4.vs.conntrack", "1\n"),
        ("net.ipv4.vs.expire_nodest_conn", "1\n"),
        ("net.ipv4.vs.expire_quiescent_template", "1\n"),
        ("net.ipv4.ip_forward", "1\n"),
        ("net.ipv6.conf.all.forwarding", "0\n"),
    ] {
        assert_eq!(netns::run_tool("sysctl", &format!("-n {name}")), value, "{name}");
    }
    let loaded = netns::run_tool("lsmod", "");
    for module in ["ip_vs_wlc ", "dummy "] {
        assert!(loaded.lines().any(|line| line.starts_with(module)), "{module} isn't loaded");
    }
    assert!(!Path::new("/etc/modules-load.d/vipd.conf").exists(), "that is the package's");
    let again = fix();
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""), "{again:?}");
    let after = findings("settings");
    assert!(after.iter().all(|finding| finding.starts_with("ok: ")), "{after:?}");
}

/// IPv6 forwarding is switched on where it is asked for, costs no router advertisement, and is taken back.
#[test]
fn ipv6_forwarding_is_switched_on_for_who_asks_and_taken_back() {
    node();
    let sysctl = |name: &str| netns::run_tool("sysctl", &format!("-n net.ipv6.conf.{name}"));
    let all = || ["all.forwarding", "eth9.accept_ra", "default.accept_ra"].map(sysctl);
    assert_eq!(all(), ["0\n", "1\n", "1\n"]);
    let (config, record) = ("/run/vipd-doctor-ipv6.toml", "/run/vipd-doctor-ipv6/record");
    let run = |text: &str, args: &[&str]| {
        fs::write(config, text).unwrap();
        let args: Vec<_> = [args, &["--config", config, "--undo-file", record]].concat();
        doctor(&args)
    };
    let on = "[node]\nipv6-forwarding = true\n";
    let ran = run("[vip]\nallow = [\"fd01::/64\"]\n", &[]);
    assert!(ran.out.contains("set `ipv6-forwarding = true` in [node]"), "{ran:?}");
    let off = "[node]\nipv6-forwarding = false\n";
    for (undo, args) in [(off, &["--fix"]), (on, &["--undo"])] {
        let ran = run(on, &["--fix"]);
        assert!(ran.err.contains("net.ipv6.conf.all.forwarding is 1 now, was 0"), "{ran:?}");
        assert_eq!(all(), ["1\n", "2\n", "2\n"]);
        // An upgrade runs it again.
        assert_eq!(run(on, &["--fix"]).err, "");
        // Nothing says that it is unwanted: the flag may have asked for it.
        for unsaid in ["", "[node]\nipv6-forwarding = maybe\n", &format!("{off}lokc = 1\n")] {
            let ran = run(unsaid, &["--fix", "--no-examination"]);
            assert!(ran.err.contains("IPv6 forwarding stays on"), "{ran:?}");
            assert_eq!(all()[0], "1\n", "{unsaid}");
        }
        let ran = run(undo, args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.err.contains("net.ipv6.conf.all.forwarding is 0 again"), "{ran:?}");
        assert_eq!(all(), ["0\n", "1\n", "1\n"]);
    }
    netns::run_tool("sysctl", "-qw net.ipv6.conf.all.forwarding=1");
    assert_eq!(run("", &["--fix"]).err, "");
    assert_eq!(all()[0], "1\n", "somebody else's");
}

#[test]
fn arp_is_made_strict_on_request() {
    node();
    let config = "/run/vipd-doctor-arp.toml";
    fs::write(config, "[node]\nstrict-arp = true\n").unwrap();
    let ran = doctor(&["--fix", "--config", config]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(netns::run_tool("sysctl", "-n net.ipv4.conf.all.arp_ignore"), "1\n");
    assert_eq!(netns::run_tool("sysctl", "-n net.ipv4.conf.all.arp_announce"), "2\n");
}

#[test]
fn services_of_others_and_containers_that_call_themselves_are_told() {
    node();
    netns::run_tool("ipvsadm", "-A -t 10.9.0.1:8080 -s rr");
    assert_eq!(
        findings("table"),
        ["warning: 0 virtual services of vipd, and 1 of other programs: 10.9.0.1:8080/tcp"]
    );
    netns::run_tool("ip", "link add name br0 type bridge");
    netns::run_tool("ip", "addr add 172.17.0.1/16 dev br0");
    netns::run_tool("ip", "link add veth1 type dummy");
    netns::run_tool("ip", "link set veth1 master br0");
    netns::run_tool("ip", "link set veth1 up");
    netns::run_tool("ip", "link set br0 up");
    netns::run_tool("sysctl", "-qw net.bridge.bridge-nf-call-iptables=1");
    netns::run_tool("ipvsadm", "-A -t 3.3.0.6:80 -s wlc -b flag-3");
    netns::run_tool("ipvsadm", "-a -t 3.3.0.6:80 -r 172.17.0.2:80 -m");
    let told = findings("bridges");
    assert!(told[1].starts_with("warning: veth1 of br0 has no hairpin mode"), "{told:?}");
    netns::run_tool("ip", "link set veth1 type bridge_slave hairpin on");
    assert_eq!(findings("bridges").len(), 1);
}

#[test]
fn prefixes_that_loop_and_an_address_of_another_host_are_told() {
    node();
    let config = "/run/vipd-doctor-addresses.toml";
    let settings =
        "[node]\naddress = \"10.9.0.9\"\n[vip]\nallow = [\"3.0.0.0/8\", \"fd03::/64\"]\n";
    fs::write(config, settings).unwrap();
    let told = || {
        let ran = doctor(&["--config", config]);
        let lines = ran.out.lines().map(str::trim);
        let about = lines.filter(|line| {
            line.contains("(node.address)") || line.contains("`ip route add blackhole ")
        });
        about.map(str::to_owned).collect::<Vec<_>>()
    };
    netns::run_tool("sysctl", "-qw net.ipv4.ip_forward=1");
    netns::run_tool("sysctl", "-qw net.ipv6.conf.all.forwarding=1");
    netns::run_tool("ip", "route del default");
    let unrouted = told();
    assert!(matches!(&unrouted[..], [own] if own.starts_with("warning ")), "{unrouted:?}");
    netns::run_tool("ip", "addr add 10.9.0.9/24 dev eth9");
    netns::run_tool("ip", "route add default via 10.9.0.254");
    netns::run_tool("ip", "-6 route add default via fd09::fe");
    let looping = told();
    assert_eq!(looping.len(), 3, "{looping:?}");
    assert!(looping[0].starts_with("ok "), "{looping:?}");
    for (line, kind) in looping[1..].iter().zip(["blackhole", "unreachable"]) {
        let command = line.split('`').nth(1).unwrap();
        let args = command.strip_prefix("ip ").unwrap().replace("blackhole", kind);
        netns::run_tool("ip", &args);
    }
    assert_eq!(told(), looping[..1]);
}

/// Packets that a flowtable takes bypass IPVS.
#[test]
fn a_flowtable_that_would_take_replies_is_told() {
    node();
    let config = "/run/vipd-doctor-flowtable.toml";
    fs::write(config, "[vip]\nallow = [\"3.0.0.0/8\"]\n").unwrap();
    let told = || {
        let ran = doctor(&["--config", config]);
        let lines = ran.out.lines().map(str::to_owned).collect::<Vec<_>>();
        let at = lines.iter().position(|line| line.contains("to a flowtable"));
        at.map(|at| [lines[at].clone(), lines[at + 1].clone()])
    };
    let rules = [
        "add table inet f",
        "add flowtable inet f ft { hook ingress priority 0 ; devices = { eth9 } ; }",
        "add chain inet f forward { type filter hook forward priority 0 ; }",
        "add rule inet f forward meta l4proto { tcp , udp } flow add @ft",
    ];
    for rule in rules {
        match netns::try_run_tool("nft", rule).map_err(|error| error.to_string()) {
            Ok(_) => {}
            Err(error) if error.contains("not supported") || error.contains("No such file") => {
                return tell(&format!("not on this kernel: {error}"));
            }
            Err(error) => panic!("{error}"),
        }
    }
    let [text, cure] = told().unwrap();
    assert!(text.contains("inet f forward may give replies of 3.0.0.0/8 to a flowtable"), "{text}");
    let cure = cure.split('`').nth(1).unwrap();
    netns::run_tool("nft", cure.strip_prefix("nft ").unwrap());
    assert_eq!(told(), None);
}

/// The kernel asks the interface by which the replies arrive.
#[test]
fn an_interface_that_does_not_forward_is_told() {
    node();
    assert_eq!(fix().code, Some(0));
    netns::run_tool("sysctl", "-qw net.ipv4.conf.eth9.forwarding=0");
    let told = || {
        let found = findings("settings");
        found.into_iter().filter(|finding| finding.starts_with("warning: ")).collect::<Vec<_>>()
    };
    let found = told();
    assert!(
        found.len() == 1 && found[0].contains("net.ipv4.conf.eth9.forwarding is 0"),
        "{found:?}"
    );
    netns::run_tool("sysctl", "-qw net/ipv4/conf/eth9/forwarding=1");
    assert_eq!(told(), [""; 0]);
}

/// What hides packets of VIPs from conntrack is told, with the lines that cure it.
#[test]
fn rules_that_leave_vips_untracked_are_told() {
    node();
    let config = "/run/vipd-doctor-untracked.toml";
    fs::write(config, "[vip]\nallow = [\"3.0.0.0/8\"]\n").unwrap();
    let told = || {
        let ran = doctor(&["--config", config, "--output", "json"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        let groups = report["groups"].as_array().unwrap().clone();
        let firewall = groups.iter().find(|group| group["name"] == "firewall").unwrap();
        let checks = firewall["checks"].as_array().unwrap().clone().into_iter();
        let mut pairs = Vec::new();
        for check in checks.filter(|check| check["text"].as_str().unwrap().contains("untracked")) {
            assert_eq!(check["level"], "warning");
            let [text, cure] = ["text", "cure"].map(|key| check[key].as_str().unwrap().to_owned());
            pairs.push((text, cure.split('`').nth(1).unwrap_or_default().to_owned()));
        }
        pairs
    };
    let run = |line: &str| {
        let (tool, args) = line.split_once(' ').unwrap();
        netns::try_run_tool(tool, args)
    };
    assert_eq!(told(), []);
    for (rules, places) in [
        (
            &[
                "nft add table inet raw",
                "nft add chain inet raw pre { type filter hook prerouting priority raw ; }",
                "nft add rule inet raw pre ip daddr != 127.0.0.1 notrack",
                "nft add chain inet raw out { type filter hook output priority raw ; }",
                "nft add rule inet raw out notrack",
            ][..],
            &["inet raw out leaves", "inet raw pre may leave"][..],
        ),
        (
            &["iptables-legacy -t raw -A PREROUTING -d 3.3.0.0/16 -j CT --notrack"],
            &["ip raw PREROUTING (iptables-legacy) may leave"],
        ),
        (
            &["iptables-nft -t raw -A OUTPUT -d 0.0.0.0/1 -j CT --notrack"],
            &["ip raw OUTPUT leaves"],
        ),
    ] {
        if let Some(error) = rules.iter().find_map(|rule| run(rule).err()) {
            tell(&format!("not on this kernel: {}: {error}", rules[0]));
            continue;
        }
        let found = told();
        assert_eq!(found.len(), places.len(), "{found:?}");
        for ((text, cure), place) in found.iter().zip(places) {
            assert!(text.starts_with(place) && text.contains("3.0.0.0/8"), "{text}");
            run(cure).unwrap();
        }
        assert_eq!(told(), [], "after {found:?}");
    }
}

/// Runs a command of vipd on a node of the cluster as nobody, with `CAP_NET_ADMIN` only and a
/// read-only /proc/sys.
fn with_net_admin_only(cluster: &Cluster, args: &[&str]) -> Command {
    let vipd = cluster.vipd(0, args);
    let args: Vec<_> = vipd.get_args().collect();
    let (enter, vipd) = args.split_at(3);
    let script = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && \
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
                  --bounding-set=-all,+net_admin --inh-caps=-all,+net_admin \
                  --ambient-caps=-all,+net_admin \"$@\"";
    let mut command = Command::new("ip");
    command.args(enter).args(["unshare", "-m", "sh", "-c", script, "sh"]).args(vipd);
    command.env("VIPD_CONFIG", "/dev/null").stdin(Stdio::null());
    command
}

#[test]
fn after_the_set_up_apply_and_agent_need_net_admin_only() {
    let cluster = Cluster::new();
    let name = &cluster.nodes[0];
    netns::run_tool("install", &format!("-d -o 65534 /run/{name} /run/{name}/state"));
    let definition = format!("/run/{name}/apps.json");
    let labels = json!({ "VIP_0": "3.3.0.6:80", "IPVS_SCHEDULER": "mh" });
    let web = app("/web", "tcp", &labels, &[healthy("10.77.0.12", 31001)]);
    fs::write(&definition, apps([web]).to_string()).unwrap();
    let apply = ["apply", "--no-pods", "--from", &definition];

    // Without the set-up it does what it can and reports what is missing.
    let output = with_net_admin_only(&cluster, &apply).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("net.ipv4.vs.conntrack is 0 and can't be set to 1"), "{said}");
    assert!(said.contains("vipd doctor --fix"), "{said}");
    cluster.vipd(0, &["cleanup"]).output().unwrap();

    let fixed = cluster.vipd(0, &["doctor", "--fix"]).output().unwrap();
    assert_eq!(fixed.status.code(), Some(0), "{fixed:?}");
    netns::run_tool("rm", &format!("/run/{name}/lock"));
    let output = with_net_admin_only(&cluster, &apply).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing is missing");
    assert_eq!(cluster.servers(0, "3.3.0.6:80"), [("10.77.0.12:31001".to_owned(), 1)].into());
    assert!(cluster.on(0, "ip -br addr show dev vipd0").contains("3.3.0.6/32"));

    let state = format!("/run/{name}/state");
    let run = ["run", "--marathon", "http://10.77.0.1:8080", "--state", &state];
    let agent = Running(with_net_admin_only(&cluster, &run).spawn().unwrap());
    eventually("the agent is ready", || cluster.report(0)["ready"] == json!(true));
    let rights = fs::read_to_string(format!("/proc/{}/status", agent.0.id())).unwrap();
    for line in ["Uid:\t65534\t65534", "CapEff:\t0000000000001000", "CapBnd:\t0000000000001000"] {
        assert!(rights.contains(line), "{line} isn't in\n{rights}");
    }
    // Marathon lists nothing, so the VIP that `apply` has set up is doubted; its sysctls are as they
    // should be.
    let notes = cluster.report(0)["notes"].as_array().unwrap().clone();
    let others = notes.iter().map(|note| note.as_str().unwrap());
    let others: Vec<_> = others.filter(|note| !note.contains("which is doubted")).collect();
    // Without the right to probe, that is told, and all else works.
    assert!(matches!(&others[..], [note] if note.contains("CAP_NET_RAW")), "{others:?}");
    let doctor = cluster.vipd(0, &["doctor"]).output().unwrap();
    let told = String::from_utf8_lossy(&doctor.stdout);
    assert!(told.contains("an agent has been running for"), "{told}");

    // Marathon doesn't tell of nodes without a task, Mesos does.
    let doctor = cluster.vipd(0, &["doctor", "--marathon", "http://10.77.0.1:8080"]);
    let told = doctor_output(doctor);
    let open = "a node that has no task: 2 of the 2 that Mesos knows (10.77.0.11, 10.77.0.12)";
    assert!(told.contains(open), "{told}");
}

fn doctor_output(mut doctor: Command) -> String {
    String::from_utf8(doctor.output().unwrap().stdout).unwrap()
}
