//! Reads the facts that the checks need. A fact that can't be read is a finding, not an error.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use dns::DomainName;
use marathon::Timestamp;
use marathon::client::Client;
use node::inspect::{self, Modules, Rights};
use node::resolved::{self, LinkDns, Resolved};
use node::{Kernel as _, LinkFacts, LinuxKernel, check_sysctls};
use vip::label::Scheduling;
use vip::naming::NamedClaim;
use vip::{Link, Observed};

use super::relays::ask_relays;
use crate::cli::agent::{find_agent, if_any};
use crate::config::{Config, Marathon};
use crate::doctor::{
    self, AddressFacts, BridgeFacts, Check, ClusterNodes, Diagnosis, ForwardingFacts, Group,
    KernelFacts, LockState, NameFacts, ResolvedState, Resolver, ServerAnswer, TrackingTimeouts,
};
use crate::sources::hosts::Hosts;
use crate::sources::marathon::translate::{Naming, translate_snapshot};
use crate::sources::once::DefinitionSource;
use crate::sources::resolve::look_up_host;

/// The time that the name server has for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn examine_node(config: &Config, marathons: &[Marathon]) -> Diagnosis {
    let mut groups = Vec::new();
    let mut group = |name, checks| groups.push(Group { name, checks });
    let asked: Vec<_> = marathons.iter().map(ask_marathon).collect();
    let Looked { mut kernel, ipvs, observed } = read_kernel(config);
    let observed = observed.as_ref();
    let links = node::read_links().unwrap_or_default();

    let named = asked.iter().flat_map(|asked| asked.schedulers.iter().copied());
    group(
        "kernel",
        doctor::check_kernel(&KernelFacts {
            release: read_trimmed("/proc/sys/kernel/osrelease").unwrap_or_default(),
            ipvs: ipvs.as_ref().map(|(version, _)| version.as_str()),
            modules: Modules::read_running(),
            schedulers: find_schedulers(
                kernel.as_mut(),
                doctor::schedulers_wanted(named, observed),
            ),
            nft: observed.map(|observed| observed.nft.clone()),
        }),
    );
    group("rights", doctor::check_rights(Rights::read_own()));
    let mut reports = match &mut kernel {
        Some(kernel) => kernel.tune_sysctls(false),
        None => check_sysctls(config.sysctl_needs()),
    };
    // Without IPVS its sysctls don't exist: that is reported already.
    reports.retain(|report| ipvs.is_ok() || !report.sysctl.name.starts_with("net.ipv4.vs."));
    let forwards_ipv6 = inspect::read_ipv6_forwarding();
    let has_vips =
        observed.is_some_and(|held| held.our_services().any(|(vip, _)| vip.address.is_ipv6()));
    let forwarding = forwards_ipv6.map(|is_on| ForwardingFacts {
        is_on,
        is_configured: config.ipv6_forwarding == Some(true),
        has_vips,
        allowed: config.policy.allow.iter().find(|prefix| prefix.addr().is_ipv6()).copied(),
    });
    let closed = node::find_closed_interfaces(&config.interface).unwrap_or_default();
    group("settings", doctor::check_sysctls(&reports, forwarding, &closed));
    let buckets = ipvs.as_ref().ok().map(|(_, buckets)| *buckets);
    let seconds = |name: &str| read_trimmed(&format!("/proc/sys/net/{name}"))?.parse().ok();
    let keepalive = seconds("ipv4/tcp_keepalive_time");
    let conntrack = inspect::read_conntrack();
    let mut limits = doctor::check_limits(conntrack, buckets, keepalive, observed);
    let tracking = TrackingTimeouts {
        udp: seconds("netfilter/nf_conntrack_udp_timeout"),
        udp_stream: seconds("netfilter/nf_conntrack_udp_timeout_stream"),
        tcp: seconds("netfilter/nf_conntrack_tcp_timeout_established"),
    };
    limits.extend(doctor::check_tracking(config.timeouts, tracking));
    group("limits", limits);
    if let Some(observed) = observed {
        group("table", doctor::check_table(observed, &links));
        let allow = &config.policy.allow;
        let mut firewall = doctor::check_firewall(observed, allow, config.firewall);
        firewall.extend(doctor::check_untracked(observed, allow));
        group("firewall", firewall);
    }
    if let Some(checks) =
        observed.and_then(|held| check_addresses(config, held, forwards_ipv6 == Some(true)))
    {
        group("addresses", checks);
    }
    group("interface", check_interface(config, observed, &links));
    let filtered =
        read_trimmed("/proc/sys/net/bridge/bridge-nf-call-iptables").map(|value| value == "1");
    group("bridges", doctor::check_bridges(BridgeFacts { filtered, links: &links, observed }));
    let mut nodes = ClusterNodes::default();
    for asked in &asked {
        match &asked.nodes {
            Ok(known) => nodes.known.extend(known),
            Err(why) => nodes.unread.push(why.clone()),
        }
    }
    group("policy", doctor::check_policy(&config.policy, &nodes));
    group("agent", check_agent(config));
    if let Some(checks) = check_names(config, observed) {
        group("names", checks);
    }
    for (marathon, asked) in marathons.iter().zip(&asked) {
        group("marathon", doctor::check_marathon(&marathon.name, &asked.servers, &asked.workloads));
        if !marathon.relays.urls.is_empty() {
            let answers = ask_relays(&marathon.relays);
            group("relays", doctor::check_relays(&answers, env!("CARGO_PKG_VERSION")));
        }
    }
    Diagnosis { groups }
}

