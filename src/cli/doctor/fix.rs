//! The set-up of a node that needs more privileges than `CAP_NET_ADMIN`.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use node::inspect::{Module, Modules, enable_ipv6_forwarding, load_module};
use node::{Kernel as _, LinuxKernel, SysctlState, ensure_sysctls};
use vip::label::Scheduling;

use crate::config::Config;

pub(super) const MODULES_FILE: &str = "/etc/modules-load.d/vipd.conf";

/// Sets up the node. Returns what was done or failed, step by step; what was in order is left out.
pub(super) fn fix_node(config: &Config, modules_file: &Path, ipv6: bool) -> Vec<Result<String>> {
    let mut steps = Vec::new();
    let known = Modules::read_running();
    let wanted = wanted_modules().filter(|name| known.find_module(name) != Module::Missing);
    let wanted: Vec<_> = wanted.collect();
    for name in wanted.iter().filter(|name| known.find_module(name) != Module::Present) {
        match load_module(name) {
            Ok(()) => steps.push(Ok(format!("loaded the module {name}"))),
            // A container has neither a list of modules nor `modprobe`. The module is built in, or
            // the kernel loads it on first use.
            Err(_) if known.find_module(name) == Module::Unknown => {}
            Err(error) => {
                steps.push(Err(error).with_context(|| format!("cannot load the module {name}")));
            }
        }
    }
    let text = load_at_boot(&wanted);
    if fs::read_to_string(modules_file).ok().as_ref() != Some(&text) {
        let path = modules_file.display();
        let written = write_file(modules_file, &text).map(|()| format!("wrote {path}"));
        steps.push(written.with_context(|| {
            format!("cannot write {path}, so modules may be missing after a reboot")
        }));
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
    if ipv6 {
        match enable_ipv6_forwarding() {
            Ok(done) => steps.extend(done.into_iter().map(Ok)),
            Err(error) => steps.push(Err(error).context("cannot switch IPv6 forwarding on")),
        }
    }
    steps
}

/// Lists every module that vipd may need, so that no later label needs another one.
fn wanted_modules() -> impl Iterator<Item = String> {
    let schedulers = Scheduling::ALL.into_iter().map(|each| format!("ip_vs_{}", each.name()));
    ["ip_vs", "nf_conntrack", "dummy"].map(str::to_owned).into_iter().chain(schedulers)
}

/// Formats the file for modules-load.d(5).
fn load_at_boot(modules: &[String]) -> String {
    format!("# Written by `vipd doctor --fix`.\n{}\n", modules.join("\n"))
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
