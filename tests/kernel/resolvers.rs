//! The node's resolvers on a real kernel: systemd-resolved, as the agent tells it, and the resolver
//! of musl, another C library.
//!
//! Only a guest unpacks their packages, into its root file system, which is discarded at its end.

use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::{Cluster, eventually, tell};
use crate::daemons::{Daemon, unpack_packages};
use crate::names::{ADDRESS, NAME, NameServer, web};

/// A name that only the network's name server knows.
const OTHER: &str = "other.example";

/// Its address there.
const OTHER_ADDRESS: [u8; 4] = [192, 0, 2, 7];

const ZONE: &str = "l4lb.thisdcos.directory";

/// Unpacks the packages once. Returns false, and prints so, if there are none.
fn unpacked() -> bool {
    static UNPACK: Once = Once::new();
    let is_there = unpack_packages(&UNPACK, "VIPD_TEST_RESOLVERS");
    if !is_there {
        tell("not on this kernel: systemd-resolved and musl, whose packages only guests get");
    }
    is_there
}

/// The name server of the network, for all nodes. Knows one name.
struct Uplink(Arc<Mutex<Vec<String>>>);

impl Uplink {
    fn start() -> Self {
        let socket = UdpSocket::bind("10.77.0.1:53").unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let names = asked.clone();
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let Some((name, question)) = read_question(&query[..length]) else { continue };
                let is_known = name == OTHER;
                names.lock().unwrap().push(name);
                let is_a = question.ends_with(&[0, 1, 0, 1]);
                let mut answer = query[..2].to_vec();
                let code = if is_known { 0x80 } else { 0x83 };
                answer.extend([0x81, code, 0, 1, 0, u8::from(is_known && is_a), 0, 0, 0, 0]);
                answer.extend(question);
                if is_known && is_a {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
                    answer.extend(OTHER_ADDRESS);
                }
                let _ = socket.send_to(&answer, from);
            }
        });
        Self(asked)
    }

    /// Names in the zone of VIPs that it was asked for.
    fn leaks(&self) -> Vec<String> {
        let asked = self.0.lock().unwrap();
        asked.iter().filter(|name| name.ends_with(ZONE)).cloned().collect()
    }
}

