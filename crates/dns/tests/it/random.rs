//! Random zones, names and bytes, beside the other implementation.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::RwLock;

use dns::{Addresses, NodeFacts, Responder, Transport, Verdict, Zone, ZoneFile};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use proptest::prelude::*;

use crate::client::{ZONE, describe, outcome, own_zones, query, responder};

prop_compose! {
    fn a_zone()(
        names in prop::collection::btree_map("[ab]{1,2}(\\.[ab]{1,2}){0,3}", 0u8..=2, 0..10)
    ) -> BTreeMap<String, u8> {
        names
    }
}

fn serve(names: &BTreeMap<String, u8>) -> Responder {
    let bound = Ipv4Addr::new(11, 0, 0, 1);
    let address = |kind: u8| match kind {
        0 => None,
        1 => Some(bound),
        _ => Some(Ipv4Addr::new(11, 0, 0, 2)),
    };
    let names = names
        .iter()
        .map(|(name, kind)| (name.clone(), Addresses { v4: address(*kind), v6: None }))
        .collect();
    let file = ZoneFile { zones: vec![ZONE.into()], names, ..ZoneFile::default() };
    let facts = NodeFacts { addresses: [bound.into()].into(), ..NodeFacts::default() };
    Responder {
        zone: RwLock::new(Zone::build(&file.render(), &own_zones()).unwrap()),
        facts: RwLock::new(facts),
        ..Responder::default()
    }
}

proptest! {
    #[test]
    fn a_name_is_missing_only_if_nothing_is_there_or_below(
        names in a_zone(),
        asked in "[abAB]{1,2}(\\.[ab]{1,2}){0,3}",
    ) {
        let responder = serve(&names);
        let lower = asked.to_ascii_lowercase();
        let below = format!(".{lower}");
        let nothing = "ok aa [l4lb.thisdcos.directory. 5 5]";
        let missing = "NXDomain aa [l4lb.thisdcos.directory. 1 1]";
        let has_below = names.keys().any(|name| name.ends_with(&below));
        let (v4, v6) = match names.get(&lower) {
            Some(1) => ("ok aa 11.0.0.1 5", nothing),
            Some(_) => ("ServFail", "ServFail"),
            None if has_below => (nothing, nothing),
            None => (missing, missing),
        };
        let name = format!("{asked}.{ZONE}.");
        prop_assert_eq!(outcome(&responder, &name, RecordType::A), v4);
        prop_assert_eq!(outcome(&responder, &name, RecordType::AAAA), v6);
    }

    #[test]
    fn no_bytes_break_the_server_and_the_other_implementation_reads_every_answer(
        mut message in prop::collection::vec(any::<u8>(), 0..120),
        is_query: bool,
        is_tcp: bool,
    ) {
        if is_query && message.len() > 12 {
            message[2] = 1;
            message[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        }
        check_answer(&message, is_tcp)?;
    }

    #[test]
    fn no_damage_to_a_query_breaks_the_server(
        place in 0usize..60,
        byte: u8,
        cut in 0usize..80,
        is_tcp: bool,
    ) {
        let mut message = query("mysql.marathon.l4lb.thisdcos.directory.", RecordType::A);
        message.set_edns(hickory_proto::op::Edns::new());
        let mut bytes = message.to_vec().unwrap();
        if let Some(place) = bytes.get_mut(place) {
            *place = byte;
        }
        bytes.truncate(cut);
        check_answer(&bytes, is_tcp)?;
    }
}

fn check_answer(message: &[u8], is_tcp: bool) -> Result<(), TestCaseError> {
    let transport = if is_tcp { Transport::Tcp } else { Transport::Udp };
    let mut reply = Vec::new();
    let verdict = responder().answer_message(message, transport, &mut reply);
    let read = Message::from_vec(message);
    if verdict == Verdict::Drop {
        prop_assert!(message.len() < 12 || message[2] & 0x80 != 0);
        return Ok(());
    }
    prop_assert_eq!(verdict, Verdict::Reply);
    let reply = Message::from_vec(&reply).unwrap();
    prop_assert_eq!(reply.metadata.id.to_be_bytes(), [message[0], message[1]]);
    // What the other implementation understands as a query is answered as one.
    if let Ok(read) = read
        && read.queries.len() == 1
        && describe(&reply) == "FormErr"
    {
        let is_strict = read.edns.is_none() || message[12..].contains(&0xc0);
        prop_assert!(is_strict, "{read:?}");
    }
    Ok(())
}
