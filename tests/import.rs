//! `vipd names import`, beside a Marathon, a list as dcos-net has it, and name servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Ran, http, read_request, serve, serve_with, vipd};
use vip::naming::{NameRange, VipName};

const ZONE: &str = "l4lb.thisdcos.directory";

/// Runs with a Marathon that has these apps: an id and the labels of its port.
fn with_marathon<T>(apps: &[(&str, Value)], run: impl FnOnce(&str) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let sim = runtime.block_on(async {
        let mut config = marathon_sim::Config::new("/nowhere");
        config.agents = vec!["127.0.0.1".parse().unwrap()];
        let sim = marathon_sim::Sim::start(config).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (id, labels) in apps {
            let ports = json!([{"port": 0, "labels": labels}]);
            let app = json!({"id": id, "cmd": "sleep 1", "instances": 0, "portDefinitions": ports});
            let request = client.post(format!("{}/v2/apps", sim.url()));
            let request = request.header("content-type", "application/json").body(app.to_string());
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 201, "{}", answer.text().await.unwrap());
        }
        sim
    });
    let result = run(&sim.url());
    runtime.block_on(sim.shutdown());
    result
}

fn import(marathon: &str, from: &str, more: &[&str]) -> Ran {
    let socket = ["--socket", "/nowhere/agent.sock"];
    let args = ["names", "import", "--marathon", marathon, "--from", from];
    vipd(&[&args[..], &socket, more].concat())
}

fn base(name: &str) -> IpAddr {
    let name: VipName = name.parse().unwrap();
    NameRange::default().base_address(&name, vip::Family::Inet).unwrap()
}

fn record(name: &str, host: &str) -> Value {
    json!({"name": format!("{name}.{ZONE}"), "host": host, "rtype": "A"})
}

