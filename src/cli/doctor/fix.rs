//! The privileged set-up of a node: what the agent can't do with `CAP_NET_ADMIN` alone.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use node::inspect::{Module, Modules, enable_ipv6_forwarding, load_module};
use node::{LinuxKernel, SysctlState, ensure_sysctls};
use vip::label::Scheduling;

use crate::config::Config;

pub(super) const MODULES_FILE: &str = "/etc/modules-load.d/vipd.conf";

/// Does it, and says what was done or what went wrong, step by step. What is as it should be is
/// left alone and not told.
pub(super) fn fix(config: &Config, modules_file: &Path, ipv6: bool) -> Vec<Result<String>> {
    let mut steps = Vec::new();
    let known = Modules::read_running();
    let wanted = modules().filter(|name| known.find_module(name) != Module::Missing);
    let wanted: Vec<_> = wanted.collect();
    for name in wanted.iter().filter(|name| known.find_module(name) != Module::Present) {
        match load_module(name) {
            Ok(()) => steps.push(Ok(format!("loaded the module {name}"))),
            // In a container there is neither a list of modules nor `modprobe`. The kernel has it
            // built in, or loads it when it is asked for what the module does.
            Err(_) if known.find_module(name) == Module::Unknown => {}
            Err(error) => {
                steps.push(Err(error).with_context(|| format!("cannot load the module {name}")))
            }
        }
    }
    let text = load_at_boot(&wanted);
    if fs::read_to_string(modules_file).ok().as_ref() != Some(&text) {
        let path = modules_file.display();
        let written = write(modules_file, &text).map(|()| format!("wrote {path}"));
        steps.push(written.with_context(|| {
            format!("cannot write {path}, so modules may be missing after a reboot")
        }));
    }
    // The settings of IPVS are there once it has been spoken to in this network namespace.
    if let Err(error) = LinuxKernel::open(config.kernel_settings()) {
        steps.push(Err(error.into()));
    }
    for report in ensure_sysctls(config.strict_arp) {
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

/// Everything that vipd may come to need, so that a new label needs no new module at night.
fn modules() -> impl Iterator<Item = String> {
    let schedulers = Scheduling::ALL.into_iter().map(|each| format!("ip_vs_{}", each.name()));
    ["ip_vs", "nf_conntrack", "dummy"].map(str::to_owned).into_iter().chain(schedulers)
}

/// See modules-load.d(5).
fn load_at_boot(modules: &[String]) -> String {
    format!("# Written by `vipd doctor --fix`.\n{}\n", modules.join("\n"))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
