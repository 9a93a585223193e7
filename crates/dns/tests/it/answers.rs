//! The answer to each kind of name and type.

use std::sync::PoisonError;

use dns::{NodeFacts, Responder, Transport, Verdict};
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, RecordType};

use crate::client::{
    FILE, addresses, answer, answer_bytes, describe, outcome, own_zones, query, query_with_edns,
    responder,
};

#[test]
fn while_other_names_may_exist_none_is_denied() {
    let text = FILE.replace("name both", "partial\nname both");
    let zone = dns::Zone::build(&text, &own_zones()).unwrap();
    let responder = Responder { zone: zone.into(), ..responder() };
    for (name, expected) in [
        ("both.marathon.l4lb.thisdcos.directory.", "ok aa 11.0.0.1 5"),
        ("no.marathon.l4lb.thisdcos.directory.", "ServFail"),
        // Above others it may have an address, too.
        ("marathon.l4lb.thisdcos.directory.", "ServFail"),
        ("no.marathon.agentip.dcos.thisdcos.directory.", "ServFail"),
    ] {
        assert_eq!(describe(&answer(&responder, &query(name, RecordType::A))), expected, "{name}");
    }
}

#[test]
fn a_task_without_a_known_address_is_not_denied() {
    let line = "host new.marathon.agentip.dcos.thisdcos.directory pending\nend 7";
    let zone = dns::Zone::build(&FILE.replace("end 6", line), &own_zones()).unwrap();
    let responder = Responder { zone: zone.into(), ..responder() };
    for (name, expected) in [
        ("new.marathon.agentip.dcos.thisdcos.directory.", "ServFail"),
        ("app.marathon.agentip.dcos.thisdcos.directory.", "ok aa fd00::1 5"),
    ] {
        assert_eq!(outcome(&responder, name, RecordType::AAAA), expected, "{name}");
    }
}

#[test]
fn every_kind_of_name_has_its_answer() {
    use RecordType::{A, AAAA, ANY, AXFR, MX, NS, SOA, TXT};
    let responder = responder();
    for (name, qtype, expected) in [
        ("both.marathon.l4lb.thisdcos.directory.", A, "ok aa 11.0.0.1 5"),
        ("both.marathon.l4lb.thisdcos.directory.", AAAA, "ok aa fd01:c::1 5"),
        ("both.marathon.dclb.thisdcos.directory.", A, "ok aa 11.0.0.1 5"),
        // The other family, or another type: the name is there all the same.
        ("mysql.marathon.l4lb.thisdcos.directory.", AAAA, "ok aa [l4lb.thisdcos.directory. 5 5]"),
        ("mysql.marathon.dclb.thisdcos.directory.", MX, "ok aa [dclb.thisdcos.directory. 5 5]"),
        // An address that isn't bound would lead out of the node.
        ("out.marathon.l4lb.thisdcos.directory.", A, "ServFail"),
        ("out.marathon.l4lb.thisdcos.directory.", AAAA, "ServFail"),
        ("out.marathon.l4lb.thisdcos.directory.", TXT, "ok aa [l4lb.thisdcos.directory. 5 5]"),
        ("half.marathon.l4lb.thisdcos.directory.", A, "ok aa 11.0.0.2 5"),
        ("half.marathon.l4lb.thisdcos.directory.", AAAA, "ok aa [l4lb.thisdcos.directory. 5 5]"),
        ("web.deep.er.marathon.l4lb.thisdcos.directory.", A, "ServFail"),
        // Nothing but names below.
        ("marathon.l4lb.thisdcos.directory.", A, "ok aa [l4lb.thisdcos.directory. 5 5]"),
        ("deep.er.marathon.l4lb.thisdcos.directory.", A, "ok aa [l4lb.thisdcos.directory. 5 5]"),
        ("l4lb.thisdcos.directory.", A, "ok aa [l4lb.thisdcos.directory. 5 5]"),
        ("l4lb.thisdcos.directory.", SOA, "ok aa SOA l4lb.thisdcos.directory. 5 5"),
        ("l4lb.thisdcos.directory.", NS, "ok aa NS ready.l4lb.thisdcos.directory. 5"),
        ("no.marathon.l4lb.thisdcos.directory.", A, "NXDomain aa [l4lb.thisdcos.directory. 1 1]"),
        ("no.l4lb.thisdcos.directory.", SOA, "NXDomain aa [l4lb.thisdcos.directory. 1 1]"),
        (
            "a.mysql.marathon.l4lb.thisdcos.directory.",
            A,
            "NXDomain aa [l4lb.thisdcos.directory. 1 1]",
        ),
        // The probe.
        ("ready.l4lb.thisdcos.directory.", A, "ok aa 198.51.100.1 5"),
        ("ready.dclb.thisdcos.directory.", AAAA, "ok aa [dclb.thisdcos.directory. 5 5]"),
        ("ready.spartan.", A, "ok aa 198.51.100.1 5"),
        ("ready.spartan.", AAAA, "ok aa [ready.spartan. 5 5]"),
        // Not ours.
        ("example.com.", A, "Refused"),
        (".", NS, "Refused"),
        ("thisdcos.directory.", A, "Refused"),
        ("xl4lb.thisdcos.directory.", A, "Refused"),
        ("1.0.0.11.in-addr.arpa.", RecordType::PTR, "Refused"),
        ("l4lb.thisdcos.directory.", AXFR, "Refused"),
        // Tasks.
        ("app.marathon.agentip.dcos.thisdcos.directory.", AAAA, "ok aa fd00::1 5"),
        (
            "marathon.agentip.dcos.thisdcos.directory.",
            A,
            "ok aa [agentip.dcos.thisdcos.directory. 5 5]",
        ),
        (
            "ready.agentip.dcos.thisdcos.directory.",
            A,
            "NXDomain aa [agentip.dcos.thisdcos.directory. 1 1]",
        ),
        ("both.marathon.l4lb.thisdcos.directory.", ANY, "ok aa 11.0.0.1 5 fd01:c::1 5"),
    ] {
        assert_eq!(outcome(&responder, name, qtype), expected, "{name} {qtype}");
    }
}

