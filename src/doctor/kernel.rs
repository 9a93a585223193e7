//! The kernel's version, IPVS, its schedulers, and the dummy interface.

use std::collections::BTreeSet;

use node::KernelVersion;
use node::probe::{Module, Modules};
use vip::Observed;
use vip::label::{Options, Scheduling};

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
    /// The schedulers that are needed.
    pub schedulers: BTreeSet<String>,
}

/// The default scheduler, those that labels name, and those of vipd's services in the kernel.
#[must_use]
pub fn schedulers_wanted(
    named: impl IntoIterator<Item = Scheduling>,
    observed: Option<&Observed>,
) -> BTreeSet<String> {
    let default = Options::default().scheduler;
    let named = named.into_iter().chain([default]).map(|each| each.name().to_owned());
    let held = observed.into_iter().flat_map(Observed::ours);
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
            match kernel.modules.find("ip_vs") {
                Module::Missing => {
                    "install the package with this kernel's ip_vs module \
                                    (linux-modules-extra on Ubuntu, kernel-modules on RHEL)"
                }
                _ => "run `vipd doctor --fix`, or `modprobe ip_vs` on the host",
            },
        )),
    }
    let schedulers = kernel.schedulers.iter();
    checks.extend(
        schedulers.map(|name| module(&kernel.modules, &format!("ip_vs_{name}"), "the scheduler")),
    );
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

fn module(modules: &Modules, name: &str, what: &str) -> Check {
    match modules.find(name) {
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
            schedulers: schedulers_wanted([], None),
        };
        let checks = kernel(&bare);
        let levels: Vec<_> = checks.iter().map(|check| check.level).collect();
        assert_eq!(levels, [Level::Warning, Level::Error, Level::Warning, Level::Warning]);
        assert!(checks[1].cure.as_ref().unwrap().contains("modprobe ip_vs"), "{checks:?}");
        assert!(checks[2].text.starts_with("ip_vs_wlc isn't loaded"), "{checks:?}");
    }

    #[test]
    fn a_recent_kernel_is_fine() {
        assert_eq!(version("6.12.57+deb13-amd64").level, Level::Ok);
        assert_eq!(version("nonsense").level, Level::Warning);
    }
}
