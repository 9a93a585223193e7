//! Measures the name server: its zone, and its answers beside those of other name servers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dns::{Addresses, LoadedFile, OwnZones, Zone, ZoneFile, ZoneWatch};

use crate::figure::{measure_time, print_figure, print_time};
use crate::memory::{bytes_held, peak_bytes};

/// The zone of all names.
const ZONE: &str = "l4lb.thisdcos.directory";

/// The length of a clock tick of proc(5), in microseconds.
const TICK: f64 = 10_000.0;

fn zone_file(names: usize, changed: usize) -> ZoneFile {
    let address = |n: usize| {
        let last = u32::from(n == changed);
        let v4 = Ipv4Addr::from_bits(0x0b00_0000 + 2 * u32::try_from(n).unwrap() + last);
        Addresses { v4: Some(v4), v6: Some(v4.to_ipv6_mapped()) }
    };
    let names: BTreeMap<_, _> =
        (0..names).map(|n| (format!("group{}service{n}.marathon", n % 7), address(n))).collect();
    ZoneFile { zones: vec![ZONE.into()], names, ..ZoneFile::default() }
}

/// Measures the memory of a zone with this many names, and the time from a changed file to the
/// changed zone.
pub(crate) fn measure_zone(names: usize, times: usize) {
    let zone = RwLock::new(Zone::default());
    let mut loaded = LoadedFile::new(OwnZones::default());
    let text = zone_file(names, names).render();
    let before = bytes_held();
    let (peak, _) = peak_bytes(|| loaded.replace_zone(text.clone(), &zone).unwrap());
    print_figure("names/zone-peak", peak as f64, "bytes");
    let kept = bytes_held() - before;
    print_figure("names/zone-kept", kept as f64, "bytes");
    let texts: Vec<_> = (0..times).map(|n| zone_file(names, n * 7 % names).render()).collect();
    for text in &texts {
        // From the one without a change, so that one name differs.
        let (peak, _) = peak_bytes(|| print_swap("names/swap", &mut loaded, text.clone(), &zone));
        print_figure("names/swap-peak", (kept + peak) as f64, "bytes");
        loaded.replace_zone(zone_file(names, names).render(), &zone).unwrap();
    }
    let all = zone_file(names, names).render().replace(" 11.", " 12.");
    print_swap("names/swap-all", &mut loaded, all, &zone);
    measure_follow(names, times);
}

fn print_swap(name: &str, loaded: &mut LoadedFile, text: String, zone: &RwLock<Zone>) {
    let (time, _) = measure_time(|| loaded.replace_zone(text, zone).unwrap());
    print_time(name, time);
}

/// Measures the time from the rename of the file until the zone has another count of names.
fn measure_follow(names: usize, times: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zone");
    let zone = Arc::new(RwLock::new(Zone::default()));
    let mut watch = ZoneWatch::open(path.clone(), OwnZones::default()).unwrap();
    fs::write(&path, zone_file(names, names).render()).unwrap();
    watch.load_zone(&zone);
    let followed = zone.clone();
    std::thread::spawn(move || watch.follow_changes(&followed));
    sleep(Duration::from_millis(100));
    for change in 0..times {
        let count = names + change % 2 + 1;
        let next = folder.path().join("next");
        fs::write(&next, zone_file(count, count).render()).unwrap();
        let start = Instant::now();
        fs::rename(&next, &path).unwrap();
        while zone.read().unwrap().count_records() != count {
            std::thread::yield_now();
        }
        print_time("names/follow", start.elapsed());
    }
}

