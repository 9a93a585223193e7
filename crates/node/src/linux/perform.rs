//! The operations of a plan, performed in order with neighbours of one kind in one send.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use nl_ipvs::Ipvs;
use nl_pipeline::errno;
use vip::firewall::Backend;
use vip::plan::OpError;
use vip::{LocalRoute, Op};

use super::answer::{Answer, failed_op, refused_op, unknown_ipvs_outcome, unknown_outcome};
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
        Op::Bind { .. } | Op::Rebind { .. } | Op::SetRoute { .. } | Op::Unbind { .. } => {
            Subsystem::Address
        }
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
            Err(failed) => {
                let error = unknown_ipvs_outcome(&failed.error);
                answers.extend(repeat_error(&ops[answers.len()..], &error));
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
) -> Result<Vec<Answer>, nl_pipeline::Error> {
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
    let answers = parts.into_iter().zip(ops).map(|(parts, op)| {
        let parts = parts?;
        // Take all outcomes of this operation, so that the next one finds its own.
        let answers: Vec<_> = parts.iter().zip(outcomes.by_ref().take(parts.len())).collect();
        let mut errors = answers.into_iter().filter_map(|(tolerated, outcome)| {
            outcome.err().filter(|error| !tolerated.contains(&error.errno()))
        });
        // Report the last error: an address that exists must not hide a route that is missing.
        match errors.next_back() {
            None => Ok(()),
            Some(error) => Err(refused_op(&error, address_hint(op, error.errno()))),
        }
    });
    let answers: Vec<_> = answers.collect();
    let done = ops.iter().zip(&answers).filter_map(|(op, answer)| answer.is_ok().then_some(*op));
    displace_kernel_routes(socket, link, done)?;
    Ok(answers)
}

/// The waiting time for a route of the kernel's own, in all, and the pause between two attempts.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// Removes the kernel's own local routes of IPv6 addresses for which there is one of ours.
///
/// The kernel adds its own from a work queue, after it has answered the request for the address, so they
/// are waited for. One that comes later still is removed after the next reading.
fn displace_kernel_routes<'a>(
    socket: &mut RouteSocket,
    link: u32,
    done: impl Iterator<Item = &'a Op>,
) -> Result<(), nl_pipeline::Error> {
    // Each with whether its address is new, so that the route is certain to come.
    let displaced = done.filter_map(|op| match op {
        Op::Bind { address, route, .. } => route.mtu.map(|_| (*address, true)),
        Op::SetRoute { address, before, .. } => Some((*address, before.source.is_some())),
        _ => None,
    });
    let mut waiting: Vec<_> = displaced.filter(|(address, _)| address.is_ipv6()).collect();
    let end = Instant::now() + PATIENCE;
    while !waiting.is_empty() {
        let requests =
            waiting.iter().map(|(address, _)| route::delete_kernel_route(link, *address)).collect();
        let outcomes = socket.batch(requests)?;
        let missing = waiting.into_iter().zip(outcomes).filter(|((_, is_new), outcome)| {
            *is_new && outcome.as_ref().is_err_and(|error| error.errno() == errno::ESRCH)
        });
        waiting = missing.map(|(place, _)| place).collect();
        if Instant::now() > end {
            break;
        }
        if !waiting.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Explains a refusal that the kernel's own words don't.
fn address_hint(op: &Op, number: i32) -> Option<&'static str> {
    match op {
        // Not for want of rights, which is EPERM.
        Op::Bind { address, .. } if address.is_ipv6() && number == errno::EACCES => Some(
            "IPv6 is disabled on vipd's interface: set the sysctl \
             net.ipv6.conf.default.disable_ipv6 to 0, and that of the interface if it is there",
        ),
        _ => None,
    }
}

/// Lists the requests of one operation, in order.
fn address_parts(link: u32, op: &Op) -> Result<Vec<AddressRequest>, OpError> {
    let must = |request| AddressRequest { request, tolerated: &[] };
    let without_route = |address| AddressRequest {
        request: route::delete_local_route(link, address),
        tolerated: &[errno::ESRCH, errno::ENOENT],
    };
    Ok(match *op {
        Op::Bind { address, route, names } => {
            let add = if names { address::add_name_server } else { address::add_address };
            let mut parts = vec![must(add(link, address))];
            if supported_route(address, route)? != LocalRoute::default() {
                parts.push(must(route::set_local_route(link, address, route)));
            }
            parts
        }
        // Under another prefix length, the address is there all the while, and so is its route.
        Op::Rebind { address: IpAddr::V4(address) } => {
            let meanwhile = |request| AddressRequest {
                request,
                tolerated: &[errno::EEXIST, errno::EADDRNOTAVAIL],
            };
            vec![
                meanwhile(address::add_placeholder(link, address)),
                must(address::delete_address(link, address.into())),
                must(address::add_address(link, address.into())),
                meanwhile(address::delete_placeholder(link, address)),
            ]
        }
        Op::Rebind { address } => vec![must(address::ensure_address(link, address))],
        Op::SetRoute { address, before, route } => {
            let set = route::set_local_route(link, address, supported_route(address, route)?);
            let mut parts = Vec::new();
            // The address or its route is gone.
            if before.source.is_some_and(|source| source.is_unspecified()) {
                parts.push(must(address::ensure_address(link, address)));
            } else if address.is_ipv4() && route == LocalRoute::default() {
                // After the link was down and up, the kernel's own route stands behind ours, and the
                // kernel refuses to replace ours by a copy of its own. Then ours goes, and the VIP
                // stays local by the other. Before Linux 4.17 the kernel doesn't compare MTUs, and
                // the new route may go in place of the former, so it is set once more.
                let tolerated = &[errno::EEXIST];
                parts.push(AddressRequest { request: set.clone(), tolerated });
                parts.push(AddressRequest {
                    request: route::delete_former_route(link, address, before),
                    tolerated: &[errno::ESRCH, errno::ENOENT],
                });
            }
            parts.push(must(set));
            parts
        }
        Op::Unbind { address: address @ IpAddr::V4(_) } => {
            vec![without_route(address), must(address::delete_address(link, address))]
        }
        // Until the address is gone it has a route.
        Op::Unbind { address } => {
            vec![must(address::delete_address(link, address)), without_route(address)]
        }
        _ => Vec::new(),
    })
}

/// Refuses a source address for an IPv6 VIP, whose route would be the kernel's own for a moment each
/// time that the address is bound, or the interface is down and up.
fn supported_route(address: IpAddr, route: LocalRoute) -> Result<LocalRoute, OpError> {
    match (address, route.source) {
        (IpAddr::V6(_), Some(source)) => Err(OpError::new(
            errno::EOPNOTSUPP,
            format!("{source} can't be the source towards {address}: that works for IPv4 only"),
        )),
        _ => Ok(route),
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