#[test]
fn before_a_zone_file_is_read_names_of_the_zones_fail() {
    let unknown = Responder { listen: responder().listen, ..Responder::new(&own_zones()) };
    for (name, expected) in [
        ("mysql.marathon.l4lb.thisdcos.directory.", "ServFail"),
        ("marathon.l4lb.thisdcos.directory.", "ServFail"),
        ("ready.l4lb.thisdcos.directory.", "ok aa 198.51.100.1 5"),
        ("l4lb.thisdcos.directory.", "ok aa [l4lb.thisdcos.directory. 5 5]"),
        ("example.com.", "Refused"),
    ] {
        assert_eq!(outcome(&unknown, name, RecordType::A), expected, "{name}");
    }
}

#[test]
fn names_of_our_zones_are_never_forwarded() {
    let unknown = Responder { forwards: true, ..Responder::new(&own_zones()) };
    let known = Responder { forwards: true, ..responder() };
    let verdict = |responder: &Responder, name: &str| {
        let query = query(name, RecordType::A).to_vec().unwrap();
        responder.answer_message(&query, Transport::Udp, &mut Vec::new())
    };
    for name in ["x.l4lb.thisdcos.directory.", "L4LB.thisdcos.Directory.", "ready.spartan."] {
        assert_eq!(verdict(&unknown, name), Verdict::Reply, "{name}");
        assert_eq!(verdict(&known, name), Verdict::Reply, "{name}");
    }
    assert_eq!(verdict(&known, "x.dclb.thisdcos.directory."), Verdict::Reply);
    assert_eq!(verdict(&known, "x.agentip.dcos.thisdcos.directory."), Verdict::Reply);
    assert_eq!(verdict(&unknown, "example.com."), Verdict::Forward);
    assert_eq!(verdict(&known, "thisdcos.directory."), Verdict::Forward);
}

#[test]
fn a_name_answers_from_the_moment_its_address_is_bound() {
    let responder = responder();
    let name = "out.marathon.l4lb.thisdcos.directory.";
    assert_eq!(outcome(&responder, name, RecordType::A), "ServFail");
    let facts = NodeFacts { addresses: addresses(&["11.9.9.9"]), ..NodeFacts::default() };
    *responder.facts.write().unwrap_or_else(PoisonError::into_inner) = facts;
    assert_eq!(outcome(&responder, name, RecordType::A), "ok aa 11.9.9.9 5");
}

