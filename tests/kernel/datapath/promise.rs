//! The support of each cell, as documented in docs/data-path.md.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::cells::{Cell, Client, Network, Server};
use super::serve::Protocol;
use super::topology::{Family, address};

/// Mode of the data path on a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// With nftables NAT.
    Full,
    /// Without it: IPv4 only, no masquerading except Docker's, no guard.
    Reduced,
}

/// Sources that the server of a cell may see, or why the cell is unsupported.
pub(super) fn sources(
    cell: &Cell,
    server: Server,
    mode: Mode,
) -> Result<BTreeSet<IpAddr>, &'static str> {
    let elsewhere = server.node() != cell.client.gateway();
    let itself = server.namespace == cell.client.place();
    // Reached by the container's own address: the host port has no listener, or none for UDP.
    let bridged = match cell.network {
        Network::Dnat => true,
        Network::Proxy => cell.protocol == Protocol::Udp,
        Network::Host | Network::Container => false,
    };
    let own_address = bridged && !elsewhere;
    if own_address && itself && cell.call_iptables {
        return Err(
            "a hairpin through a container's own address needs hairpin mode on its bridge \
                    port where bridge-nf-call-iptables is 1: vipd doctor tells",
        );
    }
    if mode == Mode::Reduced {
        held_in_reduced_mode(cell, server, own_address)?;
    }
    let own = address(cell.client.place(), cell.family);
    let node = address(cell.client.gateway(), cell.family);
    let names = match (elsewhere, mode, cell.client) {
        // Packets that leave the node have its address, except where the reduced mode can't
        // masquerade.
        (true, Mode::Reduced, Client::Routed) => vec![own],
        (true, ..) => vec![node],
        // On the node it depends on the path, but is always one of the client's, the node's or the
        // bridge's.
        (false, ..) => {
            let bridge = match cell.family {
                Family::V4 => "172.17.0.1".to_owned(),
                Family::V6 => "fd17:1::1".to_owned(),
            };
            vec![own, node, bridge]
        }
    };
    Ok(names.iter().map(|name| name.parse().unwrap()).collect())
}

fn held_in_reduced_mode(
    cell: &Cell,
    server: Server,
    own_address: bool,
) -> Result<(), &'static str> {
    let itself = server.namespace == cell.client.place();
    let elsewhere = server.node() != cell.client.gateway();
    match (cell.client, cell.network) {
        _ if cell.family == Family::V6 => Err("reduced mode is for IPv4 alone"),
        (Client::NodeWithout, _) if elsewhere => {
            Err("reduced mode masquerades nothing: replies go past the node in the middle")
        }
        (Client::Bridged, _) if own_address && !itself && !cell.call_iptables => {
            Err("reduced mode masquerades nothing: replies go straight over the bridge")
        }
        (Client::Routed, Network::Container) if itself => {
            Err("reduced mode masquerades nothing: the client would be its own peer")
        }
        _ => Ok(()),
    }
}
