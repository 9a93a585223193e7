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
        Check::ok("CAP_NET_ADMIN is set, without which there is no agent")
    } else {
        Check::error(
            "CAP_NET_ADMIN is missing: the IPVS table can't even be read",
            "run vipd as root, or with AmbientCapabilities=CAP_NET_ADMIN (systemd) or \
             --cap-add NET_ADMIN (container)",
        )
    };
    let raw = if rights.net_raw() {
        Check::ok("CAP_NET_RAW is set, by which silent hosts are noticed")
    } else {
        Check::warning(
            "CAP_NET_RAW is missing: hosts that fall silent are noticed only by Marathon, unless this \
             process has a group of net.ipv4.ping_group_range",
            "run vipd with AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW (systemd) or \
             --cap-add NET_RAW (container), or set [probe] mode = \"off\"",
        )
    };
    let mut checks = vec![admin, raw];
    if !rights.initial_user_namespace {
        checks.push(Check::error(
            "vipd runs in a user namespace, and IPVS accepts changes from the initial one only",
            "run it outside of rootless containers and without user namespace remapping",
        ));
    }
    checks
}
