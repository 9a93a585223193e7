//! The answer to a message. No sockets, no clock.

use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use domain::base::iana::{Class, OptRcode, Rtype};
use ipnet::IpNet;

use crate::counters::{Counters, Event};
use crate::node_facts::NodeFacts;
use crate::query::{NoQuery, Query, Transport};
use crate::reply::{MISSING_TTL, Reply, TTL};
use crate::zone::{Found, Meaning, OwnZones, Zone};
use crate::zone_file::Addresses;

/// The longest answer over TCP, RFC 1035 section 4.2.2.
const MAX_TCP: usize = 65_535;

/// Everything that answers depend on.
#[derive(Debug, Default)]
pub struct Responder {
    /// The names.
    pub zone: RwLock<Zone>,
    /// The node.
    pub facts: RwLock<NodeFacts>,
    /// The addresses of the name server: the answer to the probe name.
    pub listen: Vec<IpAddr>,
    /// Clients that are answered besides this node and its containers.
    pub clients: Vec<IpNet>,
    /// Whether queries for other names are forwarded.
    pub forwards: bool,
    /// Counts of queries and answers.
    pub counters: Counters,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not to answer it.
    Drop,
    /// To send the reply.
    Reply,
    /// To ask another name server.
    Forward,
}

impl Responder {
    /// Makes one that knows nothing yet but its zones.
    #[must_use]
    pub fn new(own: &OwnZones) -> Self {
        Self { zone: RwLock::new(Zone::unknown(own)), ..Self::default() }
    }

    /// Returns whether a client is answered.
    #[must_use]
    pub fn accepts_client(&self, client: SocketAddr) -> bool {
        let client = client.ip().to_canonical();
        let facts = self.facts.read().unwrap_or_else(PoisonError::into_inner);
        let is_accepted = facts.is_local_client(client)
            || self.clients.iter().any(|network| network.contains(&client));
        if !is_accepted {
            self.counters.count_event(Event::Stranger);
        }
        is_accepted
    }

    /// Writes the reply to a message to `out`.
    pub fn answer_message(
        &self,
        message: &[u8],
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Verdict {
        self.counters.count_query(transport);
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(NoQuery::Drop) => {
                self.counters.count_event(Event::Malformed);
                return Verdict::Drop;
            }
            Err(NoQuery::Error(rcode)) => {
                Reply::write_error(out, message, rcode);
                self.counters.count_answer(rcode);
                return Verdict::Reply;
            }
        };
        let limit = match transport {
            Transport::Udp => query.max_payload(),
            Transport::Tcp => MAX_TCP,
        };
        let mut reply = Reply::begin(out, &query, limit);
        if self.forwards {
            reply.set_forwarding();
        }
        let Some(rcode) = self.write_answer(&query, &mut reply) else { return Verdict::Forward };
        reply.set_rcode(rcode);
        reply.finish();
        self.counters.count_answer(rcode);
        Verdict::Reply
    }

    /// Writes the reply that says that the query can't be answered now.
    pub fn answer_failure(&self, message: &[u8], out: &mut Vec<u8>) {
        let rcode = OptRcode::SERVFAIL;
        if let Ok(query) = Query::parse(message) {
            let mut reply = Reply::begin(out, &query, query.max_payload());
            reply.set_forwarding();
            reply.set_rcode(rcode);
            reply.finish();
        } else {
            Reply::write_error(out, message, rcode);
        }
        self.counters.count_answer(rcode);
    }

