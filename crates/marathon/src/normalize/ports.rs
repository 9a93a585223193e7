//! The ports of an app, and the addresses where its tasks listen.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::{App, DiscoveryPort, Network, PortDefinition, PortMapping, Task};
use crate::{
    Behind, Endpoint, Labels, NetworkMode, Port, Protocol, Scope, Spec, Unroutable, UnusedPort,
};

/// Returns the network of an app: from `networks` since 1.5, from three other fields before.
pub(crate) fn network_mode(app: &App) -> NetworkMode {
    if !app.networks.is_empty() {
        return declared_mode(&app.networks);
    }
    let docker = app.container.docker.network.as_deref();
    match (docker.map(str::to_ascii_uppercase).as_deref(), &app.ip_address) {
        (Some("BRIDGE"), _) => NetworkMode::Bridge,
        (Some("HOST"), _) | (None, None) => NetworkMode::Host,
        (Some("USER") | None, ip_address) => {
            let name = ip_address.as_ref().and_then(|ip| ip.network_name.clone());
            NetworkMode::Container { networks: name.into_iter().collect() }
        }
        (Some(_), _) => NetworkMode::Other(docker.unwrap_or_default().to_owned()),
    }
}

/// Returns the mode of `networks`. Modes can't be mixed, so the first entry decides.
pub(crate) fn declared_mode(networks: &[Network]) -> NetworkMode {
    match networks.first().map(|first| first.mode.as_deref().unwrap_or("container")) {
        None | Some("host") => NetworkMode::Host,
        Some("container/bridge") => NetworkMode::Bridge,
        Some("container") => NetworkMode::Container {
            networks: networks.iter().filter_map(|network| network.name.clone()).collect(),
        },
        Some(other) => NetworkMode::Other(other.to_owned()),
    }
}

/// Returns the ports of an app, from the one list that counts for its network.
///
/// Marathon up to 1.4 also gives bridged apps `portDefinitions` and `ports` that are made from the
/// service ports; they are not ports of the app (`Formats.scala`).
pub(crate) fn app_ports(app: &App, network: &NetworkMode) -> Vec<Port> {
    let checked = !app.health_checks.is_empty();
    let container = &app.container;
    let discovery = app.ip_address.as_ref().map_or(&[][..], |ip| &ip.discovery.ports);
    let at =
        |list: &str, index: usize| PortEntry { index, path: format!("{list}[{index}]"), checked };
    if *network == NetworkMode::Host {
        let required =
            |port: Option<u16>| port.filter(|port| *port != 0 && app.require_ports == Some(true));
        if app.port_definitions.is_empty() {
            let ports = app.ports.iter().enumerate();
            return ports
                .map(|(i, port)| at("ports", i).read_service_port(required(*port)))
                .collect();
        }
        let definitions = app.port_definitions.iter().enumerate();
        return definitions
            .map(|(i, port)| at("portDefinitions", i).read_definition(port, required(port.port)))
            .collect();
    }
    let (list, mappings) = if container.port_mappings.is_empty() {
        ("container.docker.portMappings", &container.docker.port_mappings)
    } else {
        ("container.portMappings", &container.port_mappings)
    };
    if mappings.is_empty() && matches!(network, NetworkMode::Container { .. }) {
        let ports = discovery.iter().enumerate();
        return ports.map(|(i, p)| at("ipAddress.discovery.ports", i).read_discovery(p)).collect();
    }
    let mappings = mappings.iter().enumerate();
    mappings.map(|(i, mapping)| at(list, i).read_mapping(mapping, network)).collect()
}

