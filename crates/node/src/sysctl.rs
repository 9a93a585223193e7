//! The sysctls that forwarding to VIPs needs: their values, and how they are checked and set.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A kernel version, major and minor, without what distributions append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u16, pub u16);

/// A text that begins with no kernel version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kernel version")]
pub struct KernelVersionError;

impl std::str::FromStr for KernelVersion {
    type Err = KernelVersionError;

    /// Parses `6.1.176`, `5.10.0-8-amd64`, `6.18-rc1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => Err(KernelVersionError),
        }
    }
}

/// A sysctl with the value it should have and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sysctl {
    /// The name with dots, as `sysctl` takes it.
    pub name: &'static str,
    /// The value it should have.
    pub value: &'static str,
    /// The problem that another value causes.
    pub why: &'static str,
}

impl Sysctl {
    /// Tells whether fail-over doesn't work with another value.
    #[must_use]
    pub fn is_vital(&self) -> bool {
        self.name == "net.ipv4.vs.expire_nodest_conn"
    }
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
        why: "without it clients of a removed real server hang instead of being reset, and connections \
              that wait for a host without power aren't sent elsewhere",
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

/// Keeps VIPs out of ARP. The VIPs' own interface doesn't answer ARP, but by default every other
/// interface answers for all addresses of the node.
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

/// Early demultiplexing gives a packet to a socket before IPVS has put the VIP in place of the real
/// server. Only where a route tells the source of the node's own clients, since then replies go to
/// the very address that direct connections have, too.
const EARLY_DEMUX: Sysctl = Sysctl {
    name: "net.ipv4.tcp_early_demux",
    value: "0",
    why: "in reduced mode a client on this node that reuses the port of a connection to a real server \
          for a VIP waits a second and more",
};

/// The facts that decide which sysctls a node needs, beside its kernel's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SysctlNeeds {
    /// VIPs are kept out of ARP.
    pub strict_arp: bool,
    /// Routes tell the source of the node's own IPv4 clients: nftables can't translate it.
    pub sources_by_route: bool,
}

/// Lists the sysctls that a node with a kernel of this version needs.
///
/// `conn_reuse_mode` came with 4.1, where 1 drops the first SYN of a reused port. 5.9 fixed that
/// (kernel commit 35dfb013149f), and since then 0 would keep clients on a drained real server.
pub fn wanted_sysctls(kernel: KernelVersion, needs: SysctlNeeds) -> impl Iterator<Item = Sysctl> {
    let delays = (KernelVersion(4, 1)..KernelVersion(5, 9)).contains(&kernel);
    let arp = needs.strict_arp.then_some(STRICT_ARP).into_iter().flatten();
    let demux = needs.sources_by_route.then_some(EARLY_DEMUX);
    ALWAYS.into_iter().chain(delays.then_some(CONN_REUSE_MODE)).chain(demux).chain(arp)
}

/// The result of checking or setting a sysctl.
#[derive(Debug)]
pub struct SysctlReport {
    /// The sysctl.
    pub sysctl: Sysctl,
    /// The state found or reached.
    pub state: SysctlState,
}

/// The state of a sysctl after it was checked or set.
#[derive(Debug)]
pub enum SysctlState {
    /// Right already; nothing was written.
    Already,
    /// Written, and right now.
    Changed {
        /// The value before.
        before: String,
    },
    /// Wrong and not writable: `/proc/sys` may be read-only in a container. Only what depends on
    /// this sysctl may fail.
    Refused {
        /// The value it has.
        is: String,
        /// The reason why it can't be written.
        error: io::Error,
    },
    /// Wrong, and only checked.
    Wrong {
        /// The value it has.
        is: String,
    },
    /// Unreadable: the kernel has no such sysctl, or `ip_vs` isn't loaded.
    Unknown {
        /// The reason why it can't be read.
        error: io::Error,
    },
}

impl SysctlState {
    /// Returns true if the sysctl has the value it should have.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Already | Self::Changed { .. })
    }
}

/// Tells the value, and for a wrong one the consequence and the remedy.
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

/// Sets the sysctls that forwarding to VIPs needs in this network namespace: reads them first and
/// writes only those that differ. Failures aren't fatal; the reports tell them.
#[must_use]
pub fn ensure_sysctls(needs: SysctlNeeds) -> Vec<SysctlReport> {
    each_under(Path::new("/proc/sys"), needs, ensure_sysctl)
}

/// Checks the sysctls that forwarding to VIPs needs in this network namespace; writes nothing.
#[must_use]
pub fn check_sysctls(needs: SysctlNeeds) -> Vec<SysctlReport> {
    each_under(Path::new("/proc/sys"), needs, check_sysctl)
}

fn each_under(
    root: &Path,
    needs: SysctlNeeds,
    what: fn(&Path, Sysctl) -> SysctlState,
) -> Vec<SysctlReport> {
    // Treat an unreadable version as a recent kernel: sysctls of old versions aren't touched.
    let release = fs::read_to_string(root.join("kernel/osrelease")).unwrap_or_default();
    let kernel = release.parse().unwrap_or(KernelVersion(u16::MAX, 0));
    let done = |sysctl: Sysctl| SysctlReport { sysctl, state: what(root, sysctl) };
    wanted_sysctls(kernel, needs).map(done).collect()
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
            wanted_sysctls(KernelVersion(major, minor), SysctlNeeds::default())
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
        let names = |strict_arp| {
            let needs = SysctlNeeds { strict_arp, ..SysctlNeeds::default() };
            let wanted = wanted_sysctls(KernelVersion(6, 1), needs);
            wanted.map(|sysctl| sysctl.name).filter(|name| name.contains("arp")).collect::<Vec<_>>()
        };
        assert!(names(false).is_empty());
        assert_eq!(names(true), ["net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce"]);
    }

    #[test]
    fn early_demultiplexing_is_only_touched_where_routes_tell_the_source() {
        let touched = |sources_by_route| {
            let needs = SysctlNeeds { sources_by_route, ..SysctlNeeds::default() };
            wanted_sysctls(KernelVersion(6, 1), needs).any(|wanted| wanted == EARLY_DEMUX)
        };
        assert_eq!([false, true].map(touched), [false, true]);
    }

    #[test]
    fn what_differs_is_written_and_what_is_missing_is_reported() {
        let proc_sys =
            proc_sys("6.1.0", &[("net.ipv4.vs.conntrack", "0"), ("net.ipv4.ip_forward", "1")]);
        let reports = each_under(proc_sys.path(), SysctlNeeds::default(), ensure_sysctl);
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
        assert!(
            each_under(proc_sys.path(), SysctlNeeds::default(), ensure_sysctl)[0]
                .to_string()
                .ends_with("is 1")
        );
    }
}
