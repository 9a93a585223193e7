//! Checks of the rights of the process.

use node::inspect::Rights;

use super::diagnosis::Check;

/// Checks the rights; `None` if `/proc` doesn't show them.
#[must_use]
pub fn check_rights(rights: Option<Rights>) -> Vec<Check> {
    let Some(rights) = rights else {
        return vec![Check::warning(
            "cannot read the rights of this process from /proc",
            "mount /proc: vipd reads its rights and the sysctls there",
        )];
    };
    let admin = if rights.net_admin() {
        Check::ok("CAP_NET_ADMIN is set, which is all that the agent needs")
    } else {
        Check::error(
            "CAP_NET_ADMIN is missing: the IPVS table can't even be read",
            "run vipd as root, or with AmbientCapabilities=CAP_NET_ADMIN (systemd) or \
             --cap-add NET_ADMIN (container)",
        )
    };
    let mut checks = vec![admin];
    if !rights.initial_user_namespace {
        checks.push(Check::error(
            "vipd runs in a user namespace, and IPVS accepts changes from the initial one only",
            "run it outside of rootless containers and without user namespace remapping",
        ));
    }
    checks
}
