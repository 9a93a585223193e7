//! The DNS resolvers of this node. No VIP may have the address of one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;

use crate::{KernelError, error_chain};

/// Bytes that are read of a file; no resolv.conf is longer.
const MAX_LEN: u64 = 64 * 1024;

/// The files with the resolvers of this node. `/etc/resolv.conf` may have only the address of a program of
/// this node; the others have those that it asks: of systemd-resolved, of the dnsmasq that `NetworkManager`
/// starts, and of the dnsmasq that resolvconf tells them (`/etc/resolvconf/update.d/dnsmasq`).
const FILES: [&str; 4] = [
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/dnsmasq/resolv.conf",
];

/// The resolvers of this node.
#[derive(Debug, Default)]
pub(crate) struct Resolvers {
    /// Their addresses.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Sentences on files that can't be read.
    pub(crate) unread: BTreeSet<String>,
}

impl Resolvers {
    /// Reads them. A missing file counts as empty. While one can't be read, those `known` from before
    /// count on: VIPs are more important than the addresses that new ones may not have.
    pub(crate) fn read(known: Option<&BTreeSet<IpAddr>>) -> Self {
        Self::read_files(Path::new("/"), known)
    }

    fn read_files(root: &Path, known: Option<&BTreeSet<IpAddr>>) -> Self {
        let mut resolvers = Self::default();
        for path in FILES {
            match read_resolv_conf(&root.join(path.trim_start_matches('/'))) {
                Ok(text) => {
                    resolvers.addresses.extend(parse_nameservers(&text).filter(is_no_stub));
                }
                Err(error) => {
                    let why =
                        format!("the node's resolvers can't be read: {}", error_chain(&error));
                    resolvers.unread.insert(why);
                    resolvers.addresses.extend(known.into_iter().flatten());
                }
            }
        }
        resolvers
    }
}

/// Lists the name servers of `/etc/resolv.conf`, in their order, with the stubs on this node.
///
/// # Errors
/// When the file can't be read. A missing one counts as empty.
pub fn list_nameservers() -> Result<Vec<IpAddr>, KernelError> {
    let text = read_resolv_conf(Path::new("/etc/resolv.conf"))?;
    Ok(parse_nameservers(&text).collect())
}

fn read_resolv_conf(path: &Path) -> Result<String, KernelError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_LEN).read_to_end(&mut bytes)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(KernelError::File { path: path.to_owned(), error })
        }
        _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Tells whether a resolver is on another node, or stands for none. A stub on the loopback interface
/// is never a VIP, and the servers behind it are read from another file.
fn is_no_stub(address: &IpAddr) -> bool {
    !address.is_loopback()
}

/// Parses the addresses of `nameserver` lines (resolv.conf(5)).
fn parse_nameservers(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        let address = address.split('%').next().unwrap_or(address);
        address.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_nameserver_lines_with_an_address_count() {
        let text = "# nameserver 9.9.9.9\n; nameserver 8.8.8.8\nsearch example.org\n\
                    nameserver 10.0.0.53\n  nameserver\t10.0.0.54 # second\nnameserver\n\
                    nameserver fe80::1%eth0\nnameserver 2001:db8::53\nnameserver one.one\n\
                    nameserverx 1.1.1.1\noptions edns0";
        let found: Vec<_> = parse_nameservers(text).map(|address| address.to_string()).collect();
        assert_eq!(found, ["10.0.0.53", "10.0.0.54", "fe80::1", "2001:db8::53"]);
    }

    #[test]
    fn the_loopback_stub_is_no_resolver_to_protect() {
        let stubs = parse_nameservers("nameserver 127.0.0.53\nnameserver ::1\n");
        assert_eq!(stubs.filter(is_no_stub).count(), 0);
    }

    #[test]
    fn a_missing_file_holds_none_and_an_unreadable_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_resolv_conf(&folder.path().join("nothing")).unwrap(), "");
        let error = read_resolv_conf(folder.path()).unwrap_err();
        assert!(matches!(error, KernelError::File { path, .. } if path == folder.path()));
    }

    /// Docker makes a directory in the place of a file that it is to mount and that isn't there.
    #[test]
    fn what_is_known_counts_on_while_a_file_cannot_be_read() {
        let root = tempfile::tempdir().unwrap();
        let [main, resolved, ..] = in_root(root.path());
        std::fs::write(&resolved, "nameserver 10.0.0.53\n").unwrap();
        std::fs::create_dir(&main).unwrap();
        let known = BTreeSet::from([IpAddr::from([10, 0, 0, 54])]);
        let found = Resolvers::read_files(root.path(), Some(&known));
        let both = [[10, 0, 0, 53], [10, 0, 0, 54]].map(IpAddr::from);
        assert_eq!(found.addresses, both.into());
        let why = found.unread.first().unwrap();
        assert!(why.starts_with("the node's resolvers can't be read: "), "{why}");
        assert!(why.contains(&*main.to_string_lossy()), "{why}");
        std::fs::remove_dir(&main).unwrap();
        let found = Resolvers::read_files(root.path(), Some(&known));
        assert_eq!((found.addresses.len(), found.unread.len()), (1, 0));
    }

    /// Makes the folders of all files under this root, and returns the paths of the files.
    fn in_root(root: &Path) -> [PathBuf; FILES.len()] {
        FILES.map(|path| {
            let path = root.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        })
    }

    #[test]
    fn the_resolvers_behind_each_stub_are_known() {
        let root = tempfile::tempdir().unwrap();
        let paths = in_root(root.path());
        std::fs::write(&paths[0], "nameserver 127.0.0.1\nnameserver ::1\n").unwrap();
        assert!(Resolvers::read_files(root.path(), None).addresses.is_empty());
        for (path, last) in paths[1..].iter().zip(1..) {
            std::fs::write(path, format!("nameserver 10.0.0.{last}\n")).unwrap();
            let found = Resolvers::read_files(root.path(), None).addresses;
            assert!(found.contains(&IpAddr::from([10, 0, 0, last])), "{}", path.display());
        }
    }
}
