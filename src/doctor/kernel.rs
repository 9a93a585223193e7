//! Checks of the kernel: its version, IPVS and schedulers, nftables, and the dummy module.

use std::collections::{BTreeMap, BTreeSet};

use node::KernelVersion;
use node::inspect::{Module, Modules};
use vip::label::{DEFAULT_SCHEDULER, Scheduling};
use vip::{Nft, Observed};

use super::diagnosis::Check;

/// The oldest kernel with every feature that vipd uses.
const OLDEST_FULL: KernelVersion = KernelVersion(4, 18);

/// Facts about the kernel.
#[derive(Debug)]
pub struct KernelFacts<'a> {
    /// The release, as `uname -r` prints it.
    pub release: String,
    /// The version of IPVS, or why it doesn't answer.
    pub ipvs: Result<&'a str, &'a anyhow::Error>,
    /// The modules that are loaded or can be.
    pub modules: Modules,
    /// The schedulers that are needed, and whether the kernel has each, if it tells.
    pub schedulers: BTreeMap<String, Option<bool>>,
    /// The nftables features, if the tables could be read.
    pub nft: Option<Nft>,
}

/// Returns the default scheduler, those that labels name, and those of vipd's services in the
/// kernel.
#[must_use]
pub fn schedulers_wanted(
    named: impl IntoIterator<Item = Scheduling>,
    observed: Option<&Observed>,
) -> BTreeSet<String> {
    let named = named.into_iter().chain([DEFAULT_SCHEDULER]).map(|each| each.name().to_owned());
    let held = observed.into_iter().flat_map(Observed::our_services);
    let held =
        held.filter_map(|(_, service)| Some(service.settings.scheduler.as_ref()?.to_string()));
    named.chain(held).collect()
}

/// Checks the kernel.
#[must_use]
pub fn check_kernel(kernel: &KernelFacts<'_>) -> Vec<Check> {
    let mut checks = vec![check_version(&kernel.release)];
    match &kernel.ipvs {
        Ok(version) => checks.push(Check::ok(format!("IPVS {version} answers"))),
        Err(why) => checks.push(Check::error(
            format!("IPVS doesn't answer: {why:#}"),
            match kernel.modules.find_module("ip_vs") {
                Module::Missing => {
                    "install the package with this kernel's ip_vs module \
                     (linux-modules-extra on Ubuntu, kernel-modules on RHEL)"
                }
                _ => "run `vipd doctor --fix`, or `modprobe ip_vs` on the host",
            },
        )),
    }
    let schedulers = kernel.schedulers.iter();
    checks.extend(schedulers.map(|(name, has)| check_scheduler(&kernel.modules, name, *has)));
    checks.extend(kernel.nft.as_ref().map(check_nftables));
    checks.extend(kernel.nft.as_ref().and_then(check_log));
    checks.push(check_module(&kernel.modules, "dummy", "for the interface that holds the VIPs"));
    checks
}

fn check_version(release: &str) -> Check {
    match release.parse::<KernelVersion>() {
        Ok(version) if version < OLDEST_FULL => Check::warning(
            format!("Linux {release} is older than {}.{}", OLDEST_FULL.0, OLDEST_FULL.1),
            "it lacks IPv6 NAT and the guard of VIPs: upgrade the kernel to have both",
        ),
        Ok(_) => Check::ok(format!("Linux {release}")),
        Err(_) => Check::warning(
            format!("cannot parse the kernel's release {release:?} as a version"),
            "report it as a bug; settings that depend on the version are left alone",
        ),
    }
}

/// Checks a scheduler by the kernel's own answer, or else by the modules on disk.
fn check_scheduler(modules: &Modules, name: &str, has: Option<bool>) -> Check {
    let module_name = format!("ip_vs_{name}");
    match (has, modules.find_module(&module_name)) {
        (Some(true), _) => Check::ok(format!("scheduler {name} is available")),
        (Some(false), Module::Loadable | Module::Unknown) => Check::error(
            format!("the kernel reports that it has no scheduler {name}"),
            format!("run `modprobe {module_name}` on the host: it prints the reason"),
        ),
        _ => check_module(modules, &module_name, "a scheduler"),
    }
}

