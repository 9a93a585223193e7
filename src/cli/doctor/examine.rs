//! Reads the facts that the checks need. A fact that can't be read is a finding, not an error.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use marathon::Timestamp;
use marathon::client::Client;
use node::inspect::{self, Modules, Rights};
use node::{Kernel as _, LinkFacts, LinuxKernel, check_sysctls};
use vip::label::Scheduling;
use vip::naming::NamedClaim;
use vip::{Link, Observed};

use crate::admin::client::AgentClient;
use crate::config::{Config, Marathon};
use crate::doctor::{
    self, BridgeFacts, Check, Diagnosis, Group, KernelFacts, LockState, NameFacts, Resolver,
    ServerAnswer,
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
    let v6 = observed.is_some_and(|held| held.our_services().any(|(vip, _)| vip.address.is_ipv6()));
    let mut reports = check_sysctls(config.strict_arp);
    // Without IPVS its sysctls don't exist: that is reported already.
    reports.retain(|report| ipvs.is_ok() || !report.sysctl.name.starts_with("net.ipv4.vs."));
    let forwarding = inspect::read_ipv6_forwarding();
    group("settings", doctor::check_sysctls(&reports, forwarding.as_ref(), v6));
    let buckets = ipvs.as_ref().ok().map(|(_, buckets)| *buckets);
    group("limits", doctor::check_limits(inspect::read_conntrack(), buckets, observed));
    if let Some(observed) = observed {
        group("table", doctor::check_table(observed, &links));
        group("firewall", doctor::check_firewall(observed, &config.policy.allow, config.firewall));
    }
    group("interface", check_interface(config, observed, &links));
    let filtered =
        read_trimmed("/proc/sys/net/bridge/bridge-nf-call-iptables").map(|value| value == "1");
    group("bridges", doctor::check_bridges(BridgeFacts { filtered, links: &links, observed }));
    group("agent", check_agent(config));
    if let Some(checks) = check_names(config, observed) {
        group("names", checks);
    }
    for (marathon, asked) in marathons.iter().zip(&asked) {
        group("marathon", doctor::check_marathon(&marathon.name, &asked.servers, &asked.workloads));
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
    }))
}

/// Asks a name server for the address of a name (RFC 1035, 4.1).
fn ask_name_server(server: SocketAddr, name: &str) -> Result<(), String> {
    let mut query = vec![0x76, 0x69, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for part in name.split('.') {
        query.push(u8::try_from(part.len()).map_err(|error| error.to_string())?);
        query.extend(part.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let exchange = || {
        let anywhere: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((anywhere, 0))?;
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        socket.connect(server)?;
        socket.send(&query)?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        std::io::Result::Ok(answer.get(3).filter(|_| length > 3).map(|flags| flags & 0xf))
    };
    match exchange() {
        Ok(Some(0)) => Ok(()),
        Ok(code) => Err(format!("it answers with code {}", code.unwrap_or_default())),
        Err(error) => Err(error.to_string()),
    }
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
    doctor::check_interface(&config.interface, state, manager)
}

fn check_agent(config: &Config) -> Vec<doctor::Check> {
    let lock = match node::Lock::find_holder(&config.lock) {
        None => LockState::Free,
        Some(pid) => LockState::Held(Some(pid)),
    };
    let agent = AgentClient::find_listening(&config.agent.socket);
    let answer = agent.map(|agent| agent.fetch_status());
    doctor::check_agent(lock, answer.as_ref(), Timestamp::now())
}

/// The answers of a Marathon.
struct Asked {
    servers: Vec<ServerAnswer>,
    workloads: Result<usize>,
    schedulers: Vec<Scheduling>,
}

fn ask_marathon(marathon: &Marathon) -> Asked {
    let servers = ask_servers(marathon);
    let mut schedulers = Vec::new();
    let read = DefinitionSource::Marathon(Box::new(marathon.clone())).read_definitions();
    let workloads = read.map(|reading| {
        let naming = Naming { framework: reading.framework.as_deref(), zone_len: 0 };
        let claims = translate_snapshot(&reading.snapshot, &Hosts::new(), Timestamp::now(), naming);
        let named = claims.named.iter().map(NamedClaim::unplaced);
        schedulers.extend(claims.claims.iter().chain(named).map(|claim| claim.options.scheduler));
        reading.snapshot.workloads.len()
    });
    Asked { servers, workloads, schedulers }
}

fn ask_servers(marathon: &Marathon) -> Vec<ServerAnswer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = Client::new(&marathon.client_config());
    let (Ok(runtime), Ok(client)) = (runtime, client) else { return Vec::new() };
    let urls = marathon.urls.iter().enumerate();
    urls.map(|(number, url)| {
        let url = url.as_str().trim_end_matches('/').to_owned();
        ServerAnswer { url, info: runtime.block_on(client.read_info(number)).map_err(Into::into) }
    })
    .collect()
}

fn read_trimmed(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