/// A name server to be measured.
struct Server {
    name: &'static str,
    port: u16,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures what a query costs each server, in processor time, with this many names.
pub(crate) fn measure_servers(vipd: &Path, names: usize, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let servers = start_servers(vipd, folder.path(), names);
    let queries = folder.path().join("queries");
    let list = (0..names).fold(String::new(), |mut list, n| {
        let _ = writeln!(list, "name{n}.marathon.{ZONE} A");
        list
    });
    fs::write(&queries, list).unwrap();
    for _ in 0..rounds {
        for server in &servers {
            let before = read_cpu(server.child.id());
            let done = flood_server(server.port, &queries);
            let cost = (read_cpu(server.child.id()) - before) / done;
            print_figure(&format!("names/query/{}", server.name), cost / 1e3, "ms");
        }
    }
    for server in &servers {
        measure_latency(server, names);
    }
}

fn start_servers(vipd: &Path, folder: &Path, names: usize) -> Vec<Server> {
    let each = |line: &dyn Fn(usize) -> String| (0..names).map(line).collect::<String>();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let all = (0..names).map(|n| {
        (format!("name{n}.marathon"), Addresses { v4: Some(Ipv4Addr::LOCALHOST), v6: None })
    });
    let ours = ZoneFile { zones: vec![ZONE.into()], names: all.collect(), ..ZoneFile::default() };
    let ours = write("zone", ours.render());
    let unbound = write(
        "unbound.conf",
        format!(
            "server:\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n \
             use-syslog: no\n num-threads: 1\n interface: 127.0.0.1\n port: 5412\n \
             local-zone: \"{ZONE}.\" static\n{}remote-control:\n control-enable: no\n",
            each(&|n| format!(" local-data: \"name{n}.marathon.{ZONE}. 5 A 127.0.0.1\"\n"))
        ),
    );
    let dnsmasq = write(
        "dnsmasq.conf",
        each(&|n| format!("host-record=name{n}.marathon.{ZONE},127.0.0.1\n")),
    );
    let nsd_zone = write(
        "nsd.zone",
        format!(
            "$TTL 5\n@ SOA ns.{ZONE}. hostmaster.{ZONE}. 1 60 180 86400 5\n@ NS ns.{ZONE}.\n\
             ns A 127.0.0.1\n{}",
            each(&|n| format!("name{n}.marathon A 127.0.0.1\n"))
        ),
    );
    let nsd = write(
        "nsd.conf",
        format!(
            "server:\n server-count: 1\n ip-address: 127.0.0.1@5414\n username: \"\"\n \
             database: \"\"\n pidfile: \"\"\n zonesdir: \"{0}\"\n xfrdfile: \"{0}/xfrd\"\n \
             xfrdir: \"{0}\"\n zonelistfile: \"{0}/zonelist\"\nremote-control:\n \
             control-enable: no\nzone:\n name: {ZONE}\n zonefile: {nsd_zone}\n",
            folder.display()
        ),
    );
    let start = |name: &'static str, port: u16, program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        Server { name, port, child: command.spawn().unwrap() }
    };
    let servers = vec![
        start(
            "vipd",
            5411,
            vipd.to_str().unwrap(),
            &["dns", "--listen", "127.0.0.1:5411", "--zone-file", &ours],
        ),
        start("unbound", 5412, "unbound", &["-d", "-c", &unbound]),
        start(
            "dnsmasq",
            5413,
            "dnsmasq",
            &[
                "-k",
                "-p",
                "5413",
                "-C",
                &dnsmasq,
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--no-resolv",
                "--no-hosts",
                "--local-ttl=5",
                "--pid-file",
            ],
        ),
        start("nsd", 5414, "nsd", &["-d", "-c", &nsd]),
    ];
    for server in &servers {
        wait_for_answer(server);
    }
    servers
}

/// Makes a query for the address of a name.
fn make_query(id: u16, name: usize) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in format!("name{name}.marathon.{ZONE}.").split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.bytes());
    }
    query.extend([0, 1, 0, 1]);
    query
}

fn connect_to(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket
}

fn wait_for_answer(server: &Server) {
    let mut reply = [0; 512];
    for _ in 0..100 {
        let socket = connect_to(server.port);
        let _ = socket.send(&make_query(1, 0));
        if socket.recv(&mut reply).is_ok_and(|length| length > 12 && reply[7] == 1) {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("{} doesn't answer", server.name);
}

/// Asks as fast as the server answers, and returns the number of answers.
fn flood_server(port: u16, queries: &Path) -> f64 {
    let mut command = Command::new("dnsperf");
    command.args(["-s", "127.0.0.1", "-p", &port.to_string(), "-c", "8", "-q", "200", "-l", "5"]);
    let output = command.arg("-d").arg(queries).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("NOERROR") && !text.contains("SERVFAIL"), "{text}");
    let line = text.lines().find(|line| line.contains("Queries completed:")).unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// Prints the time until the answer, at 1,000 queries a second.
fn measure_latency(server: &Server, names: usize) {
    let socket = connect_to(server.port);
    let mut times = Vec::new();
    let start = Instant::now();
    for n in 0..10_000_u16 {
        let due = start + Duration::from_millis(u64::from(n));
        sleep(due.saturating_duration_since(Instant::now()));
        let query = make_query(n, usize::from(n) % names);
        let asked = Instant::now();
        socket.send(&query).unwrap();
        let mut reply = [0; 512];
        // An answer that was lost would count as a second.
        let _ = socket.recv(&mut reply);
        times.push(asked.elapsed());
    }
    crate::figure::print_spread(&format!("names/latency/{}", server.name), &times);
}

/// Returns the processor time of a process and its children in microseconds.
fn read_cpu(pid: u32) -> f64 {
    let ticks = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<_> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |n: usize| fields.get(n).and_then(|field| field.parse().ok()).unwrap_or(0.0);
        field(11) + field(12)
    };
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    // NSD's server is a child of a child.
    TICK * (ticks(pid) + children.map(|child: u32| read_cpu(child) / TICK).sum::<f64>())
}
