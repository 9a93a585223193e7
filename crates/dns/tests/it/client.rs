//! A client that speaks by another implementation: hickory-proto.

use std::net::IpAddr;
use std::sync::RwLock;

use dns::{DomainName, NodeFacts, OwnZones, Responder, Transport, Verdict, Zone};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

pub(crate) const ZONE: &str = "l4lb.thisdcos.directory";

/// A zone file with a name of each kind.
pub(crate) const FILE: &str = "\
vipd-zone 1
zone l4lb.thisdcos.directory
zone dclb.thisdcos.directory
hostzone agentip.dcos.thisdcos.directory
name both.marathon 11.0.0.1 fd01:c::1
name half.marathon 11.0.0.2 fd01:c::bad
name mysql.marathon 11.0.0.3
name out.marathon 11.9.9.9
name web.deep.er.marathon pending
host app.marathon.agentip.dcos.thisdcos.directory 10.0.0.1 10.0.0.2 10.0.0.3 fd00::1
end 6
";

/// Returns the zones that are ours before a zone file is read.
pub(crate) fn own_zones() -> OwnZones {
    OwnZones { zones: vec![DomainName::parse(ZONE).unwrap()], host_zones: Vec::new() }
}

/// Makes a responder for [`FILE`], on a node with some of its addresses.
pub(crate) fn responder() -> Responder {
    Responder {
        zone: RwLock::new(Zone::build(FILE, &own_zones()).unwrap()),
        facts: RwLock::new(NodeFacts {
            addresses: addresses(&["11.0.0.1", "fd01:c::1", "11.0.0.2", "11.0.0.3", "10.0.0.9"]),
            container_networks: vec!["172.17.0.0/16".parse().unwrap()],
        }),
        listen: vec!["198.51.100.1".parse().unwrap()],
        ..Responder::default()
    }
}

/// Parses addresses.
pub(crate) fn addresses<C: FromIterator<IpAddr>>(texts: &[&str]) -> C {
    texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect()
}

/// Makes a query.
pub(crate) fn query(name: &str, qtype: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), qtype));
    message
}

/// Makes a query with EDNS.
pub(crate) fn query_with_edns(name: &str, qtype: RecordType, payload: u16) -> Message {
    let mut message = query(name, qtype);
    let mut edns = Edns::new();
    edns.set_max_payload(payload).set_version(0);
    message.set_edns(edns);
    message
}

/// Answers bytes with bytes.
pub(crate) fn answer_bytes(responder: &Responder, message: &[u8], transport: Transport) -> Vec<u8> {
    let mut reply = Vec::new();
    assert_eq!(responder.answer_message(message, transport, &mut reply), Verdict::Reply);
    reply
}

/// Answers a query over UDP, and checks what holds for every answer.
pub(crate) fn answer(responder: &Responder, query: &Message) -> Message {
    let reply = answer_bytes(responder, &query.to_vec().unwrap(), Transport::Udp);
    assert!(reply.len() <= usize::from(query.max_payload().clamp(512, 1232)));
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!(reply.metadata.id, query.metadata.id);
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    assert_eq!(reply.metadata.op_code, query.metadata.op_code);
    assert_eq!(reply.metadata.recursion_desired, query.metadata.recursion_desired);
    assert_eq!(reply.metadata.recursion_available, responder.forwards);
    assert_eq!(reply.edns.is_some(), query.edns.is_some());
    assert!(reply.additionals.is_empty());
    reply
}

/// Answers the question for a name and a type, in a line.
pub(crate) fn outcome(responder: &Responder, name: &str, qtype: RecordType) -> String {
    describe(&answer(responder, &query(name, qtype)))
}

/// Describes an answer in a line: code, records, and the time to live of what isn't there.
pub(crate) fn describe(reply: &Message) -> String {
    let mut line = match reply.metadata.response_code {
        ResponseCode::NoError => "ok".to_owned(),
        code => format!("{code:?}"),
    };
    if reply.metadata.authoritative {
        line += " aa";
    }
    if reply.metadata.truncation {
        line += " tc";
    }
    for record in &reply.answers {
        line += &match &record.data {
            RData::A(a) => format!(" {a} {}", record.ttl),
            RData::AAAA(aaaa) => format!(" {aaaa} {}", record.ttl),
            RData::NS(ns) => format!(" NS {ns} {}", record.ttl),
            RData::SOA(soa) => format!(" SOA {} {} {}", record.name, soa.minimum, record.ttl),
            other => format!(" {other:?}"),
        };
    }
    for record in &reply.authorities {
        let RData::SOA(soa) = &record.data else { panic!("{record:?}") };
        line += &format!(" [{} {} {}]", record.name, soa.minimum, record.ttl);
    }
    line
}
