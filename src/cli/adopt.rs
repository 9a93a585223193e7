//! `vipd adopt`.

use anyhow::{Context, Result, bail};
use clap::Args;
use node::{Kernel, Lock};
use vip::label::VipRef;
use vip::{Desired, Observed, Plan, Protocol, Vip};

use super::args::open_kernel;
use super::end::{End, report_failures};
use super::global::Global;
use super::output;

/// Take over virtual services that vipd did not create
///
/// Marks them as vipd's and changes nothing else. The next `apply` makes them match the definitions,
/// or removes those that no app claims.
///
/// Exit status: 0 done, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd adopt 3.3.0.6:3306
  vipd adopt 3.3.0.6:53/udp '[fd01::6]:80/tcp'")]
pub(super) struct Adopt {
    /// VIPs as ADDRESS:PORT[/tcp|/udp]; without a protocol, the services of both
    #[arg(required = true, value_name = "VIP")]
    vips: Vec<String>,
}

impl Adopt {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.resolve_node_config()?;
        let _lock = Lock::take(&config.lock)?;
        let mut kernel = open_kernel(&config)?;
        let observed = kernel.observe()?;
        let mut vips = Vec::new();
        for text in &self.vips {
            vips.extend(find_services(text, &observed)?);
        }
        let plan = Plan::adopt(&observed, &vips);
        output::print_lines(&plan.describe(&Desired::default()))?;
        let outcome = kernel.apply_plan(plan);
        if outcome.is_success() {
            let note =
                if outcome.plan.is_empty() { "nothing to do: already vipd's" } else { "adopted" };
            output::print_with(|out| writeln!(out, "{note}"))?;
        }
        report_failures(&outcome)
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
