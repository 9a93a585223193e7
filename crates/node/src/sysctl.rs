//! Kernel settings that forwarding to VIPs needs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A kernel's version, without what distributions append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u16, pub u16);

impl std::str::FromStr for KernelVersion {
    type Err = &'static str;

    /// Reads `6.1.176`, `5.10.0-8-amd64`, `6.18-rc1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .map(|digits| digits.parse().map_err(|_| "is not a kernel version"));
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => Err("is not a kernel version"),
        }
    }
}

/// A setting, what it should be and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name with dots, as `sysctl` takes it.
    pub name: &'static str,
    /// What it should be.
    pub value: &'static str,
    /// What goes wrong otherwise.
    pub why: &'static str,
}

const ALWAYS: [Sysctl; 4] = [
    Sysctl {
        name: "net.ipv4.vs.conntrack",
        value: "1",
        why: "without it the addresses of IPVS traffic can't be translated, so replies get lost",
    },
    Sysctl {
        name: "net.ipv4.vs.expire_nodest_conn",
        value: "1",
        why: "without it clients of a removed real server hang instead of being reset",
    },
    Sysctl {
        name: "net.ipv4.vs.expire_quiescent_template",
        value: "1",
        why: "without it persistent clients stay on a real server with weight 0",
    },
    Sysctl {
        name: "net.ipv4.ip_forward",
        value: "1",
        why: "without it packets don't reach real servers on other nodes or in containers",
    },
];

const CONN_REUSE_MODE: Sysctl = Sysctl {
    name: "net.ipv4.vs.conn_reuse_mode",
    value: "0",
    why: "kernels 4.1 to 5.8 delay a client that reuses a port by a second",
};

/// VIPs are on an interface that doesn't answer ARP, but by default every other interface answers
/// for all addresses of the node.
const STRICT_ARP: [Sysctl; 2] = [
    Sysctl {
        name: "net.ipv4.conf.all.arp_ignore",
        value: "1",
        why: "without it this node answers ARP for VIPs on its other interfaces",
    },
    Sysctl {
        name: "net.ipv4.conf.all.arp_announce",
        value: "2",
        why: "without it this node may name a VIP as the sender of its ARP requests",
    },
];

/// What a kernel of this version needs; with `strict_arp` also what keeps VIPs out of ARP.
///
/// `conn_reuse_mode` came with 4.1, where 1 drops the first SYN of a reused port; 5.9 mended that
/// (kernel commit 35dfb013149f), and since then 0 would keep clients on a drained real server.
pub fn wanted_sysctls(kernel: KernelVersion, strict_arp: bool) -> impl Iterator<Item = Sysctl> {
    let delays = (KernelVersion(4, 1)..KernelVersion(5, 9)).contains(&kernel);
    let arp = strict_arp.then_some(STRICT_ARP).into_iter().flatten();
    ALWAYS.into_iter().chain(delays.then_some(CONN_REUSE_MODE)).chain(arp)
}

/// What became of a setting.
#[derive(Debug)]
pub struct SysctlReport {
    /// The setting.
    pub sysctl: Sysctl,
    /// What became of it.
    pub state: SysctlState,
}

/// How a setting stands.
#[derive(Debug)]
pub enum SysctlState {
    /// It was so already; nothing was written.
    Already,
    /// It was written.
    Changed {
        /// What it was.
        before: String,
    },
    /// It isn't what it should be and could not be written: a read-only `/proc/sys` in a
    /// container, say. What it is for may not work; the rest does.
    Refused {
        /// What it is.
        is: String,
        /// Why it can't be written.
        error: io::Error,
    },
    /// It isn't what it should be, and was only looked at.
    Wrong {
        /// What it is.
        is: String,
    },
    /// It can't be read: the kernel has no such setting, or `ip_vs` isn't loaded.
    Unknown {
        /// Why it can't be read.
        error: io::Error,
    },
}

impl SysctlState {
    /// Whether the setting is what it should be.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Already | Self::Changed { .. })
    }
}

/// Says what is wrong and what to do; for a good one, what it is.
impl std::fmt::Display for SysctlReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sysctl { name, value, why } = self.sysctl;
        match &self.state {
            SysctlState::Already => write!(f, "{name} is {value}"),
            SysctlState::Changed { before } => write!(f, "{name} is {value} now, was {before}"),
            SysctlState::Refused { is, error } => write!(
                f,
                "{name} is {is} and can't be set to {value} ({error}): {why}; run \
                 `vipd doctor --fix` or `sysctl -w {name}={value}` on the host"
            ),
            SysctlState::Wrong { is } => write!(f, "{name} is {is} and should be {value}: {why}"),
            SysctlState::Unknown { error } => write!(
                f,
                "{name} can't be read ({error}), so it may not be {value}: {why}; is ip_vs loaded?"
            ),
        }
    }
}

