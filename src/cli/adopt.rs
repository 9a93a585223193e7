//! `vipd adopt`.

use anyhow::{Context, Result, bail};
use clap::Args;
use node::Kernel;
use vip::label::VipRef;
use vip::{Observed, Plan, Protocol, Vip};

use super::change::Change;
use super::end::End;
use super::global::Global;

/// Take over virtual services that vipd did not create
///
/// Marks them as vipd's and changes nothing else. The next `apply` makes them match the definitions,
/// or removes those that no app claims. A node that `vipd hold` holds stays as it is without --force.
///
/// Exit status: 0 done or nothing to do, 2 error; with --dry-run, 1 if there is something to do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd adopt 3.3.0.6:3306
  vipd adopt 3.3.0.6:53/udp '[fd01::6]:80/tcp'
  vipd adopt --all --dry-run")]
pub(super) struct Adopt {
    /// VIPs as ADDRESS:PORT[/tcp|/udp]; without a protocol, the services of both
    #[arg(required_unless_present = "all", value_name = "VIP")]
    vips: Vec<String>,
    /// Take over every virtual service of an address and a port, also those of other programs: look at
    /// them with --dry-run first
    #[arg(long, conflicts_with = "vips")]
    all: bool,
    #[command(flatten)]
    change: Change,
}

impl Adopt {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let (mut kernel, _lock) = self.change.open(global)?;
        let observed = kernel.observe()?;
        let mut vips = Vec::new();
        if self.all {
            vips.extend(observed.unmarked_services().filter_map(|(key, _)| Vip::from_key(key)));
        }
        for text in &self.vips {
            vips.extend(find_services(text, &observed)?);
        }
        self.change.carry_out(&mut kernel, Plan::adopt(&observed, &vips), Vec::new())
    }
}

/// Finds the services in the kernel that `text` names.
fn find_services(text: &str, observed: &Observed) -> Result<Vec<Vip>> {
    let (place, protocols) = match text.rsplit_once('/') {
        Some((place, "tcp")) => (place, vec![Protocol::Tcp]),
        Some((place, "udp")) => (place, vec![Protocol::Udp]),
        Some((_, other)) => bail!("{other:?} in {text:?} is not a protocol: use tcp or udp"),
        None => (text, vec![Protocol::Tcp, Protocol::Udp]),
    };
    let place =
        place.parse().with_context(|| format!("{text:?} is not ADDRESS:PORT[/PROTOCOL]"))?;
    let VipRef::Address(address, port) = place else {
        bail!("{text:?} is a name: use its address");
    };
    let vips = protocols.into_iter().map(|protocol| Vip { address, port, protocol });
    let found: Vec<_> = vips.filter(|vip| observed.service(vip).is_some()).collect();
    if found.is_empty() {
        let others: Vec<_> = observed.unmarked_services().map(|(key, _)| key.to_string()).collect();
        let others = if others.is_empty() { "none".into() } else { others.join(", ") };
        bail!("there is no virtual service on {text}; services without vipd's mark: {others}");
    }
    Ok(found)
}
