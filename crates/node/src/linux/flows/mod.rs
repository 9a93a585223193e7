//! Flows that the kernel's connection tracking knows from before a VIP was served.
//!
//! IPVS has its say in what is tracked of a flow with the first packet, and then no more. One that
//! was tracked before goes to a real server, and its replies to nobody.

mod message;

use std::collections::BTreeSet;

use netlink_sys::protocols::NETLINK_NETFILTER;
use nl_ipvs::pipeline::Pipeline;
use nl_ipvs::{Family, errno};
use vip::{Op, Vip};

use super::answer::{Answer, refused_op, unknown_outcome};

/// The kernel's connection tracking. Blocking.
///
/// It belongs to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Flows {
    /// `None`: the kernel has no netfilter, so nothing is tracked.
    socket: Option<Pipeline>,
}

impl Flows {
    /// Opens the socket. A kernel without netfilter tracks nothing.
    #[must_use]
    pub fn open() -> Self {
        Self { socket: Pipeline::open(NETLINK_NETFILTER).ok() }
    }

    /// Forgets the flows to the VIPs of operations that go past IPVS. What IPVS sends to a real
    /// server stays.
    pub fn forget_flows(&mut self, ops: &[&Op]) -> Vec<Answer> {
        let vips: BTreeSet<Vip> = ops.iter().filter_map(|op| op.vip()).collect();
        let [v4, v6] = [Family::Inet, Family::Inet6].map(|family| {
            let of_it = |vip: &&Vip| Family::from(vip.address) == family;
            let vips: BTreeSet<Vip> = vips.iter().filter(of_it).copied().collect();
            match &mut self.socket {
                Some(socket) if !vips.is_empty() => forget_family(socket, family, &vips),
                _ => Ok(()),
            }
        });
        let answer = |op: &&Op| match op.vip() {
            Some(vip) if vip.address.is_ipv6() => v6.clone(),
            _ => v4.clone(),
        };
        ops.iter().map(answer).collect()
    }
}

fn forget_family(socket: &mut Pipeline, family: Family, vips: &BTreeSet<Vip>) -> Answer {
    let entries = match socket
        .dump(&message::list_flows(family, vips))
        .map_err(|error| unknown_outcome(&error))?
    {
        Ok(entries) => entries,
        // It has no `nf_conntrack_netlink`: a flow ends once its client was silent for a while.
        Err(refusal) if refusal.errno() == errno::EINVAL => return Ok(()),
        Err(refusal) => return Err(refused_op(&refusal, None)),
    };
    let flows =
        entries.into_iter().filter_map(|entry| message::Flow::parse_answer(entry.ok()?.bytes()));
    let past = flows.filter(|flow| flow.goes_past_ipvs(vips));
    let requests: Vec<_> = past.map(|flow| message::delete_flow(family, flow)).collect();
    let outcomes = socket.batch(requests).map_err(|error| unknown_outcome(&error))?;
    // One may have ended by itself meanwhile.
    let mut refusals = outcomes.into_iter().filter_map(Result::err);
    match refusals.find(|refusal| refusal.errno() != errno::ENOENT) {
        Some(refusal) => Err(refused_op(&refusal, None)),
        None => Ok(()),
    }
}