/// Sets what forwarding to VIPs needs in this network namespace: reads first, writes only what
/// differs. Nothing here is fatal; what could not be done is in the reports.
#[must_use]
pub fn ensure_sysctls(strict_arp: bool) -> Vec<SysctlReport> {
    each_under(Path::new("/proc/sys"), strict_arp, ensure_sysctl)
}

/// Looks at what forwarding to VIPs needs in this network namespace, and writes nothing.
#[must_use]
pub fn check_sysctls(strict_arp: bool) -> Vec<SysctlReport> {
    each_under(Path::new("/proc/sys"), strict_arp, check_sysctl)
}

fn each_under(
    root: &Path,
    strict_arp: bool,
    what: fn(&Path, Sysctl) -> SysctlState,
) -> Vec<SysctlReport> {
    // An unreadable version is taken for a recent kernel: nothing version-dependent is touched.
    let release = fs::read_to_string(root.join("kernel/osrelease")).unwrap_or_default();
    let kernel = release.parse().unwrap_or(KernelVersion(u16::MAX, 0));
    let done = |sysctl: Sysctl| SysctlReport { sysctl, state: what(root, sysctl) };
    wanted_sysctls(kernel, strict_arp).map(done).collect()
}

fn check_sysctl(root: &Path, sysctl: Sysctl) -> SysctlState {
    match fs::read_to_string(sysctl_path(root, sysctl.name)) {
        Ok(text) if text.trim() == sysctl.value => SysctlState::Already,
        Ok(text) => SysctlState::Wrong { is: text.trim().to_owned() },
        Err(error) => SysctlState::Unknown { error },
    }
}

fn ensure_sysctl(root: &Path, sysctl: Sysctl) -> SysctlState {
    let is = match check_sysctl(root, sysctl) {
        SysctlState::Wrong { is } => is,
        other => return other,
    };
    match fs::write(sysctl_path(root, sysctl.name), sysctl.value) {
        Ok(()) => SysctlState::Changed { before: is },
        Err(error) => SysctlState::Refused { is, error },
    }
}

fn sysctl_path(root: &Path, name: &str) -> PathBuf {
    root.join(name.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<KernelVersion> {
        text.parse().ok()
    }

    #[test]
    fn versions_are_read_whatever_a_distribution_appends() {
        assert_eq!(version("6.1.176"), Some(KernelVersion(6, 1)));
        assert_eq!(version("5.10.0-8-amd64\n"), Some(KernelVersion(5, 10)));
        assert_eq!(version("3.10.0-1160.el7.x86_64"), Some(KernelVersion(3, 10)));
        assert_eq!(version("6.18-rc1"), Some(KernelVersion(6, 18)));
        for text in ["", "6", "six.one", ".6.1", "99999999.1"] {
            assert_eq!(version(text), None, "{text:?}");
        }
    }

    #[test]
    fn conn_reuse_mode_is_only_touched_where_it_delays_clients() {
        let touched = |major, minor| {
            wanted_sysctls(KernelVersion(major, minor), false)
                .any(|wanted| wanted == CONN_REUSE_MODE)
        };
        for (major, minor, expected) in [
            (3, 10, false),
            (4, 0, false),
            (4, 1, true),
            (4, 19, true),
            (5, 8, true),
            (5, 9, false),
            (6, 12, false),
        ] {
            assert_eq!(touched(major, minor), expected, "{major}.{minor}");
        }
    }

    fn proc_sys(release: &str, values: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("kernel.osrelease", release)].iter().chain(values) {
            let path = sysctl_path(folder.path(), name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        folder
    }

    #[test]
    fn arp_is_only_touched_on_request() {
        let names = |strict| {
            let wanted = wanted_sysctls(KernelVersion(6, 1), strict);
            wanted.map(|sysctl| sysctl.name).filter(|name| name.contains("arp")).collect::<Vec<_>>()
        };
        assert!(names(false).is_empty());
        assert_eq!(names(true), ["net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce"]);
    }

    #[test]
    fn what_differs_is_written_and_what_is_missing_is_reported() {
        let proc_sys =
            proc_sys("6.1.0", &[("net.ipv4.vs.conntrack", "0"), ("net.ipv4.ip_forward", "1")]);
        let reports = each_under(proc_sys.path(), false, ensure_sysctl);
        let states: Vec<_> =
            reports.iter().map(|report| (&report.state, report.state.is_ok())).collect();
        assert!(matches!(
            states[..],
            [
                (SysctlState::Changed { before }, true),
                (SysctlState::Unknown { .. }, false),
                (SysctlState::Unknown { .. }, false),
                (SysctlState::Already, true),
            ] if before == "0"
        ));
        let written = fs::read_to_string(sysctl_path(proc_sys.path(), "net.ipv4.vs.conntrack"));
        assert_eq!(written.unwrap(), "1");
        assert!(reports[1].to_string().contains("is ip_vs loaded?"));
        assert!(each_under(proc_sys.path(), false, ensure_sysctl)[0].to_string().ends_with("is 1"));
    }
}
