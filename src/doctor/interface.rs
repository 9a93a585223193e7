//! Checks of the interface that holds the VIPs.

use node::inspect::Manager;
use vip::{Link, NodeFacts};

use super::diagnosis::Check;

/// Checks its state, whether a network manager manages it, and whether another one holds VIPs too.
#[must_use]
pub fn check_interface(
    name: &str,
    link: Link,
    manager: Option<Manager>,
    node: Option<&NodeFacts>,
) -> Vec<Check> {
    let state = match link {
        Link::Missing => {
            Check::ok(format!("{name} doesn't exist yet: it is created with the first VIP"))
        }
        Link::Down => Check::warning(
            format!("{name} is down"),
            format!("`ip link set {name} up`; `vipd apply` and a running agent do it too"),
        ),
        Link::Up => Check::ok(format!("{name} is up")),
    };
    let managed = manager.map(|manager| {
        let (who, remedy) = match manager {
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
        Check::warning(format!("{who} manages {name} and may remove its addresses"), remedy)
    });
    let former = node.into_iter().flat_map(NodeFacts::former_interface_notes);
    let former = former.map(|(what, remedy)| Check::warning(what, remedy));
    [state].into_iter().chain(managed).chain(former).collect()
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Level;
    use super::*;

    #[test]
    fn a_managed_interface_is_a_warning_with_the_file_to_write() {
        let checks = check_interface("vipd0", Link::Up, Some(Manager::NetworkManager), None);
        assert_eq!(checks[0].level, Level::Ok);
        assert_eq!(checks[1].level, Level::Warning);
        assert!(checks[1].remedy.as_ref().unwrap().contains("interface-name:vipd0"));
        assert_eq!(check_interface("vipd0", Link::Missing, None, None).len(), 1);
    }

    #[test]
    fn an_interface_of_an_earlier_configuration_is_a_warning() {
        let node =
            NodeFacts { former_interfaces: ["vip0".to_owned()].into(), ..NodeFacts::default() };
        let checks = check_interface("vipd0", Link::Up, None, Some(&node));
        assert_eq!(checks[1].level, Level::Warning);
        assert_eq!(
            checks[1].remedy.as_deref(),
            Some("if nothing else needs it, `ip link del vip0` once vipd is ready")
        );
    }
}
