//! Deletion of conntrack entries that are older than the virtual service they go to, or than our
//! nftables rules, and of those that a silent host has not answered.
//!
//! IPVS sets up the tracking of a flow with its first packet only, and the nat chains see only that
//! one. If the entry is older, IPVS sends the packets to a real server, and the replies reach nobody.

mod message;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use nl_ipvs::Family;
use nl_pipeline::{Protocol, errno};
use rustix::thread::{MembarrierCommand, membarrier};
use vip::plan::StaleFlows;
use vip::{Op, Vip};

use super::answer::{Answer, refused_op, unknown_outcome};
use super::netlink::Pipeline;
pub(super) use message::connection_ends;
#[cfg(test)]
pub(super) use message::tests::tracked;

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
        Self { socket: Pipeline::open(Protocol::NETFILTER).ok() }
    }

    /// Deletes the conntrack entries of the flows that the operations name. The others stay.
    pub fn forget_flows(&mut self, ops: &[&Op]) -> Vec<Answer> {
        let may_begin_late = |op: &&Op| match op {
            Op::ForgetFlows { flows, .. } => flows.may_begin_late(),
            _ => false,
        };
        if self.socket.is_some() && ops.iter().any(may_begin_late) {
            wait_for_packets_under_way();
        }
        let [v4, v6] = [Family::Inet, Family::Inet6].map(|family| {
            let mut vips = BTreeMap::<Vip, BTreeSet<StaleFlows>>::new();
            for op in ops {
                if let Op::ForgetFlows { vip, flows } = op
                    && Family::from(vip.address) == family
                {
                    vips.entry(*vip).or_default().insert(*flows);
                }
            }
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

/// Waits until no packet is under way that met what was in force when this was called. Connection
/// tracking lists a flow only once its first packet has passed all rules: a packet between two of them
/// while they were replaced would keep the flow from the newer ones for as long as its client sends.
fn wait_for_packets_under_way() {
    /// Longer than a packet is under way in the kernel.
    const LONG: Duration = Duration::from_millis(20);
    // A grace period of RCU (`membarrier` in `kernel/sched/membarrier.c`): each packet passes the rules
    // in one read-side section. Refused where a processor has no ticks, and by an older seccomp filter.
    if membarrier(MembarrierCommand::Global).is_err() {
        thread::sleep(LONG);
    }
}

fn forget_family(
    socket: &mut Pipeline,
    family: Family,
    vips: &BTreeMap<Vip, BTreeSet<StaleFlows>>,
) -> Answer {
    // Filtered as they come: a busy node tracks a million flows.
    let read = |_: &_, entry: &[u8]| {
        message::Flow::parse_answer(entry).filter(|flow| flow.is_stale(vips)).map(Box::new)
    };
    let entries = match socket
        .dump_as(&message::list_flows(family, vips), read)
        .map_err(|error| unknown_outcome(&error))?
    {
        Ok(entries) => entries,
        // The kernel has no `nf_conntrack_netlink`: an entry expires once its client is silent.
        Err(refusal) if refusal.errno() == errno::EINVAL => return Ok(()),
        Err(refusal) => return Err(refused_op(&refusal, None)),
    };
    let requests: Vec<_> =
        entries.into_iter().flatten().map(|flow| message::delete_flow(family, *flow)).collect();
    let outcomes = socket.batch(requests).map_err(|error| unknown_outcome(&error))?;
    // An entry may have expired meanwhile.
    let mut refusals = outcomes.into_iter().filter_map(Result::err);
    match refusals.find(|refusal| refusal.errno() != errno::ENOENT) {
        Some(refusal) => Err(refused_op(&refusal, None)),
        None => Ok(()),
    }
}