/// Checks the name server and the node's resolver. `None` if names are not served, or the kernel can't
/// be read.
fn check_names(config: &Config, observed: Option<&Observed>) -> Option<Vec<Check>> {
    let (vips, observed) = (config.names.vips.as_ref()?, observed?);
    let (zone, server) = (vips.zones().first()?, *config.names.listen.first()?);
    let is_bound = observed.addresses.contains_key(&server.ip());
    let probe = format!("ready.{zone}");
    let unasked = || Err("not asked".to_owned());
    let servers = node::list_nameservers().unwrap_or_default();
    let wanted = config.names.resolved_settings().filter(|_| is_bound);
    Some(doctor::check_names(&NameFacts {
        zone,
        interface: &config.interface,
        server: server.ip(),
        is_bound,
        asked: if is_bound { ask_name_server(server, &probe) } else { unasked() },
        looked_up: match is_bound {
            true => look_up_host(&probe).map(drop).map_err(|error| error.to_string()),
            false => unasked(),
        },
        resolver: Resolver::from_servers(&servers, server.ip()),
        resolved: wanted.map(|dns| ask_resolved(config, &dns)),
    }))
}

/// Asks systemd-resolved whether it asks the name server on the interface.
fn ask_resolved(config: &Config, dns: &LinkDns) -> Result<ResolvedState, String> {
    let link = resolved::find_link(&config.interface).ok_or("there is no such interface")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let read = async {
        let ask = async { Resolved::connect().await?.read_link(link).await };
        tokio::time::timeout(ANSWER_WITHIN, ask).await
    };
    let answer = runtime.map_err(|error| error.to_string())?.block_on(read);
    let found = answer.map_err(|_| "systemd-resolved doesn't answer")?;
    match found.map_err(|error| error.to_string())? == *dns {
        true => Ok(ResolvedState::Asks),
        false => Ok(ResolvedState::AsksNot),
    }
}

/// Asks a name server for the addresses of a name.
fn ask_name_server(server: SocketAddr, name: &str) -> Result<(), String> {
    let name = DomainName::parse(name).map_err(|error| error.to_string())?;
    dns::look_up(&name, server, ANSWER_WITHIN).map(drop).map_err(|error| error.to_string())
}

/// The kernel, as far as it could be read.
struct Looked {
    kernel: Option<LinuxKernel>,
    /// The version of IPVS with the buckets of its table, or why it doesn't answer.
    ipvs: Result<(String, u32)>,
    observed: Option<Observed>,
}

fn read_kernel(config: &Config) -> Looked {
    let opened = LinuxKernel::open(config.kernel_settings()).and_then(|mut kernel| {
        let about = kernel.read_ipvs_info()?;
        Ok((kernel, about))
    });
    match opened {
        Err(error) => Looked { kernel: None, ipvs: Err(error.into()), observed: None },
        Ok((mut kernel, about)) => {
            let (ipvs, observed) = match kernel.observe() {
                Ok(observed) => (Ok(about), Some(observed)),
                Err(error) => (Err(error.into()), None),
            };
            Looked { kernel: Some(kernel), ipvs, observed }
        }
    }
}

