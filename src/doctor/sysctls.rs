//! Checks of sysctls.

use node::inspect::Ipv6Forwarding;
use node::{SysctlReport, SysctlState};

use super::diagnosis::Check;

/// Checks the sysctls. `has_ipv6_vips`: there are IPv6 VIPs in the kernel.
#[must_use]
pub fn check_sysctls(
    reports: &[SysctlReport],
    forwarding: Option<&Ipv6Forwarding>,
    has_ipv6_vips: bool,
) -> Vec<Check> {
    let mut checks: Vec<_> = reports.iter().map(check_sysctl).collect();
    checks.extend(forwarding.map(|forwarding| check_ipv6_forwarding(forwarding, has_ipv6_vips)));
    checks
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

fn check_ipv6_forwarding(forwarding: &Ipv6Forwarding, has_ipv6_vips: bool) -> Check {
    const NAME: &str = "net.ipv6.conf.all.forwarding";
    let risk: Vec<_> = forwarding.at_risk.iter().map(String::as_str).collect();
    let risk = match risk.is_empty() {
        true => String::new(),
        false => format!(
            "; --fix first sets accept_ra to 2 on {}, which would otherwise lose its default route, \
             learned by router advertisement",
            risk.join(", ")
        ),
    };
    match (forwarding.on, has_ipv6_vips) {
        (true, _) => Check::ok(format!("{NAME} is 1")),
        (false, false) => {
            Check::ok(format!("{NAME} is 0: only IPv6 VIPs need it, and there are none"))
        }
        (false, true) => Check::warning(
            format!(
                "{NAME} is 0: IPv6 VIPs can't reach real servers in containers, nor serve other nodes"
            ),
            format!("run `vipd doctor --fix`; the agent never sets it{risk}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Level;
    use super::*;

    #[test]
    fn ipv6_forwarding_matters_where_there_are_ipv6_vips() {
        let off = Ipv6Forwarding { on: false, at_risk: ["eth0".to_owned()].into() };
        assert_eq!(check_ipv6_forwarding(&off, false).level, Level::Ok);
        let check = check_ipv6_forwarding(&off, true);
        assert_eq!(check.level, Level::Warning);
        assert!(check.remedy.unwrap().contains("eth0"));
        let on = Ipv6Forwarding { on: true, at_risk: [].into() };
        assert_eq!(check_ipv6_forwarding(&on, true).level, Level::Ok);
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
