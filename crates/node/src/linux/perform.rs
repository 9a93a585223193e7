//! The operations of a plan, performed in order with neighbours of one kind in one send.

use std::net::IpAddr;

use nl_ipvs::{Ipvs, errno};
use vip::Op;
use vip::firewall::Backend;
use vip::plan::OpError;

use super::answer::{Answer, failed_op, refused_op, unknown_outcome};
use super::flows::Flows;
use super::link::Dummy;
use super::nft::Nft;
use super::socket::{Request, RouteSocket};
use super::{address, iptables_legacy, ipvs as command, link, route};
use crate::KernelError;

/// The part of the kernel that an operation changes; neighbours that change the same share a send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subsystem {
    Ipvs,
    Address,
    Link,
    Nft,
    Legacy,
    Flows,
}

fn subsystem_of(op: &Op) -> Subsystem {
    match op {
        Op::CreateLink | Op::RaiseLink | Op::DeleteLink => Subsystem::Link,
        Op::SetTable { .. }
        | Op::AddElement { .. }
        | Op::DeleteElement { .. }
        | Op::DeleteTable { .. } => Subsystem::Nft,
        Op::InsertRule { place, .. } | Op::DeleteRule { place, .. } => match place.backend {
            Backend::Nftables => Subsystem::Nft,
            Backend::Legacy => Subsystem::Legacy,
        },
        Op::Bind { .. } | Op::SetSource { .. } | Op::Unbind { .. } => Subsystem::Address,
        Op::ForgetFlows { .. } => Subsystem::Flows,
        Op::SetTimeouts { .. }
        | Op::AddService { .. }
        | Op::SetService { .. }
        | Op::DeleteService { .. }
        | Op::AddServer { .. }
        | Op::SetServer { .. }
        | Op::DeleteServer { .. } => Subsystem::Ipvs,
    }
}

/// Performs the operations in order, neighbours of one kind in one send.
pub(super) fn perform_ops(
    ipvs: &mut Ipvs,
    socket: &mut RouteSocket,
    nft: &mut Nft,
    flows: &mut Flows,
    interface: &str,
    ops: &[&Op],
) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(ops.len());
    for run in ops.chunk_by(|one, next| subsystem_of(one) == subsystem_of(next)) {
        match subsystem_of(run[0]) {
            Subsystem::Ipvs => answers.extend(change_services(ipvs, run)),
            Subsystem::Address => answers.extend(change_addresses(socket, interface, run)),
            Subsystem::Nft => answers.extend(nft.perform(run)),
            Subsystem::Legacy => answers.extend(run.iter().map(|op| change_legacy(op))),
            Subsystem::Flows => answers.extend(flows.forget_flows(run)),
            Subsystem::Link => {
                answers.extend(run.iter().map(|op| change_link(socket, interface, op)));
            }
        }
    }
    answers
}

/// The operations that are sent and answered together, so that the next ones reuse their memory.
/// Eight full sends of the pipeline.
const AT_A_TIME: usize = 1024;

fn change_services(ipvs: &mut Ipvs, ops: &[&Op]) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(ops.len());
    for part in ops.chunks(AT_A_TIME) {
        match ipvs.batch(part.iter().filter_map(|op| command::ipvs_command(op))) {
            Ok(outcomes) => answers.extend(part.iter().zip(outcomes).map(|(op, outcome)| {
                outcome.map_err(|error| {
                    refused_op(&error, command::refusal_hint(op, error.errno()).as_deref())
                })
            })),
            // The outcome of this part is unknown, and the rest isn't tried.
            Err(error) => {
                answers.extend(repeat_error(&ops[answers.len()..], &unknown_outcome(&error)));
                break;
            }
        }
    }
    answers
}

/// One request of an address operation, with the errnos that don't make the operation fail.
struct AddressRequest {
    request: Request,
    tolerated: &'static [i32],
}

fn change_addresses(socket: &mut RouteSocket, interface: &str, ops: &[&Op]) -> Vec<Answer> {
    let link = match our_link(socket, interface) {
        Ok(link) => link,
        Err(error) => return repeat_error(ops, &error),
    };
    let mut answers = Vec::with_capacity(ops.len());
    for part in ops.chunks(AT_A_TIME) {
        match change_some_addresses(socket, link.index, part) {
            Ok(done) => answers.extend(done),
            // The outcome of this part is unknown, and the rest isn't tried.
            Err(error) => {
                answers.extend(repeat_error(&ops[answers.len()..], &unknown_outcome(&error)));
                break;
            }
        }
    }
    answers
}