/// Returns the labelled ports of the other lists.
pub(crate) fn unused_ports(app: &App, read: &[Port]) -> Vec<UnusedPort> {
    let lists: [(&str, Vec<&Labels>); 4] = [
        ("portDefinitions", app.port_definitions.iter().map(|port| &port.labels).collect()),
        ("container.portMappings", mapping_labels(&app.container.port_mappings)),
        ("container.docker.portMappings", mapping_labels(&app.container.docker.port_mappings)),
        (
            "ipAddress.discovery.ports",
            app.ip_address.iter().flat_map(|ip| &ip.discovery.ports).map(|p| &p.labels).collect(),
        ),
    ];
    // All ports that count are from one list.
    let is_read = |list: &str| {
        let port = read.first().and_then(|port| port.path.strip_prefix(list));
        port.is_some_and(|rest| rest.starts_with('['))
    };
    let others = lists.into_iter().filter(|(list, _)| !is_read(list));
    let entries = others.flat_map(|(list, labels)| {
        let labelled = labels.into_iter().enumerate().filter(|(_, labels)| !labels.is_empty());
        labelled.map(move |(i, labels)| UnusedPort {
            path: format!("{list}[{i}]"),
            labels: labels.clone(),
        })
    });
    entries.collect()
}

fn mapping_labels(mappings: &[PortMapping]) -> Vec<&Labels> {
    mappings.iter().map(|mapping| &mapping.labels).collect()
}

/// The position of a port, and the rest that doesn't depend on the kind of list.
struct PortEntry {
    index: usize,
    path: String,
    checked: bool,
}

impl PortEntry {
    fn read_mapping(self, mapping: &PortMapping, network: &NetworkMode) -> Port {
        // Marathon, too, takes a missing hostPort on a bridge for 0.
        let scope = if mapping.host_port.is_some() || *network == NetworkMode::Bridge {
            Scope::Host
        } else {
            Scope::Container { networks: mapping.network_names.clone() }
        };
        let port = self.into_port(&mapping.name, &mapping.protocol, &mapping.labels);
        Port { container_port: mapping.container_port, scope, ..port }
    }

    fn read_definition(self, port: &PortDefinition, required: Option<u16>) -> Port {
        Port { required, ..self.into_port(&port.name, &port.protocol, &port.labels) }
    }

    fn read_discovery(self, port: &DiscoveryPort) -> Port {
        let scope = Scope::Container { networks: Vec::new() };
        let number = port.number;
        let port = self.into_port(&port.name, &port.protocol, &port.labels);
        Port { container_port: number, scope, ..port }
    }

    fn read_service_port(self, required: Option<u16>) -> Port {
        Port { required, ..self.into_port(&None, &None, &Labels::default()) }
    }

    fn into_port(self, name: &Option<String>, protocol: &Option<String>, labels: &Labels) -> Port {
        let (protocols, other_protocols) =
            split_protocols(protocol.as_deref().unwrap_or("tcp").split(','));
        Port {
            index: self.index,
            name: name.clone(),
            container: None,
            path: self.path,
            protocols,
            other_protocols,
            container_port: None,
            scope: Scope::Host,
            required: None,
            checked: self.checked,
            labels: labels.clone(),
        }
    }
}

/// Separates tcp and udp, each once, from other protocols.
pub(crate) fn split_protocols<'a>(
    given: impl Iterator<Item = &'a str>,
) -> (Vec<Protocol>, Vec<String>) {
    let (mut known, mut others) = (Vec::new(), Vec::new());
    for given in given.map(str::trim) {
        let protocol = match given.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => {
                others.push(given.to_owned());
                continue;
            }
        };
        if !known.contains(&protocol) {
            known.push(protocol);
        }
    }
    (known, others)
}

/// Tells whether a task can run by this definition: it has as many host ports as that needs, and
/// those that it requires.
pub(crate) fn fits_task(spec: &Spec, task: &Task) -> bool {
    let mut required = spec.ports.iter().filter_map(|port| port.required);
    count_host_ports(spec) == task.ports.len()
        && required.all(|port| task.ports.contains(&Some(port)))
}

fn count_host_ports(spec: &Spec) -> usize {
    spec.ports.iter().filter(|port| port.scope == Scope::Host).count()
}