fn check_nftables(nft: &Nft) -> Check {
    let lacks = nft.describe_lacks();
    if lacks.is_empty() {
        return Check::ok("nftables can translate addresses: the data path is complete");
    }
    Check::warning(
        format!("the data path is reduced: {}", lacks.join("; ")),
        "load nf_tables, nft_chain_nat, nft_masq, nft_fib_ipv4, nft_fib_ipv6, nft_ct and nft_reject: \
         `modprobe -a` prints what this kernel lacks; docs/data-path.md lists under reduced mode \
         what doesn't work without them",
    )
}

/// Checks the rule that logs lost SYNs, where the kernel has all others.
fn check_log(nft: &Nft) -> Option<Check> {
    let why = nft.cannot_log()?;
    Some(Check::warning(
        format!("nftables can't log lost SYNs: {why}"),
        "load nft_log, nft_limit and nfnetlink_log: without them a host whose echoes are filtered is not \
         suspected when it loses its power",
    ))
}

fn check_module(modules: &Modules, name: &str, what: &str) -> Check {
    match modules.find_module(name) {
        Module::Present => Check::ok(format!("{name} is available ({what})")),
        Module::Loadable => Check::ok(format!("{name} can be loaded on demand ({what})")),
        Module::Unknown => Check::warning(
            format!(
                "{name} isn't loaded, and /lib/modules doesn't show whether it can be ({what})"
            ),
            format!("run `modprobe {name}` on the host, not in the container"),
        ),
        Module::Missing => Check::error(
            format!("this kernel has no module {name} ({what})"),
            "install the package with the rest of this kernel's modules, or use another scheduler",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Level;
    use super::*;

    #[test]
    fn a_kernel_without_ipvs_is_an_error_with_its_remedy() {
        let bare = KernelFacts {
            release: "3.10.0-1160.el7".into(),
            ipvs: Err(&anyhow::anyhow!("there is no such family")),
            modules: Modules::default(),
            schedulers: schedulers_wanted([], None).into_iter().map(|name| (name, None)).collect(),
            nft: None,
        };
        let checks = check_kernel(&bare);
        let levels: Vec<_> = checks.iter().map(|check| check.level).collect();
        assert_eq!(levels, [Level::Warning, Level::Error, Level::Warning, Level::Warning]);
        assert!(checks[1].remedy.as_ref().unwrap().contains("modprobe ip_vs"), "{checks:?}");
        assert!(checks[2].text.starts_with("ip_vs_wlc isn't loaded"), "{checks:?}");
    }

    #[test]
    fn the_kernel_is_asked_for_a_scheduler_before_the_disk_is() {
        let nothing = Modules::default();
        let level = |has| check_scheduler(&nothing, "twos", has).level;
        assert_eq!(
            [level(Some(true)), level(Some(false)), level(None)],
            [Level::Ok, Level::Error, Level::Warning]
        );
    }

    #[test]
    fn what_nftables_lacks_is_a_warning_with_the_reason() {
        let mut nft = Nft::default();
        nft.v4.lacks = Some("chain prerouting: ENOENT".into());
        let check = check_nftables(&nft);
        assert_eq!(check.level, Level::Warning);
        assert!(check.text.contains("no nftables") && check.text.contains("ENOENT"), "{check:?}");
        for table in [&mut nft.v4, &mut nft.v6] {
            table.support = vip::nft::NftSupport::Nat;
        }
        assert_eq!(check_nftables(&nft).level, Level::Ok);
        assert!(check_log(&nft).is_none());
        nft.v6.cannot_log = Some("rule 1 of chain lost-syn: ENOENT".into());
        let check = check_log(&nft).unwrap();
        assert!(check.text.contains("chain lost-syn: ENOENT"), "{check:?}");
    }

    #[test]
    fn a_recent_kernel_is_fine() {
        assert_eq!(check_version("6.12.57+deb13-amd64").level, Level::Ok);
        assert_eq!(check_version("nonsense").level, Level::Warning);
    }
}
