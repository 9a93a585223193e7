//! Checks of sysctls.

use ipnet::IpNet;
use node::{SysctlReport, SysctlState};

use super::diagnosis::Check;

/// Checks the sysctls. `forwarding`: IPv6 forwarding, if the kernel has IPv6. `closed`: the interfaces that
/// IPv4 routes lead over and whose packets this node doesn't forward, though it forwards others.
#[must_use]
pub fn check_sysctls(
    reports: &[SysctlReport],
    forwarding: Option<ForwardingFacts>,
    closed: &[String],
) -> Vec<Check> {
    let mut checks: Vec<_> = reports.iter().map(check_sysctl).collect();
    checks.extend(closed.iter().map(|interface| check_closed(interface)));
    checks.extend(forwarding.map(check_ipv6_forwarding));
    checks
}

/// The cure has slashes: the name of an interface may have dots. `--fix` doesn't set it: `ip_forward` sets it
/// for all interfaces, so that somebody did this on purpose, as on a network for management.
fn check_closed(interface: &str) -> Check {
    Check::warning(
        format!(
            "net.ipv4.conf.{interface}.forwarding is 0: replies of real servers that arrive by {interface} \
             reach neither containers nor clients that this node routes for"
        ),
        format!(
            "if {interface} leads to real servers: `sysctl -w net/ipv4/conf/{interface}/forwarding=1`, and \
             remove what sets it to 0 (`grep -r forwarding /etc/sysctl.conf /etc/sysctl.d`)"
        ),
    )
}

fn check_sysctl(report: &SysctlReport) -> Check {
    let (name, value) = (report.sysctl.name, report.sysctl.value);
    match report.state {
        SysctlState::Already | SysctlState::Changed { .. } => Check::ok(report.to_string()),
        SysctlState::Wrong { .. } => {
            let remedy = "run `vipd doctor --fix`; the agent sets it too, if it may";
            match report.sysctl.is_vital() {
                true => Check::error(report.to_string(), remedy),
                false => Check::warning(report.to_string(), remedy),
            }
        }
        SysctlState::Refused { .. } => Check::error(
            report.to_string(),
            format!("run `sysctl -w {name}={value}` on the host: /proc/sys is read-only here"),
        ),
        SysctlState::Unknown { .. } => Check::warning(
            report.to_string(),
            "load ip_vs, which adds it: `vipd doctor --fix`, or `modprobe ip_vs`",
        ),
    }
}

/// Facts about IPv6 forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardingFacts {
    /// It is on.
    pub is_on: bool,
    /// The setting `node.ipv6-forwarding`.
    pub is_configured: bool,
    /// There are IPv6 VIPs in the kernel.
    pub has_vips: bool,
    /// An IPv6 prefix of `vip.allow`.
    pub allowed: Option<IpNet>,
}

fn check_ipv6_forwarding(facts: ForwardingFacts) -> Check {
    const NAME: &str = "net.ipv6.conf.all.forwarding";
    let ForwardingFacts { is_on, is_configured, has_vips, allowed } = facts;
    if is_on {
        return Check::ok(format!("{NAME} is 1"));
    }
    if is_configured {
        let text = format!("{NAME} is 0, and [node] ipv6-forwarding is true");
        return Check::warning(text, "run `vipd doctor --fix`; the agent never sets it");
    }
    let why = match allowed {
        _ if has_vips => "IPv6 VIPs".to_owned(),
        Some(prefix) => format!("VIPs in {prefix} (vip.allow)"),
        None => {
            let text = format!("{NAME} is 0: only IPv6 VIPs need it, and there are none");
            return Check::ok(text);
        }
    };
    Check::warning(
        format!("{NAME} is 0: {why} can't reach real servers in containers, nor serve other hosts"),
        "if they should: set `ipv6-forwarding = true` in [node], and run `vipd doctor --fix`, which \
         keeps router advertisements in force",
    )
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Level;
    use super::*;

    #[test]
    fn ipv6_forwarding_matters_where_it_is_asked_for_or_used() {
        let off =
            ForwardingFacts { is_on: false, is_configured: false, has_vips: false, allowed: None };
        assert_eq!(check_ipv6_forwarding(off).level, Level::Ok);
        for wanted in [
            ForwardingFacts { is_configured: true, ..off },
            ForwardingFacts { has_vips: true, ..off },
            ForwardingFacts { allowed: "fd01::/64".parse().ok(), ..off },
        ] {
            let check = check_ipv6_forwarding(wanted);
            assert_eq!(check.level, Level::Warning);
            assert!(check.remedy.unwrap().contains("vipd doctor --fix"));
            assert_eq!(
                check_ipv6_forwarding(ForwardingFacts { is_on: true, ..wanted }).level,
                Level::Ok
            );
        }
    }

    #[test]
    fn an_interface_whose_packets_are_not_forwarded_is_told_with_the_line_to_run() {
        let checks = check_sysctls(&[], None, &["eth0.100".to_owned()]);
        assert_eq!((checks.len(), checks[0].level), (1, Level::Warning));
        assert!(checks[0].text.starts_with("net.ipv4.conf.eth0.100.forwarding is 0: replies"));
        let remedy = checks[0].remedy.as_deref().unwrap();
        assert!(remedy.contains("`sysctl -w net/ipv4/conf/eth0.100/forwarding=1`"), "{remedy}");
    }

    #[test]
    fn a_setting_without_which_nothing_fails_over_is_an_error() {
        let level = |name| {
            let sysctl = node::Sysctl { name, value: "1", why: "x" };
            let state = SysctlState::Wrong { is: "0".into() };
            check_sysctl(&SysctlReport { sysctl, state }).level
        };
        assert_eq!(level("net.ipv4.vs.expire_nodest_conn"), Level::Error);
        assert_eq!(level("net.ipv4.vs.expire_quiescent_template"), Level::Warning);
    }

    #[test]
    fn a_setting_that_is_wrong_comes_with_the_command_that_fixes_it() {
        let sysctl = node::Sysctl { name: "net.ipv4.vs.conntrack", value: "1", why: "x" };
        let state = SysctlState::Refused {
            is: "0".into(),
            error: std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem),
        };
        let check = check_sysctl(&SysctlReport { sysctl, state });
        assert_eq!(check.level, Level::Error);
        assert!(check.remedy.unwrap().contains("sysctl -w net.ipv4.vs.conntrack=1"));
    }
}
