//! Network managers that may interfere with vipd's interface.

use std::fs;
use std::path::Path;

/// A service that manages interfaces, and may remove the addresses of vipd's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// `NetworkManager`.
    NetworkManager,
    /// systemd-networkd.
    Networkd,
}

/// Finds the service that manages the interface with this index.
///
/// Both services keep a file for each link: systemd-networkd with `ADMIN_STATE=`,
/// `NetworkManager` with `managed=`.
#[must_use]
pub fn manager_of(index: u32) -> Option<Manager> {
    manager_under(Path::new("/run"), index)
}

fn manager_under(run: &Path, index: u32) -> Option<Manager> {
    let value = |path: &str, key: &str| {
        let text = fs::read_to_string(run.join(path).join(index.to_string())).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
    };
    let networkd = value("systemd/netif/links", "ADMIN_STATE=");
    if networkd.is_some_and(|state| state != "unmanaged") {
        return Some(Manager::Networkd);
    }
    let managed = value("NetworkManager/devices", "managed=");
    (managed.as_deref() == Some("true")).then_some(Manager::NetworkManager)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_manages_a_link_is_read_from_its_files() {
        let run = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = run.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("systemd/netif/links/3", "# private\nADMIN_STATE=configured\nOPER_STATE=routable\n");
        write("systemd/netif/links/4", "ADMIN_STATE=unmanaged\n");
        write("NetworkManager/devices/4", "[device]\nmanaged=false\n");
        write("NetworkManager/devices/5", "[device]\nmanaged=true\n");
        let found = |index| manager_under(run.path(), index);
        assert_eq!(found(3), Some(Manager::Networkd));
        assert_eq!(found(4), None);
        assert_eq!(found(5), Some(Manager::NetworkManager));
        assert_eq!(found(6), None);
    }
}
