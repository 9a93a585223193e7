//! The interface that holds the VIPs.

use node::inspect::Manager;
use vip::Link;

use super::Check;

/// Checks it: its state, and who else manages it.
#[must_use]
pub fn interface(name: &str, link: Link, manager: Option<Manager>) -> Vec<Check> {
    let state = match link {
        Link::Missing => Check::ok(format!("{name} isn't there yet: it comes with the first VIP")),
        Link::Down => Check::warning(
            format!("{name} is down"),
            format!(
                "`vipd apply` or a running agent brings it up; so does `ip link set {name} up`"
            ),
        ),
        Link::Up => Check::ok(format!("{name} is up")),
    };
    let managed = manager.map(|manager| {
        let (who, cure) = match manager {
            Manager::NetworkManager => (
                "NetworkManager",
                format!(
                    "put `[keyfile]` and `unmanaged-devices=interface-name:{name}` into \
                     /etc/NetworkManager/conf.d/vipd.conf, then `nmcli general reload`"
                ),
            ),
            Manager::Networkd => (
                "systemd-networkd",
                format!(
                    "put `[Match] Name={name}` and `[Link] Unmanaged=yes`, each on its own line, into \
                     /etc/systemd/network/10-{name}.network, then `networkctl reload`"
                ),
            ),
        };
        Check::warning(format!("{who} manages {name} and may take its addresses away"), cure)
    });
    [state].into_iter().chain(managed).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_managed_interface_is_a_warning_with_the_file_to_write() {
        let checks = interface("vipd0", Link::Up, Some(Manager::NetworkManager));
        assert_eq!(checks[0].level, Level::Ok);
        assert_eq!(checks[1].level, Level::Warning);
        assert!(checks[1].cure.as_ref().unwrap().contains("interface-name:vipd0"));
        assert_eq!(interface("vipd0", Link::Missing, None).len(), 1);
    }
}
