//! `vipd dns`: the name server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use dns::{DomainName, NodeFacts, OwnZones, Responder, Server, Sockets, UpstreamSource, ZoneWatch};
use ipnet::IpNet;
use node::AddressWatch;
use sd_notify::NotifyState;
use vip::naming::{NameSettings, task_zones};

use super::end::End;
use super::global::Global;
use super::signals::{Signals, Told};
use crate::config::{Names, Secrets};

/// The port of name servers.
const PORT: u16 = 53;

/// The pause before the kernel is asked again after an error.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Answer the names of VIPs, as a name server of this node
///
/// A process of its own, without rights: the agent writes the names into a file, and this server
/// reads the file whenever it changes. So names answer while the agent is stopped or upgraded. A
/// name answers only while its address is bound on this node.
///
/// Only this node, its containers and `--clients` are answered. Other names are refused, or
/// forwarded with `--forward`. With sockets from systemd (vipd-dns.socket), `--listen` has no
/// effect, and a restart loses no query.
///
/// Exit status: 0 stopped by SIGTERM or SIGINT, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd dns
  vipd dns --listen 198.51.100.1,198.51.100.2 --clients 10.244.0.0/16
  vipd dns --forward --upstream 10.0.0.2
  dig @198.51.100.1 mysql.marathon.l4lb.thisdcos.directory")]
pub(super) struct Dns {
    /// Zone file that the agent writes, next to its socket [default: /run/vipd/zone]
    #[arg(long, value_name = "FILE", env = "VIPD_ZONE_FILE")]
    zone_file: Option<PathBuf>,
    /// Addresses to listen on, with port 53 unless they have another [default: 198.51.100.1]
    #[arg(
        long,
        value_name = "ADDRESS[:PORT]",
        env = "VIPD_DNS_LISTEN",
        value_delimiter = ',',
        value_parser = parse_listen
    )]
    listen: Vec<SocketAddr>,
    /// Zones of VIP names, never forwarded, even before there is a zone file
    /// [default: l4lb.thisdcos.directory]
    #[arg(long = "zone", value_name = "ZONE", value_delimiter = ',', value_parser = parse_zone)]
    zones: Vec<DomainName>,
    /// Zones of the names of tasks, never forwarded, even before there is a zone file
    #[arg(long = "host-zone", value_name = "ZONE", value_delimiter = ',', value_parser = parse_zone)]
    host_zones: Vec<DomainName>,
    /// Networks whose queries are answered, besides this node and the networks of its bridges
    #[arg(long, value_name = "PREFIX", env = "VIPD_DNS_CLIENTS", value_delimiter = ',')]
    clients: Vec<IpNet>,
    /// Forward queries for other names to this node's name servers
    #[arg(long)]
    forward: bool,
    /// Name server to forward to [default: those of systemd-resolved or /etc/resolv.conf]
    #[arg(
        long = "upstream",
        value_name = "ADDRESS[:PORT]",
        value_delimiter = ',',
        value_parser = parse_listen
    )]
    upstreams: Vec<SocketAddr>,
}