#[test]
fn the_spelling_of_the_question_is_echoed() {
    let name = "MySQL.mArathon.L4LB.thisdcos.directory.";
    let reply = answer(&responder(), &query(name, RecordType::A));
    assert_eq!(reply.queries[0].name().to_ascii(), name);
    assert_eq!(reply.answers[0].name.to_ascii(), name);
    assert_eq!(describe(&reply), "ok aa 11.0.0.3 5");
}

#[test]
fn several_addresses_take_turns() {
    let mut query = query("app.marathon.agentip.dcos.thisdcos.directory.", RecordType::A);
    let mut firsts = std::collections::BTreeSet::new();
    for id in 0..3 {
        query.metadata.id = id;
        let reply = answer(&responder(), &query);
        assert_eq!(reply.answers.len(), 3);
        firsts.insert(format!("{}", reply.answers[0].data));
    }
    assert_eq!(firsts.len(), 3);
}

/// A name with as many addresses as fit into no datagram.
pub(crate) fn crowded() -> Responder {
    let hosts: Vec<_> = (0..200).map(|host| format!("10.0.1.{host}")).collect();
    let line = format!("host many.agentip.dcos.thisdcos.directory {}\nend 7", hosts.join(" "));
    let zone = dns::Zone::build(&FILE.replace("end 6", &line), &own_zones()).unwrap();
    Responder { zone: std::sync::RwLock::new(zone), ..responder() }
}

#[test]
fn an_answer_that_is_too_long_is_truncated_and_whole_over_tcp() {
    let name = "many.agentip.dcos.thisdcos.directory.";
    let responder = crowded();
    // Header 12, question 43, OPT 11, and 16 for each address.
    for (payload, records) in [(0, 27), (512, 27), (600, 33), (1232, 72), (4096, 72), (65535, 72)] {
        let reply = answer(&responder, &query_with_edns(name, RecordType::A, payload));
        assert!(reply.metadata.truncation, "{payload}");
        assert_eq!(reply.answers.len(), records, "{payload}");
        assert_eq!(reply.edns.unwrap().max_payload(), 1232);
    }
    let plain = query(name, RecordType::A);
    assert_eq!(answer(&responder, &plain).answers.len(), 28);
    let whole = answer_bytes(&responder, &plain.to_vec().unwrap(), Transport::Tcp);
    let whole = Message::from_vec(&whole).unwrap();
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 200);
}

#[test]
fn edns_of_another_version_and_other_classes_are_refused() {
    let name = "mysql.marathon.l4lb.thisdcos.directory.";
    let mut later = query_with_edns(name, RecordType::A, 1232);
    later.edns.as_mut().unwrap().set_version(1);
    let reply = answer(&responder(), &later);
    // BADVERS, which hickory calls by its other name.
    assert_eq!(u16::from(reply.metadata.response_code), 16);
    assert_eq!(reply.edns.unwrap().version(), 0);

    let mut secure = query_with_edns(name, RecordType::A, 1232);
    secure.edns.as_mut().unwrap().set_dnssec_ok(true);
    assert!(answer(&responder(), &secure).edns.unwrap().flags().dnssec_ok);

    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(describe(&answer(&responder(), &chaos)), "Refused");
    let mut any = query(name, RecordType::A);
    any.queries[0].set_query_class(DNSClass::ANY);
    assert_eq!(describe(&answer(&responder(), &any)), "ok aa 11.0.0.3 5");
}

#[test]
fn only_the_node_its_containers_and_configured_clients_are_answered() {
    let clients = vec!["10.244.0.0/16".parse().unwrap()];
    let responder = Responder { clients, ..responder() };
    for (client, is_accepted) in [
        ("127.0.0.1", true),
        ("::1", true),
        ("10.0.0.9", true),
        ("11.0.0.1", true),
        ("172.17.3.4", true),
        ("10.244.1.2", true),
        ("::ffff:172.17.3.4", true),
        ("10.0.0.8", false),
        ("8.8.8.8", false),
        ("fd00::1", false),
    ] {
        let client = std::net::SocketAddr::new(client.parse().unwrap(), 5000);
        assert_eq!(responder.accepts_client(client), is_accepted, "{client}");
    }
    assert_eq!(responder.counters.read_count(dns::Event::Stranger), 3);
}