#[test]
fn names_are_compared_with_the_list_of_a_dc_os_node() {
    let apps = [
        ("/db", json!({"VIP_0": "/mysql:3306"})),
        ("/web", json!({"VIP_0": "/web:80"})),
        ("/new", json!({"VIP_0": "/new:80"})),
        ("/address", json!({"VIP_0": "3.3.0.6:3306"})),
    ];
    let records = json!([
        record("mysql.marathon", &base("mysql.marathon").to_string()),
        record("web.marathon", "11.1.2.3"),
        record("broker.kafka", "11.9.9.9"),
        record("_", "11.9.9.8"),
        {"name": "leader.mesos", "host": "10.0.0.1", "rtype": "A"},
        {"name": "_leader._tcp.mesos", "host": "leader.mesos:5050", "rtype": "SRV"},
    ]);
    let list = serve(http("200 OK", "application/json", records.to_string().as_bytes()));
    with_marathon(&apps, |marathon| {
        let ran = import(marathon, &list, &[]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        insta::assert_snapshot!("list", format!("{}{}", ran.out, ran.err));

        // Saved, and for machines.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), records.to_string()).unwrap();
        let ran = import(marathon, file.path().to_str().unwrap(), &["--output", "json"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(said["names"][0]["name"], "web.marathon");
        assert_eq!(said["names"][0]["pin"], "11.1.2.3");
        assert_eq!(said["only_there"], json!(["broker.kafka"]));
    });
}

#[test]
fn a_name_with_the_label_that_was_printed_has_the_address_from_there() {
    let records = json!([record("web.marathon", "11.1.2.3")]).to_string();
    let list = serve(http("200 OK", "application/json", records.as_bytes()));
    let labels = json!({"VIP_0": "/web:80", "IPVS_ADDRESS": "11.1.2.3"});
    with_marathon(&[("/web", labels)], |marathon| {
        let ran = import(marathon, &list, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.contains("11.1.2.3  same  /web"), "{ran:?}");
    });
}

/// Nothing of the node is changed, so a wrong key elsewhere stops nobody.
#[test]
fn a_fault_of_the_configuration_is_passed_over() {
    let list = serve(http("200 OK", "application/json", b"[]"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = file.path().to_str().unwrap();
    std::fs::write(config, "[agent]\nsync-period = 0\n").unwrap();
    with_marathon(&[("/web", json!({"VIP_0": "/web:80"}))], |marathon| {
        let ran = import(marathon, &list, &["--config", config]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.err.contains("sync-period") && ran.err.contains("ignored"), "{ran:?}");
        // What a name's address is must be known.
        std::fs::write(config, "[names]\nrange = [\"300.0.0.0/8\"]\n").unwrap();
        let ran = import(marathon, &list, &["--config", config]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
    });
}

#[test]
fn what_is_no_list_is_refused_with_the_reason() {
    let with = |status: &str, body: &str| serve(http(status, "application/json", body.as_bytes()));
    let vips =
        r#"[{"vip":"web.marathon.l4lb.thisdcos.directory:80","protocol":"tcp","backend":[]}]"#;
    let endless = serve_with(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n[");
        let blanks = vec![b' '; 1 << 20];
        while stream.write_all(&blanks).is_ok() {}
    });
    with_marathon(&[("/web", json!({"VIP_0": "/web:80"}))], |marathon| {
        for (from, word) in [
            (with("200 OK", "<html>"), "a web page, not a list"),
            (with("200 OK", "{}"), "expected an array of records"),
            (with("200 OK", vips), "this is the list /v1/vips"),
            (with("404 Not Found", "[]"), "404"),
            (with("302 Found", "[]"), "302"),
            (endless, "longer than 64 MiB"),
            ("http://127.0.0.1:1".to_owned(), "cannot read"),
            ("/no/such/file".to_owned(), "cannot read /no/such/file"),
            ("dns://127.0.0.1:1".to_owned(), "1 without an answer"),
        ] {
            let ran = import(marathon, &from, &[]);
            let all = format!("{}{}", ran.out, ran.err);
            assert!(all.contains(word), "{from}: {all}");
            assert_eq!(ran.code, Some(if from.starts_with("dns") { 1 } else { 2 }), "{all}");
        }
    });
    let ran = import("http://127.0.0.1:1", "dns://name", &[]);
    assert!(ran.code == Some(2) && ran.err.contains("dns://ADDRESS[:PORT]"), "{ran:?}");
}

#[test]
fn a_server_that_is_dead_is_not_asked_for_every_name() {
    // It takes queries, and never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let names: Vec<_> = (0..9).map(|n| format!("/app{n}")).collect();
    let apps: Vec<_> =
        names.iter().map(|name| (name.as_str(), json!({"VIP_0": format!("{name}:80")}))).collect();
    let from = format!("dns://{}", silent.local_addr().unwrap());
    with_marathon(&apps, |marathon| {
        let ran = import(marathon, &from, &[]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("is no working name server: it doesn't answer"), "{ran:?}");
    });
}

/// A `vipd dns` that ends with the test.
struct NameServer(Child);

impl NameServer {
    /// Starts it on a port that is free for UDP and TCP, and waits until it answers.
    fn start(zone_file: &Path) -> (Self, SocketAddr) {
        let ready = dns::DomainName::parse(&format!("ready.{ZONE}")).unwrap();
        loop {
            let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_vipd"));
            command.args(["dns", "--listen", &address.to_string(), "--zone-file"]).arg(zone_file);
            let mut server = Self(command.stderr(Stdio::null()).spawn().unwrap());
            // It ends if another program has the port by now, be it for TCP only.
            while server.0.try_wait().unwrap().is_none() {
                if dns::look_up(&ready, address, Duration::from_secs(1)).is_ok() {
                    return (server, address);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn names_are_compared_with_a_name_server() {
    let folder = tempfile::tempdir().unwrap();
    let (zone, config) = (folder.path().join("zone"), folder.path().join("vipd.toml"));
    // Only addresses that this machine has are answered.
    let lines =
        "name same.marathon 127.0.0.1\nname web.marathon 127.0.0.1\nname x.marathon 8.8.8.8";
    std::fs::write(&zone, format!("vipd-zone 1\nzone {ZONE}\n{lines}\nend 3\n")).unwrap();
    std::fs::write(&config, "[vip]\nallow = [\"127.0.0.0/8\"]\n").unwrap();
    let (_server, address) = NameServer::start(&zone);
    let apps = [
        ("/same", json!({"VIP_0": "/same:80", "IPVS_ADDRESS": "127.0.0.1"})),
        ("/new", json!({"VIP_0": "/new:80"})),
        ("/x", json!({"VIP_0": "/x:80"})),
    ];
    let config = ["--config", config.to_str().unwrap()];
    with_marathon(&apps, |marathon| {
        let ran = import(marathon, &format!("dns://{address}"), &config);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        insta::assert_snapshot!("dns", format!("{}{}", ran.out, ran.err));
    });
    with_marathon(&[("/web", json!({"VIP_0": "/web:80"}))], |marathon| {
        let ran = import(marathon, &format!("dns://{address}"), &config);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.contains("add the label IPVS_ADDRESS=127.0.0.1"), "{ran:?}");
    });
}
