//! The name server: messages of clients, and the zone file.

use std::sync::RwLock;

use dns::{LoadedFile, NodeFacts, OwnZones, Responder, Transport, Verdict, Zone, ZoneFile};
use hickory_proto::op::Message;

/// The zone that messages ask about.
const FILE: &str = "\
vipd-zone 1
zone l4lb.thisdcos.directory
hostzone agentip.dcos.thisdcos.directory
name mysql.marathon 11.0.0.1 fd01:c::1
name web.marathon pending
host app.marathon.agentip.dcos.thisdcos.directory 10.0.0.1 10.0.0.2 fd00::1
end 3
";

/// The longest answer over UDP.
const MAX_PAYLOAD: usize = 1232;

/// Answers a message over UDP and TCP. Another implementation can read every answer.
pub(crate) fn answer_message(input: &[u8]) {
    let Ok(zone) = Zone::build(FILE, &OwnZones::default()) else { panic!("the zone is broken") };
    let bound = std::net::Ipv4Addr::new(11, 0, 0, 1).into();
    let responder = Responder {
        zone: RwLock::new(zone),
        facts: NodeFacts { addresses: [bound].into(), ..NodeFacts::default() }.into(),
        forwards: input.first().is_some_and(|byte| byte % 2 == 0),
        ..Responder::default()
    };
    let mut reply = Vec::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        match responder.answer_message(input, transport, &mut reply) {
            Verdict::Drop => assert!(input.len() < 12 || input[2] & 0x80 != 0),
            Verdict::Reply => check_reply(input, &reply, transport),
            Verdict::Forward => {
                assert!(responder.forwards);
                responder.answer_failure(input, &mut reply);
                check_reply(input, &reply, transport);
            }
        }
    }
}

fn check_reply(input: &[u8], reply: &[u8], transport: Transport) {
    assert!(reply.len() <= MAX_PAYLOAD || transport == Transport::Tcp);
    let read = Message::from_vec(reply).expect("nobody can read the answer");
    assert_eq!(read.metadata.id.to_be_bytes(), input[..2]);
    assert_eq!(reply[2] & 0x80, 0x80);
}

/// Reads a zone file; after a byte 0, a second one that replaces it. What can be read is the same
/// after it was written again, and a zone that is changed is the one that is built anew.
pub(crate) fn read_zone_file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let zone = RwLock::new(Zone::default());
    let mut loaded = LoadedFile::new(OwnZones::default());
    for text in text.split('\0').take(3) {
        if let Ok(file) = ZoneFile::parse(text) {
            assert_eq!(ZoneFile::parse(&file.render()), Ok(file));
        }
        let built = Zone::build(text, &OwnZones::default()).map(|zone| zone.count_records());
        assert_eq!(loaded.replace_zone(text.to_owned(), &zone), built);
    }
}
