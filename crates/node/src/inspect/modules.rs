//! Kernel modules: which are present or loadable, and loading one.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// The availability of a kernel module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// In the kernel now: loaded or built in.
    Present,
    /// On disk. The kernel loads it through `modprobe` when it is first needed.
    Loadable,
    /// Neither loaded nor on disk.
    Missing,
    /// Not loaded, and there is no list of loadable modules: a container has none.
    Unknown,
}

/// The modules of the running kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modules {
    present: BTreeSet<String>,
    /// `None`: there is no list of them.
    loadable: Option<BTreeSet<String>>,
}

impl Modules {
    /// Reads `/proc/modules` and the lists in `/lib/modules/RELEASE`.
    #[must_use]
    pub fn read_running() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let folder = Path::new("/lib/modules").join(release.trim());
        let text = |path: &Path| fs::read_to_string(path).ok();
        Self::parse(
            &text(Path::new("/proc/modules")).unwrap_or_default(),
            text(&folder.join("modules.builtin")).as_deref(),
            text(&folder.join("modules.dep")).as_deref(),
        )
    }

    /// Parses the lists. Each line of `loaded` begins with a module's name; each line of `builtin`
    /// and `dep` begins with a file, such as `kernel/net/netfilter/ipvs/ip_vs.ko.xz:`.
    fn parse(loaded: &str, builtin: Option<&str>, dep: Option<&str>) -> Self {
        let loaded = loaded.lines().filter_map(|line| line.split_whitespace().next());
        let built_in = builtin.unwrap_or_default().lines().filter_map(name_of_file);
        let present = loaded.map(with_underscores).chain(built_in).collect();
        let loadable = dep.map(|dep| dep.lines().filter_map(name_of_file).collect());
        Self { present, loadable }
    }

    /// Looks up the availability of a module.
    #[must_use]
    pub fn find_module(&self, name: &str) -> Module {
        let name = with_underscores(name);
        match &self.loadable {
            _ if self.present.contains(&name) => Module::Present,
            Some(loadable) if loadable.contains(&name) => Module::Loadable,
            Some(_) => Module::Missing,
            None => Module::Unknown,
        }
    }
}

/// Replaces dashes: file names may have them where the kernel has underscores.
fn with_underscores(name: &str) -> String {
    name.replace('-', "_")
}

fn name_of_file(line: &str) -> Option<String> {
    let path = line.split(':').next()?;
    let (name, _) = path.rsplit('/').next()?.split_once(".ko")?;
    Some(with_underscores(name))
}

/// A failure of `modprobe`.
#[derive(Debug, thiserror::Error)]
pub enum ModprobeError {
    /// The program can't be run.
    #[error("can't run modprobe")]
    Run(#[source] io::Error),
    /// The program failed and said this.
    #[error("{0}")]
    Failed(String),
}

/// Loads a module with `modprobe`, which needs `CAP_SYS_MODULE`. Succeeds if it is loaded already.
///
/// # Errors
/// When `modprobe` can't be run, or fails.
pub fn load_module(name: &str) -> Result<(), ModprobeError> {
    let output = Command::new("modprobe").arg("--").arg(name).output();
    let output = output.map_err(ModprobeError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(ModprobeError::Failed(said.trim().trim_start_matches("modprobe: ").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_known_whatever_the_compression_of_their_files() {
        let modules = Modules::parse(
            "ip_vs 204800 2 ip_vs_wlc, Live 0x0\nnf_conntrack 1 - Live 0x0\n",
            Some("kernel/drivers/net/dummy.ko\n"),
            Some(
                "kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: kernel/net/netfilter/ipvs/ip_vs.ko.xz\n\
                 kernel/net/bridge/br-netfilter.ko.zst:\n",
            ),
        );
        for (name, found) in [
            ("ip_vs", Module::Present),
            ("dummy", Module::Present),
            ("ip_vs_mh", Module::Loadable),
            ("br_netfilter", Module::Loadable),
            ("ip_vs_twos", Module::Missing),
        ] {
            assert_eq!(modules.find_module(name), found, "{name}");
        }
    }

    #[test]
    fn without_a_list_nothing_is_known_of_what_is_not_loaded() {
        let modules = Modules::parse("ip_vs 204800 2 - Live 0x0\n", None, None);
        assert_eq!(modules.find_module("ip_vs"), Module::Present);
        assert_eq!(modules.find_module("ip_vs_wlc"), Module::Unknown);
    }
}
