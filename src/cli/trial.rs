//! `vipd try`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use dns::DomainName;
use futures_util::future::join_all;
use marathon::client::{ResolverFiles, look_up_host_by};
use vip::Protocol;

use super::agent::{AgentAddress, if_any};
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::admin::client::AgentClient;
use crate::config::Config;
use crate::report::names::ReportedLabel;
use crate::report::near::UnknownName;
use crate::report::vips::VipReport;
use crate::trial::connect::{connect, connect_all, measure};
use crate::trial::facts::{Lookup, Timed, Trial};
use crate::trial::namespace::Namespace;
use crate::trial::report::TrialReport;

/// The most VIPs that are tried at once.
const MOST_VIPS: usize = 10;
/// The most real servers of a VIP that are tried.
const MOST_SERVERS: usize = 100;
/// The time that vipd's name server has for an answer.
const NAME_SERVER_PATIENCE: Duration = Duration::from_secs(2);

/// Try a VIP from this node: its name, the VIP itself, then each real server directly
///
/// Tells what fails and where: resolver, policy, refusal, firewall, route or server. Real servers are
/// tried as this node reaches them, all at the same time; within some 20 seconds it is done. UDP can't be
/// proved without a payload that the server answers: only a refusal shows.
///
/// With --netns it is tried from a container. The name is then looked up by the resolv.conf of that
/// namespace, as far as it can be told.
///
/// Exit status: 0 it works, 1 something fails, 2 error, or nothing by that name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd try mysql.marathon.l4lb.thisdcos.directory:3306
  vipd try 3.3.0.6:3306
  vipd try 3.3.0.6 3306
  vipd try 3.3.0.6:53/udp
  vipd try /mysql
  vipd try /mysql --netns 4711
  vipd try 3.3.0.6:3306 --output json")]
pub(super) struct Try {
    /// A VIP as ADDRESS[:PORT[/PROTOCOL]] or NAME[:PORT], or the id of an app
    #[arg(value_name = "VIP|NAME|APP")]
    what: String,
    /// Port, if it isn't part of the VIP
    port: Option<NonZeroU16>,
    /// Try it from this network namespace: a name of `ip netns`, the id of a process in it, or a path
    #[arg(long, value_name = "NAME|PID|PATH")]
    netns: Option<String>,
    #[command(flatten)]
    agent: AgentAddress,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Something to try.
struct Target {
    /// The VIP, name or app that was asked for.
    what: String,
    /// The name to look up. None: an address was given.
    name: Option<String>,
    address: Option<SocketAddr>,
    port: u16,
    protocol: Protocol,
    vip: Option<VipReport>,
    refused: Vec<String>,
}

impl Target {
    /// Makes a target that has neither a name nor an address.
    fn without_address(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            name: None,
            address: None,
            port: 0,
            protocol: Protocol::Tcp,
            vip: None,
            refused: Vec::new(),
        }
    }
}

impl Try {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.resolve_node_config()?;
        let what = match self.port {
            Some(port) => join_port(&self.what, port),
            None => self.what.clone(),
        };
        let agent = if_any(self.agent.find(&config));
        let (targets, no_agent) = match agent {
            Ok(Some(agent)) => match Known::ask(&agent) {
                Ok(known) => (known.find_targets(&what)?, None),
                Err(error) => target_without_agent(&what, format!("{error:#}"))?,
            },
            Ok(None) => target_without_agent(&what, "no agent runs here".to_owned())?,
            Err(error) => target_without_agent(&what, error.to_string())?,
        };
        let no_agent = no_agent.map(|why| format!("{why}: real servers aren't known"));
        let namespace = self.netns.as_deref().map(Namespace::parse);
        let from =
            self.netns.as_ref().map_or("this node".to_owned(), |name| format!("namespace {name}"));
        let trials = try_in(namespace, targets, no_agent, &config)?;
        let reports: Vec<_> = trials.iter().map(|trial| TrialReport::new(trial, &from)).collect();
        match self.output {
            Format::Text => {
                let lines: Vec<_> = reports.iter().flat_map(TrialReport::to_lines).collect();
                output::print_lines(&lines)?;
            }
            Format::Json => output::print_json(&reports)?,
        }
        Ok(if reports.iter().all(TrialReport::is_fine) { End::Fine } else { End::Found })
    }
}

