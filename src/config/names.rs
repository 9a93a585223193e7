//! `[names]`: named VIPs and their DNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ::node::resolved::LinkDns;
use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use vip::naming::{DEFAULT_TASK_ZONE, NameRange, NameSettings, check_zone};

use super::key_error::KeyError;

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// The address of DC/OS's resolver on every node, which containers and configurations there use.
const DEFAULT_LISTEN: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// The `[names]` section of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NamesSection {
    /// Serve VIPs that are named, as `/mysql:3306`. `false`: only addresses are VIPs.
    pub enabled: bool,
    /// Prefixes from which names get their addresses, one for each family. Those of DC/OS give every
    /// name the address that it had there.
    #[cfg_attr(test, schemars(with = "Vec<String>", length(min = 1)))]
    pub range: Vec<IpNet>,
    /// DNS zones in which names are found, all alike. Names are shown in the first.
    pub zones: Vec<String>,
    /// Serve the names of tasks: `TASK.FRAMEWORK.agentip.ZONE`, and the same with `containerip` and
    /// `autoip`. They cost memory for every task, whether it has a VIP or not.
    pub tasks: bool,
    /// The zone of the names of tasks.
    pub task_zone: String,
    /// Addresses at which the name server answers, each with a port unless that is 53.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub listen: Vec<String>,
    /// Prefixes of clients that the name server answers in addition to this node and the networks of
    /// its bridges. It drops the queries of all others.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub clients: Vec<IpNet>,
    /// Forward queries for names outside the zones to the node's own resolvers, for clients that know
    /// no other resolver.
    pub forward: bool,
    /// Resolvers to forward to, each with a port unless that is 53. Unless set, those of the node.
    pub upstreams: Vec<String>,
    /// Resolver of this node that the agent has ask the name server for names in the zones.
    /// `resolved`: systemd-resolved, over D-Bus. `none`: set it up yourself; `vipd doctor` prints the
    /// lines.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["none", "resolved"])))]
    pub resolver: NodeResolver,
}

/// The resolver of the node that the agent sets up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeResolver {
    /// None: the operator does.
    #[default]
    None,
    /// systemd-resolved.
    Resolved,
}

impl Default for NamesSection {
    fn default() -> Self {
        let settings = NameSettings::default();
        Self {
            enabled: true,
            range: settings.range.prefixes().collect(),
            zones: settings.zones().to_vec(),
            tasks: false,
            task_zone: DEFAULT_TASK_ZONE.to_owned(),
            listen: vec![DEFAULT_LISTEN.to_string()],
            clients: Vec::new(),
            forward: false,
            upstreams: Vec::new(),
            resolver: NodeResolver::None,
        }
    }
}

/// Settings of named VIPs and their DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The range and the zones; `None` if names are not served.
    pub vips: Option<NameSettings>,
    /// The zone of the names of tasks; `None` if they are not served.
    pub task_zone: Option<String>,
    /// The addresses at which the name server answers.
    pub listen: Vec<SocketAddr>,
    /// Additional clients of `vipd dns`.
    pub clients: Vec<IpNet>,
    /// Whether queries for other names are forwarded.
    pub forward: bool,
    /// The resolvers to forward to; empty for those of the node.
    pub upstreams: Vec<SocketAddr>,
    /// The resolver of the node that the agent sets up.
    pub resolver: NodeResolver,
}

impl Default for Names {
    fn default() -> Self {
        let listen = vec![SocketAddr::new(DEFAULT_LISTEN, DNS_PORT)];
        Self {
            vips: Some(NameSettings::default().with_name_server(listen.clone(), false)),
            task_zone: None,
            listen,
            clients: Vec::new(),
            forward: false,
            upstreams: Vec::new(),
            resolver: NodeResolver::None,
        }
    }
}

impl Names {
    /// Returns what systemd-resolved is to be told; `None` unless the agent is to do that.
    #[must_use]
    pub fn resolved_settings(&self) -> Option<LinkDns> {
        let vips = self.vips.as_ref().filter(|_| self.resolver == NodeResolver::Resolved)?;
        let zones = vips.zones().iter().chain(&self.task_zone).cloned().collect();
        Some(LinkDns { servers: self.listen.clone(), zones })
    }
}