/// Locates the ports of the definition that a task runs by.
///
/// A task's `ports` have one entry for each port with a host port, in order, and none for the
/// others (`PortsMatcher.scala`, `TaskBuilder.scala`). If the numbers differ, task and definition
/// don't belong together, and any pairing would be a guess. Required ports come in any order, since
/// Marathon 0.13 lists them as Mesos offered them. Only so many ports are located as the cap allows.
pub(crate) fn locate_ports(spec: &Spec, task: &Task) -> Vec<Result<Endpoint, Unroutable>> {
    let inactive = task.version.is_none() && task.started_at.is_none() && task.ports.is_empty();
    let expected = count_host_ports(spec);
    let found = task.ports.len();
    let nowhere = match &spec.network {
        NetworkMode::Other(mode) => Some(Unroutable::NetworkMode(mode.clone())),
        _ if inactive => Some(Unroutable::Inactive),
        _ if expected != found => Some(Unroutable::PortCount { expected, found }),
        _ => None,
    };
    if let Some(reason) = nowhere {
        return vec![Err(reason); spec.ports.len().min(caps::PORTS)];
    }
    let required: BTreeSet<_> = spec.ports.iter().filter_map(|port| port.required).collect();
    // Most apps require no port, and then none of the task's is looked up.
    let listed = task.ports.iter().flatten().copied().filter(|port| required.contains(port));
    let listed: BTreeSet<_> = listed.collect();
    let is_any = |port: &Option<u16>| port.is_none_or(|port| !required.contains(&port));
    let mut allocated = task.ports.iter().copied().filter(is_any);
    let addresses = task.ip_addresses.iter().filter_map(|address| address.ip_address);
    let addresses: Vec<_> = addresses.take(caps::ADDRESSES).collect();
    let place = |port: &Port| match &port.scope {
        Scope::Host => {
            let behind = container_behind(&spec.network, &addresses, port.container_port);
            let allocated = match port.required {
                Some(required) if listed.contains(&required) => Some(required),
                Some(required) => return Err(Unroutable::OtherPort(required)),
                None => allocated.next().flatten(),
            };
            host_endpoint(task.host.as_deref(), allocated, behind)
        }
        Scope::Container { networks } => {
            check_network(&spec.network, networks)?;
            container_endpoint(&addresses, port.container_port)
        }
    };
    spec.ports.iter().take(caps::PORTS).map(place).collect()
}

/// Returns the address behind a port of the agent, if the task has only one that can be meant.
pub(crate) fn container_behind(
    network: &NetworkMode,
    addresses: &[IpAddr],
    port: Option<u16>,
) -> Option<Behind> {
    let one_network = match network {
        NetworkMode::Bridge => true,
        NetworkMode::Container { networks } => networks.len() <= 1,
        NetworkMode::Host | NetworkMode::Other(_) => false,
    };
    let port = port.filter(|port| *port != 0 && one_network && !addresses.is_empty())?;
    Some(Behind { addresses: addresses.into(), port })
}

/// Makes an endpoint at a port of the agent.
pub(crate) fn host_endpoint(
    host: Option<&str>,
    port: Option<u16>,
    behind: Option<Behind>,
) -> Result<Endpoint, Unroutable> {
    host.filter(|host| !host.is_empty()).ok_or(Unroutable::NoHost)?;
    let port = port.filter(|port| *port != 0).ok_or(Unroutable::NoHostPort)?;
    Ok(Endpoint::Host { port, behind })
}

/// Makes an endpoint at the task's own address.
pub(crate) fn container_endpoint(
    addresses: &[IpAddr],
    port: Option<u16>,
) -> Result<Endpoint, Unroutable> {
    let port = port.filter(|port| *port != 0).ok_or(Unroutable::NoContainerPort)?;
    if addresses.is_empty() {
        return Err(Unroutable::NoAddress);
    }
    Ok(Endpoint::Container { addresses: addresses.into(), port })
}

/// Checks that the network of a port is the one with the known address: the addresses of a task
/// have no network names, and those of the first network come first. Marathon's own health checks
/// use the first one, too.
fn check_network(of_app: &NetworkMode, of_port: &[String]) -> Result<(), Unroutable> {
    match (of_app, of_port) {
        (NetworkMode::Container { networks }, [wanted, ..])
            if networks.len() > 1 && !of_port.contains(&networks[0]) =>
        {
            Err(Unroutable::AmbiguousNetwork { network: wanted.clone() })
        }
        _ => Ok(()),
    }
}