fn change_some_addresses(
    socket: &mut RouteSocket,
    link: u32,
    ops: &[&Op],
) -> Result<Vec<Answer>, nl_ipvs::Error> {
    let mut requests = Vec::with_capacity(2 * ops.len());
    let parts: Vec<_> = ops
        .iter()
        .map(|op| {
            let (asked, tolerated): (Vec<_>, Vec<_>) = address_parts(link, op)?
                .into_iter()
                .map(|part| (part.request, part.tolerated))
                .unzip();
            requests.extend(asked);
            Ok(tolerated)
        })
        .collect();
    let mut outcomes = socket.batch(requests)?.into_iter();
    let answers = parts.into_iter().map(|parts| {
        let parts = parts?;
        // Take all outcomes of this operation, so that the next one finds its own.
        let answers: Vec<_> = parts.iter().zip(outcomes.by_ref().take(parts.len())).collect();
        let mut errors = answers.into_iter().filter_map(|(tolerated, outcome)| {
            outcome.err().filter(|error| !tolerated.contains(&error.errno()))
        });
        // Report the last error: an address that exists must not hide a route that is missing.
        match errors.next_back() {
            None => Ok(()),
            Some(error) => Err(refused_op(&error, None)),
        }
    });
    Ok(answers.collect())
}

/// Lists the requests of one operation, in order.
fn address_parts(link: u32, op: &Op) -> Result<Vec<AddressRequest>, OpError> {
    let must = |request| AddressRequest { request, tolerated: &[] };
    let without_route = |address| AddressRequest {
        request: route::delete_local_route(link, address),
        tolerated: &[errno::ESRCH, errno::ENOENT],
    };
    Ok(match *op {
        Op::Bind { address, source } => {
            let mut parts = vec![must(address::add_address(link, address))];
            if let Some(source) = supported_source(address, source)? {
                parts.push(must(route::replace_local_route(link, address, source)));
            }
            parts
        }
        Op::SetSource { address, source } => {
            let mut parts = vec![must(address::ensure_address(link, address))];
            match supported_source(address, source)? {
                Some(source) => parts.push(must(route::replace_local_route(link, address, source))),
                None if address.is_ipv4() => {
                    // After the link was down and up, the kernel's own route stands behind ours,
                    // and the kernel refuses to replace ours by a copy of its own.
                    parts.push(without_route(address));
                    parts.push(must(route::replace_local_route(link, address, address)));
                }
                None => {}
            }
            parts
        }
        Op::Unbind { address } => {
            let mut parts = vec![must(address::delete_address(link, address))];
            if address.is_ipv4() {
                parts.insert(0, without_route(address));
            }
            parts
        }
        _ => Vec::new(),
    })
}

/// Refuses a source address for an IPv6 VIP. The kernel adds IPv6 local routes from a work queue,
/// after it has answered, so it may undo a replacement; a flap of the interface drops one too.
fn supported_source(address: IpAddr, source: Option<IpAddr>) -> Result<Option<IpAddr>, OpError> {
    match (address, source) {
        (IpAddr::V6(_), Some(source)) => Err(OpError::new(
            errno::EOPNOTSUPP,
            format!("{source} can't be the source towards {address}: that works for IPv4 only"),
        )),
        _ => Ok(source),
    }
}

fn change_legacy(op: &Op) -> Answer {
    match op {
        Op::InsertRule { place, hook, prefix } => {
            iptables_legacy::insert_legacy_rule(place, *hook, prefix)
        }
        Op::DeleteRule { place, prefix } => iptables_legacy::delete_legacy_rule(place, prefix),
        _ => Ok(()),
    }
}

fn change_link(socket: &mut RouteSocket, interface: &str, op: &Op) -> Answer {
    match op {
        Op::CreateLink => {
            // Alone and first: if the name is taken, its owner must not be touched.
            send_request(socket, link::create_interface(interface))?;
            // Refused where IPv6 is off, where it isn't needed.
            let _ = send_request(socket, link::disable_link_local(interface));
            send_request(socket, link::raise_interface(interface))
        }
        Op::RaiseLink => {
            our_link(socket, interface)?;
            send_request(socket, link::raise_interface(interface))
        }
        _ => {
            let link = our_link(socket, interface)?;
            send_request(socket, link::delete_interface(link.index))
        }
    }
}

fn send_request(socket: &mut RouteSocket, request: Request) -> Answer {
    let outcomes = socket.batch(vec![request]).map_err(|error| unknown_outcome(&error))?;
    outcomes.into_iter().collect::<Result<(), _>>().map_err(|error| refused_op(&error, None))
}

/// Finds our interface. Looked up every time, since somebody may have recreated it with another
/// index, or put an interface of another kind in its place.
fn our_link(socket: &mut RouteSocket, interface: &str) -> Result<Dummy, OpError> {
    match link::find_interface(socket, interface) {
        Ok(Some(link)) => Ok(link),
        Ok(None) => {
            Err(OpError::new(errno::ENODEV, format!("ENODEV: there is no interface {interface}")))
        }
        Err(error @ KernelError::NotOurs { .. }) => {
            Err(OpError::new(errno::EBUSY, error.to_string()))
        }
        Err(error) => Err(failed_op(&error)),
    }
}

fn repeat_error(ops: &[&Op], error: &OpError) -> Vec<Answer> {
    ops.iter().map(|_| Err(error.clone())).collect()
}
