//! Kernel settings.

use node::inspect::Ipv6Forwarding;
use node::{SysctlReport, SysctlState};

use super::Check;

/// Checks them. `v6`: the kernel holds IPv6 VIPs.
#[must_use]
pub fn sysctls(
    reports: &[SysctlReport],
    forwarding: Option<&Ipv6Forwarding>,
    v6: bool,
) -> Vec<Check> {
    let mut checks: Vec<_> = reports.iter().map(report).collect();
    checks.extend(forwarding.map(|forwarding| ipv6(forwarding, v6)));
    checks
}

fn report(report: &SysctlReport) -> Check {
    let (name, value) = (report.sysctl.name, report.sysctl.value);
    match report.state {
        SysctlState::Already | SysctlState::Changed { .. } => Check::ok(report.to_string()),
        SysctlState::Wrong { .. } => Check::warning(
            report.to_string(),
            "the agent sets it when it may; where it may not, `vipd doctor --fix` does",
        ),
        SysctlState::Refused { .. } => Check::error(
            report.to_string(),
            format!("run `sysctl -w {name}={value}` on the host: /proc/sys is read-only here"),
        ),
        SysctlState::Unknown { .. } => Check::warning(
            report.to_string(),
            "it is there once ip_vs is loaded: `vipd doctor --fix`, or `modprobe ip_vs`",
        ),
    }
}

fn ipv6(forwarding: &Ipv6Forwarding, v6: bool) -> Check {
    const NAME: &str = "net.ipv6.conf.all.forwarding";
    let risk: Vec<_> = forwarding.at_risk.iter().map(String::as_str).collect();
    let risk = match risk.is_empty() {
        true => String::new(),
        false => format!(
            "; by itself that would cost {} the default route it has by router advertisement, so \
             --fix sets accept_ra to 2 there before",
            risk.join(", ")
        ),
    };
    match (forwarding.on, v6) {
        (true, _) => Check::ok(format!("{NAME} is 1")),
        (false, false) => {
            Check::ok(format!("{NAME} is 0: only IPv6 VIPs need it, and there are none"))
        }
        (false, true) => Check::warning(
            format!(
                "{NAME} is 0: IPv6 VIPs reach no real servers in containers, and serve no other nodes"
            ),
            format!("run `vipd doctor --fix`; the agent doesn't do this by itself{risk}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn ipv6_forwarding_matters_where_there_are_ipv6_vips() {
        let off = Ipv6Forwarding { on: false, at_risk: ["eth0".to_owned()].into() };
        assert_eq!(ipv6(&off, false).level, Level::Ok);
        let check = ipv6(&off, true);
        assert_eq!(check.level, Level::Warning);
        assert!(check.cure.unwrap().contains("eth0"));
        let on = Ipv6Forwarding { on: true, at_risk: [].into() };
        assert_eq!(ipv6(&on, true).level, Level::Ok);
    }

    #[test]
    fn a_setting_that_is_wrong_comes_with_the_command_that_mends_it() {
        let sysctl = node::Sysctl { name: "net.ipv4.vs.conntrack", value: "1", why: "x" };
        let state = SysctlState::Refused {
            is: "0".into(),
            error: std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem),
        };
        let check = report(&SysctlReport { sysctl, state });
        assert_eq!(check.level, Level::Error);
        assert!(check.cure.unwrap().contains("sysctl -w net.ipv4.vs.conntrack=1"));
    }
}
