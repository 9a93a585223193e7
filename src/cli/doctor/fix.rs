//! The set-up of a node that needs more privileges than `CAP_NET_ADMIN`.

use anyhow::{Context, Result, anyhow};
use node::inspect::{Ipv6Forwarding, Module, Modules, load_module};
use node::{Kernel as _, LinuxKernel, SysctlState, ensure_sysctls};
use vip::label::Scheduling;

use crate::config::Config;

/// Sets up the node. Returns what was done or failed, step by step; what was in order is left out.
///
/// IPv6 forwarding is taken back only where the file says `false`: see [`set_forwarding`].
pub(super) fn fix_node(config: &Config, ipv6: &Ipv6Forwarding) -> Vec<Result<String>> {
    let mut steps = Vec::new();
    let known = Modules::read_running();
    for name in wanted_modules() {
        let state = known.find_module(&name);
        if matches!(state, Module::Present | Module::Missing) {
            continue;
        }
        match load_module(&name) {
            Ok(()) => steps.push(Ok(format!("loaded the module {name}"))),
            // A container has neither a list of modules nor `modprobe`. The module is built in, or
            // the kernel loads it on first use.
            Err(_) if state == Module::Unknown => {}
            Err(error) => {
                steps.push(Err(error).with_context(|| format!("cannot load the module {name}")));
            }
        }
    }
    // The sysctls of IPVS exist once it has been used in this network namespace.
    let reports = match LinuxKernel::open(config.kernel_settings()) {
        Ok(mut kernel) => kernel.tune_sysctls(true),
        Err(error) => {
            steps.push(Err(error.into()));
            ensure_sysctls(config.sysctl_needs())
        }
    };
    for report in reports {
        match report.state {
            SysctlState::Already => {}
            SysctlState::Changed { .. } => steps.push(Ok(report.to_string())),
            _ => steps.push(Err(anyhow!("{report}"))),
        }
    }
    steps.extend(set_forwarding(config.ipv6_forwarding, ipv6));
    steps
}

/// Switches IPv6 forwarding on or back. Where nothing is said of it, it stays as it is: the file may be
/// unreadable, or forwarding was asked for with `--ipv6-forwarding`.
fn set_forwarding(wanted: Option<bool>, ipv6: &Ipv6Forwarding) -> Vec<Result<String>> {
    match wanted {
        Some(true) => match ipv6.turn_on() {
            Ok(done) => done.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error).context("cannot switch IPv6 forwarding on")],
        },
        Some(false) => undo_forwarding(ipv6).into_iter().collect(),
        None if ipv6.has_record() => {
            vec![Ok("IPv6 forwarding stays on: `ipv6-forwarding = false` in \
             [node], or `vipd doctor --undo`, takes it back"
                .to_owned())]
        }
        None => Vec::new(),
    }
}

/// Takes back IPv6 forwarding, if vipd switched it on. Returns what was done or failed.
pub(super) fn undo_forwarding(ipv6: &Ipv6Forwarding) -> Option<Result<String>> {
    ipv6.turn_back().context("cannot take IPv6 forwarding back").transpose()
}

/// Lists every module that vipd may need, so that no later label needs another one.
fn wanted_modules() -> impl Iterator<Item = String> {
    let schedulers = Scheduling::ALL.into_iter().map(|each| format!("ip_vs_{}", each.name()));
    ["ip_vs", "nf_conntrack", "dummy"].map(str::to_owned).into_iter().chain(schedulers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_is_taken_back_only_where_the_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record");
        let ipv6 = Ipv6Forwarding::new(record.clone());
        assert!(set_forwarding(None, &ipv6).is_empty());
        // No interface has such a name: nothing is written.
        std::fs::write(&record, "net/ipv6/conf/no-interface-at-all/forwarding = 0\n").unwrap();
        let said = set_forwarding(None, &ipv6).remove(0).unwrap();
        assert!(said.contains("stays on") && record.exists(), "{said}");
        let said = set_forwarding(Some(false), &ipv6).remove(0).unwrap();
        assert!(said.contains("is 0 again") && !record.exists(), "{said}");
    }
}