/// Reads the question of a query (RFC 1035, 4.1): its name, and its bytes.
fn read_question(query: &[u8]) -> Option<(String, &[u8])> {
    let (mut at, mut parts) = (12, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        parts.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    Some((parts.join("."), query.get(12..at + 4)?))
}

/// Adds the users that the packages' installation would make.
fn add_users() {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let names = ["messagebus", "polkitd", "systemd-resolve", "vipd"];
    for (id, name) in (970..).zip(names) {
        if users.lines().any(|line| line.starts_with(&format!("{name}:"))) {
            continue;
        }
        let append = |path: &str, line: String| {
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        };
        append("/etc/passwd", format!("{name}:x:{id}:{id}::/nonexistent:/usr/sbin/nologin\n"));
        append("/etc/group", format!("{name}:x:{id}:\n"));
    }
}

fn start_bus() -> Daemon {
    fs::create_dir_all("/run/dbus").unwrap();
    let mut command = Command::new("dbus-daemon");
    command.args(["--system", "--nofork", "--nopidfile"]).stdin(Stdio::null());
    let mut bus = Daemon::start(command, "dbus");
    bus.wait_until("D-Bus listens", || UnixStream::connect("/run/dbus/system_bus_socket").is_ok());
    bus
}

/// Tells whether a service is on the bus.
fn is_on_bus(service: &str) -> bool {
    let args = "--system --print-reply=literal --dest=org.freedesktop.DBus /org/freedesktop/DBus \
                org.freedesktop.DBus.NameHasOwner string:";
    let asked = netns::try_run_tool("dbus-send", &format!("{args}{service}"));
    asked.is_ok_and(|answer| answer.contains("true"))
}

fn start_polkit() -> Daemon {
    let mut command = Command::new("/usr/lib/polkit-1/polkitd");
    command.arg("--no-debug").stdin(Stdio::null());
    let mut polkit = Daemon::start(command, "polkit");
    polkit.wait_until("polkit is on the bus", || is_on_bus("org.freedesktop.PolicyKit1"));
    polkit
}

fn start_resolved(node: &str) -> Daemon {
    // On a node the kernel's table of interfaces survives a restart, and so does what
    // systemd-resolved saved of them: here nothing is saved, so that the agent has to tell it again.
    let _ = fs::remove_dir_all("/run/systemd/resolve/netif");
    fs::create_dir_all("/run/systemd").unwrap();
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{node}")).arg("/lib/systemd/systemd-resolved");
    let mut resolved = Daemon::start(command, "resolved");
    resolved.wait_until("systemd-resolved runs", || is_on_bus("org.freedesktop.resolve1"));
    resolved
}

/// An agent on the first node, as the user and with the rights of the package's unit.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Agent {
    fn start(cluster: &Cluster, config: &str) -> Self {
        let name = &cluster.nodes[0];
        let state = format!("/run/{name}/state");
        let run = ["run", "--marathon", "http://10.77.0.1:8080", "--state", &state];
        let vipd = cluster.vipd(0, &run);
        let args: Vec<_> = vipd.get_args().collect();
        let (enter, vipd) = args.split_at(3);
        let mut command = Command::new("ip");
        command.args(enter).args(["setpriv", "--reuid=vipd", "--regid=vipd", "--clear-groups"]);
        command.args(["--no-new-privs", "--bounding-set=-all,+net_admin"]);
        command.args(["--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin"]);
        command.args(vipd).env("VIPD_CONFIG", config).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

fn resolve(cluster: &Cluster, name: &str) -> Result<String, String> {
    cluster.try_on(0, &format!("getent ahosts {name}"))
}

fn resolves(cluster: &Cluster) -> bool {
    resolve(cluster, NAME).is_ok_and(|found| found.starts_with(ADDRESS))
}

/// The notes of the agent that are about the resolver.
fn notes(cluster: &Cluster) -> Vec<String> {
    let report = cluster.report(0);
    let notes = report["notes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    notes.filter(|note| note.contains("systemd-resolved")).map(str::to_owned).collect()
}

/// The checks of `vipd doctor` about names, as the configuration has it.
fn doctor(cluster: &Cluster, config: &str) -> String {
    let output = cluster.vipd(0, &["doctor"]).env("VIPD_CONFIG", config).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_once("\nnames").map_or(text.clone(), |(_, names)| names.to_owned())
}

#[test]
fn systemd_resolved_asks_for_names_of_vips_as_the_agent_tells_it() {
    if !unpacked() {
        return;
    }
    let cluster = Cluster::new();
    let name = cluster.nodes[0].clone();
    add_users();
    let uplink = Uplink::start();
    fs::create_dir_all("/etc/systemd/resolved.conf.d").unwrap();
    let settings = "[Resolve]\nDNS=10.77.0.1\nFallbackDNS=\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\n";
    fs::write("/etc/systemd/resolved.conf.d/test.conf", settings).unwrap();
    cluster.send("POST", "/v2/apps", &web(2));
    cluster.settled("/web", 2);
    netns::run_tool("install", &format!("-d -o vipd /run/{name} /run/{name}/state"));
    cluster.vipd(0, &["doctor", "--fix"]).output().unwrap();
    netns::run_tool("rm", &format!("-f /run/{name}/lock"));
    let config = format!("/run/{name}/vipd.toml");
    fs::write(&config, "[names]\nresolver = \"resolved\"\n").unwrap();
    let _server = NameServer::start(&cluster, 0);
    fs::write(format!("/etc/netns/{name}/resolv.conf"), "nameserver 127.0.0.53\n").unwrap();

    // Without a bus, without the service and without the right, the agent serves VIPs and says why
    // names don't resolve.
    let agent = Agent::start(&cluster, &config);
    eventually("the agent is ready", || cluster.report(0)["ready"] == json!(true));
    eventually("the bus is missed", || notes(&cluster).concat().contains("there is no D-Bus"));
    let _bus = start_bus();
    eventually("the service is missed", || {
        notes(&cluster).concat().contains("systemd-resolved doesn't run")
    });
    let doctored = doctor(&cluster, &config);
    assert!(doctored.contains("systemctl enable --now systemd-resolved"), "{doctored}");
    let polkit = start_polkit();
    let resolved = start_resolved(&name);
    eventually("the right is missed", || {
        notes(&cluster).concat().contains("/usr/share/polkit-1/rules.d/vipd.rules")
    });
    // Until now the zone is nobody's, and the network's server is asked.
    eventually("the network is asked", || !resolves(&cluster) && !uplink.leaks().is_empty());
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/polkit/vipd.rules");
    fs::copy(rules, "/usr/share/polkit-1/rules.d/vipd.rules").unwrap();
    drop(polkit);
    let _polkit = start_polkit();
    eventually("the name resolves", || resolves(&cluster));
    assert_eq!(notes(&cluster), Vec::<String>::new());
    let ask = || cluster.try_on(0, &format!("curl -sS --max-time 5 http://{NAME}/"));
    eventually("it connects", || ask().is_ok());
    let doctored = doctor(&cluster, &config);
    assert!(doctored.contains("systemd-resolved asks 198.51.100.1 for l4lb"), "{doctored}");
    assert!(doctored.contains("this node resolves names in l4lb"), "{doctored}");

    // Each server is asked for its own names only.
    uplink.0.lock().unwrap().clear();
    let other = resolve(&cluster, OTHER).unwrap();
    assert!(other.starts_with("192.0.2.7"), "{other}");
    resolve(&cluster, "none.marathon.l4lb.thisdcos.directory").unwrap_err();
    resolve(&cluster, "none.example").unwrap_err();
    assert_eq!(uplink.leaks(), [""; 0]);
    // Containers get this list: it has the network's servers only.
    let list = fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap();
    assert!(list.contains("10.77.0.1") && !list.contains("198.51.100.1"), "{list}");
    let status = cluster.vipd(0, &["names"]).output().unwrap();
    assert_eq!(status.status.code(), Some(0), "{status:?}");

    // A new link, and a new systemd-resolved, know nothing: they are told again.
    cluster.on(0, "ip link del vipd0");
    let deleted = Instant::now();
    eventually("it resolves again", || resolves(&cluster));
    tell(&format!("vipd0 deleted: names resolve again after {:.1?}", deleted.elapsed()));
    drop(resolved);
    let resolved = start_resolved(&name);
    let restarted = Instant::now();
    eventually("it resolves again", || resolves(&cluster));
    tell(&format!("resolved restarted: names resolve again after {:.1?}", restarted.elapsed()));

    // The agent leaves the settings when it ends, and takes them back when it is told so.
    drop(agent);
    assert!(resolves(&cluster));
    fs::write(&config, "").unwrap();
    let agent = Agent::start(&cluster, &config);
    eventually("it resolves no longer", || !resolves(&cluster));
    let domains = cluster.on(0, "resolvectl domain vipd0");
    assert!(!domains.contains(ZONE), "{domains}");
    let doctored = doctor(&cluster, &config);
    assert!(doctored.contains("set resolver = \"resolved\" below [names]"), "{doctored}");
    fs::write(&config, "[names]\nresolver = \"resolved\"\n").unwrap();
    netns::run_tool("kill", &format!("-HUP {}", agent.0.id()));
    eventually("it resolves again", || resolves(&cluster));

    // The rule is for that user and those calls only.
    let as_user = |user: &str, call: &str| {
        let line = format!("setpriv --reuid={user} --clear-groups resolvectl {call}");
        cluster.try_on(0, &line)
    };
    as_user("nobody", "revert vipd0").unwrap_err();
    as_user("vipd", "dnsovertls vipd0 yes").unwrap_err();
    assert!(resolves(&cluster));
    // Only a systemd-resolved that says which interface it is about can be held to one.
    tell(&format!("vipd reverts another interface: {:?}", as_user("vipd", "revert eth0")));
    as_user("vipd", "revert vipd0").unwrap();
    drop((agent, resolved));
}

/// A client that looks a name up as IPv4 or IPv6, and connects.
const CLIENT: &str = r#"
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **words) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(words[1], words[2], &hints, &found);
    if (error) { puts(gai_strerror(error)); return 3; }
    for (; found; found = found->ai_next) {
        int to = socket(found->ai_family, found->ai_socktype, 0);
        if (to >= 0 && !connect(to, found->ai_addr, found->ai_addrlen)) { puts("connected"); return 0; }
    }
    puts("not connected");
    return 4;
}
"#;

#[test]
fn a_program_of_another_c_library_connects_by_name() {
    if !unpacked() {
        return;
    }
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(1));
    cluster.settled("/web", 1);
    cluster.start_all();
    let _server = NameServer::start(&cluster, 0);
    fs::write("/run/client.c", CLIENT).unwrap();
    netns::run_tool("musl-gcc", "-O -o /run/dynamic /run/client.c");
    netns::run_tool("musl-gcc", "-O -static -o /run/static /run/client.c");
    for client in ["/run/dynamic", "/run/static"] {
        let line = format!("{client} {NAME} 80");
        eventually("it connects", || cluster.try_on(0, &line).is_ok());
        assert_eq!(cluster.on(0, &line), "connected\n");
        let loader = netns::run_tool("readelf", &format!("-l {client}"));
        assert_eq!(loader.contains("ld-musl"), client == "/run/dynamic", "{loader}");
        // No such name, and a name that has only others below it: both at once, and for good.
        for name in ["none.marathon.l4lb.thisdcos.directory", "marathon.l4lb.thisdcos.directory"] {
            let output = Command::new("ip")
                .args(["netns", "exec", &cluster.nodes[0], client, name, "80"])
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(text, "Name does not resolve\n", "{name}: {output:?}");
        }
    }
}
