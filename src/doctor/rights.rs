//! What the process may do.

use node::inspect::Rights;

use super::Check;

/// Checks it. `None`: `/proc` doesn't tell.
#[must_use]
pub fn rights(rights: Option<Rights>) -> Vec<Check> {
    let Some(rights) = rights else {
        return vec![Check::warning(
            "/proc doesn't tell what this process may do",
            "mount /proc: vipd reads sysctls and its rights there",
        )];
    };
    let admin = if rights.net_admin() {
        Check::ok("CAP_NET_ADMIN is there, which is all that the agent needs")
    } else {
        Check::error(
            "CAP_NET_ADMIN is missing: IPVS can't even be read",
            "run as root, or give it AmbientCapabilities=CAP_NET_ADMIN (systemd) or \
             --cap-add NET_ADMIN (container)",
        )
    };
    let mut checks = vec![admin];
    if !rights.initial_user_namespace {
        checks.push(Check::error(
            "this is a user namespace of its own, and IPVS takes orders from the initial one only",
            "run it outside of rootless containers, and without user namespace remapping",
        ));
    }
    checks
}
