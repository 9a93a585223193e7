//! The cells of the matrix: each combination of client and server, and why some can't exist.

use std::fmt;

use super::serve::Protocol;
use super::topology::{Family, address};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    Node,
    Bridged,
    Routed,
    OtherNode,
    NodeWithout,
}

impl Client {
    pub(super) const ALL: [Self; 5] =
        [Self::Node, Self::Bridged, Self::Routed, Self::OtherNode, Self::NodeWithout];

    /// Its namespace.
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::Node => "n1",
            Self::Bridged => "n1b",
            Self::Routed => "n1r",
            Self::OtherNode => "n3",
            Self::NodeWithout => "n4",
        }
    }

    /// The node whose table serves it.
    pub(super) fn gateway(self) -> &'static str {
        if self == Self::OtherNode { "n3" } else { "n1" }
    }
}

/// Network of a server in Marathon's terms, and how its host port reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Network {
    Host,
    /// Bridged; a userland proxy listens on the host port beside the DNAT rule.
    Proxy,
    /// Bridged; the host port exists only as a DNAT rule.
    Dnat,
    /// A routed address of its own.
    Container,
}

impl Network {
    pub(super) const ALL: [Self; 4] = [Self::Host, Self::Proxy, Self::Dnat, Self::Container];
}

/// Location of the server relative to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Same,
    Other,
    /// Hairpin: the client is the server.
    Itself,
}

impl Place {
    pub(super) const ALL: [Self; 3] = [Self::Same, Self::Other, Self::Itself];
}

/// A server: its namespace and its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Server {
    pub(super) namespace: &'static str,
    pub(super) network: Network,
}

impl Server {
    /// All there are.
    pub(super) fn all() -> Vec<Self> {
        let server = |namespace, network| Self { namespace, network };
        vec![
            server("n1", Network::Host),
            server("n2", Network::Host),
            server("n3", Network::Host),
            server("n4", Network::Host),
            server("n1s", Network::Proxy),
            server("n1s", Network::Dnat),
            server("n2s", Network::Proxy),
            server("n2s", Network::Dnat),
            server("n1b", Network::Proxy),
            server("n1b", Network::Dnat),
            server("n1t", Network::Container),
            server("n2t", Network::Container),
            server("n1r", Network::Container),
        ]
    }

    /// The node that runs it.
    pub(super) fn node(self) -> &'static str {
        match &self.namespace[..2] {
            "n1" => "n1",
            "n2" => "n2",
            "n3" => "n3",
            _ => "n4",
        }
    }

    /// The name that it answers with; all bridged servers of a container share one.
    pub(super) fn name(self) -> &'static str {
        self.namespace
    }

    /// Address and port in Marathon's answers.
    pub(super) fn real(self, family: Family) -> (String, u16) {
        match self.network {
            Network::Host => (address(self.namespace, family), 31000),
            Network::Proxy if self.namespace.ends_with('b') => {
                (address(self.node(), family), 31001)
            }
            Network::Proxy => (address(self.node(), family), 31002),
            Network::Dnat if self.namespace.ends_with('b') => (address(self.node(), family), 31003),
            Network::Dnat => (address(self.node(), family), 31004),
            Network::Container => (address(self.namespace, family), 80),
        }
    }

    /// Its VIP, the same for both protocols.
    pub(super) fn vip(self, family: Family) -> String {
        let index = Self::all().iter().position(|other| *other == self).unwrap_or_default() + 1;
        match family {
            Family::V4 => format!("3.3.1.{index}:80"),
            Family::V6 => format!("[fd03::{index}]:80"),
        }
    }
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) client: Client,
    pub(super) network: Network,
    pub(super) place: Place,
    pub(super) protocol: Protocol,
    pub(super) family: Family,
    /// bridge-nf-call-iptables and -ip6tables on every node.
    pub(super) call_iptables: bool,
}

impl Cell {
    /// All of them: 480.
    pub(super) fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for call_iptables in [false, true] {
            for client in Client::ALL {
                for network in Network::ALL {
                    for place in Place::ALL {
                        for protocol in [Protocol::Tcp, Protocol::Udp] {
                            for family in [Family::V4, Family::V6] {
                                cells.push(Self {
                                    client,
                                    network,
                                    place,
                                    protocol,
                                    family,
                                    call_iptables,
                                });
                            }
                        }
                    }
                }
            }
        }
        cells
    }

    /// The servers of the cell, or why there can't be any.
    pub(super) fn servers(&self) -> Result<Vec<Server>, &'static str> {
        let namespaces: &[_] = match (self.client, self.network, self.place) {
            (Client::OtherNode | Client::NodeWithout, network, Place::Same)
                if network != Network::Host =>
            {
                return Err("that node runs no containers");
            }
            (Client::NodeWithout, Network::Host, Place::Same | Place::Itself) => &["n4"],
            (Client::OtherNode, Network::Host, Place::Same | Place::Itself) => &["n3"],
            (Client::NodeWithout, Network::Host, Place::Other) => &["n1", "n2"],
            (Client::NodeWithout, Network::Proxy | Network::Dnat, Place::Other) => &["n1s", "n2s"],
            (Client::NodeWithout, Network::Container, Place::Other) => &["n1t", "n2t"],
            (_, Network::Host, Place::Other) => &["n2"],
            (_, Network::Proxy | Network::Dnat, Place::Other) => &["n2s"],
            (_, Network::Container, Place::Other) => &["n2t"],
            (_, Network::Host, Place::Same) | (Client::Node, Network::Host, Place::Itself) => {
                &["n1"]
            }
            (_, Network::Proxy | Network::Dnat, Place::Same) => &["n1s"],
            (_, Network::Container, Place::Same) => &["n1t"],
            (Client::Bridged, Network::Proxy | Network::Dnat, Place::Itself) => &["n1b"],
            (Client::Routed, Network::Container, Place::Itself) => &["n1r"],
            (_, _, Place::Itself) => return Err("the client is in another network than that"),
        };
        let network = self.network;
        Ok(namespaces.iter().map(|&namespace| Server { namespace, network }).collect())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        write!(f, ", {} {:?}, ", self.protocol.word(), self.family)?;
        write!(f, "bridge-nf-call-iptables {}", u8::from(self.call_iptables))
    }
}

impl Cell {
    /// Client, network and place.
    pub(super) fn kind(&self) -> String {
        let client = match self.client {
            Client::Node => "node",
            Client::Bridged => "bridged container",
            Client::Routed => "routed container",
            Client::OtherNode => "other node",
            Client::NodeWithout => "node without vipd",
        };
        let network = match self.network {
            Network::Host => "host network",
            Network::Proxy => "bridge with proxy",
            Network::Dnat => "bridge with DNAT only",
            Network::Container => "container network",
        };
        let place = match self.place {
            Place::Same => "same node",
            Place::Other => "other node",
            Place::Itself => "itself",
        };
        format!("{client} -> {network}, {place}")
    }
}