impl Dns {
    pub(super) fn run(&self, global: &Global, signals: &Signals) -> Result<End> {
        let (config, problems) = global.resolve_leniently(Secrets::Skip)?;
        for warning in global.describe_ignored(&problems) {
            tracing::warn!("{warning}");
        }
        let zone_file = self.zone_file.clone().unwrap_or_else(|| config.agent.zone_file());
        let names = config.names;
        let sockets = self.open_sockets(&names)?;
        let addresses = sockets.list_addresses().context("cannot read the sockets' addresses")?;
        let own = self.own_zones(&names)?;
        let responder = Arc::new(Responder {
            listen: addresses.iter().map(SocketAddr::ip).collect(),
            clients: if self.clients.is_empty() { names.clients } else { self.clients.clone() },
            forwards: self.forward || names.forward,
            ..Responder::new(&own)
        });
        follow_node(&responder)?;
        follow_zone(zone_file, own, &responder)?;
        let upstreams = match (self.upstreams.as_slice(), names.upstreams) {
            ([], configured) if configured.is_empty() => UpstreamSource::of_node(),
            ([], configured) => UpstreamSource::Fixed(configured),
            (upstreams, _) => UpstreamSource::Fixed(upstreams.to_vec()),
        };
        let server = Server::new(responder, sockets, upstreams);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        runtime.block_on(async {
            let list: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
            tracing::info!("answers on {}", list.join(", "));
            // Fails without systemd: that is no error.
            let _ = sd_notify::notify(&[NotifyState::Ready]);
            // SIGHUP changes nothing: the zone follows its file.
            let stop = async { while matches!(signals.next().await, Ok(Told::Reload)) {} };
            server.serve_until(stop).await.context("cannot serve")
        })?;
        Ok(End::Fine)
    }

    fn open_sockets(&self, names: &Names) -> Result<Sockets> {
        if let Some(inherited) = Sockets::take_inherited()? {
            return Ok(inherited);
        }
        let listen = if self.listen.is_empty() { &names.listen } else { &self.listen };
        Ok(Sockets::bind_addresses(listen)?)
    }

    fn own_zones(&self, names: &Names) -> Result<OwnZones> {
        let configured = names.vips.iter().flat_map(NameSettings::zones);
        let zones = match self.zones.is_empty() {
            true => configured.map(|zone| parse_zone(zone)).collect::<Result<_>>()?,
            false => self.zones.clone(),
        };
        let configured = names.task_zone.iter().flat_map(|zone| task_zones(zone));
        let host_zones = match self.host_zones.is_empty() {
            true => configured.map(|zone| parse_zone(&zone)).collect::<Result<_>>()?,
            false => self.host_zones.clone(),
        };
        Ok(OwnZones { zones, host_zones })
    }
}

/// Reads the zone file, now and whenever it changes.
fn follow_zone(zone_file: PathBuf, own: OwnZones, responder: &Arc<Responder>) -> Result<()> {
    let mut watch =
        ZoneWatch::open(zone_file, own).context("cannot watch the zone file for changes")?;
    watch.load_zone(&responder.zone);
    let responder = responder.clone();
    start_thread("zone", move || {
        if let Err(error) = watch.follow_changes(&responder.zone) {
            tracing::error!("cannot watch the zone file for changes any more: {error}");
        }
    })
}

/// Reads the node's addresses and the networks of its containers, now and whenever they change.
fn follow_node(responder: &Arc<Responder>) -> Result<()> {
    let mut watch = AddressWatch::open()?;
    store_facts(&watch, responder);
    let responder = responder.clone();
    start_thread("addresses", move || {
        loop {
            let changed = watch.wait_for_change();
            if let Err(error) = changed {
                tracing::warn!("cannot watch this node's addresses, trying again: {error}");
                thread::sleep(RETRY_PAUSE);
                let Ok(opened) = AddressWatch::open() else { continue };
                watch = opened;
            }
            store_facts(&watch, &responder);
        }
    })
}

fn store_facts(watch: &AddressWatch, responder: &Responder) {
    let facts = NodeFacts {
        addresses: watch.list_addresses(),
        container_networks: watch.list_container_networks(),
    };
    *responder.facts.write().unwrap_or_else(PoisonError::into_inner) = facts;
}

fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.with_context(|| format!("cannot start the thread {name}"))?;
    Ok(())
}

fn parse_zone(text: &str) -> Result<DomainName> {
    DomainName::parse(text).with_context(|| format!("{text} is not a zone"))
}

/// Parses an address with or without a port.
fn parse_listen(text: &str) -> Result<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, PORT));
    }
    let at = text.parse::<SocketAddr>().ok().filter(|at| at.port() != 0);
    at.context("not an address, such as 198.51.100.1, 198.51.100.1:5353 or [fd00::1]:53")
}
