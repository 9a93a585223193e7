//! Client traffic through VIPs while `vipd apply` changes them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::json;
use testkit::netns;

use crate::world::{Task, app, apply, apps, healthy, node};

/// Serves a name on every connection, on this thread's node.
fn serve(at: &str, name: &'static str) {
    let listener = TcpListener::bind(at).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = writeln!(stream, "{name} {}", stream.peer_addr().unwrap().ip());
            // Keep the connection open until the client closes it.
            std::thread::spawn(move || {
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) && stream.write_all(&byte).is_ok() {}
            });
        }
    });
}

/// Name of the server that answers at an address, and the source that it saw.
fn ask(at: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut text = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        text.push(byte[0]);
    }
    (stream, String::from_utf8(text).unwrap())
}

#[test]
fn a_connection_to_the_vip_reaches_a_real_server_and_moves_on_when_it_dies() {
    node();
    serve("10.9.0.1:31001", "one");
    serve("10.9.0.1:31002", "two");
    let labels =
        json!({ "VIP_0": "3.3.0.6:3306", "VIP_1": "4.4.0.7:3306", "IPVS_SCHEDULER": "rr" });
    let mysql = |tasks: &[Task<'_>]| apps([app("/mysql", "tcp", &labels, tasks)]);
    apply(&mysql(&[healthy("10.9.0.1", 31001), healthy("10.9.0.1", 31002)]));
    for vip in ["3.3.0.6:3306", "4.4.0.7:3306"] {
        let mut answers = [ask(vip).1, ask(vip).1];
        answers.sort();
        assert_eq!(
            answers,
            ["one 10.9.0.1", "two 10.9.0.1"],
            "the source is the node, not the VIP"
        );
    }

    let (mut open, who) = loop {
        let (stream, who) = ask("3.3.0.6:3306");
        if who.starts_with("one") {
            break (stream, who);
        }
    };
    let killing = Task { state: "TASK_KILLING", host: "10.9.0.1", port: 31001, alive: Some(true) };
    apply(&mysql(&[killing, healthy("10.9.0.1", 31002)]));
    for _ in 0..4 {
        assert!(ask("3.3.0.6:3306").1.starts_with("two"));
    }
    open.write_all(b"x").unwrap();
    let mut byte = [0];
    open.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x", "the open connection to {who} goes on");

    apply(&mysql(&[healthy("10.9.0.1", 31002)]));
    // A reset instead of a timeout, by expire_nodest_conn.
    let _ = open.write_all(b"y");
    let ended = open.read(&mut byte);
    assert!(
        matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset),
        "{ended:?}"
    );
}

#[test]
fn udp_reaches_a_real_server() {
    node();
    let server = UdpSocket::bind("10.9.0.1:31053").unwrap();
    std::thread::spawn(move || {
        let mut datagram = [0; 64];
        while let Ok((length, peer)) = server.recv_from(&mut datagram) {
            let _ = server.send_to(&datagram[..length], peer);
        }
    });
    let labels = json!({ "VIP_0": "3.3.0.6:53" });
    apply(&apps([app("/dns", "udp", &labels, &[healthy("10.9.0.1", 31053)])]));
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.connect("3.3.0.6:53").unwrap();
    client.send(b"who").unwrap();
    let mut datagram = [0; 64];
    let length = client.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..length], b"who");
    assert!(netns::run_tool("ipvsadm", "-Ln --stats").contains("3.3.0.6:53"));
}
