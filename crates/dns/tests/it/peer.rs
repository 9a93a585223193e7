//! The same names in dnsmasq: both servers give the same answers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::RwLock;
use std::time::Duration;

use dns::{Addresses, NodeFacts, Responder, Zone, ZoneFile};
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};

use crate::client::{ZONE, answer, own_zones, query};

/// A dnsmasq, stopped at the end.
struct Dnsmasq {
    child: Child,
    socket: UdpSocket,
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dnsmasq {
    /// Starts it with these names; `None` where it isn't installed.
    fn start(names: &BTreeMap<String, Addresses>, folder: &std::path::Path) -> Option<Self> {
        let mut config = format!("local=/{ZONE}/\n");
        for (name, Addresses { v4, v6 }) in names {
            let addresses = v4.map(|v4| format!(",{v4}")).into_iter();
            let addresses = addresses.chain(v6.map(|v6| format!(",{v6}"))).collect::<String>();
            let _ = writeln!(config, "host-record={name}.{ZONE}{addresses}");
        }
        let path = folder.join("dnsmasq.conf");
        std::fs::write(&path, config).unwrap();
        loop {
            // TCP and UDP of one port, which dnsmasq finds free still, or ends.
            let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut command = Command::new("dnsmasq");
            command.args(["-k", "--listen-address=127.0.0.1", "--bind-interfaces"]);
            command.args(["--no-resolv", "--no-hosts", "--pid-file", "-C"]).arg(&path);
            command.args(["-p", &free.port().to_string()]);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(free).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let mut dnsmasq = Self { child, socket };
            if dnsmasq.listens() {
                return Some(dnsmasq);
            }
        }
    }

    /// Waits until it answers; `false` if it ended.
    fn listens(&mut self) -> bool {
        let mut query = query(&format!("ready.{ZONE}."), RecordType::A);
        query.metadata.id = 1;
        let query = query.to_vec().unwrap();
        while self.child.try_wait().unwrap().is_none() {
            let _ = self.socket.send(&query);
            match self.socket.recv(&mut [0; 1232]) {
                Ok(_) => return true,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        false
    }

    fn ask(&self, query: &Message) -> Message {
        let mut reply = [0; 1232];
        for _ in 0..600 {
            // It may not listen yet.
            let _ = self.socket.send(&query.to_vec().unwrap());
            match self.socket.recv(&mut reply) {
                Ok(length) => {
                    let reply = Message::from_vec(&reply[..length]).unwrap();
                    if reply.metadata.id == query.metadata.id {
                        return reply;
                    }
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        panic!("dnsmasq doesn't answer");
    }
}

/// Returns the code and the sorted addresses of an answer.
fn summarize(reply: &Message) -> (String, Vec<String>) {
    let addresses = reply.answers.iter().map(|record| match &record.data {
        RData::A(a) => a.to_string(),
        RData::AAAA(aaaa) => aaaa.to_string(),
        other => panic!("{other:?}"),
    });
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort();
    (format!("{:?}", reply.metadata.response_code), addresses)
}

#[test]
fn a_thousand_random_names_are_answered_as_by_dnsmasq() {
    let mut state = 7_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut name = || {
        let labels = 1 + random(3);
        let labels = (0..labels).map(|_| format!("l{}", random(9))).collect::<Vec<_>>();
        let kind = random(4);
        (labels.join("."), kind)
    };
    let mut names = BTreeMap::new();
    let mut asked = Vec::new();
    for n in 0..1000_u32 {
        let (name, kind) = name();
        asked.push(name.clone());
        let v4 = Some(Ipv4Addr::from_bits(0x0b00_0000 + n));
        let v6 = Some(Ipv6Addr::from_bits((0xfd01 << 112) | (u128::from(n) + 1)));
        match kind {
            0 => names.insert(name, Addresses { v4, v6 }),
            1 => names.insert(name, Addresses { v4, v6: None }),
            2 => names.insert(name, Addresses { v4: None, v6 }),
            _ => None,
        };
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(dnsmasq) = Dnsmasq::start(&names, folder.path()) else {
        println!("skipped: dnsmasq isn't installed");
        return;
    };
    let bound = names
        .values()
        .flat_map(|Addresses { v4, v6 }| v4.map(Into::into).into_iter().chain(v6.map(Into::into)));
    let facts = NodeFacts { addresses: bound.collect(), ..NodeFacts::default() };
    let file = ZoneFile { zones: vec![ZONE.into()], names: names.clone(), ..ZoneFile::default() };
    let responder = Responder {
        zone: RwLock::new(Zone::build(&file.render(), &own_zones()).unwrap()),
        facts: facts.into(),
        ..Responder::default()
    };
    for (n, name) in asked.iter().enumerate() {
        for qtype in [RecordType::A, RecordType::AAAA] {
            let mut query = query(&format!("{name}.{ZONE}."), qtype);
            query.metadata.id = u16::try_from(n * 2 + usize::from(qtype == RecordType::A)).unwrap();
            let ours = summarize(&answer(&responder, &query));
            assert_eq!(ours, summarize(&dnsmasq.ask(&query)), "{name} {qtype}");
        }
    }
}
