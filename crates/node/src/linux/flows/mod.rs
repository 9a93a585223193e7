//! Deletion of conntrack entries that are older than the virtual service they go to.
//!
//! IPVS sets up the tracking of a flow with its first packet only. If the entry is older, IPVS sends
//! the packets to a real server, and the replies reach nobody.

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
    /// `None`: the kernel has no netfilter, so it tracks nothing.
    socket: Option<Pipeline>,
}

impl Flows {
    /// Opens the socket. Without netfilter in the kernel, nothing is ever deleted.
    #[must_use]
    pub fn open() -> Self {
        Self { socket: Pipeline::open(NETLINK_NETFILTER).ok() }
    }

    /// Deletes the conntrack entries of flows to the operations' VIPs that bypass IPVS. Entries of
    /// flows that IPVS sends to a real server stay.
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
        // The kernel has no `nf_conntrack_netlink`: an entry expires once its client is silent.
        Err(refusal) if refusal.errno() == errno::EINVAL => return Ok(()),
        Err(refusal) => return Err(refused_op(&refusal, None)),
    };
    let flows =
        entries.into_iter().filter_map(|entry| message::Flow::parse_answer(entry.ok()?.bytes()));
    let past = flows.filter(|flow| flow.goes_past_ipvs(vips));
    let requests: Vec<_> = past.map(|flow| message::delete_flow(family, flow)).collect();
    let outcomes = socket.batch(requests).map_err(|error| unknown_outcome(&error))?;
    // An entry may have expired meanwhile.
    let mut refusals = outcomes.into_iter().filter_map(Result::err);
    match refusals.find(|refusal| refusal.errno() != errno::ENOENT) {
        Some(refusal) => Err(refused_op(&refusal, None)),
        None => Ok(()),
    }
}