/// Asks the kernel for each scheduler. None: it does not say.
fn find_schedulers(
    mut kernel: Option<&mut LinuxKernel>,
    wanted: BTreeSet<String>,
) -> BTreeMap<String, Option<bool>> {
    let ask = |name: String| {
        let kernel = kernel.as_deref_mut();
        let has = kernel.and_then(|kernel| kernel.has_scheduler(&name).ok().flatten());
        (name, has)
    };
    wanted.into_iter().map(ask).collect()
}

/// Checks `node.address` and the prefixes of VIPs. `None` if neither is set.
fn check_addresses(
    config: &Config,
    observed: &Observed,
    forwards_ipv6: bool,
) -> Option<Vec<Check>> {
    let prefixes = &config.policy.allow;
    let unused = doctor::unused_addresses(prefixes, observed).map(|(_, address)| address);
    let checks = doctor::check_addresses(&AddressFacts {
        own: config.node_address,
        prefixes,
        observed,
        forwards_ipv4: read_trimmed("/proc/sys/net/ipv4/ip_forward").is_some_and(|on| on != "0"),
        forwards_ipv6,
        nameservers: node::list_nameservers().unwrap_or_default(),
        outward: node::find_routed_outward(unused).unwrap_or_default(),
    });
    Some(checks).filter(|checks| !checks.is_empty())
}

fn check_interface(
    config: &Config,
    observed: Option<&Observed>,
    links: &[LinkFacts],
) -> Vec<doctor::Check> {
    let link = links.iter().find(|link| link.name == config.interface);
    let state = match (observed, link) {
        (Some(observed), _) => observed.link,
        (None, Some(_)) => Link::Up,
        (None, None) => Link::Missing,
    };
    let manager = link.and_then(|link| inspect::manager_of(link.index));
    doctor::check_interface(&config.interface, state, manager, observed.map(|held| &held.node))
}

fn check_agent(config: &Config) -> Vec<doctor::Check> {
    let lock = match node::Lock::find_holder(&config.lock) {
        None => LockState::Free,
        Some(pid) => LockState::Held(Some(pid)),
    };
    let agent = if_any(find_agent(config)).transpose();
    let answer = agent.map(|agent| agent?.fetch_status());
    doctor::check_agent(lock, answer.as_ref(), Timestamp::now())
}

/// The answers of a Marathon.
struct Asked {
    servers: Vec<ServerAnswer>,
    /// The nodes of its cluster, or why they aren't known.
    nodes: Result<BTreeSet<IpAddr>, String>,
    workloads: Result<usize>,
    schedulers: Vec<Scheduling>,
}

fn ask_marathon(marathon: &Marathon) -> Asked {
    let (servers, nodes) = ask_servers(marathon);
    let mut schedulers = Vec::new();
    let read = DefinitionSource::Marathon(Box::new(marathon.clone())).read_definitions();
    let workloads = read.map(|reading| {
        let naming = Naming { framework: reading.framework.as_deref(), ..Naming::default() };
        let claims = translate_snapshot(&reading.snapshot, &Hosts::new(), Timestamp::now(), naming);
        let named = claims.named.iter().map(NamedClaim::unplaced);
        schedulers.extend(claims.claims.iter().chain(named).map(|claim| claim.options.scheduler));
        reading.snapshot.workloads.len()
    });
    Asked { servers, nodes, workloads, schedulers }
}

/// Asks each server of a Marathon about itself, and the Mesos master that one names about its nodes.
fn ask_servers(marathon: &Marathon) -> (Vec<ServerAnswer>, Result<BTreeSet<IpAddr>, String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = Client::new(&marathon.client_config());
    let (Ok(runtime), Ok(client)) = (runtime, client) else {
        return (Vec::new(), Err("Marathon can't be asked".to_owned()));
    };
    let urls = marathon.urls.iter().enumerate();
    let servers: Vec<_> = urls
        .map(|(number, url)| {
            let url = url.as_str().trim_end_matches('/').to_owned();
            let info = runtime.block_on(client.read_info(number)).map_err(Into::into);
            ServerAnswer { url, info }
        })
        .collect();
    let nodes = match servers.iter().find_map(|server| server.info.as_ref().ok()) {
        None => Err("no server of Marathon answers".to_owned()),
        Some(info) => {
            let read = runtime.block_on(client.read_mesos_agents(info));
            read.map_err(|error| marathon::client::with_sources(&error))
        }
    };
    (servers, nodes)
}

fn read_trimmed(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