/// Tries all of them on a thread of its own, which may be in another namespace.
fn try_in(
    namespace: Option<Namespace>,
    targets: Vec<Target>,
    no_agent: Option<String>,
    config: &Config,
) -> Result<Vec<Trial>> {
    let name_server = config.names.listen.first().copied();
    // Connections of a container get another source.
    let source = config.node_address.filter(|_| namespace.is_none());
    let work = move || -> Result<Vec<Trial>> {
        let (files, note) = match &namespace {
            Some(namespace) => {
                let files = namespace.read_resolver_files();
                namespace.enter()?;
                files
            }
            None => (ResolverFiles::read(), None),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut trials = runtime.block_on(try_all(targets, &files, name_server, source));
        for trial in &mut trials {
            trial.no_agent.clone_from(&no_agent);
            trial.notes.extend(note.clone().filter(|_| trial.lookup.is_some()));
        }
        Ok(trials)
    };
    let thread = thread::Builder::new().name("try".into()).spawn(work)?;
    thread.join().map_err(|_| anyhow!("the thread that tries it has ended"))?
}

/// Looks up every name, and only then connects: a look-up may block, and no connection is to wait for it.
async fn try_all(
    targets: Vec<Target>,
    files: &ResolverFiles,
    name_server: Option<SocketAddr>,
    source: Option<Ipv4Addr>,
) -> Vec<Trial> {
    let look_up = async |target: &Target| match &target.name {
        Some(name) => Some(look_up(name, files, name_server).await),
        None => None,
    };
    let lookups = join_all(targets.iter().map(look_up)).await;
    let each = targets.into_iter().zip(lookups);
    join_all(each.map(|(target, lookup)| try_target(target, lookup, source))).await
}

async fn try_target(target: Target, lookup: Option<Lookup>, source: Option<Ipv4Addr>) -> Trial {
    // What a client would use; where it gets none, what the agent tells.
    let answered = lookup.as_ref().and_then(|lookup| {
        let name_server = lookup.name_server.as_ref().map(|(_, answer)| answer);
        let answers = [Some(&lookup.resolver), name_server];
        answers
            .into_iter()
            .flatten()
            .find_map(|answer| answer.result.as_ref().ok()?.first().copied())
    });
    let answered = answered.map(|ip| SocketAddr::new(ip, target.port));
    let address = answered.or(target.address);
    let at_vip = match address {
        Some(address) => Some(connect(address, target.protocol).await),
        None => None,
    };
    let servers: Vec<_> =
        target.vip.iter().flat_map(|vip| &vip.backend).filter_map(|task| task.server).collect();
    let tried = &servers[..servers.len().min(MOST_SERVERS)];
    let rest = servers.len() - tried.len();
    Trial {
        what: target.what,
        lookup,
        address,
        protocol: target.protocol,
        vip: target.vip,
        no_agent: None,
        refused: target.refused,
        at_vip,
        servers: connect_all(tried, target.protocol, source).await,
        notes: (rest > 0)
            .then(|| format!("{rest} more real servers were not tried"))
            .into_iter()
            .collect(),
    }
}

/// Looks up a name; by vipd's own name server where the resolver fails.
async fn look_up(name: &str, files: &ResolverFiles, name_server: Option<SocketAddr>) -> Lookup {
    let resolver = measure(look_up_host_by(name, files)).await;
    let result = resolver.result.map_err(|error| error.to_string());
    let resolver = Timed { result, took: resolver.took };
    let ask = |server| async move {
        let ask = || {
            let domain = DomainName::parse(name).map_err(|error| error.to_string())?;
            match dns::look_up(&domain, server, NAME_SERVER_PATIENCE) {
                Ok(found) if found.is_empty() => Err("it has no address there".to_owned()),
                Ok(found) => Ok(found.into_iter().collect()),
                Err(error) => Err(error.to_string()),
            }
        };
        // It blocks: nothing else happens on this thread meanwhile.
        (server, measure(async { ask() }).await)
    };
    let name_server = match name_server.filter(|_| resolver.result.is_err()) {
        Some(server) => Some(ask(server).await),
        None => None,
    };
    Lookup { name: name.to_owned(), resolver, name_server }
}

/// What the agent tells.
struct Known {
    vips: Vec<VipReport>,
    labels: Vec<ReportedLabel>,
}

impl Known {
    fn ask(agent: &AgentClient) -> Result<Self> {
        Ok(Self { vips: agent.fetch_vips()?, labels: agent.fetch_labels()? })
    }

    /// Finds the VIPs that are meant among those of the agent.
    fn find_targets(&self, what: &str) -> Result<Vec<Target>> {
        let Self { vips, labels } = self;
        let meant: Vec<_> = vips.iter().filter(|vip| is_meant(vip, what)).cloned().collect();
        if meant.len() > MOST_VIPS {
            let first: Vec<_> = meant.iter().take(3).map(VipReport::full_name).collect();
            bail!("{what} has {} VIPs: say which, as {}", meant.len(), first.join(" or "));
        }
        if !meant.is_empty() {
            return Ok(meant.into_iter().map(|vip| target_of(vip, what)).collect());
        }
        let refused: Vec<_> =
            labels.iter().filter(|label| !label.ok && label.means(what)).collect();
        let known = vips.iter().flat_map(|vip| {
            let apps = vip.summary.apps.iter().map(ToString::to_string);
            apps.chain(vip.summary.dns.clone()).chain([vip.vip.clone()])
        });
        let known = known.chain(labels.iter().map(|label| label.app.clone()));
        let mut target = match parse_target(what) {
            Ok(target) => target,
            // An app whose labels are all refused has nothing to try, and that is the finding.
            Err(_) if !refused.is_empty() => Target::without_address(what),
            Err(_) => bail!(UnknownName::of(what, known.collect::<Vec<_>>())),
        };
        target.refused = refused.iter().map(|label| label.to_sentence()).collect();
        Ok(vec![target])
    }
}

/// Reads what is meant where no agent tells more, and returns why none does.
fn target_without_agent(what: &str, why: String) -> Result<(Vec<Target>, Option<String>)> {
    if what.starts_with('/') {
        bail!("{why}, and only an agent knows apps: write ADDRESS:PORT or NAME:PORT of a VIP");
    }
    Ok((vec![parse_target(what)?], Some(why)))
}

/// Returns whether a VIP is meant: by its address, with or without port and protocol, by its name, or by
/// an app of it, with or without port.
fn is_meant(vip: &VipReport, what: &str) -> bool {
    let names = [vip.summary.name.as_deref(), vip.summary.dns.as_deref()];
    let port = format!(":{}", vip.vip.rsplit(':').next().unwrap_or_default());
    let id = what.strip_suffix(&port).unwrap_or(what).trim_matches('/');
    let is_app = |app: &std::sync::Arc<str>| app.trim_matches('/') == id;
    let is_ip = || vip.vip.parse().is_ok_and(|at: SocketAddr| what.parse() == Ok(at.ip()));
    vip.full_name() == what
        || vip.is_called(what)
        || names.contains(&Some(what))
        || vip.summary.apps.iter().any(is_app)
        || is_ip()
}

fn target_of(vip: VipReport, what: &str) -> Target {
    let address: Option<SocketAddr> = vip.vip.parse().ok();
    let is_address = what.starts_with(&vip.vip)
        || address.is_some_and(|address| what.parse() == Ok(address.ip()));
    Target {
        what: what.to_owned(),
        name: vip.summary.dns.clone().filter(|_| !is_address),
        port: address.map_or(0, |address| address.port()),
        address,
        protocol: if vip.protocol == "udp" { Protocol::Udp } else { Protocol::Tcp },
        vip: Some(vip),
        refused: Vec::new(),
    }
}

/// Reads a VIP or name with its port.
fn parse_target(what: &str) -> Result<Target> {
    let (place, protocol) = match what.strip_suffix("/udp") {
        Some(place) => (place, Protocol::Udp),
        None => (what.strip_suffix("/tcp").unwrap_or(what), Protocol::Tcp),
    };
    let target = |name, address, port| Target {
        name,
        address,
        port,
        protocol,
        ..Target::without_address(what)
    };
    let check = |port: u16| {
        let port = NonZeroU16::new(port).map(NonZeroU16::get);
        port.context("0 is no port: write one from 1 to 65535")
    };
    if let Ok(address) = place.parse::<SocketAddr>() {
        return Ok(target(None, Some(address), check(address.port())?));
    }
    let parts = place.rsplit_once(':').filter(|(name, _)| !name.contains(':'));
    let (name, port) = parts.with_context(|| format!("{what} has no port: write {what}:PORT"))?;
    let number = port.parse();
    let port = number.with_context(|| format!("{port} is no port: write one from 1 to 65535"))?;
    Ok(target(Some(name.to_owned()), None, check(port)?))
}

/// Adds a port to an address or a name.
fn join_port(what: &str, port: NonZeroU16) -> String {
    match what.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port.get()).to_string(),
        Err(_) => format!("{what}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: NonZeroU16 = NonZeroU16::new(80).unwrap();

    #[test]
    fn a_vip_is_meant_by_address_name_and_app() {
        let vip: VipReport = serde_json::from_value(serde_json::json!({
            "vip": "3.3.0.6:3306", "protocol": "tcp", "name": "mysql.marathon",
            "dns": "mysql.marathon.l4lb.thisdcos.directory", "apps": ["/shop/mysql"],
            "state": "serving", "problems": [], "backend": [], "left_out": [],
        }))
        .unwrap();
        let addresses = ["3.3.0.6", "3.3.0.6:3306", "3.3.0.6:3306/tcp"];
        let names = ["mysql.marathon", "mysql.marathon.l4lb.thisdcos.directory:3306"];
        let apps = ["/shop/mysql", "shop/mysql", "/shop/mysql:3306"];
        for what in addresses.iter().chain(&names).chain(&apps) {
            assert!(is_meant(&vip, what), "{what}");
        }
        for what in ["3.3.0.6:80", "3.3.0.6:3306/udp", "/shop", "mysql", "/shop/mysql:80"] {
            assert!(!is_meant(&vip, what), "{what}");
        }
        assert_eq!(target_of(vip.clone(), "3.3.0.6").name, None, "nothing is to be looked up");
        let name = target_of(vip, "/shop/mysql").name;
        assert_eq!(name.as_deref(), Some("mysql.marathon.l4lb.thisdcos.directory"));
    }

    #[test]
    fn a_target_is_written_as_labels_are() {
        let read = |what: &str| {
            let target = parse_target(what).unwrap();
            (target.name, target.address.map(|at| at.to_string()), target.port, target.protocol)
        };
        let address = |at: &str| Some(at.to_owned());
        assert_eq!(read("3.3.0.6:80"), (None, address("3.3.0.6:80"), 80, Protocol::Tcp));
        assert_eq!(read("3.3.0.6:53/udp"), (None, address("3.3.0.6:53"), 53, Protocol::Udp));
        assert_eq!(read("[fd01::1]:80/tcp"), (None, address("[fd01::1]:80"), 80, Protocol::Tcp));
        assert_eq!(read("a.b:80"), (Some("a.b".to_owned()), None, 80, Protocol::Tcp));
        for wrong in ["3.3.0.6", "3.3.0.6:0", "a.b", "a.b:http", "a.b:0", "a.b:70000", "fd01::1"] {
            assert!(parse_target(wrong).is_err(), "{wrong}");
        }
        assert_eq!(join_port("3.3.0.6", HTTP), "3.3.0.6:80");
        assert_eq!(join_port("fd01::1", HTTP), "[fd01::1]:80");
        assert_eq!(join_port("a.b", HTTP), "a.b:80");
    }
}
