//! The kernel's version, IPVS, its schedulers, nftables, and the dummy interface.

use std::collections::{BTreeMap, BTreeSet};

use node::KernelVersion;
use node::inspect::{Module, Modules};
use vip::label::{Options, Scheduling};
use vip::{Nft, Observed};

use super::Check;

/// The oldest kernel that all of vipd works on.
const OLDEST: KernelVersion = KernelVersion(4, 18);

/// What is known of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` prints it.
    pub release: String,
    /// The version of IPVS, or why there is none.
    pub ipvs: Result<String, String>,
    /// Its modules.
    pub modules: Modules,
    /// The schedulers that are needed, and whether it says that it has them.
    pub schedulers: BTreeMap<String, Option<bool>>,
    /// What it can do of nftables, if it could be read.
    pub nft: Option<Nft>,
}

/// The default scheduler, those that labels name, and those of vipd's services in the kernel.
#[must_use]
pub fn schedulers_wanted(
    named: impl IntoIterator<Item = Scheduling>,
    observed: Option<&Observed>,
) -> BTreeSet<String> {
    let default = Options::default().scheduler;
    let named = named.into_iter().chain([default]).map(|each| each.name().to_owned());
    let held = observed.into_iter().flat_map(Observed::our_services);
    let held =
        held.filter_map(|(_, service)| Some(service.settings.scheduler.as_ref()?.to_string()));
    named.chain(held).collect()
}

/// Checks it.
#[must_use]
pub fn kernel(kernel: &Kernel) -> Vec<Check> {
    let mut checks = vec![version(&kernel.release)];
    match &kernel.ipvs {
        Ok(version) => checks.push(Check::ok(format!("IPVS {version} answers"))),
        Err(why) => checks.push(Check::error(
            format!("IPVS doesn't answer: {why}"),
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
    checks.extend(schedulers.map(|(name, has)| scheduler(&kernel.modules, name, *has)));
    checks.extend(kernel.nft.as_ref().map(nftables));
    checks.push(module(&kernel.modules, "dummy", "for the interface that holds the VIPs"));
    checks
}

fn version(release: &str) -> Check {
    match release.parse::<KernelVersion>() {
        Ok(version) if version < OLDEST => Check::warning(
            format!("Linux {release} is older than {}.{}", OLDEST.0, OLDEST.1),
            "expect no IPv6 NAT and no guard for VIPs; a newer kernel has both",
        ),
        Ok(_) => Check::ok(format!("Linux {release}")),
        Err(_) => Check::warning(
            format!("the kernel's release {release:?} can't be read as a version"),
            "tell the developers; settings that depend on it are left alone",
        ),
    }
}

/// What the kernel says counts; where it says nothing, what is on the disk.
fn scheduler(modules: &Modules, name: &str, has: Option<bool>) -> Check {
    let module_name = format!("ip_vs_{name}");
    match (has, modules.find_module(&module_name)) {
        (Some(true), _) => Check::ok(format!("the scheduler {name} is there")),
        (Some(false), Module::Loadable | Module::Unknown) => Check::error(
            format!("the kernel says that it has no scheduler {name}"),
            format!("run `modprobe {module_name}` on the host, which says why"),
        ),
        _ => module(modules, &module_name, "the scheduler"),
    }
}

fn nftables(nft: &Nft) -> Check {
    let lacks = nft.describe_lacks();
    if lacks.is_empty() {
        return Check::ok("nftables translates addresses: the data path is whole");
    }
    Check::warning(
        format!("the data path is reduced: {}", lacks.join("; ")),
        "load nf_tables, nft_chain_nat, nft_masq, nft_fib_ipv4, nft_fib_ipv6, nft_ct and nft_reject: \
         `modprobe -a` names what this kernel lacks; what doesn't work without them stands under \
         reduced mode in docs/data-path.md",
    )
}

fn module(modules: &Modules, name: &str, what: &str) -> Check {
    match modules.find_module(name) {
        Module::Present => Check::ok(format!("{name} is there ({what})")),
        Module::Loadable => Check::ok(format!("{name} is loaded when it is asked for ({what})")),
        Module::Unknown => Check::warning(
            format!(
                "{name} isn't loaded, and /lib/modules doesn't tell whether it can be ({what})"
            ),
            format!("run `modprobe {name}` on the host, not in the container"),
        ),
        Module::Missing => Check::error(
            format!("this kernel has no {name} ({what})"),
            "install the package with the rest of this kernel's modules, or use another scheduler",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_kernel_without_ipvs_is_an_error_with_its_cure() {
        let bare = Kernel {
            release: "3.10.0-1160.el7".into(),
            ipvs: Err("there is no such family".into()),
            modules: Modules::default(),
            schedulers: schedulers_wanted([], None).into_iter().map(|name| (name, None)).collect(),
            nft: None,
        };
        let checks = kernel(&bare);
        let levels: Vec<_> = checks.iter().map(|check| check.level).collect();
        assert_eq!(levels, [Level::Warning, Level::Error, Level::Warning, Level::Warning]);
        assert!(checks[1].cure.as_ref().unwrap().contains("modprobe ip_vs"), "{checks:?}");
        assert!(checks[2].text.starts_with("ip_vs_wlc isn't loaded"), "{checks:?}");
    }

    #[test]
    fn the_kernel_is_asked_for_a_scheduler_before_the_disk_is() {
        let nothing = Modules::default();
        let level = |has| scheduler(&nothing, "twos", has).level;
        assert_eq!(
            [level(Some(true)), level(Some(false)), level(None)],
            [Level::Ok, Level::Error, Level::Warning]
        );
    }

    #[test]
    fn what_nftables_lacks_is_a_warning_with_the_reason() {
        let mut nft = Nft::default();
        nft.v4.lacks = Some("chain prerouting: ENOENT".into());
        let check = nftables(&nft);
        assert_eq!(check.level, Level::Warning);
        assert!(check.text.contains("no nftables") && check.text.contains("ENOENT"), "{check:?}");
        for table in [&mut nft.v4, &mut nft.v6] {
            table.able = vip::nft::Able::Nat;
        }
        assert_eq!(nftables(&nft).level, Level::Ok);
    }

    #[test]
    fn a_recent_kernel_is_fine() {
        assert_eq!(version("6.12.57+deb13-amd64").level, Level::Ok);
        assert_eq!(version("nonsense").level, Level::Warning);
    }
}