impl NamesSection {
    /// Checks the values.
    ///
    /// # Errors
    /// When a range, a zone or an address is none, or the name server would answer at every address.
    pub fn resolve(self) -> Result<Names> {
        let Self {
            enabled,
            range,
            zones,
            tasks,
            task_zone,
            listen,
            clients,
            forward,
            upstreams,
            resolver,
        } = self;
        let range = NameRange::new(&range).context(key_error("range", "[names] range"))?;
        let vips = NameSettings::new(range, zones).context(key_error("zones", "[names] zones"))?;
        let is_loopback =
            |net: &IpNet| net.network().is_loopback() || net.broadcast().is_loopback();
        if let Some(loopback) = vips.range.prefixes().find(is_loopback) {
            let why = format!(
                "[names] range has {loopback}: every node keeps loopback addresses for itself; leave \
                 range out, or use a prefix that nothing else uses"
            );
            bail!(key_error("range", why));
        }
        let listen = parse_sockets("listen", &listen)?;
        ensure!(
            !listen.is_empty(),
            key_error(
                "listen",
                "[names] listen is empty, so nobody could ask vipd dns: leave listen out for \
                 \"198.51.100.1\", or set [names] enabled = false"
            )
        );
        for at in &listen {
            ensure!(
                !at.ip().is_unspecified(),
                key_error(
                    "listen",
                    format!(
                        "[names] listen is {at}: vipd dns answers at addresses of its own only, \
                         such as \"198.51.100.1\""
                    )
                )
            );
        }
        let upstreams = parse_sockets("upstreams", &upstreams)?;
        check_zone(&task_zone).context(key_error("task-zone", "[names] task-zone"))?;
        let vips = vips.with_name_server(listen.clone(), forward || tasks);
        let vips = enabled.then_some(vips);
        let task_zone = Some(task_zone).filter(|_| enabled && tasks);
        Ok(Names { vips, task_zone, listen, clients, forward, upstreams, resolver })
    }
}

fn key_error(key: &'static str, text: impl Into<String>) -> KeyError {
    KeyError::new("names", key, text)
}

/// Parses addresses with or without a port.
fn parse_sockets(key: &'static str, texts: &[String]) -> Result<Vec<SocketAddr>> {
    let parse = |text: &String| {
        let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
        let address = address.or_else(|_| text.parse()).ok().filter(|at| at.port() != 0);
        address.with_context(|| {
            let form = "write an address, or an address with a port, such as \"198.51.100.1:53\"";
            key_error(key, format!("[names] {key} has {text:?}: {form}"))
        })
    };
    texts.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_dc_os() {
        let names = NamesSection::default().resolve().unwrap();
        assert_eq!(names, Names::default());
    }

    #[test]
    fn a_wrong_value_is_refused_by_name() {
        let refused = |change: fn(&mut NamesSection)| {
            let mut section = NamesSection::default();
            change(&mut section);
            format!("{:#}", section.resolve().unwrap_err())
        };
        let range = refused(|section| section.range.clear());
        assert!(range.starts_with("[names] range: no prefix"), "{range}");
        let zones = refused(|section| section.zones = vec!["L4LB".to_owned()]);
        assert!(zones.starts_with("[names] zones: \"L4LB\""), "{zones}");
        let zone = refused(|section| section.task_zone = "a..b".to_owned());
        assert!(zone.starts_with("[names] task-zone: \"a..b\""), "{zone}");
        let listen = refused(|section| section.listen = vec!["0.0.0.0".to_owned()]);
        assert!(listen.starts_with("[names] listen is 0.0.0.0:53"), "{listen}");
        let upstreams = refused(|section| section.upstreams = vec!["dns.example".to_owned()]);
        assert!(upstreams.starts_with("[names] upstreams has \"dns.example\""), "{upstreams}");
        let deaf = refused(|section| section.listen.clear());
        assert!(deaf.starts_with("[names] listen is empty"), "{deaf}");
        for prefix in ["127.0.0.0/8", "126.0.0.0/7", "::1/128"] {
            let range = vec![prefix.parse().unwrap()];
            let section = NamesSection { range, ..NamesSection::default() };
            let why = section.resolve().map(drop).map_err(|error| format!("{error:#}"));
            assert!(why.unwrap_err().starts_with("[names] range"), "{prefix}");
        }
        let port = refused(|section| section.listen = vec!["198.51.100.1:0".to_owned()]);
        assert!(port.starts_with("[names] listen has \"198.51.100.1:0\""), "{port}");
    }
}