    /// Writes the records. `None` for a query that is to be forwarded.
    fn write_answer(&self, query: &Query<'_>, reply: &mut Reply<'_>) -> Option<OptRcode> {
        if query.edns.is_some_and(|edns| edns.version != 0) {
            return Some(OptRcode::BADVERS);
        }
        if !matches!(query.class, Class::IN | Class::ANY) || is_transfer(query.qtype) {
            return Some(OptRcode::REFUSED);
        }
        let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Found { zone_length, meaning }) = zone.find_name(query.name()) else {
            return if self.forwards { None } else { Some(OptRcode::REFUSED) };
        };
        let mut answer = Answer { query, reply, zone_length };
        Some(match meaning {
            Meaning::Unknown => OptRcode::SERVFAIL,
            Meaning::Apex => answer.write_apex(),
            Meaning::Empty => answer.write_nothing(),
            Meaning::Missing => answer.write_missing(),
            Meaning::Probe => answer.write_addresses(self.probe_addresses()),
            Meaning::Host(addresses) => answer.write_addresses(addresses.iter().copied()),
            Meaning::Vip(addresses) => {
                let bound = self.keep_bound(addresses);
                // An address of one family is no reason not to answer for the other.
                match bound.clone().next().is_none() && wants_address(query.qtype) {
                    true => OptRcode::SERVFAIL,
                    false => answer.write_addresses(bound),
                }
            }
        })
    }

    /// Returns the addresses that are bound in this kernel. The others would lead clients to whoever
    /// has these addresses in the world.
    fn keep_bound(
        &self,
        Addresses { v4, v6 }: Addresses,
    ) -> impl Iterator<Item = IpAddr> + Clone + use<> {
        let facts = self.facts.read().unwrap_or_else(PoisonError::into_inner);
        let is_bound = |address: &IpAddr| facts.addresses.contains(address);
        let (v4, v6) = (v4.map(IpAddr::V4), v6.map(IpAddr::V6));
        [v4.filter(is_bound), v6.filter(is_bound)].into_iter().flatten()
    }

    /// Returns the first address of each family.
    fn probe_addresses(&self) -> impl Iterator<Item = IpAddr> + Clone + use<> {
        let first = |is_v4: bool| self.listen.iter().copied().find(|ip| ip.is_ipv4() == is_v4);
        [first(true), first(false)].into_iter().flatten()
    }
}

/// The answer for a name of a zone.
struct Answer<'a, 'b> {
    query: &'a Query<'a>,
    reply: &'a mut Reply<'b>,
    zone_length: usize,
}

impl Answer<'_, '_> {
    fn write_apex(&mut self) -> OptRcode {
        self.reply.set_authoritative();
        match self.query.qtype {
            Rtype::SOA => self.reply.add_soa(self.zone_length),
            Rtype::NS => self.reply.add_name_server(self.zone_length),
            Rtype::ANY => {
                self.reply.add_soa(self.zone_length);
                self.reply.add_name_server(self.zone_length);
            }
            _ => return self.write_nothing(),
        }
        OptRcode::NOERROR
    }

    /// Says that the name exists, without records of this type: clients that were told otherwise
    /// for IPv6 would not use the IPv4 address.
    fn write_nothing(&mut self) -> OptRcode {
        self.reply.set_authoritative();
        self.reply.add_negative_ttl(self.zone_length, TTL);
        OptRcode::NOERROR
    }

    fn write_missing(&mut self) -> OptRcode {
        self.reply.set_authoritative();
        self.reply.add_negative_ttl(self.zone_length, MISSING_TTL);
        OptRcode::NXDOMAIN
    }

    /// Writes the addresses of the type that was asked for, beginning with another one each time.
    fn write_addresses(&mut self, addresses: impl Iterator<Item = IpAddr> + Clone) -> OptRcode {
        let qtype = self.query.qtype;
        let wanted = addresses.filter(|address| match qtype {
            Rtype::ANY => true,
            Rtype::A => address.is_ipv4(),
            Rtype::AAAA => address.is_ipv6(),
            _ => false,
        });
        let count = wanted.clone().count();
        if count == 0 {
            return self.write_nothing();
        }
        self.reply.set_authoritative();
        // The id is a random number of the client's.
        let id = u16::from_be_bytes([self.query.head[0], self.query.head[1]]);
        for address in wanted.cycle().skip(usize::from(id) % count).take(count) {
            self.reply.add_address(address);
        }
        OptRcode::NOERROR
    }
}

fn wants_address(qtype: Rtype) -> bool {
    matches!(qtype, Rtype::A | Rtype::AAAA | Rtype::ANY)
}

fn is_transfer(qtype: Rtype) -> bool {
    matches!(qtype, Rtype::AXFR | Rtype::IXFR)
}
