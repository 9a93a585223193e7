//! The addresses of the ports of a task, and its environment variables.

use std::net::{IpAddr, SocketAddr};

use crate::definition::{Check, Container, Network, Probe, Target};
use crate::store::Job;

/// One port of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The address where clients reach it.
    pub(super) public: SocketAddr,
    /// The addresses that the built-in server binds.
    pub(super) listen: Vec<SocketAddr>,
    pub(super) tcp: bool,
    pub(super) udp: bool,
}

impl Job {
    pub(super) fn container(&self) -> &Container {
        &self.spec.containers[self.task.index]
    }

    /// Returns the ports in order; None for one without an address.
    pub(super) fn endpoints(&self) -> Vec<Option<Endpoint>> {
        let mut host_ports = self.host_ports.iter();
        let mut locate = |port: &crate::definition::Port| {
            let (public, listen): (IpAddr, Vec<IpAddr>);
            let number = if port.host_port.is_some() {
                (public, listen) = (self.agent.address.into(), self.agent.listen_addresses());
                *host_ports.next()?
            } else {
                let own = self.address.filter(|_| self.spec.network != Network::Bridge)?.into();
                let reachable = self.agent.subnet.is_some() && port.container_port != 0;
                (public, listen) = (own, if reachable { vec![own] } else { Vec::new() });
                port.container_port
            };
            let listen = listen.into_iter().map(|ip| SocketAddr::new(ip, number)).collect();
            let public = SocketAddr::new(public, number);
            Some(Endpoint { public, listen, tcp: port.tcp, udp: port.udp })
        };
        self.container().ports.iter().map(&mut locate).collect()
    }

    /// Returns the address of a check; None for a command or a port without an address.
    pub(super) fn check_target(&self, check: &Check) -> Option<SocketAddr> {
        match check.probe {
            Probe::Tcp(Target::Index(index)) | Probe::Http { target: Target::Index(index), .. } => {
                Some(self.endpoints().get(index)?.as_ref()?.public)
            }
            Probe::Tcp(Target::Number(port)) | Probe::Http { target: Target::Number(port), .. } => {
                let own = self.address.filter(|_| self.spec.network != Network::Bridge);
                Some(SocketAddr::new(own.unwrap_or(self.agent.address).into(), port))
            }
            Probe::Https | Probe::Command(_) => None,
        }
    }

    /// Returns the environment variables that Marathon sets (`mesos/TaskBuilder.scala`,
    /// `EnvironmentHelper`), then those of the definition.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let mut env = vec![
            ("MARATHON_APP_ID".to_owned(), self.spec.id.clone()),
            ("MARATHON_APP_VERSION".to_owned(), self.spec.version.to_string()),
            ("MESOS_TASK_ID".to_owned(), self.task_id.clone()),
            ("HOST".to_owned(), self.agent.hostname.clone()),
        ];
        let mut set = |key: String, value: String| env.push((key, value));
        if let Some(image) = &self.container().image {
            set("MARATHON_APP_DOCKER_IMAGE".to_owned(), image.clone());
        }
        let mut all = Vec::new();
        for (port, endpoint) in self.container().ports.iter().zip(self.endpoints()) {
            let Some(endpoint) = endpoint else { continue };
            let number = endpoint.public.port().to_string();
            set(format!("PORT{}", all.len()), number.clone());
            if let Some(name) = &port.name {
                let name = name.to_uppercase().replace('-', "_");
                set(format!("PORT_{name}"), number.clone());
            }
            if port.container_port != 0 {
                set(format!("PORT_{}", port.container_port), number.clone());
            }
            all.push(number);
        }
        if let Some(first) = all.first() {
            set("PORT".to_owned(), first.clone());
            set("PORTS".to_owned(), all.join(","));
        }
        env.extend(self.container().env.clone());
        env
    }
}
