//! Networks and ports of apps.

use crate::Labels;
use crate::lenient::record;

/// An entry of `networks` of an app (from 1.5) or a pod.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) name: Option<String>,
    /// `host`, `container/bridge`, `container`. Absent is `container`.
    pub(crate) mode: Option<String>,
}

record!(Network { "name" => name, "mode" => mode });

#[derive(Debug, Default)]
pub(crate) struct Container {
    /// From 1.5.
    pub(crate) port_mappings: Vec<PortMapping>,
    pub(crate) docker: Docker,
}

record!(Container { "portMappings" => port_mappings, "docker" => docker });

#[derive(Debug, Default)]
pub(crate) struct Docker {
    /// Up to 1.4: `BRIDGE`, `HOST`, `NONE`, from 1.2 `USER`.
    pub(crate) network: Option<String>,
    /// Up to 1.4.
    pub(crate) port_mappings: Vec<PortMapping>,
}

record!(Docker { "network" => network, "portMappings" => port_mappings });

#[derive(Debug, Default)]
pub(crate) struct PortMapping {
    pub(crate) name: Option<String>,
    pub(crate) container_port: Option<u16>,
    /// 0: any. Absent: none, except on a bridge, where it is 0.
    pub(crate) host_port: Option<u16>,
    /// `tcp`, `udp` or `udp,tcp`. Absent is `tcp`.
    pub(crate) protocol: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) network_names: Vec<String>,
}

record!(PortMapping {
    "name" => name,
    "containerPort" => container_port,
    "hostPort" => host_port,
    "protocol" => protocol,
    "labels" => labels,
    "networkNames" => network_names,
});

/// A port on the network of the agent. Its `port` is a service port, on which nothing listens.
#[derive(Debug, Default)]
pub(crate) struct PortDefinition {
    /// 0: any.
    pub(crate) port: Option<u16>,
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) labels: Labels,
}

record!(PortDefinition {
    "port" => port,
    "name" => name,
    "protocol" => protocol,
    "labels" => labels,
});

#[derive(Debug, Default)]
pub(crate) struct IpAddress {
    pub(crate) network_name: Option<String>,
    pub(crate) discovery: Discovery,
}

record!(IpAddress { "networkName" => network_name, "discovery" => discovery });

#[derive(Debug, Default)]
pub(crate) struct Discovery {
    pub(crate) ports: Vec<DiscoveryPort>,
}

record!(Discovery { "ports" => ports });

#[derive(Debug, Default)]
pub(crate) struct DiscoveryPort {
    pub(crate) number: Option<u16>,
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    /// From 1.0.
    pub(crate) labels: Labels,
}

record!(DiscoveryPort {
    "number" => number,
    "name" => name,
    "protocol" => protocol,
    "labels" => labels,
});
