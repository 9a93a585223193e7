//! The caps of a workload that wasn't read from a document.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Endpoint, Instance, InstanceSpec, Labels, Port, Scope, Spec, TaskState, Workload};
use super::{NetworkMode, is_workload_id};

/// What there is too much of, or what is wrong.
type Checked = Result<(), &'static str>;

impl Workload {
    /// Checks that this workload is within the caps that hold for one read from a document: for
    /// workloads that come in another way, such as from a relay.
    ///
    /// # Errors
    /// With the first thing that there is too much of.
    pub fn check_caps(&self) -> Checked {
        check(is_workload_id(&self.id), "its id is none that an app or pod can have")?;
        check_text(&self.path)?;
        check_spec(&self.spec)?;
        let endpoints = self.instances.iter().map(|instance| instance.endpoints.len());
        let endpoints = endpoints.fold(self.instances.len(), usize::saturating_add);
        check(endpoints <= caps::WORKLOAD_ENDPOINTS, "it has too many instances or endpoints")?;
        self.instances.iter().try_for_each(check_instance)?;
        // Thousands of instances may share one.
        let mut seen = HashSet::new();
        let older = self.instances.iter().filter_map(|instance| match &instance.spec {
            InstanceSpec::Older(spec) => Some(spec),
            _ => None,
        });
        older.filter(|spec| seen.insert(Arc::as_ptr(spec))).try_for_each(|spec| check_spec(spec))
    }
}

fn check(is_fine: bool, why: &'static str) -> Checked {
    if is_fine { Ok(()) } else { Err(why) }
}

fn check_text(text: &str) -> Checked {
    check(text.len() <= caps::TEXT, "a text in it is too long")
}

fn check_texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Checked {
    texts.into_iter().try_for_each(|text| check_text(text))
}

fn check_labels(labels: &Labels) -> Checked {
    check(labels.len() <= caps::LABELS, "it has too many labels")?;
    labels.iter().try_for_each(|(key, value)| check_text(key).and_then(|()| check_text(value)))
}

fn check_spec(spec: &Spec) -> Checked {
    let Spec { labels, labels_path, network, ports, unused_ports, .. } = spec;
    check_labels(labels)?;
    check_text(labels_path)?;
    match network {
        NetworkMode::Host | NetworkMode::Bridge => {}
        NetworkMode::Container { networks } => check_texts(networks)?,
        NetworkMode::Other(mode) => check_text(mode)?,
    }
    check(ports.len() + unused_ports.len() <= caps::PORTS, "it has too many ports")?;
    ports.iter().try_for_each(check_port)?;
    unused_ports.iter().try_for_each(|port| {
        check_text(&port.path)?;
        check_labels(&port.labels)
    })
}

fn check_port(port: &Port) -> Checked {
    check(port.index < caps::PORTS, "the number of a port is too high")?;
    check(port.protocols.len() <= 2, "a port has too many protocols")?;
    check(port.other_protocols.len() <= caps::ADDRESSES, "a port has too many protocols")?;
    check_texts(port.name.iter().chain(&port.container).chain([&port.path]))?;
    check_texts(&port.other_protocols)?;
    if let Scope::Container { networks } = &port.scope {
        check_texts(networks)?;
    }
    check_labels(&port.labels)
}

fn check_instance(instance: &Instance) -> Checked {
    let Instance { id, host, state, port_health, endpoints, .. } = instance;
    check_text(id)?;
    check_text(host.as_deref().unwrap_or_default())?;
    if let TaskState::Terminal(name) | TaskState::Other(name) = state {
        check_text(name)?;
    }
    check(
        endpoints.len() <= caps::PORTS && port_health.len() <= caps::PORTS,
        "an instance has too many ports",
    )?;
    endpoints.iter().flatten().try_for_each(check_endpoint)
}

fn check_endpoint(endpoint: &Endpoint) -> Checked {
    let addresses = match endpoint {
        Endpoint::Host { behind: None, .. } => return Ok(()),
        Endpoint::Host { behind: Some(behind), .. } => &behind.addresses,
        Endpoint::Container { addresses, .. } => addresses,
    };
    let is_fine = (1..=caps::ADDRESSES).contains(&addresses.len());
    check(is_fine, "an endpoint has no address, or too many")
}
